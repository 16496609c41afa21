//! [`Builder`]: what a cache holds and how it works, declared and then spawned.

use std::any::TypeId;
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[cfg(feature = "aws")]
use aws_types::SdkConfig;

use super::Cache;
use crate::clock::{Clock, Clocks, SystemClock};
use crate::engine::{Engine, Plan, Settings};
use crate::entry::{Definition, Key, Loading};
use crate::error::{Error, ErrorKind};
use crate::freshness::{self, Ahead};
use crate::mode::Mode;
use crate::refresher::{Message, Refresher, Tools};
use crate::snapshot::{Catalog, Publisher, RefresherStatus, Slot, Waiters};
#[cfg(feature = "aws")]
use crate::sources::aws::Aws;
use crate::sources::{Connections, Declare, Decode, Entry, Registry, erase_decode};
use crate::stats::Counters;

/// Every cache has its own number, so that a key can tell which cache it belongs to.
static CACHES: AtomicU64 = AtomicU64::new(1);

type AddLater = Box<dyn FnOnce(&Cache) + Send>;

/// Declares the entries of a [`Cache`] and how it works.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use lambda_cache::{Builder, from_fn};
/// use std::time::Duration;
///
/// # async fn fetch_limit() -> Result<u32, std::io::Error> { Ok(7) }
/// let mut builder = Builder::new();
/// let limit = builder.add(from_fn("limit", fetch_limit).max_age(Duration::from_secs(300)));
/// let cache = builder.init_deadline(Duration::from_secs(5)).spawn().await?;
/// assert_eq!(*cache.get(limit).await?, 7);
/// # Ok::<_, lambda_cache::Error>(()) }).unwrap();
/// ```
#[must_use = "a builder does nothing before `spawn`"]
pub struct Builder {
    cache: u64,
    connections: Connections,
    registry: Registry,
    definitions: Vec<Definition>,
    decoders: Vec<Decode>,
    errors: Vec<Error>,
    /// What is added to the cache once it is there, by name.
    later: Vec<(Arc<str>, AddLater)>,
    clock: Clocks,
    mode: Mode,
    init_deadline: Duration,
    operation_timeout: Duration,
    hold_limit: Duration,
    ahead: Ahead,
    #[cfg(feature = "runtime")]
    extension_name: Arc<str>,
    seed: Option<u64>,
}

impl Cache {
    /// Begins a cache whose AWS sources use this configuration: its region, credentials, endpoint,
    /// retries and HTTP client.
    ///
    /// Clients are made with timeouts and an idle pool that suit an environment which freezes,
    /// unless the configuration has an HTTP client or timeouts of its own.
    #[cfg(feature = "aws")]
    pub fn builder(aws: &SdkConfig) -> Builder {
        let mut builder = Builder::new();
        builder.connections = Connections::to(Aws::new(aws));
        builder
    }
}

impl Builder {
    /// Begins a cache without AWS sources.
    pub fn new() -> Self {
        Self {
            cache: CACHES.fetch_add(1, Ordering::Relaxed),
            connections: Connections::default(),
            registry: Registry::default(),
            definitions: Vec::new(),
            decoders: Vec::new(),
            errors: Vec::new(),
            later: Vec::new(),
            clock: Clocks::System(SystemClock::new()),
            mode: Mode::detect(),
            init_deadline: Duration::from_secs(8),
            operation_timeout: Duration::from_secs(5),
            hold_limit: Duration::from_millis(250),
            ahead: Ahead::default(),
            #[cfg(feature = "runtime")]
            extension_name: Arc::from("lambda-cache"),
            seed: None,
        }
    }

    /// Adds an entry, and gives the key to read it with.
    ///
    /// [`spawn`](Self::spawn) reports invalid declarations.
    pub fn add<D, T>(&mut self, entry: Entry<D, T>) -> Key<T>
    where
        D: Declare + 'static,
        T: Send + Sync + 'static,
    {
        let key = Key::new(self.cache, self.definitions.len());
        match self.define(entry) {
            Ok((definition, decode)) => {
                self.definitions.push(definition);
                self.decoders.push(decode);
            }
            Err(error) => self.errors.push(error),
        }
        key
    }

    /// What sources are found through.
    pub(crate) fn connections(&mut self) -> &mut Connections {
        &mut self.connections
    }

