//! A model is replaced under its readers: `cargo run --example s3_model`.
//!
//! The function keeps a file that is an object of S3, and a model that is loaded from it. The object
//! changes while invocations come without a pause; whoever has the file open goes on with what it
//! opened. Refreshes that find the object unchanged cost a 304 and no body.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod function;
#[path = "../stage/mod.rs"]
mod stage;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use lambda_cache::Cache;
use winterbaume_core::MockAws;
use winterbaume_s3::S3Service;

use function::{LOADS, MAX_AGE, SIZE, Score};
use stage::{Aws, Claims, Error, History, REGION, Stage};

const LATENCY: Duration = Duration::from_millis(20);

fn main() -> Result<(), Error> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("model.bin");
    stage::play(async |stage| {
        let mock = MockAws::builder().with_service(S3Service::new()).build();
        let aws = Aws::new(&mock, &stage.clock, LATENCY);
        let s3 = Client::new(aws.direct());
        let region = BucketLocationConstraint::from(REGION);
        let region = CreateBucketConfiguration::builder().location_constraint(region).build();
        s3.create_bucket().bucket("models").create_bucket_configuration(region).send().await?;
        let history = History::default();
        let seen = Seen::default();
        let demonstration = Demonstration { stage, path: path.clone(), aws, s3, history, seen };
        demonstration.replace().await?;
        let builder = Cache::builder(demonstration.aws.config());
        let function = function::run(builder.clock(demonstration.stage.clock.clone()), path);
        stage::beside(function, demonstration.run()).await
    })
}

struct Demonstration {
    stage: Stage,
    path: PathBuf,
    aws: Aws,
    s3: Client,
    /// Of the object.
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
    overtaken: usize,
    outdated: usize,
}

impl Demonstration {
    async fn run(mut self) -> Result<(), Error> {
        self.stage.lambda.ready().await?;
        self.stage.say("the object is replaced four times, while invocations read its file");
        for _ in 0..4 {
            self.invoke_for(2 * MAX_AGE).await?;
            self.replace().await?;
        }
        self.invoke_for(2 * MAX_AGE).await?;

        self.stage.say("it is replaced, and the environment is frozen for 10 minutes");
        self.replace().await?;
        let in_flight = self.stage.freeze(&self.aws.network, Duration::from_secs(600)).await?;
        self.invoke().await?;

        let Self { stage, seen, .. } = &self;
        let Seen { invocations, reads, overtaken, .. } = seen;
        let answers = self.aws.network.answers();
        let (bodies, unchanged): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status == 200);
        let (loads, models) = (LOADS.load(Ordering::SeqCst), seen.models.len());
        stage.say(&format!(
            "{invocations} invocations read the file {reads} times; {overtaken} times it was replaced \
             meanwhile"
        ));
        stage.say(&format!(
            "{models} versions seen, {} downloads, {loads} loads, {} answers of 304",
            bodies.len(),
            unchanged.len(),
        ));

        let mut claims = Claims::begin();
        claims.check("there was one download for each version", bodies.len() == models);
        claims.check("and the model was loaded once for each", loads == models);
        claims.check(
            "refreshes of what had not changed had no body",
            !unchanged.is_empty() && unchanged.iter().all(|it| (it.status, it.bytes) == (304, 0)),
        );
        claims.check("every reader saw a whole file", seen.broken == 0 && *overtaken > 0);
        claims.check("no model was past its max age", seen.outdated == 0);
        claims.check("nothing was in flight at the freeze", in_flight == 0);
        claims.verdict()
    }

    async fn replace(&self) -> Result<(), Error> {
        let version = self.history.newest() + 1;
        let put = self.s3.put_object().bucket("models").key("v1.bin");
        put.body(vec![u8::try_from(version)?; SIZE].into()).send().await?;
        self.history.record(self.stage.clock.true_now());
        Ok(())
    }

    async fn invoke_for(&mut self, duration: Duration) -> Result<(), Error> {
        let end = self.stage.time() + duration;
        while self.stage.time() < end {
            self.invoke().await?;
        }
        Ok(())
    }

    async fn invoke(&mut self) -> Result<(), Error> {
        let sent = self.stage.clock.true_now();
        let score: Score = self.stage.lambda.invoke(serde_json::json!({})).await?.json()?;
        let outdated = |model: u8| self.history.outdated_for(model.into(), sent) >= MAX_AGE;
        self.seen.invocations += 1;
        self.seen.reads += score.file.len();
        self.seen.broken += score.file.iter().filter(|model| model.is_none()).count();
        let present = std::fs::read(&self.path)?.first().copied();
        self.seen.overtaken += score.file.iter().filter(|model| **model < present).count();
        let models = score.file.into_iter().chain([score.model]).flatten();
        for model in models {
            self.seen.outdated += usize::from(outdated(model));
            self.seen.models.insert(model.into());
        }
        self.seen.broken += usize::from(score.model.is_none());
        Ok(())
    }
}
