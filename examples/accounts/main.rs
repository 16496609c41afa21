//! Accounts of DynamoDB, looked up by number: `cargo run --example accounts`.
//!
//! The function keeps what it has read of a thousand accounts, at most a hundred of them. Few are asked
//! for often, most seldom, as in life. Accounts change at the source meanwhile, and the environment is
//! frozen for a while.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod bank;
mod function;
#[path = "../stage/mod.rs"]
mod stage;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use lambda_cache::Cache;
use winterbaume_core::MockAws;
use winterbaume_dynamodb::DynamoDbService;

use bank::{ACCOUNTS, Bank, id};
use function::{MAX_AGE, MAX_ENTRIES, Report};
use stage::{Aws, Claims, Error, Stage};

const LATENCY: Duration = Duration::from_millis(20);
/// How many payments an invocation is about.
const PAYMENTS: usize = 20;

fn main() -> Result<(), Error> {
    stage::play(async |stage| {
        let mock = MockAws::builder().with_service(DynamoDbService::new()).build();
        let aws = Aws::new(&mock, &stage.clock, LATENCY);
        let bank = Bank::open(Client::new(aws.direct()), &stage.clock).await?;
        let builder = Cache::builder(aws.config()).clock(stage.clock.clone());
        let demonstration = Demonstration { stage, aws, bank, seen: Seen::default() };
        stage::beside(function::run(builder), demonstration.run()).await
    })
}

struct Demonstration {
    stage: Stage,
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

impl Demonstration {
    async fn run(mut self) -> Result<(), Error> {
        self.stage.lambda.ready().await?;
        self.stage
            .say("an invocation a second, frozen in between; every third, an account changes");
        for n in 0..120 {
            if n % 3 == 0 {
                let payer = self.bank.payer();
                self.bank.change(&[payer]).await?;
            }
            self.invoke().await?;
            self.freeze(Duration::from_secs(1)).await?;
        }
        self.say();

        self.stage.say("all accounts change, and the environment is frozen for 10 minutes");
        let all: Vec<usize> = (0..ACCOUNTS).collect();
        self.bank.change(&all).await?;
        self.freeze(Duration::from_secs(600)).await?;
        for _ in 0..10 {
            self.invoke().await?;
            self.freeze(Duration::from_secs(1)).await?;
        }
        self.say();

        let Self { aws, seen, .. } = &self;
        let calls = aws.network.calls();
        let mut claims = Claims::begin();
        claims.check(
            "with a tenth of the accounts kept, over 70 % of reads did not wait",
            seen.hit_rate > 0.7,
        );
        claims.check("never were more accounts kept than may be", seen.most_kept <= MAX_ENTRIES);
        claims.check("no read gave what was past its max age", seen.oldest < MAX_AGE);
        claims.check("nor what had changed longer ago than that", seen.outdated == 0);
        claims.check("accounts came at least two a call", calls as u64 * 2 < seen.misses);
        claims.check("nothing was in flight at any freeze", seen.in_flight == 0);
        claims.verdict()
    }

    async fn invoke(&mut self) -> Result<(), Error> {
        let payers: Vec<String> = (0..PAYMENTS).map(|_| id(self.bank.payer())).collect();
        let sent = self.stage.clock.true_now();
        let report: Report = self.stage.lambda.invoke(payers).await?.json()?;
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
        self.seen.in_flight += self.stage.freeze(&self.aws.network, duration).await?;
        Ok(())
    }

    fn say(&self) {
        let Seen { reads, most_kept, hit_rate, misses, .. } = &self.seen;
        let calls = self.aws.network.calls();
        self.stage.say(&format!(
            "so far {reads} reads, hit rate {:.1} %, {misses} waited, {calls} calls; at most \
             {most_kept} of {ACCOUNTS} accounts kept",
            hit_rate * 100.0,
        ));
    }
}