    /// Adds something to the cache once that has been spawned, or an error to what `spawn` reports.
    pub(crate) fn add_later(
        &mut self,
        add: Result<(Arc<str>, impl FnOnce(&Cache) + Send + 'static), Error>,
    ) {
        match add {
            Ok((name, add)) => self.later.push((name, Box::new(add))),
            Err(error) => self.errors.push(error),
        }
    }

    fn define<D, T>(&mut self, mut entry: Entry<D, T>) -> Result<(Definition, Decode), Error>
    where
        D: Declare + 'static,
        T: Send + Sync + 'static,
    {
        if let Some(name) = &entry.options.name {
            entry.asks.named(name);
        }
        let declared = entry.asks.declare(&mut self.connections).map_err(|error| {
            match &entry.options.name {
                Some(name) => error.entry_named(&Arc::from(name.as_str())),
                None => error,
            }
        })?;
        let asks = declared.request.to_string();
        let request = (self.registry.request(&declared.source, declared.request), asks);
        let definition = entry.options.check(declared.name, request, TypeId::of::<T>())?;
        Ok((definition, erase_decode::<D, T>(entry.decode)))
    }

    /// How long init may take. Until then, what is throttled, times out or breaks is tried again, with full
    /// jitter; when many environments start at once, that is how long each has to get its turn. Lambda gives
    /// on-demand functions 10 seconds. Defaults to 8 seconds.
    pub fn init_deadline(mut self, deadline: Duration) -> Self {
        self.init_deadline = deadline;
        self
    }

    /// How long one fetch may take, all its attempts together. Within an invocation it is cut to
    /// less than the time left. Defaults to 5 seconds.
    pub fn operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// How long the environment may stay up after the response, so that in-flight fetches can finish.
    /// It is billed; it does not delay the response. Fetches that take longer are cancelled, and
    /// started again in a later invocation; with zero, a fetch has only as long as the handler runs.
    /// Defaults to 250 milliseconds.
    pub fn hold_limit(mut self, limit: Duration) -> Self {
        self.hold_limit = limit;
        self
    }

    /// Whether values are refreshed ahead of need, for entries and memos that say nothing else. Defaults
    /// to [`Ahead::Expected`].
    pub fn ahead(mut self, ahead: Ahead) -> Self {
        self.ahead = ahead;
        self
    }

    /// The clocks that ages are judged by. Defaults to those of the machine.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Clocks::Other(Arc::new(clock));
        self
    }

