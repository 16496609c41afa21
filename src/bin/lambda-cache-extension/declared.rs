//! What config.yaml declares, kept fresh and served as the Go extension serves it:
//! `GET /<section>?name=<name>`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use lambda_cache::sources::{AwsEntry, Entry, appconfig, dynamodb, s3, secrets_manager, ssm};
use lambda_cache::{Builder, Cache, Error, ErrorKind, Key};
use secrecy::ExposeSecret;

use crate::answer::{self, Answer, Response};
use crate::config::{Declaration, Options, Section, Thing};
use crate::http::{Endpoint, Refusal, query};
use crate::messages::{self, Problem};
use crate::settings::Loading;
use crate::unsent::why_unsent;

/// What the Go extension says of everything that it cannot give.
const NO_DATA: &str = "No data found";
/// Why there is none, where the source is to blame.
const ERROR: HeaderName = HeaderName::from_static("x-lambda-cache-error");
/// The longest reason.
const MOST_REASON: usize = 1024;

/// Where each thing is, by section and name.
type Names = HashMap<Section, HashMap<String, Key<Answer>>>;

/// What is not said of each thing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    pub(crate) max_age: Duration,
    pub(crate) loading: Loading,
}

/// The declared things of a cache.
#[derive(Debug)]
pub(crate) struct Declared {
    cache: Cache,
    names: Names,
}

