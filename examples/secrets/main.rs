//! A secret is rotated under load, and no request fails: `cargo run --example secrets`.
//!
//! The function keeps a pool of database connections that is derived from a secret. The secret is
//! rotated again and again while invocations come without a pause, each with twenty orders at once:
//! first with an overlap, in which the database takes the old password and the new one, then without,
//! and then twice while the environment is frozen.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod database;
mod function;
#[path = "../stage/mod.rs"]
mod stage;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use lambda_cache::Cache;
use serde_json::json;
use winterbaume_core::MockAws;
use winterbaume_secretsmanager::SecretsManagerService;

use database::{Seen, Server};
use function::{MAX_AGE, Orders};
use stage::{Aws, Claims, Error, Stage};

const LATENCY: Duration = Duration::from_millis(20);

fn main() -> Result<(), Error> {
    stage::play(async |stage| {
        let mock = MockAws::builder().with_service(SecretsManagerService::new()).build();
        let aws = Aws::new(&mock, &stage.clock, LATENCY);
        let rotation = Rotation {
            secrets: Client::new(aws.direct()),
            server: Server::default(),
            versions: AtomicUsize::default(),
        };
        rotation.begin().await?;
        let builder = Cache::builder(aws.config()).clock(stage.clock.clone());
        let function = function::run(builder, rotation.server.clone());
        let demonstration = Demonstration { stage, aws, rotation, load: Load::default() };
        stage::beside(function, demonstration.run()).await
    })
}

struct Demonstration {
    stage: Stage,
    aws: Aws,
    rotation: Rotation,
    load: Load,
}

/// What was asked of the function.
#[derive(Default)]
struct Load {
    orders: AtomicUsize,
    failures: AtomicUsize,
    /// How often more than one pool was open when an invocation was over.
    leftovers: AtomicUsize,
}

impl Demonstration {
    async fn run(self) -> Result<(), Error> {
        let Self { stage, aws, rotation, load } = &self;
        stage.lambda.ready().await?;

        stage.say("rotations with an overlap that is longer than the max age");
        let gentle = self.under_load(3, MAX_AGE + MAX_AGE / 2).await?;

        stage.say("rotations without an overlap");
        let abrupt = self.under_load(4, Duration::ZERO).await?;

        stage.say("two rotations while the environment is frozen for 10 minutes");
        rotation.rotate(Duration::ZERO).await?;
        rotation.rotate(Duration::ZERO).await?;
        let in_flight = stage.freeze(&aws.network, Duration::from_secs(600)).await?;
        self.invoke().await?;
        let seen = rotation.server.seen();
        let (orders, failures) =
            (load.orders.load(Ordering::SeqCst), load.failures.load(Ordering::SeqCst));
        let (versions, calls) = (rotation.versions.load(Ordering::SeqCst), aws.network.calls());
        stage.say(&format!(
            "{orders} orders; {versions} versions of the secret, {} pools, {calls} calls",
            seen.pools.len(),
        ));
        stage.say(&format!("{} rows ended on a pool that was replaced", seen.rows_of_old_pools));

        let mut claims = Claims::begin();
        claims
            .check("no request failed", failures == 0 && seen.rows.values().eq([&orders, &orders]));
        claims.check("with an overlap no password was refused", gentle.refused == 0);
        claims.check(
            "without one, what was refused was run again with the new password",
            abrupt.refused > 0 && failures == 0,
        );
        claims.check(
            "one pool was made for each version that was seen",
            seen.pools.values().all(|pools| *pools == 1),
        );
        claims.check("a rotation that nobody saw made none", seen.pools.len() == versions - 1);
        claims.check(
            "what had begun on a pool that was replaced ended on it",
            seen.rows_of_old_pools > 0,
        );
        claims.check(
            "and that was closed when the last of it had ended",
            load.leftovers.load(Ordering::SeqCst) == 0 && seen.open_pools == 1,
        );
        claims.check("nothing was in flight at the freeze", in_flight == 0);
        claims.verdict()
    }

    /// Invocations without a pause, for as long as so many rotations take; what the server has seen.
    async fn under_load(&self, rotations: usize, overlap: Duration) -> Result<Seen, Error> {
        let over = AtomicBool::new(false);
        let rotate = async {
            for _ in 0..rotations {
                tokio::time::sleep(Duration::from_millis(150)).await;
                self.rotation.rotate(overlap).await?;
                self.rotation.noticed().await;
            }
            over.store(true, Ordering::SeqCst);
            Ok(())
        };
        let load = async {
            while !over.load(Ordering::SeqCst) {
                self.invoke().await?;
            }
            Ok::<_, Error>(())
        };
        tokio::try_join!(rotate, load)?;
        self.invoke().await?;
        let seen = self.rotation.server.seen();
        let (refused, calls) = (seen.refused, self.aws.network.calls());
        self.stage.say(&format!("so far {refused} connections were refused; {calls} calls"));
        Ok(seen)
    }

    async fn invoke(&self) -> Result<(), Error> {
        let first = self.load.orders.fetch_add(20, Ordering::SeqCst) as u64;
        let orders = Orders { numbers: (first..first + 20).collect() };
        let stored: Result<usize, _> = self.stage.lambda.invoke(orders).await?.json();
        self.load.failures.fetch_add(usize::from(!matches!(stored, Ok(20))), Ordering::SeqCst);
        let open = self.rotation.server.seen().open_pools;
        self.load.leftovers.fetch_add(usize::from(open > 1), Ordering::SeqCst);
        Ok(())
    }
}

/// What rotates the secret: in AWS a function of its own.
struct Rotation {
    secrets: Client,
    server: Server,
    versions: AtomicUsize,
}

impl Rotation {
    async fn begin(&self) -> Result<(), Error> {
        self.server.accept(["password 1"]);
        let create = self.secrets.create_secret().name("/prod/db");
        create.secret_string(credentials("password 1")).send().await?;
        self.versions.store(1, Ordering::SeqCst);
        Ok(())
    }

    /// The database takes the new password, then Secrets Manager gives it, then after the overlap the
    /// database takes the old one no more.
    async fn rotate(&self, overlap: Duration) -> Result<(), Error> {
        let old = self.versions.fetch_add(1, Ordering::SeqCst);
        let (old, new) = (format!("password {old}"), format!("password {}", old + 1));
        self.server.accept([&old, &new]);
        let put = self.secrets.put_secret_value().secret_id("/prod/db");
        put.secret_string(credentials(&new)).send().await?;
        tokio::time::sleep(overlap).await;
        self.server.accept([&new]);
        Ok(())
    }

    /// Waits until somebody has connected with the newest password.
    async fn noticed(&self) {
        let newest = format!("password {}", self.versions.load(Ordering::SeqCst));
        while !self.server.seen().pools.contains_key(&newest) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn credentials(password: &str) -> String {
    json!({ "username": "orders", "password": password }).to_string()
}
