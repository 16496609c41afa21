//! Attributes of keys: their names, and their values, which are text, numbers or bytes.

use std::fmt;
use std::ops::RangeInclusive;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;

/// How many bytes the value of a partition key has at most.
pub(super) const MAX_PARTITION_KEY: usize = 2048;
/// How many bytes the value of a sort key has at most.
pub(super) const MAX_SORT_KEY: usize = 1024;
/// How many significant digits a number has at most.
const MAX_DIGITS: usize = 38;
/// Where the decimal point is, counted from the first significant digit: 1e-130 to 9.99…e+125.
const POINTS: RangeInclusive<i64> = -129..=126;

/// One attribute of a key: its name and its value.
pub(super) type KeyPart = (String, KeyValue);

/// The value of an attribute that is part of a key.
///
/// Text, integers and bytes convert into it; other numbers are made with
/// [`number`](Self::number).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyValue(Value);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Value {
    Text(String),
    /// Canonical, so that equal numbers are one key; as given if DynamoDB has no such number.
    Number(String),
    Bytes(Vec<u8>),
}

impl KeyValue {
    /// A number by its decimal digits, such as `-12.5` or `1e6`: DynamoDB's numbers are exact to 38
    /// digits, which no float is. Anything else is an error when the entry is declared.
    pub fn number(digits: impl Into<String>) -> Self {
        let digits = digits.into();
        Self(Value::Number(canonical(&digits).unwrap_or(digits)))
    }

    pub(super) fn attribute(&self) -> AttributeValue {
        match &self.0 {
            Value::Text(text) => AttributeValue::S(text.clone()),
            Value::Number(number) => AttributeValue::N(number.clone()),
            Value::Bytes(bytes) => AttributeValue::B(Blob::new(bytes.clone())),
        }
    }

    pub(super) fn of(attribute: &AttributeValue) -> Option<Self> {
        Some(match attribute {
            AttributeValue::S(text) => text.as_str().into(),
            AttributeValue::N(number) => Self::number(number.as_str()),
            AttributeValue::B(bytes) => bytes.as_ref().into(),
            _ => return None,
        })
    }

    /// Checks it as the value of the attribute `name`. Errors do not quote it.
    pub(super) fn check(&self, name: &str, max_bytes: usize) -> Result<(), String> {
        let length = match &self.0 {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Number(number) if canonical(number).is_some() => return Ok(()),
            Value::Number(_) => {
                return Err(format!("the value of \"{name}\" is not a number of up to 38 digits"));
            }
        };
        match length {
            0 => Err(format!("the value of \"{name}\" is empty")),
            _ if length > max_bytes => {
                Err(format!("the value of \"{name}\" is longer than {max_bytes} bytes"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self.0, Value::Number(_))
    }

    /// Whether both are text, or numbers, or bytes.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.0) == std::mem::discriminant(&other.0)
    }
}

/// As in the name of an entry: bytes in hexadecimal.
impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::Text(text) | Value::Number(text) => f.write_str(text),
            Value::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// The type alone: a key may be personal data.
impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Value::Text(_) => "KeyValue(text)",
            Value::Number(_) => "KeyValue(number)",
            Value::Bytes(_) => "KeyValue(bytes)",
        })
    }
}

impl From<&str> for KeyValue {
    fn from(text: &str) -> Self {
        Self(Value::Text(text.to_owned()))
    }
}

impl From<String> for KeyValue {
    fn from(text: String) -> Self {
        Self(Value::Text(text))
    }
}

impl From<&[u8]> for KeyValue {
    fn from(bytes: &[u8]) -> Self {
        Self(Value::Bytes(bytes.to_vec()))
    }
}

impl<const N: usize> From<&[u8; N]> for KeyValue {
    fn from(bytes: &[u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<Vec<u8>> for KeyValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Value::Bytes(bytes))
    }
}

/// A type whose values can be attributes of a key, for the keys of a memo.
pub trait KeyAttribute {
    /// The attribute's value.
    fn key_value(&self) -> KeyValue;
}

macro_rules! key_attributes {
    ($($type:ty),+) => {
        $(impl KeyAttribute for $type {
            fn key_value(&self) -> KeyValue {
                KeyValue::from(self.clone())
            }
        })+
    };
}

macro_rules! integers {
    ($($type:ty),+) => {
        $(impl From<$type> for KeyValue {
            fn from(number: $type) -> Self {
                Self::number(number.to_string())
            }
        })+
        key_attributes!($($type),+);
    };
}

integers!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);
key_attributes!(KeyValue, String, &'static str, Vec<u8>);

/// Checks the names of a key's attributes.
pub(super) fn check_names<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let names: Vec<&String> = names.collect();
    if names.iter().any(|name| name.is_empty()) {
        return Err("the name of a key's attribute is empty".to_owned());
    }
    match *names {
        [partition, sort] if partition == sort => {
            Err(format!("\"{sort}\" is both partition key and sort key"))
        }
        _ => Ok(()),
    }
}

/// The same number in the one form that equal numbers share: without exponent, plus sign and needless
/// zeros. `None` if DynamoDB has no such number.
fn canonical(text: &str) -> Option<String> {
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
    if significant.len() > MAX_DIGITS || !POINTS.contains(&point) {
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
#[path = "../../../tests/parsers/key.rs"]
mod parsers;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", KeyValue::from("somebody")), "KeyValue(text)");
    }

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