impl Declared {
    /// A cache that keeps what `declarations`, from the file at `path`, say.
    pub(crate) async fn spawn(
        mut builder: Builder,
        declarations: Vec<Declaration>,
        defaults: Defaults,
        path: &str,
    ) -> Result<Self, Vec<Problem>> {
        let mut names: Names = HashMap::new();
        let mut places = HashMap::new();
        for declaration in declarations {
            let Declaration { section, name, place, .. } = declaration.clone();
            places.insert(entry_name(section, &name), place);
            let key = add(&mut builder, declaration, defaults);
            names.entry(section).or_default().insert(name, key);
        }
        match builder.spawn().await {
            Ok(cache) => Ok(Self { cache, names }),
            Err(error) => {
                let problem = |error: &Error| {
                    let place = error.entry().and_then(|entry| places.get(entry));
                    match place {
                        Some(place) => place.problem(path, error.to_string()),
                        None => Problem::new(path, error.to_string()),
                    }
                };
                Err(error.others().iter().map(problem).collect())
            }
        }
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Waits until everything has been fetched, or has failed, which the refresher logs.
    pub(crate) async fn load(&self, deadline: Duration) {
        let keys = self.names.values().flat_map(HashMap::values);
        let all = join_all(keys.map(|&key| self.cache.get(key)));
        if tokio::time::timeout(deadline, all).await.is_err() {
            tracing::warn!(?deadline, "not everything could be loaded at init");
        }
    }
}

/// How errors and the log call a thing.
fn entry_name(section: Section, name: &str) -> String {
    format!("{}/{name}", section.as_str())
}

fn add(builder: &mut Builder, declaration: Declaration, defaults: Defaults) -> Key<Answer> {
    let Declaration { section, name, thing, options, .. } = declaration;
    let name = entry_name(section, &name);
    let Defaults { max_age, loading } = defaults;
    let options = (Options { max_age: options.max_age.or(Some(max_age)), ..options }, loading);
    match thing {
        Thing::Parameter(parameter) => {
            let entry = with(ssm::parameter(parameter).secret(), name, options);
            builder.add(prepared(entry, |text| {
                Answer::text(answer::wiped(text.expose_secret().as_bytes().to_vec()))
            }))
        }
        Thing::Item { table, key, sort_key } => {
            let entry = dynamodb::item(table).key(key.0, key.1);
            let entry = match sort_key {
                Some((attribute, value)) => entry.sort_key(attribute, value),
                None => entry,
            };
            builder.add(prepared(with(entry, name, options), |item| Answer::item(&item)))
        }
        Thing::Secret(secret) => {
            let entry = with(secrets_manager::secret(secret).bytes(), name, options);
            builder.add(prepared(entry, |bytes| {
                Answer::bytes(answer::wiped(bytes.expose_secret().to_vec()))
            }))
        }
        Thing::Object(uri) => {
            builder.add(prepared(with(s3::object(uri), name, options), Answer::bytes))
        }
        Thing::Configuration { application, environment, configuration } => {
            let entry = appconfig::configuration(application, environment, configuration);
            builder.add(prepared(with(entry, name, options), Answer::bytes))
        }
    }
}

/// The entry with its name and options.
fn with<D: AwsEntry, T>(
    entry: Entry<D, T>,
    name: String,
    (options, loading): (Options, Loading),
) -> Entry<D, T> {
    let Options { max_age, refresh_after, stale_if_error, timeout, region, role } = options;
    let mut entry = match loading {
        Loading::AtInit => entry.name(name).in_background(),
        Loading::AtFirstRead => entry.name(name).lazy(),
    };
    if let Some(age) = max_age {
        entry = entry.max_age(age);
    }
    if let Some(age) = refresh_after {
        entry = entry.refresh_after(age);
    }
    if let Some(longer) = stale_if_error {
        entry = entry.stale_if_error(longer);
    }
    if let Some(timeout) = timeout {
        entry = entry.timeout(timeout);
    }
    if let Some(region) = region {
        entry = entry.region(region);
    }
    if let Some(role) = role {
        entry = entry.assume_role(role);
    }
    entry
}

/// The entry as its answer, made when its version changes.
fn prepared<D, T>(entry: Entry<D, T>, prepare: fn(T) -> Answer) -> Entry<D, Answer>
where
    D: AwsEntry + 'static,
    T: Send + 'static,
{
    entry.derive(move |value| ready(Ok::<_, Infallible>(prepare(value))))
}

impl Endpoint for Declared {
    async fn answer(&self, path: &str, query: &str) -> Result<Response, Refusal> {
        let [name] = query::parse(query, ["name"])?;
        let section = path.strip_prefix('/').filter(|it| !it.is_empty() && !it.contains('/'));
        let (Some(section), Some(name)) = (section, name) else {
            return Err(Refusal::not_found());
        };
        let names = Section::named(section).and_then(|section| self.names.get(&section));
        let Some(&key) = names.and_then(|names| names.get(&*name)) else {
            return Err(Refusal::undeclared(NO_DATA, format!("{section}/{name}")));
        };
        match self.cache.get(key).await {
            Ok(value) => Ok(value.respond_cached(&value)),
            // The refresher's line in the log has the error.
            Err(error) => {
                let (response, asked) = (failed(&error), error.entry());
                tracing::debug!(asked, status = response.status().as_u16(), "not served");
                Ok(response)
            }
        }
    }
}

fn no_data(status: StatusCode) -> Response {
    Answer::text(NO_DATA).respond(status)
}

/// A client that looks at the body alone must not take the reason for the value.
fn failed(error: &Error) -> Response {
    let unsent = why_unsent(error);
    let status = match error.kind() {
        _ if unsent.is_some() => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::NotFound => return no_data(StatusCode::OK),
        ErrorKind::Throttled => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Denied | ErrorKind::Source | ErrorKind::Decode => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response: hyper::Response<Full<Bytes>> = no_data(status);
    let words = match unsent {
        Some(why) => format!("{why}; {error}"),
        None => error.to_string(),
    };
    response.headers_mut().insert(ERROR, reason(&words));
    response
}

/// Words as a header may have them.
fn reason(words: &str) -> HeaderValue {
    let visible = |it: char| if it == ' ' || it.is_ascii_graphic() { it } else { '?' };
    let words = messages::in_yaml(words);
    let words: String = words.chars().map(visible).take(MOST_REASON).collect();
    HeaderValue::from_str(&words).unwrap_or(HeaderValue::from_static("unspeakable"))
}
