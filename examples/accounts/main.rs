//! Accounts in DynamoDB, read by number: `cargo run --example accounts`.
//!
//! There are a thousand accounts, and the function keeps at most a hundred of them. As in real traffic,
//! a few are read often and most seldom. Accounts change at the source, and the environment is frozen.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod bank;
mod function;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use winterbaume_core::MockAws;
use winterbaume_dynamodb::DynamoDbService;

use bank::{ACCOUNTS, Bank, id};
use function::{MAX_AGE, MAX_ENTRIES, Report};
use support::{Aws, Checks, Environment, Error};

const LATENCY: Duration = Duration::from_millis(20);
/// How many payments one invocation checks.
const PAYMENTS: usize = 20;

fn main() -> Result<(), Error> {
    support::in_lambda(async |environment| {
        let mock = MockAws::builder().with_service(DynamoDbService::new()).build();
        let aws = Aws::new(&mock, &environment.clock, LATENCY);
        let bank = Bank::open(Client::new(aws.direct()), &environment.clock).await?;
        let function = function::run(aws.builder());
        let scenario = Scenario { environment, aws, bank, seen: Seen::default() };
        support::drive(function, scenario.run()).await
    })
}

struct Scenario {
    environment: Environment,
    aws: Aws,
    bank: Bank,
    seen: Seen,
}

/// What the invocations saw.
#[derive(Default)]
struct Seen {
    reads: usize,
    most_kept: usize,
    outdated: usize,
    oldest: Duration,
    hit_rate: f64,
    misses: u64,
    in_flight: usize,
}

impl Scenario {
    async fn run(mut self) -> Result<(), Error> {
        self.environment.lambda.ready().await?;
        self.environment
            .log("an invocation a second, frozen in between; every third time an account changes");
        for n in 0..120 {
            if n % 3 == 0 {
                let payer = self.bank.payer();
                self.bank.change(&[payer]).await?;
            }
            self.invoke().await?;
            self.freeze(Duration::from_secs(1)).await?;
        }
        self.log();

        self.environment.log("all accounts change, and the environment is frozen for 10 minutes");
        let all: Vec<usize> = (0..ACCOUNTS).collect();
        self.bank.change(&all).await?;
        self.freeze(Duration::from_secs(600)).await?;
        for _ in 0..10 {
            self.invoke().await?;
            self.freeze(Duration::from_secs(1)).await?;
        }
        self.log();

        let Self { aws, seen, .. } = &self;
        let calls = aws.network.calls();
        let mut checks = Checks::begin();
        checks.check(
            "over 70 % of reads did not wait, with a tenth of the accounts kept",
            seen.hit_rate > 0.7,
        );
        checks.check("no more accounts were kept than max_entries", seen.most_kept <= MAX_ENTRIES);
        checks.check("no read returned an account past its max age", seen.oldest < MAX_AGE);
        checks.check(
            "no read returned an account that had changed longer ago than its max age",
            seen.outdated == 0,
        );
        checks.check(
            "each call fetched at least two accounts on average",
            calls as u64 * 2 < seen.misses,
        );
        checks.check("nothing was in flight at any freeze", seen.in_flight == 0);
        checks.finish()
    }

    async fn invoke(&mut self) -> Result<(), Error> {
        let payers: Vec<String> = (0..PAYMENTS).map(|_| id(self.bank.payer())).collect();
        let sent = self.environment.clock.true_now();
        let report: Report = self.environment.lambda.invoke(payers).await?.json()?;
        for account in &report.accounts {
            let history = self.bank.history_of(&account.id)?;
            let outdated = history.outdated_for(account.revision, sent) >= MAX_AGE;
            self.seen.outdated += usize::from(outdated);
        }
        self.seen.reads += report.accounts.len();
        self.seen.most_kept = self.seen.most_kept.max(report.kept);
        self.seen.oldest = self.seen.oldest.max(report.age);
        (self.seen.hit_rate, self.seen.misses) = (report.hit_rate, report.misses);
        Ok(())
    }

    async fn freeze(&mut self, duration: Duration) -> Result<(), Error> {
        self.seen.in_flight += self.environment.freeze(&self.aws.network, duration).await?;
        Ok(())
    }

    fn log(&self) {
        let Seen { reads, most_kept, hit_rate, misses, .. } = &self.seen;
        let calls = self.aws.network.calls();
        self.environment.log(&format!(
            "so far {reads} reads, hit rate {:.1} %, {misses} waited, {calls} calls; at most \
             {most_kept} of {ACCOUNTS} accounts kept",
            hit_rate * 100.0,
        ));
    }
}
