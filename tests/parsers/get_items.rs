//! Answers of BatchGetItem under property tests: each request gets its own item.

use proptest::prelude::*;

use super::tests::item;
use super::*;
use crate::near::near_any;

/// What a call says of an item that was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Said {
    Nothing,
    Here,
    Unprocessed,
}

fn answers() -> impl Strategy<Value = HashMap<(&'static str, u8), Said>> {
    let table = prop::sample::select(vec!["a", "b", "c"]);
    let said = prop::sample::select(vec![Said::Nothing, Said::Here, Said::Unprocessed]);
    prop::collection::hash_map((table, 0..6_u8), said, 1..12)
}

/// The key as the service gives it, with a number in another form than it was asked in.
fn key(id: u8) -> HashMap<String, AttributeValue> {
    HashMap::from([("id".to_owned(), AttributeValue::N(format!("{id}.0e+0")))])
}

proptest! {
    #[test]
    fn each_request_gets_its_own_item(answers in answers(), foreign: Option<bool>) {
        let requests: HashMap<_, _> =
            answers.keys().map(|&(table, id)| ((table, id), item(table, id.into()))).collect();
        let mut items: HashMap<String, Vec<HashMap<String, AttributeValue>>> = HashMap::new();
        let mut left: HashMap<String, KeysAndAttributes> = HashMap::new();
        let mut add = |table: &str, id: u8, said: Said| match said {
            Said::Nothing => {}
            Said::Here => {
                let mut item = key(id);
                item.insert("table".to_owned(), AttributeValue::S(table.to_owned()));
                items.entry(table.to_owned()).or_default().push(item);
            }
            Said::Unprocessed => {
                let asked = KeysAndAttributes::builder().keys(key(id));
                let before = left.remove(table).map(|it| it.keys).unwrap_or_default();
                let asked = before.into_iter().fold(asked, |asked, key| asked.keys(key));
                left.insert(table.to_owned(), asked.build().expect("keys"));
            }
        };
        answers.iter().for_each(|(&(table, id), &said)| add(table, id, said));
        // An item that nobody asked for, of a table that is known or not.
        if let Some(is_known) = foreign {
            add(if is_known { "a" } else { "d" }, 77, Said::Here);
        }
        let output = BatchGetItemOutput::builder()
            .set_responses(Some(items))
            .set_unprocessed_keys(Some(left))
            .build();
        let asked: Vec<&ItemRequest> = requests.values().collect();
        let Ok((processed, unprocessed)) = sort_out(output, &asked) else {
            prop_assert!(foreign.is_some());
            return Ok(());
        };
        prop_assert!(foreign.is_none());
        let processed: HashMap<_, _> = processed.into_iter().collect();
        for (at, request) in &requests {
            let item = processed.get(request);
            prop_assert_eq!(unprocessed.contains(&request), answers[at] == Said::Unprocessed);
            prop_assert_eq!(item.is_some(), answers[at] != Said::Unprocessed);
            let item = item.and_then(Option::as_ref);
            prop_assert_eq!(item.is_some(), answers[at] == Said::Here);
            let table = item.map(|item| item.get("table"));
            let expected = AttributeValue::S(at.0.to_owned());
            prop_assert!(table.is_none_or(|it| it == Some(&expected)));
            let key = item.map(|item| item.key(request.key_names()));
            prop_assert!(key.is_none_or(|it| it == Some(request.key_values())));
        }
    }

    #[test]
    fn a_message_names_no_table_whose_arn_it_has_not(
        message in near_any(
            &["not authorized on resource: arn:aws:dynamodb:r:1:table/accounts because"],
            &[":table/", "accounts", "-", "_", ".", "/", "\u{e9}", " "],
        )
    ) {
        prop_assert!(!names(&message, "accounts") || message.contains(":table/accounts"));
        let followed = message.split(":table/account").skip(1).any(|it| {
            !it.starts_with(|it: char| it.is_ascii_alphanumeric() || "_.-".contains(it))
        });
        prop_assert_eq!(names(&message, "account"), followed);
    }
}
