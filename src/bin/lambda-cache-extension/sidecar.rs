//! [`Sidecar`]: the cache and what serves it, from start to end.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_types::SdkConfig;
use lambda_cache::{Cache, ExternalExtension, Mode, sources};

use crate::config::{self, Declaration};
use crate::declared::{Declared, Defaults};
use crate::http::{Clients, Guard, Listener, Server};
use crate::on_demand::OnDemand;
use crate::problem::Problem;
use crate::settings::{ConfigFile, Loading, Settings};
use crate::signals::Signals;
use crate::unsent::NO_REGION;

/// How long init may take to load what is declared: Lambda gives it ten seconds.
const INIT_DEADLINE: Duration = Duration::from_secs(8);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A cache that is being served.
pub(crate) struct Sidecar {
    declared: Arc<Declared>,
    loading: Loading,
    server: Server,
}

impl Sidecar {
    /// Begins to serve, unless there are `problems`, or more turn up: then it gives all of them.
    pub(crate) async fn start(
        settings: Settings,
        mut problems: Vec<Problem>,
    ) -> Result<Self, Vec<Problem>> {
        let Settings { config, declared, on_demand, max_clients, token, .. } = settings;
        let (path, declarations) = read(config, &mut problems);
        let mut or_problem = |listener: Result<_, _>| listener.map_err(|it| problems.push(it)).ok();
        let first = or_problem(listen(declared.port, "LAMBDA_CACHE_PORT").await);
        let port_variable = "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT";
        let second = or_problem(listen(on_demand.port, port_variable).await);
        let loading = match Mode::detect() {
            // What is fetched before a snapshot lies in it, maybe for days, and is too old after the
            // restore.
            Mode::SnapStart => Loading::AtFirstRead,
            // Only for what else is wrong.
            _ if !problems.is_empty() => Loading::AtFirstRead,
            _ => declared.loading,
        };
        let defaults = Defaults { max_age: declared.max_age, loading };
        let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let things = Declared::spawn(Cache::builder(&aws), declarations, defaults, &path).await;
        let things = things.map_err(|found| problems.extend(found));
        let (Some(first), Some(second), Ok(things), []) = (first, second, things, &*problems)
        else {
            return Err(problems);
        };
        let things = Arc::new(things);
        let mut server = Server::new(Clients::new(max_clients));
        if aws.region().is_none() {
            tracing::warn!("{NO_REGION}");
        }
        if token.is_none() {
            tracing::warn!("AWS_SESSION_TOKEN is not set: whoever has to show a token is refused");
        }
        let guard = match declared.requires_token {
            true => Guard::Token(token.clone()),
            false => Guard::Anybody,
        };
        let named = OnDemand::new(things.cache(), &sources::freeze_safe(&aws), &on_demand);
        server.serve(first, guard, Arc::clone(&things));
        server.serve(second, Guard::Token(token), Arc::new(named));
        tracing::info!(declared = declared.port, on_demand = on_demand.port, "serving");
        Ok(Self { declared: things, loading, server })
    }

    /// Works as an extension, until Lambda or a signal wants it to end.
    pub(crate) async fn run(
        mut self,
        extension: ExternalExtension,
        mut signals: Signals,
    ) -> Result<(), BoxError> {
        let work = async {
            if self.loading == Loading::AtInit {
                self.declared.load(INIT_DEADLINE).await;
            }
            extension.run(self.declared.cache()).await
        };
        tokio::select! {
            result = work => result,
            // The panic hook has logged where.
            _panic = self.server.failed() => Err("the HTTP server panicked".into()),
            () = signals.told() => Ok(()),
        }
    }
}

/// Everything that is wrong with a config.yaml.
pub(crate) async fn check(path: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (path, declarations) = read(ConfigFile::Chosen(path.to_owned()), &mut problems);
    // Nothing is asked for, so any region will do.
    let aws = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .build();
    let defaults = Defaults { max_age: Duration::MAX, loading: Loading::AtFirstRead };
    let spawned = Declared::spawn(Cache::builder(&aws), declarations, defaults, &path).await;
    problems.extend(spawned.err().unwrap_or_default());
    problems
}

/// A config.yaml's path, and what it declares.
fn read(config: ConfigFile, problems: &mut Vec<Problem>) -> (String, Vec<Declaration>) {
    let (path, may_be_missing) = match config {
        ConfigFile::Default(path) => (path, true),
        ConfigFile::Chosen(path) => (path, false),
    };
    let name = path.to_string_lossy().into_owned();
    let declarations = match fs::read(&path) {
        Ok(file) => config::parse(&file, &name, problems),
        Err(error) if error.kind() == ErrorKind::NotFound && may_be_missing => {
            tracing::info!(path = name, "there is no such file, so nothing is declared");
            Vec::new()
        }
        Err(error) => {
            problems.push(Problem::new(&*name, error.to_string()));
            Vec::new()
        }
    };
    (name, declarations)
}

async fn listen(port: u16, variable: &str) -> Result<Listener, Problem> {
    let listener = Listener::bind(port).await;
    listener.map_err(|error| Problem::new(variable, format!("port {port}: {error}")))
}
