//! Items of other regions and accounts have clients and calls of their own.

use lambda_cache::sources::dynamodb;
use serde_json::json;

use super::store::Account;
use crate::aws::{Answer, HOME};
use crate::fixture::World;

#[tokio::test(start_paused = true)]
async fn a_region_reaches_the_call_of_an_item_and_of_a_query() {
    let world = World::new();
    for region in [HOME, "us-east-1"] {
        world.aws.create_table_in(region, "accounts", "id", None).await;
        let account = json!({ "id": "42", "value": region });
        world.aws.put_item_in(region, "accounts", account).await;
    }
    let mut builder = world.builder();
    let item = || dynamodb::item("accounts").key("id", "42").deserialize::<Account>();
    let query = dynamodb::query("accounts").key("id", "42").deserialize::<Account>();
    let home = builder.add(item());
    let away = builder.add(item().region("us-east-1").name("away"));
    let all = builder.add(query.region("us-east-1").name("all"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert_eq!(snapshot.get(home).unwrap().value, HOME);
    assert_eq!(snapshot.get(away).unwrap().value, "us-east-1");
    assert_eq!(snapshot.get(all).unwrap()[0].value, "us-east-1");
    let calls = world.aws.calls();
    let mut regions: Vec<_> =
        calls.iter().map(|call| (call.region.as_str(), call.operation())).collect();
    regions.sort();
    assert_eq!(regions, [(HOME, "GetItem"), ("us-east-1", "GetItem"), ("us-east-1", "Query")]);
}

#[tokio::test(start_paused = true)]
async fn a_role_reaches_the_call() {
    let world = World::new();
    world.aws.script(|call| match &*call.service {
        "sts" => Some(Answer::Say(
            200,
            "<AssumeRoleResponse><AssumeRoleResult><Credentials>\
             <AccessKeyId>reader</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
             <SessionToken>token</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>\
             </Credentials><AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/reader/s\
             </Arn><AssumedRoleId>id</AssumedRoleId></AssumedRoleUser>\
             </AssumeRoleResult></AssumeRoleResponse>"
                .to_owned(),
        )),
        _ => Some(Answer::json(&json!({ "Item": { "id": { "S": "42" } } }))),
    });
    let mut builder = world.builder();
    let item = dynamodb::item("accounts").key("id", "42");
    builder.add(item.assume_role("arn:aws:iam::111122223333:role/reader"));
    builder.spawn().await.unwrap();
    let calls = world.aws.calls();
    let read = calls.iter().find(|call| call.service == "dynamodb").unwrap();
    assert_eq!((read.access_key.as_str(), read.region.as_str()), ("reader", HOME));
}
