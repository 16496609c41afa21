//! Entries of other accounts and regions: `cargo run --example cross_account`.
//!
//! A function reads parameters of its own account, of a second account in two regions, and of a third.
//! It assumes a role for each of the other two. For three hours the environment is frozen between
//! invocations, and sessions are renewed before they expire. Then the third account withdraws its trust.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod accounts;
mod function;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use aws_sdk_ssm::types::ParameterType;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use accounts::{Accounts, HOUR};
use function::Page;
use support::{Aws, Checks, Environment, Error, REGION};

/// The ids of the accounts. Those of the other two are also in the ARNs of their roles.
const OWN: &str = "777788889999";
const PRICES: &str = "111122223333";
const DELIVERIES: &str = "444455556666";

const LATENCY: Duration = Duration::from_millis(20);
const MINUTE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Error> {
    support::in_lambda(async |environment| {
        let accounts = Accounts::new(&[OWN, PRICES, DELIVERIES], &environment.clock);
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
        let aws = Aws::behind(client, credentials, &environment.clock, LATENCY);
        let function = function::run(aws.builder());
        let scenario = Scenario { environment, aws, accounts };
        support::drive(function, scenario.run()).await
    })
}

struct Scenario {
    environment: Environment,
    aws: Aws,
    accounts: Accounts,
}

impl Scenario {
    async fn run(self) -> Result<(), Error> {
        let Self { environment, accounts, .. } = &self;
        environment.lambda.ready().await?;
        let first = self.invoke().await?;
        environment.log(&format!("{first:?}"));
        environment.log(&format!("sessions: {}", self.sessions()));
        let at_init = accounts.sessions().len();

        environment.log("three hours: an invocation every five minutes, frozen in between");
        let mut complete = 0;
        for hour in 1..=3 {
            for _ in 0..11 {
                self.freeze(5 * MINUTE).await?;
                complete += usize::from(is_complete(&self.invoke().await?));
            }
            self.freeze_until_the_last_seconds().await?;
            complete += usize::from(is_complete(&self.invoke().await?));
            environment.log(&format!("hour {hour}: sessions: {}", self.sessions()));
        }
        let (own, prices, deliveries) =
            (self.sessions_of(OWN), self.sessions_of(PRICES), self.sessions_of(DELIVERIES));

        environment.log("the third account withdraws its trust");
        accounts.withdraw_trust(DELIVERIES);
        self.freeze(5 * MINUTE).await?;
        let within_the_session = self.invoke().await?;
        environment.log(&format!("delivery: {:?}", within_the_session.delivery));
        self.freeze(HOUR).await?;
        let refused = self.invoke().await?;
        environment.log(&format!("delivery: {:?}", refused.delivery));

        environment.log("the third account trusts the function again");
        accounts.trust(DELIVERIES);
        self.freeze(5 * MINUTE).await?;
        let trusted = self.invoke().await?;
        environment.log(&format!("delivery: {:?}", trusted.delivery));

        let mut checks = Checks::begin();
        checks.check("each entry is read from its own account and region", is_complete(&first));
        checks
            .check("a role is assumed once for all entries and regions that use it", at_init == 2);
        checks.check("each role was assumed again every hour", (prices, deliveries) == (4, 4));
        checks.check("the entry of the function's own account needs no session", own == 0);
        checks.check("36 invocations in three hours saw everything", complete == 36);
        checks.check(
            "no call was signed with a session that had expired",
            accounts.expired_calls() == 0,
        );
        checks.check("withdrawing trust does not end a session", is_complete(&within_the_session));
        checks.check(
            "a refused role is an error of its entry",
            refused.delivery.as_ref().is_err_and(|error| error.contains("\"delivery\"")),
        );
        checks.check(
            "the other entries do not fail with it",
            is_complete(&Page { delivery: Ok("two days".to_owned()), ..refused }),
        );
        checks.check("the entry recovers when its role is trusted again", is_complete(&trusted));
        checks.finish()
    }

    async fn invoke(&self) -> Result<Page, Error> {
        Ok(self.environment.lambda.invoke(serde_json::json!({})).await?.json()?)
    }

    async fn freeze(&self, duration: Duration) -> Result<(), Error> {
        match self.environment.freeze(&self.aws.network, duration).await? {
            0 => Ok(()),
            calls => Err(format!("{calls} calls were in flight at a freeze").into()),
        }
    }

    /// Freezes until shortly before the first of the current sessions expires.
    async fn freeze_until_the_last_seconds(&self) -> Result<(), Error> {
        let now = self.environment.clock.true_now();
        let ends = self.accounts.sessions().into_iter().map(|session| session.expires);
        let next = ends.filter(|end| *end > now).min().ok_or("no session")?;
        self.freeze(next.duration_since(now)?.saturating_sub(Duration::from_secs(4))).await
    }

    fn sessions_of(&self, account: &str) -> usize {
        self.accounts.sessions().iter().filter(|session| session.account == account).count()
    }

    /// How many sessions there have been so far, for each account.
    fn sessions(&self) -> String {
        format!(
            "{} for {PRICES}, {} for {DELIVERIES}",
            self.sessions_of(PRICES),
            self.sessions_of(DELIVERIES)
        )
    }
}

/// Whether an invocation saw the right value of every account.
fn is_complete(page: &Page) -> bool {
    let is = |shown: &Result<String, String>, text| shown.as_ref().is_ok_and(|it| it == text);
    is(&page.shop, "The Book Shop")
        && is(&page.price, "12 EUR")
        && is(&page.price_in_virginia, "14 USD")
        && is(&page.delivery, "two days")
}
