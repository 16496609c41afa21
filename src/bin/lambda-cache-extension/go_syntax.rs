//! Durations and booleans as Go writes them, since existing variables and config.yaml files do.
//!
//! No maintained library reads Go's durations, which may be `1.5h`, `.5s`, `2h45.5m` or `0`.

use std::time::Duration;

/// Nanoseconds in a unit.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
/// Digits of a fraction that count: further ones are far less than a nanosecond, even of an hour.
const MAX_DIGITS: usize = 19;

/// Parses a duration as Go's `time.ParseDuration` does, such as `90s`, `1h30m` or `500ms`; a negative
/// one is an error.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a duration such as 30s, 1h30m or 500ms");
    let unsigned = match text.strip_prefix('-') {
        Some("0") => "0",
        Some(_) => return Err(format!("\"{text}\" is negative, or not a duration")),
        None => text.strip_prefix('+').unwrap_or(text),
    };
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = unsigned;
    let mut total: u64 = 0;
    while !rest.is_empty() || unsigned.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(wrong());
        }
        let end = after.find(|it: char| it == '.' || it.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        total = part(whole, fraction, unit)
            .and_then(|part| total.checked_add(part))
            .filter(|&total| i64::try_from(total).is_ok())
            .ok_or_else(|| format!("\"{text}\" is too long: more than 292 years"))?;
        rest = after;
    }
    Ok(Duration::from_nanos(total))
}

/// Splits a text after its leading digits.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len()))
}

/// `whole.fraction` units in nanoseconds. The fraction is computed with floats, as in Go.
fn part(whole: &str, fraction: &str, unit: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = &fraction[..fraction.len().min(MAX_DIGITS)];
    let digits: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10u64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = digits as f64 * (unit as f64 / scale as f64);
    whole.checked_mul(unit)?.checked_add(fraction as u64)
}

/// Parses a boolean as Go's `strconv.ParseBool` does.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("\"{text}\" is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_as_in_go() {
        for (text, nanos) in [
            ("0", 0),
            ("+0", 0),
            ("-0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("30s", 30_000_000_000),
            ("60m", 3_600_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1478s", 1_478_000_000_000),
            ("5.s", 5_000_000_000),
            (".5s", 500_000_000),
            ("1.0s", 1_000_000_000),
            ("1.004s", 1_004_000_000),
            ("100.00100s", 100_001_000_000),
            ("1.5h", 5_400_000_000_000),
            ("10ns", 10),
            ("11us", 11_000),
            ("12µs", 12_000),
            ("12μs", 12_000),
            ("13ms", 13_000_000),
            ("3h30m", 12_600_000_000_000),
            ("10.5s4m", 250_500_000_000),
            ("4m10.5s", 250_500_000_000),
            ("39h9m14.425s", 140_954_425_000_000),
            ("0.3333333333333333333h", 1_200_000_000_000),
            ("0.830103483285477580700h", 2_988_372_539_827),
            ("9223372036854775807ns", i64::MAX as u64),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn other_texts_and_negative_durations_are_refused() {
        for text in [
            "",
            "3",
            "-",
            "+",
            "s",
            ".",
            "-.",
            ".s",
            "+.s",
            "1d",
            "1 s",
            " 1s",
            "1s ",
            "1h-30m",
            "\u{85}5s",
            "1.1.1s",
            "five",
            "1S",
            "-5s",
            "3000000h",
            "9223372036854775808ns",
            "99999999999999999999s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn booleans_are_parsed_as_in_go() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(boolean(text), Ok(true));
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(boolean(text), Ok(false));
        }
        for text in ["", "yes", "no", "on", "tRUE", "TRue", "2", " true"] {
            assert!(boolean(text).is_err(), "{text}");
        }
    }

    mod parsers {
        use proptest::prelude::*;

        use super::*;
        use crate::near::near_any;

        proptest! {
            #[test]
            fn parts_add_up(hours in 0u64..9000, minutes in 0u64..10_000, millis in 0u64..10_000_000) {
                let text = format!("{hours}h{minutes}m{}.{:03}s", millis / 1000, millis % 1000);
                let sum = Duration::from_secs(hours * 3600 + minutes * 60) + Duration::from_millis(millis);
                prop_assert_eq!(duration(&text), Ok(sum));
            }

            #[test]
            fn a_fraction_is_a_nanosecond_off_at_most(
                whole in 0..100_000_u128, fraction in "[0-9]{0,18}", unit in prop::sample::select(&UNITS[..])
            ) {
                let (name, nanoseconds) = (unit.0, u128::from(unit.1));
                let scale = 10u128.pow(fraction.len() as u32);
                let numerator: u128 = fraction.parse().unwrap_or(0);
                let exact = whole * nanoseconds + numerator * nanoseconds / scale;
                let read = duration(&format!("{whole}.{fraction}{name}")).map(|it| it.as_nanos());
                prop_assert!(read.as_ref().is_ok_and(|read| read.abs_diff(exact) <= 1), "{:?}", read);
            }

            #[test]
            fn what_is_read_as_a_duration_ends_in_a_unit_and_what_is_not_says_so(
                text in near_any(
                    &["30s", "1h30m", "500ms", "1.5h", ".5s", "-5s", "+5s", "9223372036854775807ns", "0"],
                    &["h", "m", "s", "ns", "us", "\u{b5}s", "\u{3bc}s", ".", "-", "+", "0", "9999999999", " ", "\u{661}"],
                )
            ) {
                match duration(&text) {
                    Ok(duration) => {
                        let is_zero = matches!(&*text, "0" | "+0" | "-0");
                        prop_assert!(is_zero || text.ends_with(['h', 'm', 's']));
                        prop_assert!(duration.as_nanos() <= i64::MAX as u128);
                        // The same with its nanoseconds written out.
                        let nanoseconds = format!("{}ns", duration.as_nanos());
                        prop_assert_eq!(super::duration(&nanoseconds), Ok(duration));
                    }
                    Err(message) => prop_assert!(message.contains(&text), "{}", message),
                }
            }

            #[test]
            fn a_boolean_is_one_of_twelve_texts(
                text in near_any(&["1", "0", "t", "FALSE", "true", "True"], &["t", "T", "e", "E", "1", " "])
            ) {
                let texts = "1 t T TRUE true True 0 f F FALSE false False";
                prop_assert_eq!(boolean(&text).is_ok(), texts.split(' ').any(|it| it == text));
            }
        }
    }
}
