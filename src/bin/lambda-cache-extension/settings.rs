//! What the function's variables say: those of both extensions that this one takes over from, and a
//! few of its own.

use std::path::PathBuf;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::go;
use crate::http::Token;
use crate::log::{self, LogFormat, LogSettings};
use crate::problem::Problem;

const CONFIG: &str = "/var/task/config.yaml";
/// What the function and the sidecar know and nobody else. With SnapStart there are no credentials in
/// variables, and so no session token, but what its credentials are asked for with.
const TOKENS: [&str; 2] = ["AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"];

/// How long a request to a service may take, unless its variable says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that variables decide.
pub(crate) struct Settings {
    pub(crate) config: ConfigFile,
    pub(crate) declared: DeclaredSettings,
    pub(crate) on_demand: OnDemandSettings,
    /// The most connections that clients may have open.
    pub(crate) max_clients: usize,
    pub(crate) log: LogSettings,
    /// What clients prove themselves with.
    pub(crate) token: Option<Token>,
}

/// Where config.yaml is.
pub(crate) enum ConfigFile {
    /// Where the Go extension has it. It need not be there.
    Default(PathBuf),
    Chosen(PathBuf),
}

/// How what config.yaml declares is served.
pub(crate) struct DeclaredSettings {
    pub(crate) port: u16,
    pub(crate) requires_token: bool,
    pub(crate) max_age: Duration,
    pub(crate) loading: Loading,
}

/// When what config.yaml declares is first fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loading {
    AtInit,
    AtFirstRead,
}

/// How what clients name themselves is served.
pub(crate) struct OnDemandSettings {
    pub(crate) port: u16,
    pub(crate) parameters: ServiceSettings,
    pub(crate) secrets: ServiceSettings,
    /// The most things of each service that are kept; zero keeps none.
    pub(crate) cache_size: usize,
    /// The most bytes that these may come to.
    pub(crate) max_bytes: Option<u64>,
    /// How long it is kept that there is no such thing.
    pub(crate) not_found_ttl: Duration,
    /// The most requests that may be under way to each service.
    pub(crate) max_connections: usize,
}

pub(crate) struct ServiceSettings {
    pub(crate) max_age: Duration,
    /// How long a request may take.
    pub(crate) timeout: Duration,
}

impl Settings {
    /// What `variable` gives by name, as settings; what is wrong goes to `problems`, with a default in
    /// its place.
    pub(crate) fn read(
        variable: impl Fn(&str) -> Option<String>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut variables = Variables { variable, problems };
        let config = match variables.get("LAMBDA_CACHE_CONFIG") {
            Some(path) => ConfigFile::Chosen(path.into()),
            None => ConfigFile::Default(CONFIG.into()),
        };
        let loading = match variables.read("CACHE_EXTENSION_INIT_STARTUP", go::boolean, false) {
            true => Loading::AtInit,
            false => Loading::AtFirstRead,
        };
        let declared = DeclaredSettings {
            port: variables.read("LAMBDA_CACHE_PORT", port, 4000),
            requires_token: variables.read("LAMBDA_CACHE_REQUIRE_TOKEN", go::boolean, false),
            max_age: variables.read("CACHE_EXTENSION_TTL", go::duration, Duration::from_secs(3600)),
            loading,
        };
        let on_demand = variables.on_demand();
        if declared.port == on_demand.port {
            let message = format!("both ports are {}", declared.port);
            let place = "LAMBDA_CACHE_PORT, PARAMETERS_SECRETS_EXTENSION_HTTP_PORT";
            variables.problems.push(Problem::new(place, message));
        }
        Self {
            config,
            declared,
            on_demand,
            max_clients: variables.read("LAMBDA_CACHE_MAX_CLIENTS", at_least_one, 1000),
            log: variables.log(),
            token: TOKENS.iter().find_map(|name| variables.get(name)).map(Token::new),
        }
    }
}

struct Variables<'a, F> {
    variable: F,
    problems: &'a mut Vec<Problem>,
}

