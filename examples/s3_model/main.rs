//! A model file is replaced while it is read: `cargo run --example s3_model`.
//!
//! The function keeps an object of S3 as a file, and a model that is loaded from it. The object changes
//! while invocations come without a pause. A reader that has the file open keeps reading the version it
//! opened. A refresh of an unchanged object gets a 304 without a body.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod function;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use winterbaume_core::MockAws;
use winterbaume_s3::S3Service;

use function::{LOADS, MAX_AGE, SIZE, Score};
use support::{Aws, Checks, Environment, Error, History, REGION};

const LATENCY: Duration = Duration::from_millis(20);

fn main() -> Result<(), Error> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("model.bin");
    support::in_lambda(async |environment| {
        let mock = MockAws::builder().with_service(S3Service::new()).build();
        let aws = Aws::new(&mock, &environment.clock, LATENCY);
        let s3 = Client::new(aws.direct());
        let region = BucketLocationConstraint::from(REGION);
        let region = CreateBucketConfiguration::builder().location_constraint(region).build();
        s3.create_bucket().bucket("models").create_bucket_configuration(region).send().await?;
        let history = History::default();
        let seen = Seen::default();
        let scenario = Scenario { environment, path: path.clone(), aws, s3, history, seen };
        scenario.replace().await?;
        let function = function::run(scenario.aws.builder(), path);
        support::drive(function, scenario.run()).await
    })
}

struct Scenario {
    environment: Environment,
    path: PathBuf,
    aws: Aws,
    s3: Client,
    /// The history of the object.
    history: History,
    seen: Seen,
}

/// What the invocations saw.
#[derive(Default)]
struct Seen {
    invocations: usize,
    models: BTreeSet<usize>,
    reads: usize,
    broken: usize,
    /// Reads whose file was replaced before they ended.
    replaced: usize,
    outdated: usize,
}

impl Scenario {
    async fn run(mut self) -> Result<(), Error> {
        self.environment.lambda.ready().await?;
        self.environment.log("the object is replaced four times, while invocations read its file");
        for _ in 0..4 {
            self.invoke_for(2 * MAX_AGE).await?;
            self.replace().await?;
        }
        self.invoke_for(2 * MAX_AGE).await?;

        self.environment.log("it is replaced, and the environment is frozen for 10 minutes");
        self.replace().await?;
        let in_flight =
            self.environment.freeze(&self.aws.network, Duration::from_secs(600)).await?;
        self.invoke().await?;

        let Self { environment, seen, .. } = &self;
        let Seen { invocations, reads, replaced, .. } = seen;
        let responses = self.aws.network.responses();
        let (bodies, unchanged): (Vec<_>, Vec<_>) =
            responses.iter().partition(|response| response.status == 200);
        let (loads, models) = (LOADS.load(Ordering::SeqCst), seen.models.len());
        environment.log(&format!(
            "{invocations} invocations read the file {reads} times; it was replaced during {replaced} \
             of the reads"
        ));
        environment.log(&format!(
            "{models} versions seen, {} downloads, {loads} loads, {} responses with 304",
            bodies.len(),
            unchanged.len(),
        ));

        let mut checks = Checks::begin();
        checks.check("each version was downloaded once", bodies.len() == models);
        checks.check("each version was loaded once", loads == models);
        checks.check(
            "refreshes of an unchanged object had no body",
            !unchanged.is_empty() && unchanged.iter().all(|it| (it.status, it.bytes) == (304, 0)),
        );
        checks.check("every reader saw a complete file", seen.broken == 0 && *replaced > 0);
        checks.check("no model was past its max age", seen.outdated == 0);
        checks.check("nothing was in flight at the freeze", in_flight == 0);
        checks.finish()
    }

    async fn replace(&self) -> Result<(), Error> {
        let version = self.history.newest() + 1;
        let put = self.s3.put_object().bucket("models").key("v1.bin");
        put.body(vec![u8::try_from(version)?; SIZE].into()).send().await?;
        self.history.record(self.environment.clock.true_now());
        Ok(())
    }

    async fn invoke_for(&mut self, duration: Duration) -> Result<(), Error> {
        let end = self.environment.time() + duration;
        while self.environment.time() < end {
            self.invoke().await?;
        }
        Ok(())
    }

    async fn invoke(&mut self) -> Result<(), Error> {
        let sent = self.environment.clock.true_now();
        let score: Score = self.environment.lambda.invoke(serde_json::json!({})).await?.json()?;
        let outdated = |model: u8| self.history.outdated_for(model.into(), sent) >= MAX_AGE;
        self.seen.invocations += 1;
        self.seen.reads += score.file.len();
        self.seen.broken += score.file.iter().filter(|model| model.is_none()).count();
        let present = std::fs::read(&self.path)?.first().copied();
        self.seen.replaced += score.file.iter().filter(|model| **model < present).count();
        let models = score.file.into_iter().chain([score.model]).flatten();
        for model in models {
            self.seen.outdated += usize::from(outdated(model));
            self.seen.models.insert(model.into());
        }
        self.seen.broken += usize::from(score.model.is_none());
        Ok(())
    }
}
