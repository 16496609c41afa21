//! AWS as moto has it, with things in it that change.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use aws_sdk_ssm::types::ParameterType;
use lambda_cache::{Clock, SystemClock};
use serde_json::Value as Json;

use crate::moto::Moto;

/// What the functions read: a parameter, an item and a secret.
pub(crate) const THINGS: usize = 3;

/// They change at random, and it is known when.
pub(crate) struct World {
    pub(crate) moto: Moto,
    ssm: aws_sdk_ssm::Client,
    secrets: aws_sdk_secretsmanager::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    /// When each version came to be, at the latest.
    pub(crate) histories: Mutex<[Vec<SystemTime>; THINGS]>,
}

impl World {
    pub(crate) async fn start(directory: &Path) -> Self {
        let moto = Moto::start(directory).await;
        let config = moto.config();
        let world = Self {
            ssm: aws_sdk_ssm::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            moto,
            histories: Mutex::default(),
        };
        world.secrets.create_secret().name("/prod/key").send().await.unwrap();
        create_table(&world.dynamodb, "accounts", &[("id", KeyType::Hash)]).await;
        for thing in 0..THINGS {
            world.change(thing).await;
        }
        world
    }

    /// How many of the calls that moto has had were made here: what it took to begin, and a change
    /// each.
    pub(crate) fn calls(&self) -> usize {
        2 + self.histories.lock().unwrap().iter().map(Vec::len).sum::<usize>()
    }

    pub(crate) async fn change_for_ever(&self) -> Infallible {
        let mut random = fastrand::Rng::with_seed(1);
        loop {
            tokio::time::sleep(Duration::from_millis(random.u64(100..300))).await;
            self.change(random.usize(..THINGS)).await;
        }
    }

    /// A new version of one thing comes to be.
    async fn change(&self, thing: usize) {
        let count = self.histories.lock().unwrap()[thing].len() + 1;
        match thing {
            0 => {
                let put = self.ssm.put_parameter().name("/app/greeting").overwrite(true);
                let put = put.r#type(ParameterType::String).value(format!("hello, {count}"));
                put.send().await.map(drop).unwrap();
            }
            1 => {
                let put = self.dynamodb.put_item().table_name("accounts");
                let put = put.item("id", AttributeValue::S("42".into()));
                let put = put.item("count", AttributeValue::N(count.to_string()));
                put.send().await.map(drop).unwrap();
            }
            _ => {
                let version = format!("00000000-0000-0000-0000-{count:012}");
                let put = self.secrets.put_secret_value().secret_id("/prod/key");
                let put = put.secret_string("hush").client_request_token(version);
                put.send().await.map(drop).unwrap();
            }
        }
        self.histories.lock().unwrap()[thing].push(SystemClock::new().now().wall());
    }
}

pub(crate) async fn create_table(
    dynamodb: &aws_sdk_dynamodb::Client,
    name: &str,
    keys: &[(&str, KeyType)],
) {
    let mut table = dynamodb.create_table().table_name(name);
    for (name, kind) in keys {
        let definition = AttributeDefinition::builder().attribute_name(*name);
        let definition = definition.attribute_type(ScalarAttributeType::S).build().unwrap();
        let key = KeySchemaElement::builder().attribute_name(*name).key_type(kind.clone());
        table = table.attribute_definitions(definition).key_schema(key.build().unwrap());
    }
    table.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
}

/// Which version of a thing an answer of the function has.
pub(crate) fn version(answer: &Json, thing: usize) -> usize {
    let text =
        |field: &str| answer[field].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    let text = match thing {
        0 => text("greeting"),
        1 => answer["account"]["count"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned(),
        _ => text("key_version"),
    };
    let digits = text.rsplit([' ', '-']).next().unwrap();
    digits.parse().unwrap_or_else(|_| panic!("{answer}"))
}
