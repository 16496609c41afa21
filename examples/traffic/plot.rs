//! The picture: for each kind of traffic, waits against calls.

use std::fmt::{Error, Write};

use crate::play::Cost;
use crate::{Row, WAYS};

const COLUMNS: usize = 4;
const PANEL: (f64, f64) = (230.0, 190.0);
/// The part of a panel that is plotted in, and where it begins.
const PLOT: (f64, f64) = (160.0, 110.0);
const ORIGIN: (f64, f64) = (46.0, 34.0);
const TOP: f64 = 44.0;
const COLOURS: [&str; 4] = ["#0b6e4f", "#c8553d", "#6c757d", "#2b59c3"];

const STYLE: &str = "text{font-family:Helvetica,Arial,sans-serif;font-size:10px;fill:#333}\
    .title{font-size:12px;font-weight:bold}.axis{stroke:#999;stroke-width:1}\
    .grid{stroke:#e5e5e5;stroke-width:1}";

/// One panel for each row.
pub fn svg(rows: &[Row]) -> Result<String, Error> {
    let lines = rows.len().div_ceil(COLUMNS);
    let (width, height) = (PANEL.0 * COLUMNS as f64, TOP + PANEL.1 * lines as f64 + 10.0);
    let mut svg = String::new();
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">
<title>Waits against calls for {} kinds of traffic</title>
<style>{STYLE}</style>
<rect width="{width}" height="{height}" fill="white"/>"#,
        rows.len()
    )?;
    for (way, name) in WAYS.iter().enumerate() {
        let x = 20.0 + 150.0 * way as f64;
        mark(&mut svg, way, (x, 20.0))?;
        writeln!(svg, r#"<text x="{}" y="24" class="title">{name}</text>"#, x + 12.0)?;
    }
    for (number, row) in rows.iter().enumerate() {
        let (column, line) = (number % COLUMNS, number / COLUMNS);
        let at = (PANEL.0 * column as f64, TOP + PANEL.1 * line as f64);
        panel(&mut svg, row, at)?;
    }
    writeln!(svg, "</svg>")?;
    Ok(svg)
}

fn panel(svg: &mut String, Row { traffic, costs }: &Row, at: (f64, f64)) -> Result<(), Error> {
    let (left, top) = (at.0 + ORIGIN.0, at.1 + ORIGIN.1);
    let (right, bottom) = (left + PLOT.0, top + PLOT.1);
    let most = |of: fn(&Cost) -> f64| costs.iter().map(of).fold(0.0, f64::max);
    let (most_waits, most_calls) =
        (round_up(most(Cost::waits)), round_up(100.0 * most(Cost::calls)));
    writeln!(
        svg,
        r#"<text x="{left}" y="{}" class="title">{}</text>"#,
        top - 12.0,
        traffic.name()
    )?;
    for part in [0.0, 0.5, 1.0] {
        let (x, y) = (left + part * PLOT.0, bottom - part * PLOT.1);
        writeln!(svg, r#"<path class="grid" d="M{left} {y}H{right}M{x} {top}V{bottom}"/>"#)?;
        let (waits, calls) = (label(part * most_waits), label(part * most_calls));
        let (before, below) = (left - 5.0, bottom + 13.0);
        writeln!(svg, r#"<text x="{before}" y="{}" text-anchor="end">{waits} %</text>"#, y + 3.0)?;
        writeln!(svg, r#"<text x="{x}" y="{below}" text-anchor="middle">{calls}</text>"#)?;
    }
    writeln!(svg, r#"<path class="axis" fill="none" d="M{left} {top}V{bottom}H{right}"/>"#)?;
    let (middle, below) = (left + PLOT.0 / 2.0, bottom + 26.0);
    writeln!(
        svg,
        r#"<text x="{middle}" y="{below}" text-anchor="middle">waits, by calls for 100 invocations</text>"#
    )?;
    // Foresight first, so that who comes close to it is seen.
    for way in [3, 2, 1, 0] {
        let cost = &costs[way];
        let x = left + PLOT.0 * 100.0 * cost.calls() / most_calls;
        let y = bottom - PLOT.1 * cost.waits() / most_waits;
        mark(svg, way, (x, y))?;
    }
    Ok(())
}

/// A shape and a colour for each way.
fn mark(svg: &mut String, way: usize, (x, y): (f64, f64)) -> Result<(), Error> {
    let colour = COLOURS[way];
    let (x, y) = ((x * 10.0).round() / 10.0, (y * 10.0).round() / 10.0);
    match way {
        0 => writeln!(svg, r#"<circle cx="{x}" cy="{y}" r="4.5" fill="{colour}"/>"#),
        1 => writeln!(
            svg,
            r#"<rect x="{:.1}" y="{:.1}" width="8" height="8" fill="{colour}"/>"#,
            x - 4.0,
            y - 4.0
        ),
        2 => writeln!(svg, r#"<path d="M{x} {:.1}l5 9h-10z" fill="{colour}"/>"#, y - 5.0),
        _ => writeln!(
            svg,
            r#"<circle cx="{x}" cy="{y}" r="8" fill="none" stroke="{colour}" stroke-width="2"/>"#
        ),
    }
}

/// The end of an axis: one, two or five times a power of ten.
fn round_up(most: f64) -> f64 {
    let mut end = 0.1;
    loop {
        for times in [1.0, 2.0, 5.0] {
            if most <= end * times {
                return end * times;
            }
        }
        end *= 10.0;
    }
}

fn label(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    rounded.to_string()
}
