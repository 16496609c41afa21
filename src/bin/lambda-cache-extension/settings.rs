//! [`Settings`] from environment variables: those of the two extensions that the sidecar replaces, and
//! some of its own.

use std::path::PathBuf;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::go_syntax::{boolean, duration};
use crate::http::Token;
use crate::log::{self, LogFormat, LogSettings};
use crate::messages::Problem;

const CONFIG: &str = "/var/task/config.yaml";
/// Secrets that only the function and the sidecar have. With SnapStart there are no credentials in
/// variables, and so no session token, but a token for fetching credentials.
const TOKENS: [&str; 2] = ["AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"];
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Settings {
    pub(crate) config: ConfigFile,
    pub(crate) declared: DeclaredSettings,
    pub(crate) on_demand: OnDemandSettings,
    /// Connections that clients may have open, on both ports together.
    pub(crate) max_clients: usize,
    pub(crate) log: LogSettings,
    /// What clients must send.
    pub(crate) token: Option<Token>,
}

/// The path of config.yaml.
pub(crate) enum ConfigFile {
    /// The Go extension's path. There may be no such file.
    Default(PathBuf),
    /// The user's path. The file must exist.
    Chosen(PathBuf),
}

/// Settings for what config.yaml declares.
pub(crate) struct DeclaredSettings {
    pub(crate) port: u16,
    pub(crate) requires_token: bool,
    pub(crate) max_age: Duration,
    pub(crate) loading: Loading,
}

/// When declared entries are first fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loading {
    AtInit,
    AtFirstRead,
}

/// Settings for what clients ask for by name.
pub(crate) struct OnDemandSettings {
    pub(crate) port: u16,
    pub(crate) parameters: ServiceSettings,
    pub(crate) secrets: ServiceSettings,
    /// Entries cached for each service; zero caches none.
    pub(crate) cache_size: usize,
    /// Bytes cached for each service.
    pub(crate) max_bytes: Option<u64>,
    /// How long a "not found" is cached.
    pub(crate) not_found_ttl: Duration,
    /// Requests in flight to each service.
    pub(crate) max_connections: usize,
}

pub(crate) struct ServiceSettings {
    pub(crate) max_age: Duration,
    /// For a fetch, with all its attempts.
    pub(crate) timeout: Duration,
}

