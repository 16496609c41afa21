//! Items by key, as a memo asks for them.

use std::collections::HashSet;

use lambda_cache::ErrorKind;
use lambda_cache::sources::dynamodb::{self, KeyValue, Payload};
use lambda_cache::sources::{ByKey, Connections};

use super::store::Account;

/// What is wrong with it: without an AWS configuration there is no source even for what is right.
fn fault(items: impl ByKey) -> String {
    let error = items.source(&mut Connections::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Declaration);
    error.to_string()
}

#[test]
fn a_request_is_made_of_a_key_and_equal_if_the_key_is() {
    let accounts = dynamodb::items("accounts").key::<String>("id");
    let keys = ["", "1", "2", "12"].map(str::to_owned);
    let requests: HashSet<_> = keys.iter().map(|key| accounts.request(key)).collect();
    assert_eq!(requests.len(), keys.len());
    assert!(requests.contains(&accounts.request(&"12".to_owned())));

    let orders = dynamodb::items("orders").key::<String>("customer").sort_key::<u64>("number");
    let request = |customer: &str, number| orders.request(&(customer.to_owned(), number));
    assert_eq!(request("42", 7), request("42", 7));
    assert_ne!(request("42", 7), request("42", 8));
    assert_ne!(request("4", 27), request("42", 7));
    assert_eq!(request("42", 7).to_string(), "dynamodb:GetItem orders by customer, number");
}

#[test]
fn how_a_table_is_read_is_part_of_the_request() {
    let items = || dynamodb::items("accounts").key::<KeyValue>("id");
    let key = KeyValue::from(b"\x00");
    let requests: HashSet<_> = [
        items().request(&key),
        items().consistent().request(&key),
        items().projection(["a", "b"]).request(&key),
        items().projection(["b", "a", "b"]).request(&key),
    ]
    .into();
    assert_eq!(requests.len(), 3);
}

#[test]
fn an_item_that_does_not_exist_is_none_where_that_was_asked_for() {
    let items = || dynamodb::items("accounts").key::<u32>("id");
    let missing = Payload::Item(None);
    assert_eq!(items().optional().decode(&missing), Ok(None));
    assert_eq!(items().deserialize::<Option<Account>>().decode(&missing), Ok(None));
    let error = items().deserialize::<Account>().decode(&missing).unwrap_err();
    assert!(error.to_string().contains("no such item"), "{error}");
    items().decode(&missing).unwrap_err();
}

#[test]
fn what_is_declared_wrongly_has_no_source() {
    let items = || dynamodb::items("accounts").key::<String>("id");
    assert!(fault(items()).contains("Cache::builder(&aws)"));
    assert!(fault(dynamodb::items("a b").key::<String>("id")).contains("name or ARN of a table"));
    assert!(fault(dynamodb::items("accounts").key::<String>("")).contains("is empty"));
    assert!(fault(items().sort_key::<String>("id")).contains("both partition key and sort key"));
    assert!(fault(items().projection([""])).contains("projection"));
    assert!(fault(dynamodb::items("accounts")).contains(".key::<K>(name)"));
}
