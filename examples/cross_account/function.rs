//! The function, as you would write it: it shows prices from a second account, and delivery times from a
//! third.

use std::time::Duration;

use lambda_cache::sources::ssm;
use lambda_cache::{Builder, Key, Snapshot};
use lambda_runtime::LambdaEvent;
use serde::{Deserialize, Serialize};

/// A role in each of the other accounts, which trusts this function's own role.
pub const PRICE_READER: &str = "arn:aws:iam::111122223333:role/price-reader";
pub const DELIVERY_READER: &str = "arn:aws:iam::444455556666:role/delivery-reader";

#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    pub shop: Shown,
    pub price: Shown,
    pub price_in_virginia: Shown,
    pub delivery: Shown,
}

/// A text, or the error.
type Shown = Result<String, String>;

/// What `main` does with the builder of `Cache::builder(&aws_config::load_from_env().await)`.
pub async fn run(mut builder: Builder) -> Result<(), lambda_runtime::Error> {
    let minute = Duration::from_secs(60);
    let shop = ssm::parameter("/shop/name");
    // Both regions share the role's one session.
    let price = ssm::parameter("/prices/book").assume_role(PRICE_READER).name("price");
    let virginia = ssm::parameter("/prices/book").assume_role(PRICE_READER).region("us-east-1");
    let delivery = ssm::parameter("/delivery/book").assume_role(DELIVERY_READER).name("delivery");

    let shop = builder.add(shop.max_age(minute));
    let price = builder.add(price.max_age(minute));
    let price_in_virginia = builder.add(virginia.name("price in Virginia").max_age(minute));
    let delivery = builder.add(delivery.max_age(minute));

    let cache = builder.spawn().await?;
    cache
        .run(move |_: LambdaEvent<serde_json::Value>, snapshot: Snapshot| async move {
            let show = |key: Key<String>| match snapshot.get(key) {
                Ok(text) => Ok(text.clone()),
                Err(error) => Err(error.to_string()),
            };
            Ok::<_, lambda_runtime::Error>(Page {
                shop: show(shop),
                price: show(price),
                price_in_virginia: show(price_in_virginia),
                delivery: show(delivery),
            })
        })
        .await
}
