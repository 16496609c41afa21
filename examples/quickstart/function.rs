//! The function: what you would write.

use std::time::Duration;

use lambda_cache::sources::ssm;
use lambda_cache::{Builder, Error, Key, Snapshot, from_fn};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// The names of the function's parameters.
pub const PARAMETERS: [&str; 4] = ["/app/greeting", "/app/hosts", "/app/password", "/app/limits"];

/// The max age of each entry, in the order of a [`Report`].
pub const MAX_AGES: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(2),
];

/// How long beyond its max age the list of hosts may be served while Parameter Store fails.
pub const HOSTS_STALE_IF_ERROR: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Deserialize)]
pub struct Limits {
    pub requests: u32,
}

/// The keys of the function's entries.
#[derive(Clone, Copy)]
pub struct Function {
    greeting: Key<String>,
    hosts: Key<Vec<String>>,
    password: Key<SecretString>,
    limits: Key<Limits>,
    rates: Key<f64>,
}

/// What an invocation saw of each entry.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub entries: Vec<Result<Seen, String>>,
}

/// One entry, as an invocation saw it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Seen {
    pub version: String,
    pub age: Duration,
    pub stale: bool,
}

impl Function {
    /// Declares the entries. `fetch_rates` gets the rates.
    pub fn declare<F, Fut>(builder: &mut Builder, fetch_rates: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<f64, std::io::Error>> + Send + 'static,
    {
        let [greeting, hosts, password, limits] = PARAMETERS;
        Self {
            greeting: builder.add(ssm::parameter(greeting).max_age(MAX_AGES[0])),
            hosts: builder.add(
                ssm::parameter(hosts)
                    .string_list()
                    .max_age(MAX_AGES[1])
                    .stale_if_error(HOSTS_STALE_IF_ERROR),
            ),
            password: builder.add(ssm::parameter(password).secret().max_age(MAX_AGES[2])),
            limits: builder.add(ssm::parameter(limits).json::<Limits>().max_age(MAX_AGES[3])),
            rates: builder.add(from_fn("rates", fetch_rates).max_age(MAX_AGES[4])),
        }
    }

    /// The handler. A real one would use the values; this one reports their ages.
    pub async fn handle(self, snapshot: Snapshot) -> Result<Report, Error> {
        if let (Ok(greeting), Ok(hosts)) = (snapshot.get(self.greeting), snapshot.get(self.hosts)) {
            assert!(!greeting.is_empty() && !hosts.is_empty());
        }
        if let Ok(password) = snapshot.get(self.password) {
            assert!(!password.expose_secret().is_empty());
        }
        if let Ok(limits) = snapshot.get(self.limits) {
            assert!(limits.requests > 0);
        }
        let entries = vec![
            seen(&snapshot, self.greeting),
            seen(&snapshot, self.hosts),
            seen(&snapshot, self.password),
            seen(&snapshot, self.limits),
            seen_rates(&snapshot, self.rates),
        ];
        Ok(Report { entries })
    }
}

fn seen<T>(snapshot: &Snapshot, key: Key<T>) -> Result<Seen, String> {
    let seen = || -> Result<Seen, Error> {
        Ok(Seen {
            version: snapshot.version(key)?.to_string(),
            age: snapshot.age(key)?,
            stale: snapshot.is_stale(key)?,
        })
    };
    seen().map_err(|error| error.to_string())
}

/// The rates have no version. In this example their value is the number of their changes.
fn seen_rates(snapshot: &Snapshot, key: Key<f64>) -> Result<Seen, String> {
    let rates = snapshot.get(key).map_err(|error| error.to_string())?;
    seen(snapshot, key).map(|seen| Seen { version: rates.to_string(), ..seen })
}
