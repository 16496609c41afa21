//! [`Error`]: what went wrong, with which entry, why, and what to do about it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A cause, shared by all the errors it explains.
pub(crate) type SharedError = Arc<dyn StdError + Send + Sync>;

/// Why something could not be done.
///
/// One failure answers many readers, so an error is cheap to clone. Its `Display` names the entry,
/// what was tried, how old the value is and may be, the causes down to the service's own words, and
/// what to do; [`source`](StdError::source) leads to the cause itself, for instance the SDK's error.
/// Neither `Display` nor `Debug` ever shows a value that came from a source.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    entry: Option<Arc<str>>,
    message: String,
    age: Option<AgeReport>,
    cause: Option<SharedError>,
    /// It will not pass by itself, whatever its kind.
    is_lasting: bool,
    attempts: Option<Attempts>,
    advice: Option<&'static str>,
    others: Vec<Error>,
}

/// How often something was tried in vain, one time after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attempts {
    pub(crate) made: u32,
    /// How many of them the service throttled.
    pub(crate) throttled: u32,
}

#[derive(Clone, Copy)]
struct AgeReport {
    age: Option<Duration>,
    max_age: Option<Duration>,
}

/// What kind of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An entry or an option was declared wrongly.
    Declaration,
    /// The key belongs to another cache, or no entry has the name, or it has another type.
    Key,
    /// The entry has never been read: it is lazy, or nothing has been fetched for it yet.
    NotLoaded,
    /// The source says that there is no such thing.
    NotFound,
    /// The source refuses access, or does not accept the credentials.
    Denied,
    /// The source asks for fewer requests.
    Throttled,
    /// The source did not answer in time.
    Timeout,
    /// The source failed in another way.
    Source,
    /// The source answered, but the answer is not what the entry was declared to hold.
    Decode,
    /// The function that derives the entry's value failed.
    Derive,
    /// The source's, the decoder's or the deriving function's code panicked.
    Panic,
    /// One or more entries could not be loaded at init.
    Init,
    /// The refresher has ended, so nothing is refreshed any more.
    Stopped,
    /// The Extensions API or the Runtime API failed.
    Lambda,
}

impl ErrorKind {
    fn advice(self) -> Option<&'static str> {
        match self {
            Self::NotLoaded => Some("read it with `Cache::get`, which waits for its first fetch"),
            Self::NotFound => Some("check its name, region and account"),
            Self::Denied => Some(
                "check the credentials, the permissions of the function's role and, for encrypted \
                 values, the KMS key's policy",
            ),
            Self::Throttled => Some("raise the service's limit or the entry's max age"),
            Self::Timeout => Some("check the network path (VPC endpoints, NAT) and the timeouts"),
            Self::Decode => {
                Some("check the value at its source, or the type the entry is declared with")
            }
            Self::Derive => Some("see the function given to `derive`"),
            Self::Panic => Some("the panic's own message went to standard error"),
            Self::Stopped => Some("end the process, so that a new one starts"),
            _ => None,
        }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            entry: None,
            message: message.into(),
            age: None,
            cause: None,
            is_lasting: false,
            attempts: None,
            advice: None,
            others: Vec::new(),
        }))
    }

    /// One error that stands for several of one kind.
    pub(crate) fn several(kind: ErrorKind, message: impl Into<String>, others: Vec<Error>) -> Self {
        Self::new(kind, message).with(|inner| inner.others = others)
    }

    pub(crate) fn entry_named(self, name: &Arc<str>) -> Self {
        self.with(|inner| inner.entry = Some(Arc::clone(name)))
    }

    pub(crate) fn caused_by(self, cause: SharedError) -> Self {
        self.with(|inner| inner.cause = Some(cause))
    }

    /// The same failure, seen when the entry's value is `age` old (`None`: nobody can tell).
    pub(crate) fn at_age(self, age: Option<Duration>, max_age: Option<Duration>) -> Self {
        self.with(|inner| inner.age = Some(AgeReport { age, max_age }))
    }

    /// The same failure, of something that is no better a moment later.
    pub(crate) fn lasting(self) -> Self {
        self.with(|inner| inner.is_lasting = true)
    }

    /// The last failure of several attempts.
    pub(crate) fn after(self, attempts: Attempts) -> Self {
        self.with(|inner| inner.attempts = Some(attempts))
    }

    /// Says what to do, in place of what its kind says.
    pub(crate) fn advised(self, advice: &'static str) -> Self {
        self.with(|inner| inner.advice = Some(advice))
    }

    /// Whether the same may succeed a moment later: the service throttled, was slow, broke, or could not
    /// be reached.
    pub(crate) fn may_pass(&self) -> bool {
        match self.0.kind {
            ErrorKind::Throttled | ErrorKind::Timeout => true,
            ErrorKind::Source => !self.0.is_lasting,
            _ => false,
        }
    }

    pub(crate) fn attempts(&self) -> Attempts {
        self.0.attempts.unwrap_or_default()
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The name of the entry that failed, if it is about one.
    pub fn entry(&self) -> Option<&str> {
        self.0.entry.as_deref()
    }

    /// How old the entry's value was when this error was handed out, if it has one whose age can be
    /// told.
    pub fn age(&self) -> Option<Duration> {
        self.0.age.and_then(|report| report.age)
    }

    /// The single failures this error stands for: every entry that failed at init.
    pub fn others(&self) -> &[Error] {
        &self.0.others
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(entry) = &inner.entry {
            write!(f, "entry \"{entry}\": ")?;
        }
        f.write_str(&inner.message)?;
        if let Some(report) = inner.age {
            write!(f, " ({report})")?;
        }
        if let Some(attempts) = inner.attempts.filter(|it| it.made > 1) {
            write!(f, " ({attempts})")?;
        }
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        for other in &inner.others {
            write!(f, "\n  {other}")?;
        }
        match inner.advice.or(inner.kind.advice()) {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} attempts", self.made)?;
        match self.throttled {
            0 => Ok(()),
            throttled => write!(f, ", {throttled} of them throttled"),
        }
    }
}

impl fmt::Display for AgeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.age {
            Some(age) => write!(f, "its value is {age:.1?} old")?,
            None => f.write_str("the age of its value cannot be told")?,
        }
        match self.max_age {
            Some(max_age) => write!(f, ", max age {max_age:?}"),
            None => Ok(()),
        }
    }
}

/// As `Display`, with the kind: a cause's own `Debug` may hold a whole response body.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_entry_age_bound_cause_and_advice() {
        let error = Error::new(ErrorKind::Denied, "ssm:GetParameters /app/greeting failed")
            .entry_named(&Arc::from("greeting"))
            .caused_by(Arc::from(Box::<dyn StdError + Send + Sync>::from("AccessDeniedException")))
            .at_age(Some(Duration::from_secs(75)), Some(Duration::from_secs(60)));
        assert_eq!(
            error.to_string(),
            "entry \"greeting\": ssm:GetParameters /app/greeting failed (its value is 75.0s old, \
             max age 60s): AccessDeniedException; check the credentials, the permissions of the \
             function's role and, for encrypted values, the KMS key's policy"
        );
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(error.entry(), Some("greeting"));
        assert!(error.source().is_some());
    }

    #[test]
    fn an_error_is_send_sync_and_cheap_to_clone() {
        fn check<T: Send + Sync + Clone + 'static>() {}
        check::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
