//! A picture: a line for each way, on logarithmic axes.

use std::fmt::{Error, Write};

const SIZE: (f64, f64) = (640.0, 380.0);
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 48.0;
/// Seen well on white and on black.
const COLOURS: [&str; 4] = ["#2f9e77", "#d9653b", "#7a78d6", "#c2568f"];

/// The text follows the reader's theme. A picture in a README is a document of its own, and has a white
/// ground in neither.
const STYLE: &str = "text{font-family:Helvetica,Arial,sans-serif;font-size:12px;fill:#57606a}\
    .title{font-size:14px;font-weight:bold}.grid{stroke:#8b949e;stroke-opacity:.35}\
    @media(prefers-color-scheme:dark){text{fill:#c9d1d9}}";

/// What one way costs, by the number of environments.
pub struct Line {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

pub fn svg(title: &str, lines: &[Line]) -> Result<String, Error> {
    let points = || lines.iter().flat_map(|it| &it.points).filter(|point| point.1 > 0.0);
    let decades = |values: Vec<f64>| {
        let least = values.iter().copied().fold(f64::MAX, f64::min).log10().floor();
        let most = values.iter().copied().fold(f64::MIN, f64::max).log10().ceil();
        (least, most.max(least + 1.0))
    };
    let (x0, x1) = decades(points().map(|point| point.0).collect());
    let (y0, y1) = decades(points().map(|point| point.1).collect());
    let at = |value: f64| LEFT + (value.log10() - x0) / (x1 - x0) * (SIZE.0 - LEFT - RIGHT);
    let height =
        |value: f64| SIZE.1 - BOTTOM - (value.log10() - y0) / (y1 - y0) * (SIZE.1 - TOP - BOTTOM);
    let (width, whole) = SIZE;
    let mut svg = String::new();
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{whole}" viewBox="0 0 {width} {whole}" role="img">
<title>{title}, by environments</title>
<style>{STYLE}</style>
<text x="{LEFT}" y="22" class="title">{title}</text>"#
    )?;
    let (bottom, right) = (SIZE.1 - BOTTOM, SIZE.0 - RIGHT);
    for decade in x0 as i32..=x1 as i32 {
        let value = 10f64.powi(decade);
        let x = at(value).round();
        writeln!(svg, r#"<path class="grid" d="M{x} {TOP}V{bottom}"/>"#)?;
        let below = bottom + 18.0;
        writeln!(svg, r#"<text x="{x}" y="{below}" text-anchor="middle">{value}</text>"#)?;
    }
    for decade in y0 as i32..=y1 as i32 {
        let value = 10f64.powi(decade);
        let y = height(value).round();
        writeln!(svg, r#"<path class="grid" d="M{LEFT} {y}H{right}"/>"#)?;
        writeln!(
            svg,
            r#"<text x="{}" y="{}" text-anchor="end">{value}</text>"#,
            LEFT - 8.0,
            y + 4.0
        )?;
    }
    let (middle, last) = ((LEFT + right) / 2.0, bottom + 38.0);
    writeln!(svg, r#"<text x="{middle}" y="{last}" text-anchor="middle">environments</text>"#)?;
    for (number, Line { name, points }) in lines.iter().enumerate() {
        let (colour, y) = (COLOURS[number % COLOURS.len()], 38.0 + 16.0 * number as f64);
        // On a logarithmic axis there is no zero.
        let shown: Vec<_> = points.iter().filter(|point| point.1 > 0.0).collect();
        let free = if shown.is_empty() { " (free)" } else { "" };
        writeln!(
            svg,
            r#"<rect x="{LEFT}" y="{}" width="14" height="4" fill="{colour}"/>"#,
            y - 2.0
        )?;
        writeln!(svg, r#"<text x="{}" y="{}">{name}{free}</text>"#, LEFT + 20.0, y + 4.0)?;
        let path: Vec<String> =
            shown.iter().map(|it| format!("{:.1} {:.1}", at(it.0), height(it.1))).collect();
        if !path.is_empty() {
            let path = path.join("L");
            writeln!(
                svg,
                r#"<path fill="none" stroke="{colour}" stroke-width="2.5" d="M{path}"/>"#
            )?;
        }
    }
    writeln!(svg, "</svg>")?;
    Ok(svg)
}