impl Settings {
    /// Reads variables with `variable`. Adds what is wrong to `problems`, and uses a default instead.
    pub(crate) fn read(
        variable: impl Fn(&str) -> Option<String>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut variables = Variables { variable, problems };
        let config = match variables.get("LAMBDA_CACHE_CONFIG") {
            Some(path) => ConfigFile::Chosen(path.into()),
            None => ConfigFile::Default(CONFIG.into()),
        };
        let loading = match variables.read("CACHE_EXTENSION_INIT_STARTUP", boolean, false) {
            true => Loading::AtInit,
            false => Loading::AtFirstRead,
        };
        let declared = DeclaredSettings {
            port: variables.read("LAMBDA_CACHE_PORT", port, 4000),
            requires_token: variables.read("LAMBDA_CACHE_REQUIRE_TOKEN", boolean, false),
            max_age: variables.read("CACHE_EXTENSION_TTL", duration, Duration::from_secs(3600)),
            loading,
        };
        let on_demand = variables.on_demand();
        if declared.port == on_demand.port {
            let message = format!("both ports are {}", declared.port);
            let names = "LAMBDA_CACHE_PORT, PARAMETERS_SECRETS_EXTENSION_HTTP_PORT";
            variables.problems.push(Problem::new(names, message));
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
    /// The value of a variable that is set and not empty.
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

    /// As Lambda's logging controls say for the function, unless the sidecar's own variable sets a
    /// level.
    fn log(&mut self) -> LogSettings {
        let level = one_of(log::FUNCTION_LEVELS);
        let level = self.read("AWS_LAMBDA_LOG_LEVEL", level, LevelFilter::INFO);
        let own_level = one_of(log::OWN_LEVELS);
        LogSettings {
            level: self.read("PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL", own_level, level),
            format: self.read("AWS_LAMBDA_LOG_FORMAT", one_of(log::FORMATS), LogFormat::Text),
        }
    }

    fn on_demand(&mut self) -> OnDemandSettings {
        let is_enabled =
            self.read("PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED", any_case_boolean, true);
        let cache_size = self.read("PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE", number, 1000);
        let connections = "PARAMETERS_SECRETS_EXTENSION_MAX_CONNECTIONS";
        OnDemandSettings {
            port: self.read("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", port, 2773),
            parameters: self.service("SSM_PARAMETER_STORE"),
            secrets: self.service("SECRETS_MANAGER"),
            cache_size: if is_enabled { cache_size } else { 0 },
            max_bytes: self.read("LAMBDA_CACHE_MAX_BYTES", bytes, None),
            not_found_ttl: self.read("LAMBDA_CACHE_NOT_FOUND_TTL", seconds, Duration::ZERO),
            max_connections: self.read(connections, at_least_one, 3),
        }
    }

    fn service(&mut self, prefix: &str) -> ServiceSettings {
        let millis = |text: &str| number(text).map(|it| Duration::from_millis(it as u64));
        let max_age = self.read(&format!("{prefix}_TTL"), seconds, Duration::from_secs(300));
        let timeout = self.read(&format!("{prefix}_TIMEOUT_MILLIS"), millis, Duration::ZERO);
        ServiceSettings {
            max_age,
            timeout: if timeout.is_zero() { DEFAULT_TIMEOUT } else { timeout },
        }
    }
}

fn number(text: &str) -> Result<usize, String> {
    // `parse` would accept a sign.
    let digits = text.bytes().all(|it| it.is_ascii_digit());
    let number = digits.then(|| text.parse::<u32>().ok()).flatten();
    number.map(|it| it as usize).ok_or_else(|| format!("\"{text}\" is not a whole number"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    number(text).map(|it| Duration::from_secs(it as u64))
}

fn bytes(text: &str) -> Result<Option<u64>, String> {
    at_least_one(text).map(|it| Some(it as u64))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match number(text)? {
        0 => Err("0 is less than 1".to_owned()),
        number => Ok(number),
    }
}

fn port(text: &str) -> Result<u16, String> {
    let port = number(text).ok().and_then(|it| u16::try_from(it).ok()).filter(|&it| it != 0);
    port.ok_or_else(|| format!("\"{text}\" is not a port from 1 to 65535"))
}

fn any_case_boolean(text: &str) -> Result<bool, String> {
    boolean(&text.to_ascii_lowercase()).map_err(|_| format!("\"{text}\" is neither true nor false"))
}

/// A parser for one of these names, in any case.
fn one_of<T: Copy>(names: &'static [(&str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| match names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        Some(&(_, value)) => Ok(value),
        None => {
            let names: Vec<_> = names.iter().map(|&(name, _)| name).collect();
            Err(format!("\"{text}\" is not one of {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
#[path = "../../../tests/parsers/settings.rs"]
mod parsers;
#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn read(variables: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let mut problems = Vec::new();
        let variable = |name: &str| {
            let found = variables.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let settings = Settings::read(variable, &mut problems);
        (settings, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn without_variables_the_defaults_are_those_of_the_replaced_extensions() {
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
    fn variables_are_parsed_as_the_replaced_extensions_do() {
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
    fn the_log_follows_lambdas_settings_unless_the_sidecar_has_its_own_level() {
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
    fn all_problems_are_reported_at_once() {
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
    fn both_ports_must_not_be_the_same() {
        let (_, problems) = read(&[("LAMBDA_CACHE_PORT", "2773")]);
        assert_eq!(problems.len(), 1);
    }
}