impl<F: Fn(&str) -> Option<String>> Variables<'_, F> {
    /// A variable, unless it is not set, or empty.
    fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn read<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>, default: T) -> T {
        match self.get(name).map(|value| parse(&value)) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(message)) => {
                self.problems.push(Problem::new(name, message));
                default
            }
        }
    }

    /// The function's own settings, those of Lambda's logging controls, hold for the sidecar unless it
    /// has a level of its own.
    fn log(&mut self) -> LogSettings {
        let level = self.read("AWS_LAMBDA_LOG_LEVEL", log::function_level, LevelFilter::INFO);
        LogSettings {
            level: self.read("PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL", log::own_level, level),
            format: self.read("AWS_LAMBDA_LOG_FORMAT", log::format, LogFormat::Text),
        }
    }

    fn on_demand(&mut self) -> OnDemandSettings {
        let is_enabled =
            self.read("PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED", any_case_boolean, true);
        let cache_size = self.read("PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE", number, 1000);
        OnDemandSettings {
            port: self.read("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", port, 2773),
            parameters: self.service("SSM_PARAMETER_STORE"),
            secrets: self.service("SECRETS_MANAGER"),
            cache_size: if is_enabled { cache_size } else { 0 },
            max_bytes: self.read("LAMBDA_CACHE_MAX_BYTES", some_bytes, None),
            not_found_ttl: self.read("LAMBDA_CACHE_NOT_FOUND_TTL", seconds, Duration::ZERO),
            max_connections: self.read(
                "PARAMETERS_SECRETS_EXTENSION_MAX_CONNECTIONS",
                at_least_one,
                3,
            ),
        }
    }

    fn service(&mut self, prefix: &str) -> ServiceSettings {
        let millis = |text: &str| number(text).map(|it| Duration::from_millis(it as u64));
        let max_age = self.read(&format!("{prefix}_TTL"), seconds, Duration::from_secs(300));
        let timeout = self.read(&format!("{prefix}_TIMEOUT_MILLIS"), millis, Duration::ZERO);
        ServiceSettings { max_age, timeout: if timeout.is_zero() { TIMEOUT } else { timeout } }
    }
}

