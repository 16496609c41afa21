//! Numbers as DynamoDB has them: decimal, of up to 38 digits.

/// How many significant digits a number has at most.
const DIGITS: usize = 38;
/// Where the decimal point is, counted from the first significant digit: 1e-130 to 9.99…e+125.
const POINTS: std::ops::RangeInclusive<i64> = -129..=126;

/// The one way to write a number, exactly; `None` if DynamoDB has no such number.
///
/// Without exponent, without a plus sign, and without zeros that say nothing.
pub(super) fn canonical(text: &str) -> Option<String> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, i64::from(exponent.parse::<i32>().ok()?)),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let point = i64::try_from(whole.len()).ok()? + exponent - zeros;
    let significant = significant.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    if significant.len() > DIGITS || !POINTS.contains(&point) {
        return None;
    }
    Some(match usize::try_from(point) {
        Ok(point) if point >= significant.len() => format!("{sign}{significant:0<point$}"),
        Ok(point) if point > 0 => {
            let (whole, fraction) = significant.split_at(point);
            format!("{sign}{whole}.{fraction}")
        }
        _ => {
            let zeros = "0".repeat(usize::try_from(-point).ok()?);
            format!("{sign}0.{zeros}{significant}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_are_written_alike() {
        for (written, canonical_form) in [
            ("42", "42"),
            ("+42", "42"),
            ("042.0", "42"),
            ("4.2e1", "42"),
            ("420E-1", "42"),
            ("-0.50", "-0.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("0.00120", "0.0012"),
            ("12e-4", "0.0012"),
            ("1200", "1200"),
            ("1.2e3", "1200"),
            ("-0", "0"),
            ("0e5", "0"),
            ("12.034", "12.034"),
        ] {
            assert_eq!(canonical(written).as_deref(), Some(canonical_form), "{written}");
        }
    }

    #[test]
    fn thirty_eight_digits_are_kept_exactly() {
        let widest = "12345678901234567890123456789012345678";
        assert_eq!(canonical(widest).as_deref(), Some(widest));
        assert_eq!(canonical(&format!("{widest}9")), None);
        assert_eq!(canonical("1e125").map(|text| text.len()), Some(126));
        assert_eq!(canonical("1e-130").map(|text| text.len()), Some(132));
    }

    #[test]
    fn what_dynamodb_does_not_have_is_no_number() {
        for text in
            ["", "-", ".", "e5", "NaN", "inf", "1 ", "0x1", "1e126", "1e-131", "1e", "1.2.3"]
        {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
