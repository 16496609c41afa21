//! The accounts: their table, how they change, and how often each is read.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PutRequest, ScalarAttributeType,
    WriteRequest,
};
use lambda_cache::testing::TestClock;

use super::function::Account;
use super::support::{Error, History};

/// How many accounts there are.
pub const ACCOUNTS: usize = 1000;

pub struct Bank {
    dynamodb: Client,
    clock: TestClock,
    /// One for each account.
    histories: Vec<History>,
    /// For each account, the probability that it, or one before it, is read.
    cumulative: Vec<f64>,
    random: fastrand::Rng,
}

impl Bank {
    pub async fn open(dynamodb: Client, clock: &TestClock) -> Result<Self, Error> {
        let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
        let id = AttributeDefinition::builder().attribute_name("id");
        let id = id.attribute_type(ScalarAttributeType::S).build()?;
        let create = dynamodb.create_table().table_name("accounts").key_schema(key.build()?);
        let create = create.attribute_definitions(id).billing_mode(BillingMode::PayPerRequest);
        create.send().await?;
        let bank = Self {
            dynamodb,
            clock: clock.clone(),
            histories: (0..ACCOUNTS).map(|_| History::default()).collect(),
            cumulative: zipf(ACCOUNTS, 1.2),
            random: fastrand::Rng::with_seed(7),
        };
        let all: Vec<usize> = (0..ACCOUNTS).collect();
        bank.change(&all).await?;
        Ok(bank)
    }

    /// Gives accounts a new revision.
    pub async fn change(&self, accounts: &[usize]) -> Result<(), Error> {
        for accounts in accounts.chunks(25) {
            let put = accounts.iter().map(|account| self.put(*account));
            let put = put.collect::<Result<_, _>>()?;
            self.dynamodb.batch_write_item().request_items("accounts", put).send().await?;
            let now = self.clock.true_now();
            accounts.iter().for_each(|account| self.histories[*account].record(now));
        }
        Ok(())
    }

    /// The request that writes an account's next revision.
    fn put(&self, account: usize) -> Result<WriteRequest, Error> {
        let revision = self.histories[account].newest() + 1;
        let item = serde_dynamo::to_item(Account { id: id(account), revision })?;
        let put = PutRequest::builder().set_item(Some(item)).build()?;
        Ok(WriteRequest::builder().put_request(put).build())
    }

    /// A random account that somebody pays from: a few are chosen often, most seldom.
    pub fn payer(&mut self) -> usize {
        let chance = self.random.f64();
        self.cumulative.partition_point(|it| *it < chance).min(ACCOUNTS - 1)
    }

    pub fn history_of(&self, id: &str) -> Result<&History, Error> {
        Ok(&self.histories[id.parse::<usize>()?])
    }
}

/// The id of an account.
pub fn id(account: usize) -> String {
    format!("{account:06}")
}

/// Zipf's law, cumulated: the nth account is read in proportion to n to the power of -s.
fn zipf(accounts: usize, s: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=accounts).map(|n| (n as f64).powf(-s)).collect();
    let all: f64 = weights.iter().sum();
    let cumulate = |so_far: &mut f64, weight: &f64| {
        *so_far += weight / all;
        Some(*so_far)
    };
    weights.iter().scan(0.0, cumulate).collect()
}
