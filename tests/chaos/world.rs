//! What there is at AWS, as moto has it, and a writer that changes it, past the bad weather.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use aws_sdk_s3::types::CreateBucketConfiguration;
use aws_sdk_ssm::types::ParameterType;
use fastrand::Rng;

use crate::moto::{Moto, REGION};
use crate::oracle::{History, now};

pub(crate) const BUCKET: &str = "chaos-bucket";
pub(crate) const TABLE: &str = "chaos-table";
pub(crate) const ACCOUNT: &str = "account";
/// How many keys each memo is asked for.
pub(crate) const KEYS: usize = 12;
/// From one change to the next.
const PAUSE: std::ops::Range<u64> = 5..40;

/// Where a thing is. Things have unlike names, also those of unlike places.
#[derive(Debug, Clone, Copy)]
enum Place {
    Parameter(&'static str),
    Secret,
    Object,
    Item,
}

pub(crate) struct World {
    pub(crate) moto: Moto,
    ssm: aws_sdk_ssm::Client,
    secrets: aws_sdk_secretsmanager::Client,
    s3: aws_sdk_s3::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    things: Vec<(String, Place)>,
    /// By the name of the thing.
    pub(crate) histories: Mutex<BTreeMap<String, History>>,
}

impl World {
    pub(crate) async fn start(directory: &Path) -> Self {
        let moto = Moto::start(directory).await;
        let config = moto.config();
        let world = Self {
            ssm: aws_sdk_ssm::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            s3: aws_sdk_s3::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            moto,
            things: things(),
            histories: Mutex::default(),
        };
        world.create().await;
        for thing in &world.things {
            world.change(thing).await;
        }
        world
    }

    /// What has to be there before anything can be put into it.
    async fn create(&self) {
        let constraint = CreateBucketConfiguration::builder().location_constraint(REGION.into());
        let bucket = self.s3.create_bucket().bucket(BUCKET);
        bucket.create_bucket_configuration(constraint.build()).send().await.unwrap();
        for (name, _) in self.things.iter().filter(|it| matches!(it.1, Place::Secret)) {
            self.secrets.create_secret().name(name).send().await.unwrap();
        }
        let id = AttributeDefinition::builder().attribute_name("id");
        let id = id.attribute_type(ScalarAttributeType::S).build().unwrap();
        let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
        let table = self.dynamodb.create_table().table_name(TABLE).attribute_definitions(id);
        let table = table.key_schema(key.build().unwrap());
        table.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
    }

    pub(crate) async fn change_for_ever(&self, seed: u64) -> Infallible {
        let mut random = Rng::with_seed(seed);
        loop {
            tokio::time::sleep(Duration::from_millis(random.u64(PAUSE))).await;
            self.change(&self.things[random.usize(..self.things.len())]).await;
        }
    }

    /// How often something has changed.
    pub(crate) fn changes(&self) -> u64 {
        self.histories.lock().unwrap().values().map(|it| it.newest).sum()
    }

    /// A new version of one thing comes to be. Each has its number in it, and no other digit.
    async fn change(&self, (name, place): &(String, Place)) {
        let version = {
            let mut histories = self.histories.lock().unwrap();
            let history = histories.entry(name.clone()).or_default();
            history.newest += 1;
            history.newest
        };
        let text = format!("{{\"count\": {version}}}");
        match place {
            Place::Parameter(kind) => {
                let text = if *kind == "StringList" { format!("{version},host") } else { text };
                let put = self.ssm.put_parameter().name(name).r#type(ParameterType::from(*kind));
                put.overwrite(true).value(text).send().await.map(drop).unwrap();
            }
            Place::Secret => {
                let put = self.secrets.put_secret_value().secret_id(name).secret_string(text);
                put.send().await.map(drop).unwrap();
            }
            Place::Object => {
                let put = self.s3.put_object().bucket(BUCKET).key(name);
                put.body(text.into_bytes().into()).send().await.map(drop).unwrap();
            }
            Place::Item => {
                let put = self.dynamodb.put_item().table_name(TABLE);
                let put = put.item("id", AttributeValue::S(name.clone()));
                let put = put.item("count", AttributeValue::N(version.to_string()));
                put.send().await.map(drop).unwrap();
            }
        }
        self.histories.lock().unwrap().get_mut(name).unwrap().written.push(now());
    }
}

fn things() -> Vec<(String, Place)> {
    let single = [
        ("/chaos/greeting", Place::Parameter("String")),
        ("/chaos/hosts", Place::Parameter("StringList")),
        ("/chaos/password", Place::Parameter("SecureString")),
        ("/chaos/limits", Place::Parameter("String")),
        ("/chaos/rates", Place::Parameter("String")),
        ("/tree/left", Place::Parameter("String")),
        ("/tree/right", Place::Parameter("SecureString")),
        ("chaos/database", Place::Secret),
        ("chaos/key", Place::Secret),
        ("settings.json", Place::Object),
        ("model.json", Place::Object),
        (ACCOUNT, Place::Item),
    ];
    let single = single.map(|(name, place)| (name.to_owned(), place)).into_iter();
    let parameters = (0..KEYS).map(|key| (parameter(key), Place::Parameter("String")));
    let items = (0..KEYS).map(|key| (order(key), Place::Item));
    single.chain(parameters).chain(items).collect()
}

/// The keys of the memo of a function.
pub(crate) fn parameter(key: usize) -> String {
    format!("/memo/{}", letter(key))
}

/// The keys of the memo of a table's items.
pub(crate) fn order(key: usize) -> String {
    format!("order-{}", letter(key))
}

fn letter(key: usize) -> char {
    char::from(b'a' + u8::try_from(key).unwrap())
}

/// The version that a text has.
pub(crate) fn version(text: &str) -> u64 {
    let digits = text.trim_matches(|it: char| !it.is_ascii_digit());
    digits.parse().unwrap_or(u64::MAX)
}
