//! Entries of other accounts and regions: `cargo run --example cross_account`.
//!
//! A function reads its own parameters, those of a second account in two regions, and those of a third,
//! each through a role that it assumes. Hours go by, in which the environment is frozen between
//! invocations; sessions are renewed before they expire. Then the third account withdraws its trust.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod accounts;
mod function;
#[path = "../stage/mod.rs"]
mod stage;

use std::time::Duration;

use aws_sdk_ssm::types::ParameterType;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use lambda_cache::Cache;

use accounts::{Accounts, HOUR};
use function::Page;
use stage::{Aws, Claims, Error, REGION, Stage};

/// The ids of the accounts; those of the others are in the ARNs of their roles.
const OWN: &str = "777788889999";
const PRICES: &str = "111122223333";
const DELIVERIES: &str = "444455556666";

const LATENCY: Duration = Duration::from_millis(20);
const MINUTE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Error> {
    stage::play(async |stage| {
        let accounts = Accounts::new(&[OWN, PRICES, DELIVERIES], &stage.clock);
        for (account, region, name, value) in [
            (OWN, REGION, "/shop/name", "The Book Shop"),
            (PRICES, REGION, "/prices/book", "12 EUR"),
            (PRICES, "us-east-1", "/prices/book", "14 USD"),
            (DELIVERIES, REGION, "/delivery/book", "two days"),
        ] {
            let ssm = accounts.administrator(account, region);
            let put = ssm.put_parameter().name(name).value(value).r#type(ParameterType::String);
            put.send().await?;
        }
        let client = SharedHttpClient::new(accounts.clone());
        let credentials = accounts.own().credentials_provider();
        let aws = Aws::answered_by(client, credentials, &stage.clock, LATENCY);
        let builder = Cache::builder(aws.config()).clock(stage.clock.clone());
        let demonstration = Demonstration { stage, aws, accounts };
        stage::beside(function::run(builder), demonstration.run()).await
    })
}

struct Demonstration {
    stage: Stage,
    aws: Aws,
    accounts: Accounts,
}

impl Demonstration {
    async fn run(self) -> Result<(), Error> {
        let Self { stage, accounts, .. } = &self;
        stage.lambda.ready().await?;
        let first = self.invoke().await?;
        stage.say(&format!("{first:?}"));
        stage.say(&format!("sessions: {}", self.sessions()));
        let at_init = accounts.sessions().len();

        stage.say("three hours go by; an invocation every five minutes, frozen in between");
        let mut whole = 0;
        for hour in 1..=3 {
            for _ in 0..11 {
                self.freeze(5 * MINUTE).await?;
                whole += usize::from(is_whole(&self.invoke().await?));
            }
            self.freeze_until_the_last_seconds().await?;
            whole += usize::from(is_whole(&self.invoke().await?));
            stage.say(&format!("hour {hour}: sessions: {}", self.sessions()));
        }
        let (own, prices, deliveries) =
            (self.sessions_of(OWN), self.sessions_of(PRICES), self.sessions_of(DELIVERIES));

        stage.say("the third account withdraws its trust");
        accounts.trust(DELIVERIES, false);
        self.freeze(5 * MINUTE).await?;
        let within_the_session = self.invoke().await?;
        stage.say(&format!("delivery: {:?}", within_the_session.delivery));
        self.freeze(HOUR).await?;
        let refused = self.invoke().await?;
        stage.say(&format!("delivery: {:?}", refused.delivery));

        stage.say("and gives it back");
        accounts.trust(DELIVERIES, true);
        self.freeze(5 * MINUTE).await?;
        let trusted = self.invoke().await?;
        stage.say(&format!("delivery: {:?}", trusted.delivery));

        let mut claims = Claims::begin();
        claims.check("each entry is of its own account and region", is_whole(&first));
        claims.check("a role is assumed once for all its entries and regions", at_init == 2);
        claims.check("every hour each role was assumed once more", (prices, deliveries) == (4, 4));
        claims.check("entries of the own account need no session", own == 0);
        claims.check("36 invocations in three hours saw everything", whole == 36);
        claims.check(
            "no call was signed with a session that had expired",
            accounts.expired_calls() == 0,
        );
        claims.check("trust that is withdrawn ends no session", is_whole(&within_the_session));
        claims.check(
            "a role that is refused is the error of its entry",
            refused.delivery.as_ref().is_err_and(|error| error.contains("\"delivery\"")),
        );
        claims.check(
            "and of no other",
            is_whole(&Page { delivery: Ok("two days".to_owned()), ..refused }),
        );
        claims.check("it heals by itself", is_whole(&trusted));
        claims.verdict()
    }

    async fn invoke(&self) -> Result<Page, Error> {
        Ok(self.stage.lambda.invoke(serde_json::json!({})).await?.json()?)
    }

    async fn freeze(&self, duration: Duration) -> Result<(), Error> {
        match self.stage.freeze(&self.aws.network, duration).await? {
            0 => Ok(()),
            calls => Err(format!("{calls} calls were in flight at a freeze").into()),
        }
    }

    /// Until shortly before the first of the present sessions expires.
    async fn freeze_until_the_last_seconds(&self) -> Result<(), Error> {
        let now = self.stage.clock.true_now();
        let ends = self.accounts.sessions().into_iter().map(|session| session.expires);
        let next = ends.filter(|end| *end > now).min().ok_or("no session")?;
        self.freeze(next.duration_since(now)?.saturating_sub(Duration::from_secs(4))).await
    }

    fn sessions_of(&self, account: &str) -> usize {
        self.accounts.sessions().iter().filter(|session| session.account == account).count()
    }

    /// How many there have been so far, of each account.
    fn sessions(&self) -> String {
        format!(
            "{} for {PRICES}, {} for {DELIVERIES}",
            self.sessions_of(PRICES),
            self.sessions_of(DELIVERIES)
        )
    }
}

/// Whether an invocation saw what every account has in store.
fn is_whole(page: &Page) -> bool {
    let is = |shown: &Result<String, String>, text| shown.as_ref().is_ok_and(|it| it == text);
    is(&page.shop, "The Book Shop")
        && is(&page.price, "12 EUR")
        && is(&page.price_in_virginia, "14 USD")
        && is(&page.delivery, "two days")
}