fn number(text: &str) -> Result<usize, String> {
    // `parse` takes a sign as well.
    let digits = text.bytes().all(|it| it.is_ascii_digit());
    let number = digits.then(|| text.parse::<u32>().ok()).flatten();
    number.map(|it| it as usize).ok_or_else(|| format!("\"{text}\" is not a whole number"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    number(text).map(|it| Duration::from_secs(it as u64))
}

fn some_bytes(text: &str) -> Result<Option<u64>, String> {
    at_least_one(text).map(|it| Some(it as u64))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match number(text)? {
        0 => Err("0 is too few".to_owned()),
        number => Ok(number),
    }
}

fn port(text: &str) -> Result<u16, String> {
    let port = number(text).ok().and_then(|it| u16::try_from(it).ok()).filter(|&it| it != 0);
    port.ok_or_else(|| format!("\"{text}\" is not a port from 1 to 65535"))
}

fn any_case_boolean(text: &str) -> Result<bool, String> {
    go::boolean(&text.to_ascii_lowercase())
        .map_err(|_| format!("\"{text}\" is neither true nor false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let mut problems = Vec::new();
        let variable = |name: &str| {
            let found = variables.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let settings = Settings::read(variable, &mut problems);
        (settings, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn without_variables_everything_is_as_with_the_extensions_before() {
        for variables in [&[][..], &[("CACHE_EXTENSION_TTL", ""), ("LAMBDA_CACHE_CONFIG", "")]] {
            let (settings, problems) = read(variables);
            assert_eq!(problems, [""; 0]);
            let Settings { config, declared, on_demand, .. } = settings;
            assert!(matches!(config, ConfigFile::Default(path) if path.ends_with("config.yaml")));
            assert_eq!((declared.port, declared.requires_token), (4000, false));
            assert_eq!(declared.max_age, Duration::from_secs(3600));
            assert_eq!(declared.loading, Loading::AtFirstRead);
            assert_eq!((on_demand.port, on_demand.cache_size), (2773, 1000));
            assert_eq!(on_demand.max_connections, 3);
            for service in [on_demand.parameters, on_demand.secrets] {
                assert_eq!((service.max_age.as_secs(), service.timeout.as_secs()), (300, 5));
            }
        }
    }

    #[test]
    fn variables_are_read_as_those_extensions_read_them() {
        let (settings, problems) = read(&[
            ("LAMBDA_CACHE_CONFIG", "/tmp/x.yaml"),
            ("LAMBDA_CACHE_REQUIRE_TOKEN", "1"),
            ("CACHE_EXTENSION_TTL", "1h30m"),
            ("CACHE_EXTENSION_INIT_STARTUP", "T"),
            ("SECRETS_MANAGER_TTL", "86400"),
            ("SSM_PARAMETER_STORE_TTL", "0"),
            ("SSM_PARAMETER_STORE_TIMEOUT_MILLIS", "1500"),
            ("PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED", "FALSE"),
            ("PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL", "Debug"),
        ]);
        assert_eq!(problems, [""; 0]);
        let Settings { config, declared, on_demand, .. } = settings;
        assert!(matches!(config, ConfigFile::Chosen(_)));
        assert!(declared.requires_token);
        assert_eq!(declared.max_age, Duration::from_secs(5400));
        assert_eq!(declared.loading, Loading::AtInit);
        assert_eq!(on_demand.secrets.max_age, Duration::from_secs(86_400));
        assert_eq!(on_demand.parameters.max_age, Duration::ZERO);
        assert_eq!(on_demand.parameters.timeout, Duration::from_millis(1500));
        assert_eq!(on_demand.cache_size, 0);
        let LogSettings { level, format } = settings.log;
        assert_eq!((level, format), (LevelFilter::DEBUG, LogFormat::Text));
    }

    #[test]
    fn the_log_is_as_lambda_has_it_unless_the_sidecar_has_a_level_of_its_own() {
        let log = |variables: &[(&str, &str)]| {
            let (settings, problems) = read(variables);
            assert_eq!(problems, [""; 0]);
            (settings.log.level, settings.log.format)
        };
        let json = ("AWS_LAMBDA_LOG_FORMAT", "JSON");
        for (level, expected) in [
            ("TRACE", LevelFilter::TRACE),
            ("DEBUG", LevelFilter::DEBUG),
            ("INFO", LevelFilter::INFO),
            ("WARN", LevelFilter::WARN),
            ("ERROR", LevelFilter::ERROR),
            ("FATAL", LevelFilter::ERROR),
        ] {
            let level = ("AWS_LAMBDA_LOG_LEVEL", level);
            assert_eq!(log(&[json, level]), (expected, LogFormat::Json));
            let own = ("PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL", "none");
            assert_eq!(log(&[json, level, own]), (LevelFilter::OFF, LogFormat::Json));
        }
        assert_eq!(log(&[("AWS_LAMBDA_LOG_FORMAT", "Text")]), (LevelFilter::INFO, LogFormat::Text));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let wrong = [
            ("CACHE_EXTENSION_TTL", "5 minutes"),
            ("CACHE_EXTENSION_INIT_STARTUP", "yes"),
            ("LAMBDA_CACHE_PORT", "0"),
            ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", "65536"),
            ("PARAMETERS_SECRETS_EXTENSION_MAX_CONNECTIONS", "0"),
            ("PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE", "-1"),
            ("SECRETS_MANAGER_TTL", "1m"),
            ("SSM_PARAMETER_STORE_TTL", "+1"),
            ("PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL", "loud"),
            ("AWS_LAMBDA_LOG_LEVEL", "none"),
            ("AWS_LAMBDA_LOG_FORMAT", "XML"),
        ];
        let (_, problems) = read(&wrong);
        assert_eq!(problems.len(), wrong.len(), "{problems:#?}");
        for (name, _) in wrong {
            assert!(problems.iter().any(|it| it.starts_with(name)), "{name}");
        }
    }

    #[test]
    fn one_port_cannot_serve_both() {
        let (_, problems) = read(&[("LAMBDA_CACHE_PORT", "2773")]);
        assert_eq!(problems.len(), 1);
    }
}