    /// The name of the internal extension, which must be unique among the function's extensions: a
    /// second cache needs one of its own. Defaults to `lambda-cache`.
    #[cfg(feature = "runtime")]
    pub fn extension_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.extension_name = name.into();
        self
    }

    /// The kind of environment. Defaults to what its variables say ([`Mode::detect`]).
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Makes the jitter of refreshes and back-offs repeatable, for tests. Random by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the refresher, and fetches all entries that are not lazy: batched, in parallel. It waits
    /// for those that are not fetched in the background.
    ///
    /// Calls what the sources call, such as `ssm:GetParameters`.
    ///
    /// What is throttled, times out or breaks is tried again until
    /// [`init_deadline`](Self::init_deadline), with full jitter. AWS's clients do not retry meanwhile: two
    /// layers would multiply the calls of a storm. What does not pass is not tried again: denied, not found,
    /// refused, undecodable, a panic, or the error of a function given to
    /// [`derive`](crate::sources::Entry::derive).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Declaration`] if anything was declared wrongly, before any request is made;
    /// [`ErrorKind::Init`] if an entry could not be fetched, or not before the init deadline. Either
    /// names every entry that is at fault ([`Error::others`]), and the latter says how many attempts were
    /// made for each, and how many of them were throttled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the refresher and every fetch.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time enabled.
    pub async fn spawn(mut self) -> Result<Cache, Error> {
        self.check_names();
        if !self.errors.is_empty() {
            let message = "the cache is declared wrongly:";
            return Err(Error::several(ErrorKind::Declaration, message, self.errors));
        }
        #[cfg(feature = "aws")]
        self.connections.use_clocks(&self.clock);
        let timeouts = self.definitions.iter().filter_map(|definition| definition.timeout);
        let longest = timeouts.fold(self.operation_timeout, Duration::max);
        let frozen_after = freshness::frozen_after(longest);
        for definition in &mut self.definitions {
            definition.policy.ahead.get_or_insert(self.ahead);
        }
        let catalog = Arc::new(Catalog { entries: self.definitions, frozen_after });
        let slot = |definition: &Definition| match definition.loading {
            Loading::AtInit | Loading::InBackground => Slot::Empty,
            Loading::Lazy => Slot::NotRequested,
        };
        let slots: Vec<Slot> = catalog.entries.iter().map(slot).collect();
        let counters = Counters::new(catalog.entries.len());
        let waiters = Arc::new(Waiters::new(catalog.entries.len()));
        let requests = self.registry.requests.clone();
        let plan = Plan {
            cache: self.cache,
            catalog: Arc::clone(&catalog),
            sources: requests.iter().map(|&(source, _)| source).collect(),
            waiters: Arc::clone(&waiters),
            counters: counters.clone(),
        };
        let settings = Settings {
            freezes: self.mode.freezes(),
            operation_timeout: self.operation_timeout,
            hold_limit: self.hold_limit,
            seed: self.seed,
        };
        let (engine, state) = Engine::new(plan, settings, slots);
        let tools = Tools {
            clock: self.clock.clone(),
            sources: self.registry.finish(),
            requests,
            decoders: self.decoders,
            catalog,
        };
        let publisher = Publisher::new(state, waiters);
        let cache = Cache {
            refresher: Refresher::spawn(engine, tools, publisher, counters),
            clock: self.clock,
            mode: self.mode,
            operation_timeout: self.operation_timeout,
            ahead: self.ahead,
            connections: Arc::new(Mutex::new(self.connections)),
            #[cfg(feature = "runtime")]
            extension_name: self.extension_name,
        };
        cache.load(self.init_deadline).await?;
        self.later.into_iter().for_each(|(_, add)| add(&cache));
        Ok(cache)
    }

    fn check_names(&mut self) {
        let mut names = HashSet::new();
        let entries = self.definitions.iter().map(|definition| &definition.name);
        for name in entries.chain(self.later.iter().map(|(name, _)| name)) {
            if !names.insert(Arc::clone(name)) {
                let message = "two entries or memos have this name; give an entry another with \
                               `.name(..)`";
                let error = Error::new(ErrorKind::Declaration, message);
                self.errors.push(error.entry_named(name));
            }
        }
    }
}

impl Cache {
    /// Has every entry fetched, and waits until those that init needs have been, or have failed for good.
    pub(crate) async fn load(&self, deadline: Duration) -> Result<(), Error> {
        let in_time = tokio::time::timeout(deadline, self.loaded(deadline)).await;
        let state = self.refresher.reader().load();
        let failed: Vec<Error> = state
            .entries()
            .filter(|(_, definition)| definition.loading == Loading::AtInit)
            .filter_map(|(slot, definition)| {
                let error = match (slot, &in_time) {
                    (Slot::Failed(_, failure), _) => failure.at_the_end_of_init(),
                    (Slot::Empty, Ok(Err(stopped))) => stopped.clone(),
                    (Slot::Empty, _) => {
                        Error::new(ErrorKind::Timeout, "its first attempt has not ended")
                    }
                    _ => return None,
                };
                Some(error.entry_named(&definition.name))
            })
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        let late = in_time.map_or_else(|_| format!(" within {deadline:?}"), |_| String::new());
        let (failures, all) = (failed.len(), state.catalog.entries.len());
        let message = format!("{failures} of {all} entries could not be loaded{late}:");
        let is_throttled = failed.iter().any(|it| it.attempts().throttled > 0);
        let error = Error::several(ErrorKind::Init, message, failed);
        Err(if is_throttled { error.advised(STORM) } else { error })
    }

    async fn loaded(&self, deadline: Duration) -> Result<(), Error> {
        let reader = self.refresher.reader();
        // No change is missed: changes count from before the first look.
        let mut changes = reader.changes();
        let _waiting = reader.waiting(None);
        self.refresher.tell(Message::Load { deadline }).await?;
        while reader.load().is_loading() {
            if let RefresherStatus::Stopped(error) = &*changes.borrow() {
                return Err(error.clone());
            }
            // The sender lives as long as the reader does, so this cannot fail.
            _ = changes.changed().await;
        }
        Ok(())
    }
}

/// What to do when init was throttled until its deadline.
const STORM: &str = "if many environments start at once, raise the service's quota or the init \
                     deadline, or declare entries `.lazy()` or `.in_background()`";

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("entries", &self.definitions).finish_non_exhaustive()
    }
}
