//! Secrets under property tests: their names, and the fields of JSON objects.

use proptest::prelude::*;

use super::*;
use crate::near::near_any;

proptest! {
    #[test]
    fn a_secret_is_named_the_same_by_its_name_and_by_its_arn(
        folder in "([a-z0-9_+=.@-]{1,6}/){0,2}",
        name in "[a-z0-9_+=.@]{1,9}(-[a-z0-9]{1,8})?",
        end in "[a-zA-Z0-9]{6}",
    ) {
        let secret = format!("{folder}{name}");
        let arn = format!("arn:aws:secretsmanager:eu-west-1:111122223333:secret:{secret}-{end}");
        prop_assert!(is_name_or_arn(&secret) && is_name_or_arn(&arn));
        prop_assert_eq!(last_segment(&secret), Some(&*name));
        prop_assert_eq!(last_segment(&arn), Some(&*name));
    }

    #[test]
    fn what_is_accepted_has_only_characters_of_secrets_and_arns(
        secret in near_any(
            &["/prod/db", "arn:aws:secretsmanager:r:1:secret:prod/db-AbC123"],
            &[":", "/", "-", "arn:", "secret:", " ", "\n", "+=.@_", "\u{e9}"],
        )
    ) {
        let segment = last_segment(&secret);
        prop_assert!(segment.is_none_or(|it| !it.is_empty() && secret.contains(it)));
        if is_name_or_arn(&secret) && !secret.starts_with("arn:") {
            prop_assert!(!secret.contains([':', ' ', '\n']));
        }
    }

    #[test]
    fn a_field_is_what_json_says_it_is(
        text in near_any(
            &[r#"{"password": "\u00e9\"~7x", "port": 5432, "more": {"a": [1, null]}, "none": null}"#],
            &["\"", "password", "port", ":", ",", "{", "}", "\\", "\\u0041", "null", "~7x", " "],
        )
    ) {
        use serde_json::Value;
        let object: Option<HashMap<String, Value>> = serde_json::from_str(&text).ok();
        let secret = SecretString::from(text);
        for name in ["password", "port", "more", "none", "~8x"] {
            let field = field(&secret, name);
            let found = object.as_ref().and_then(|it| it.get(name)).filter(|it| !it.is_null());
            match (field, found) {
                (Ok(field), Some(Value::String(text))) => {
                    prop_assert_eq!(field.expose_secret(), text);
                }
                (Ok(field), Some(value)) => {
                    let read: Option<Value> = serde_json::from_str(field.expose_secret()).ok();
                    prop_assert_eq!(read.as_ref(), Some(value));
                }
                // Where one field is malformed, the others may be read all the same.
                (Ok(_), None) => prop_assert!(object.is_none(), "{} is not there", name),
                (Err(error), found) => {
                    prop_assert!(found.is_none(), "{} is there", name);
                    prop_assert!(!error.to_string().contains("~7x"));
                }
            }
        }
    }
}
