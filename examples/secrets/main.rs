//! A secret is rotated under load, and no request fails: `cargo run --example secrets`.
//!
//! The function keeps a pool of database connections that is derived from a secret. The secret is
//! rotated while invocations come without a pause, each with twenty orders at once: first with an
//! overlap, in which the database accepts the old and the new password, then without one, and then twice
//! while the environment is frozen.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod database;
mod function;
#[path = "../support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use serde_json::json;
use winterbaume_core::MockAws;
use winterbaume_secretsmanager::SecretsManagerService;

use database::{Seen, Server};
use function::{MAX_AGE, Orders};
use support::{Aws, Checks, Environment, Error};

const LATENCY: Duration = Duration::from_millis(20);

fn main() -> Result<(), Error> {
    support::in_lambda(async |environment| {
        let mock = MockAws::builder().with_service(SecretsManagerService::new()).build();
        let aws = Aws::new(&mock, &environment.clock, LATENCY);
        let rotation = Rotation {
            secrets: Client::new(aws.direct()),
            server: Server::default(),
            versions: AtomicUsize::default(),
        };
        rotation.begin().await?;
        let function = function::run(aws.builder(), rotation.server.clone());
        let scenario = Scenario { environment, aws, rotation, load: Load::default() };
        support::drive(function, scenario.run()).await
    })
}

struct Scenario {
    environment: Environment,
    aws: Aws,
    rotation: Rotation,
    load: Load,
}

/// The load on the function.
#[derive(Default)]
struct Load {
    orders: AtomicUsize,
    failures: AtomicUsize,
    /// How often a replaced pool stayed open after an invocation.
    open_old_pools: AtomicUsize,
}

impl Scenario {
    async fn run(self) -> Result<(), Error> {
        let Self { environment, aws, rotation, load } = &self;
        environment.lambda.ready().await?;

        environment.log("rotations with an overlap that is longer than the max age");
        let gentle = self.under_load(3, MAX_AGE + MAX_AGE / 2).await?;

        environment.log("rotations without an overlap");
        let abrupt = self.under_load(4, Duration::ZERO).await?;

        environment.log("two rotations while the environment is frozen for 10 minutes");
        rotation.rotate(Duration::ZERO).await?;
        rotation.rotate(Duration::ZERO).await?;
        let in_flight = environment.freeze(&aws.network, Duration::from_secs(600)).await?;
        self.invoke().await?;
        let seen = rotation.server.seen();
        let (orders, failures) =
            (load.orders.load(Ordering::SeqCst), load.failures.load(Ordering::SeqCst));
        let (versions, calls) = (rotation.versions.load(Ordering::SeqCst), aws.network.calls());
        environment.log(&format!(
            "{orders} orders; {versions} versions of the secret, {} pools, {calls} calls",
            seen.pools.len(),
        ));
        environment.log(&format!(
            "{} rows were inserted through a pool that had been replaced",
            seen.rows_of_old_pools
        ));

        let mut checks = Checks::begin();
        checks
            .check("no request failed", failures == 0 && seen.rows.values().eq([&orders, &orders]));
        checks.check("with an overlap, no password was refused", gentle.refused == 0);
        checks.check(
            "without one, refused operations were repeated with the new password",
            abrupt.refused > 0 && failures == 0,
        );
        checks.check(
            "one pool was made for each version that was fetched",
            seen.pools.values().all(|pools| *pools == 1),
        );
        checks.check(
            "no pool was made for a version that was replaced before it was fetched",
            seen.pools.len() == versions - 1,
        );
        checks.check(
            "operations that had begun on a replaced pool ended on it",
            seen.rows_of_old_pools > 0,
        );
        checks.check(
            "a replaced pool was closed after its last operation",
            load.open_old_pools.load(Ordering::SeqCst) == 0 && seen.open_pools == 1,
        );
        checks.check("nothing was in flight at the freeze", in_flight == 0);
        checks.finish()
    }

    /// Invokes without a pause while the secret is rotated. Returns what the server has seen.
    async fn under_load(&self, rotations: usize, overlap: Duration) -> Result<Seen, Error> {
        let over = AtomicBool::new(false);
        let rotate = async {
            for _ in 0..rotations {
                tokio::time::sleep(Duration::from_millis(250)).await;
                self.rotation.rotate(overlap).await?;
                self.rotation.wait_for_pool().await;
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
        self.environment.log(&format!("so far {refused} connections were refused; {calls} calls"));
        Ok(seen)
    }

    async fn invoke(&self) -> Result<(), Error> {
        let first = self.load.orders.fetch_add(20, Ordering::SeqCst) as u64;
        let orders = Orders { numbers: (first..first + 20).collect() };
        let stored: Result<usize, _> = self.environment.lambda.invoke(orders).await?.json();
        self.load.failures.fetch_add(usize::from(!matches!(stored, Ok(20))), Ordering::SeqCst);
        // A value that nobody holds any more is dropped in the background, so this may take a moment.
        let closed = self.rotation.wait_until(|seen| seen.open_pools == 1);
        let is_late = tokio::time::timeout(Duration::from_secs(1), closed).await.is_err();
        self.load.open_old_pools.fetch_add(usize::from(is_late), Ordering::SeqCst);
        Ok(())
    }
}

/// Rotates the secret. In AWS this is a function of its own.
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

    /// The database accepts the new password, then the secret gets it, and after the overlap the
    /// database refuses the old one.
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

    /// Waits until a pool has been made with the newest password.
    async fn wait_for_pool(&self) {
        let newest = format!("password {}", self.versions.load(Ordering::SeqCst));
        self.wait_until(|seen| seen.pools.contains_key(&newest)).await;
    }

    async fn wait_until(&self, condition: impl Fn(&Seen) -> bool) {
        while !condition(&self.server.seen()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn credentials(password: &str) -> String {
    json!({ "username": "orders", "password": password }).to_string()
}
