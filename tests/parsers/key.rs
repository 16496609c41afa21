//! Values of keys under property tests: each number has one form.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::near::near_any;

/// How the digits of a number are written: zeros around them, and where the point is.
type Form = (usize, usize, Index, &'static str);

fn forms() -> impl Strategy<Value = Form> {
    let exponent = prop::sample::select(vec!["e", "E", "e+", "E0"]);
    (0..4_usize, 0..4_usize, any::<Index>(), exponent)
}

/// `digits` times 10 to the power of `exponent`.
fn written(sign: &str, digits: &str, exponent: i64, (before, after, point, e): Form) -> String {
    let digits = format!("{}{digits}{}", "0".repeat(before), "0".repeat(after));
    let (whole, fraction) = digits.split_at(point.index(digits.len() + 1));
    let exponent = exponent - after as i64 + fraction.len() as i64;
    let e = if exponent < 0 { "e" } else { e };
    format!("{sign}{whole}.{fraction}{e}{exponent}")
}

/// Without zeros at either end.
fn digits() -> impl Strategy<Value = String> {
    prop_oneof!["[1-9]", "[1-9][0-9]{0,36}[1-9]", "[1-9][0-9]{36,40}[1-9]"]
}

proptest! {
    #[test]
    fn a_number_has_one_form_however_it_is_written(
        sign in prop::sample::select(vec!["", "-", "+"]),
        digits in digits(),
        exponent in prop_oneof![-9..9_i64, -180..180_i64],
        (one, other) in (forms(), forms()),
    ) {
        let (one, other) = (
            canonical(&written(sign, &digits, exponent, one)),
            canonical(&written(sign, &digits, exponent, other)),
        );
        // DynamoDB has 38 digits, and from 1e-130 to less than 1e126.
        let magnitude = exponent + digits.len() as i64;
        let exists = digits.len() <= 38 && (-129..=126).contains(&magnitude);
        prop_assert_eq!(one.is_some(), exists);
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one.as_deref().and_then(canonical), one);
    }

    #[test]
    fn different_numbers_have_different_forms(
        (one, other) in (digits(), digits()), exponent in -9..9_i64, form in forms()
    ) {
        let canonical = |digits: &str| canonical(&written("", digits, exponent, form));
        if let (Some(a), Some(b)) = (canonical(&one), canonical(&other)) {
            prop_assert_eq!(a == b, one == other);
        }
    }

    #[test]
    fn a_float_keeps_its_value(float in -1e30..1e30_f64) {
        let text = canonical(&float.to_string()).expect("a number of 17 digits");
        prop_assert_eq!(text.parse(), Ok(float));
    }

    #[test]
    fn a_text_is_a_number_of_digits_or_none(
        text in near_any(
            &["42", "-0.50", "1.5e3", "12e-4", "+.5", "5."],
            &["e", "E", "+", "-", ".", "0", "9", "99999999999999999999", " ", "_", "\u{661}"],
        )
    ) {
        if let Some(number) = canonical(&text) {
            prop_assert!(number.parse::<f64>().is_ok() && text.parse::<f64>().is_ok());
            prop_assert_eq!(canonical(&number), Some(number));
        }
    }

    #[test]
    fn an_attribute_is_the_key_value_that_it_was_made_of(
        (text, bytes, number) in (".{0,9}", prop::collection::vec(any::<u8>(), 0..9), any::<i128>())
    ) {
        for value in [KeyValue::from(text), KeyValue::from(bytes), KeyValue::from(number)] {
            prop_assert_eq!(KeyValue::of(&value.attribute()), Some(value));
        }
    }
}
