//! Port 4000: the entries that config.yaml declares, served as the Go extension does:
//! `GET /<section>?name=<name>`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use futures_util::future::join_all;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use lambda_cache::sources::{AwsEntry, Entry, appconfig, dynamodb, s3, secrets_manager, ssm};
use lambda_cache::{Builder, Cache, Error, ErrorKind, Key};
use secrecy::ExposeSecret;

use crate::answer::{Answer, Response, wiped};
use crate::config::{Declaration, Options, Resource, Section};
use crate::http::{Endpoint, Refusal, query};
use crate::messages::{self, Problem, why_unsent};
use crate::settings::Loading;

/// The Go extension's body if there is no value.
const NO_DATA: &str = "No data found";
/// The reason why a value could not be fetched.
const ERROR: HeaderName = HeaderName::from_static("x-lambda-cache-error");
const MAX_ERROR: usize = 1024;

/// Keys by section and name.
type Keys = HashMap<Section, HashMap<String, Key<Answer>>>;

/// The max age of entries without one of their own, and when entries are first fetched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    pub(crate) max_age: Duration,
    pub(crate) loading: Loading,
}

/// The declared entries, in their cache.
#[derive(Debug)]
pub(crate) struct Declared {
    cache: Cache,
    keys: Keys,
}

impl Declared {
    /// Spawns a cache with the entries of the file at `path`.
    pub(crate) async fn spawn(
        mut builder: Builder,
        declarations: Vec<Declaration>,
        defaults: Defaults,
        path: &str,
    ) -> Result<Self, Vec<Problem>> {
        let mut keys: Keys = HashMap::new();
        let mut positions = HashMap::new();
        for declaration in declarations {
            let Declaration { section, name, position, .. } = declaration.clone();
            positions.insert(entry_name(section, &name), position);
            let key = add(&mut builder, declaration, defaults);
            keys.entry(section).or_default().insert(name, key);
        }
        let problem = |error: &Error| {
            let message = error.to_string();
            match error.entry().and_then(|entry| positions.get(entry)) {
                Some(position) => position.problem(path, message),
                None => Problem::new(path, message),
            }
        };
        match builder.spawn().await {
            Ok(cache) => Ok(Self { cache, keys }),
            Err(error) => Err(error.others().iter().map(problem).collect()),
        }
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Waits until each entry has been fetched or has failed. The refresher logs failures.
    pub(crate) async fn load(&self, deadline: Duration) {
        let keys = self.keys.values().flat_map(HashMap::values);
        let all = join_all(keys.map(|&key| self.cache.get(key)));
        if tokio::time::timeout(deadline, all).await.is_err() {
            tracing::warn!(?deadline, "not everything could be loaded at init");
        }
    }
}

/// The name of an entry in errors and in the log.
fn entry_name(section: Section, name: &str) -> String {
    format!("{}/{name}", section.as_str())
}

fn add(builder: &mut Builder, declaration: Declaration, defaults: Defaults) -> Key<Answer> {
    let Declaration { section, name, resource, options, .. } = declaration;
    let common = Common { name: entry_name(section, &name), options, defaults };
    match resource {
        Resource::Parameter(parameter) => {
            let entry = common.apply(ssm::parameter(parameter).secret());
            builder.add(served(entry, |text| {
                Answer::text(wiped(text.expose_secret().as_bytes().to_vec()))
            }))
        }
        Resource::Item { table, key, sort_key } => {
            let entry = dynamodb::item(table).key(key.0, key.1);
            let entry = set(entry, sort_key, |entry, (name, value)| entry.sort_key(name, value));
            builder.add(served(common.apply(entry), |item| Answer::item(&item)))
        }
        Resource::Secret(secret) => {
            let entry = common.apply(secrets_manager::secret(secret).bytes());
            builder.add(served(entry, |bytes| Answer::bytes(wiped(bytes.expose_secret().to_vec()))))
        }
        Resource::Object(uri) => builder.add(served(common.apply(s3::object(uri)), Answer::bytes)),
        Resource::Configuration { application, environment, configuration } => {
            let entry = appconfig::configuration(application, environment, configuration);
            builder.add(served(common.apply(entry), Answer::bytes))
        }
    }
}

/// What entries of all sections have in common.
struct Common {
    name: String,
    options: Options,
    defaults: Defaults,
}

impl Common {
    fn apply<D: AwsEntry, T>(self, entry: Entry<D, T>) -> Entry<D, T> {
        let Self { name, options, defaults } = self;
        let entry = entry.name(name).max_age(options.max_age.unwrap_or(defaults.max_age));
        let entry = match defaults.loading {
            Loading::AtInit => entry.in_background(),
            Loading::AtFirstRead => entry.lazy(),
        };
        let entry = set(entry, options.refresh_after, Entry::refresh_after);
        let entry = set(entry, options.stale_if_error, Entry::stale_if_error);
        let entry = set(entry, options.timeout, Entry::timeout);
        let entry = set(entry, options.region, Entry::region);
        set(entry, options.role, Entry::assume_role)
    }
}

/// The entry with an option, if that is given.
fn set<E, V>(entry: E, option: Option<V>, setter: impl FnOnce(E, V) -> E) -> E {
    match option {
        Some(value) => setter(entry, value),
        None => entry,
    }
}

/// The entry with its answer as value, so that an answer is made once for each version.
fn served<D, T>(entry: Entry<D, T>, answer: fn(T) -> Answer) -> Entry<D, Answer>
where
    D: AwsEntry + 'static,
    T: Send + 'static,
{
    entry.derive(move |value| ready(Ok::<_, Infallible>(answer(value))))
}

impl Endpoint for Declared {
    async fn answer(&self, path: &str, query: &str) -> Result<Response, Refusal> {
        let [name] = query::parse(query, ["name"])?;
        let section = path.strip_prefix('/').filter(|it| !it.is_empty() && !it.contains('/'));
        let (Some(section), Some(name)) = (section, name) else {
            return Err(Refusal::not_found());
        };
        let keys = Section::named(section).and_then(|section| self.keys.get(&section));
        let Some(&key) = keys.and_then(|keys| keys.get(&*name)) else {
            return Err(Refusal::undeclared(NO_DATA, format!("{section}/{name}")));
        };
        match self.cache.get(key).await {
            Ok(value) => Ok(value.respond_cached(&value)),
            // The refresher has logged the error.
            Err(error) => {
                let (response, asked) = (failure(&error), error.entry());
                tracing::debug!(asked, status = response.status().as_u16(), "not served");
                Ok(response)
            }
        }
    }
}

/// The response for a failed read. The reason is in a header: a client that looks only at the body
/// must not take it for a value.
fn failure(error: &Error) -> Response {
    let unsent = why_unsent(error);
    let status = match error.kind() {
        _ if unsent.is_some() => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::NotFound => return Answer::text(NO_DATA).respond(StatusCode::OK),
        ErrorKind::Throttled => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Denied | ErrorKind::Source | ErrorKind::Decode => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let reason = match unsent {
        Some(why) => format!("{why}; {error}"),
        None => error.to_string(),
    };
    let mut response = Answer::text(NO_DATA).respond(status);
    response.headers_mut().insert(ERROR, header(&reason));
    response
}

/// The text as the value of a header, which is ASCII.
fn header(text: &str) -> HeaderValue {
    let visible = |it: char| if it == ' ' || it.is_ascii_graphic() { it } else { '?' };
    let text: String = messages::in_yaml(text).chars().map(visible).take(MAX_ERROR).collect();
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("?"))
}

#[cfg(test)]
mod parsers {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_reason_can_be_a_header(reason in "([\\PC\r\n\t]|`\\.name\\(\"|\"\\)`){0,12}") {
            let header = header(&reason);
            prop_assert!(header.to_str().is_ok_and(|it| it.len() <= MAX_ERROR));
            prop_assert!(reason.is_empty() || !header.is_empty());
        }
    }
}
