//! [`Sidecar`]: the cache and its HTTP server, from start to end.

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
use crate::messages::{NO_REGION, Problem};
use crate::on_demand::OnDemand;
use crate::settings::{ConfigFile, Loading, Settings};

/// How long init waits for declared entries. Lambda allows init ten seconds.
const INIT_DEADLINE: Duration = Duration::from_secs(8);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) struct Sidecar {
    declared: Arc<Declared>,
    loading: Loading,
    server: Server,
}

impl Sidecar {
    /// Starts serving, unless there are `problems`. Returns those, and all further ones.
    pub(crate) async fn start(
        settings: Settings,
        mut problems: Vec<Problem>,
    ) -> Result<Self, Vec<Problem>> {
        let Settings { config, declared, on_demand, max_clients, token, .. } = settings;
        let (path, declarations) = read(config, &mut problems);
        let mut listening = |listener: Result<_, _>| listener.map_err(|it| problems.push(it)).ok();
        let declared_port = listening(listen(declared.port, "LAMBDA_CACHE_PORT").await);
        let variable = "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT";
        let on_demand_port = listening(listen(on_demand.port, variable).await);
        let loading = match Mode::detect() {
            // A value in the snapshot would be too old after the restore.
            Mode::SnapStart => Loading::AtFirstRead,
            // Spawning only finds further problems.
            _ if !problems.is_empty() => Loading::AtFirstRead,
            _ => declared.loading,
        };
        let defaults = Defaults { max_age: declared.max_age, loading };
        let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let mut builder = Cache::builder(&aws);
        let named = OnDemand::new(&mut builder, &sources::freeze_safe(&aws), &on_demand);
        let entries = Declared::spawn(builder, declarations, defaults, &path).await;
        let entries = entries.map_err(|found| problems.extend(found));
        let (Some(declared_port), Some(on_demand_port), Ok(entries), []) =
            (declared_port, on_demand_port, entries, &*problems)
        else {
            return Err(problems);
        };
        if aws.region().is_none() {
            tracing::warn!("{NO_REGION}");
        }
        if token.is_none() {
            tracing::warn!("AWS_SESSION_TOKEN is not set: requests that need a token are refused");
        }
        let guard = match declared.requires_token {
            true => Guard::Token(token.clone()),
            false => Guard::Anybody,
        };
        let entries = Arc::new(entries);
        let mut server = Server::new(Clients::new(max_clients));
        server.serve(declared_port, guard, Arc::clone(&entries));
        server.serve(on_demand_port, Guard::Token(token), Arc::new(named));
        tracing::info!(declared = declared.port, on_demand = on_demand.port, "serving");
        Ok(Self { declared: entries, loading, server })
    }

    /// Works as an extension until Lambda ends it.
    pub(crate) async fn run(mut self, extension: ExternalExtension) -> Result<(), BoxError> {
        let events = async {
            if self.loading == Loading::AtInit {
                self.declared.load(INIT_DEADLINE).await;
            }
            extension.run(self.declared.cache()).await
        };
        tokio::select! {
            end = events => end,
            // The panic hook has logged the location.
            _panic = self.server.failed() => Err("the HTTP server panicked".into()),
        }
    }
}

/// Everything that is wrong with a config.yaml.
pub(crate) async fn check(path: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (path, declarations) = read(ConfigFile::Chosen(path.to_owned()), &mut problems);
    // Any region will do, since nothing is fetched.
    let aws = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .build();
    let defaults = Defaults { max_age: Duration::MAX, loading: Loading::AtFirstRead };
    let spawned = Declared::spawn(Cache::builder(&aws), declarations, defaults, &path).await;
    problems.extend(spawned.err().unwrap_or_default());
    problems
}

/// The path of a config.yaml, and what it declares.
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
