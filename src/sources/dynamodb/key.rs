//! The values of key attributes: text, numbers and bytes.

use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;

use super::number;

/// The value of an attribute that is part of a key.
///
/// Text, integers and bytes convert into it; other numbers are made with
/// [`number`](Self::number).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyValue(Value);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Value {
    Text(String),
    /// Canonical, so that equal numbers are one key; or as given, if it is none.
    Number(String),
    Bytes(Vec<u8>),
}

impl KeyValue {
    /// A number by its decimal digits, such as `-12.5` or `1e6`: DynamoDB's numbers are exact to 38
    /// digits, which no float is. What is no such number is an error where the entry is declared.
    pub fn number(digits: impl Into<String>) -> Self {
        let digits = digits.into();
        Self(Value::Number(number::canonical(&digits).unwrap_or(digits)))
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

    /// What is wrong with it, if anything, for a key of so many bytes at most; without quoting it.
    pub(super) fn fault(&self, most: usize) -> Option<String> {
        let length = match &self.0 {
            Value::Number(number) => {
                let is_none = number::canonical(number).is_none();
                return is_none.then(|| "is not a number of up to 38 digits".to_owned());
            }
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
        };
        match length {
            0 => Some("is empty".to_owned()),
            _ if length > most => Some(format!("is longer than {most} bytes")),
            _ => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", KeyValue::from("somebody")), "KeyValue(text)");
    }
}
