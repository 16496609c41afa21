//! The values of key attributes: text, numbers and bytes.

use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;

/// The value of an attribute that is part of a key.
///
/// Text, integers and bytes convert into it; other numbers are made with
/// [`number`](Self::number).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyValue(Value);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Value {
    Text(String),
    /// As [`canonical`] writes it.
    Number(String),
    Bytes(Vec<u8>),
}

impl KeyValue {
    /// A number by its decimal digits, such as `-12.5` or `1e6`: DynamoDB's numbers are exact to 38
    /// digits, which no float is. What is no number is refused by the service.
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

    pub(super) fn is_empty(&self) -> bool {
        match &self.0 {
            Value::Text(text) | Value::Number(text) => text.is_empty(),
            Value::Bytes(bytes) => bytes.is_empty(),
        }
    }
}

/// As an entry's name has it: bytes in hexadecimal.
impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::Text(text) | Value::Number(text) => f.write_str(text),
            Value::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// Which type it is of, and not what it is: a key may be somebody's.
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

impl From<Vec<u8>> for KeyValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Value::Bytes(bytes))
    }
}

/// A type whose values can be those of a key attribute, for the keys of a memo.
pub trait KeyAttribute {
    /// The attribute's value.
    fn key_value(&self) -> KeyValue;
}

impl KeyAttribute for KeyValue {
    fn key_value(&self) -> KeyValue {
        self.clone()
    }
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
key_attributes!(String, &'static str, Vec<u8>);

/// The one way to write a number: digits without zeros at either end, and an exponent if the last
/// of them are not its units.
fn canonical(number: &str) -> Option<String> {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let zeros = i32::try_from(all.len() - all.trim_end_matches('0').len()).ok()?;
    let exponent = exponent + zeros - i32::try_from(fraction.len()).ok()?;
    let sign = if negative { "-" } else { "" };
    match exponent {
        0 => Some(format!("{sign}{significant}")),
        1..=38 => {
            let zeros = "0".repeat(exponent.try_into().ok()?);
            Some(format!("{sign}{significant}{zeros}"))
        }
        _ => Some(format!("{sign}{significant}e{exponent}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_are_written_alike() {
        for alike in ["1", "01", "1.0", "1.", "10e-1", "0.1E1", "+1"] {
            assert_eq!(canonical(alike).as_deref(), Some("1"), "{alike}");
        }
        for alike in ["0", "-0", "0.00", "0e5"] {
            assert_eq!(canonical(alike).as_deref(), Some("0"), "{alike}");
        }
        for alike in ["1200", "1.2e3", "12e2"] {
            assert_eq!(canonical(alike).as_deref(), Some("1200"), "{alike}");
        }
        assert_eq!(canonical("-0.050").as_deref(), Some("-5e-2"));
        for wrong in ["", "-", "1,0", "abc", "1e", "e1", ".", "1e99999999999"] {
            assert_eq!(canonical(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", KeyValue::from("somebody")), "KeyValue(text)");
    }
}
