//! Entries of AWS sources: what they ask for, and at which place.
//!
//! A service says what an entry can ask for ([`Declaration`]) and how it is asked ([`AwsSource`]).
//! What is the same for all services is written here: the place and its options, and errors that name
//! their entry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{Aws, Role};
use crate::clock::Clocks;
use crate::decode::DecodeError;
use crate::error::{Error, ErrorKind};
use crate::sources::{Connections, Declare, Declared, Entry, Source};

/// A region and a role, each that of the configuration given to
/// [`Cache::builder`](crate::Cache::builder) unless the entry sets another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Place {
    pub(crate) region: Option<String>,
    pub(crate) role: Option<Role>,
}

impl Place {
    fn check(&self) -> Result<(), String> {
        if self.region.as_deref() == Some("") {
            return Err("the region is empty".to_owned());
        }
        self.role.as_ref().map_or(Ok(()), Role::check)
    }

    /// Without the configuration's own region, which is the default: naming it makes no other place.
    fn canonical(mut self, own_region: Option<&str>) -> Self {
        self.region = self.region.filter(|region| Some(region.as_str()) != own_region);
        self
    }
}

/// What an entry asks an AWS service for, without the place.
pub trait Declaration: Sized {
    /// The source it asks.
    type Source: AwsSource;

    /// The entry's name unless its user gives it another.
    fn default_name(&self) -> Option<String> {
        None
    }

    /// Tells the name that the entry's user gave it.
    fn named(&mut self, _name: &str) {}

    /// The request, or what is wrong with the declaration.
    fn request(self) -> Result<<Self::Source as Source>::Request, String>;
}

/// A source that asks an AWS service at one place.
pub trait AwsSource: Source + Sized {
    /// The source at this place.
    fn at(place: Place, aws: Aws) -> Self;

    /// Reserves what only one request of a cache may use, such as a file.
    fn reserve(&self, _: &Self::Request, _: &mut Connections) -> Result<(), String> {
        Ok(())
    }
}

/// A [`Declaration`] and the place where its service is asked.
#[derive(Debug, Clone)]
pub struct AtPlace<D> {
    declaration: D,
    place: Place,
}

impl<D: Declaration> Declare for AtPlace<D> {
    type Source = D::Source;

    fn named(&mut self, name: &str) {
        self.declaration.named(name);
    }

    fn declare(self, connections: &mut Connections) -> Result<Declared<D::Source>, Error> {
        let Self { declaration, place } = self;
        let name = declaration.default_name();
        let declared = || {
            let request = declaration.request()?;
            let source = connections.at::<D::Source>(place)?;
            source.reserve(&request, connections)?;
            Ok((source, request))
        };
        match declared() {
            Ok((source, request)) => Ok(Declared { source, request, name }),
            Err(problem) => Err(match name {
                Some(name) => invalid(problem).entry_named(&Arc::from(name)),
                None => invalid(problem),
            }),
        }
    }
}

/// The error of a declaration with this problem.
pub(crate) fn invalid(problem: String) -> Error {
    Error::new(ErrorKind::Declaration, problem)
}

/// The AWS configuration of a cache that has one.
type Configured = OnceLock<Aws>;
/// The sources of one service, by place.
type ByPlace<S> = Mutex<HashMap<Place, Arc<S>>>;

impl Connections {
    pub(crate) fn to(aws: Aws) -> Self {
        let mut connections = Self::default();
        connections.singleton::<Configured>().get_or_init(|| aws);
        connections
    }

    /// Measures idle time of connections by the cache's clocks.
    pub(crate) fn use_clocks(&mut self, clocks: &Clocks) {
        if let Some(aws) = self.singleton::<Configured>().get() {
            aws.use_clocks(clocks);
        }
    }

    /// The source of type `S` at `place`, made at its first use.
    pub(crate) fn at<S: AwsSource>(&mut self, place: Place) -> Result<Arc<S>, String> {
        let aws = self.singleton::<Configured>();
        let aws = aws.get().ok_or(
            "an AWS source in a cache without AWS configuration: make its builder with \
             `Cache::builder(&aws)`",
        )?;
        place.check()?;
        let place = place.canonical(aws.region());
        let sources = self.singleton::<ByPlace<S>>();
        let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(S::at(place.clone(), aws.clone()));
        Ok(Arc::clone(sources.entry(place.clone()).or_insert_with(make)))
    }
}

/// What an entry of an AWS source asks for, at a place that it can set.
pub trait AwsEntry: Declare {
    /// The place.
    fn place(&mut self) -> &mut Place;
}

impl<D: Declaration> AwsEntry for AtPlace<D> {
    fn place(&mut self) -> &mut Place {
        &mut self.place
    }
}

/// The options that set a type's [`Place`].
macro_rules! place_options {
    ($self:ident => $place:expr) => {
        /// The region to ask in. Entries of one region and role share a client and batches. Defaults
        /// to that of the configuration given to [`Cache::builder`](crate::Cache::builder).
        pub fn region(mut $self, region: impl Into<String>) -> Self {
            $place.region = Some(region.into());
            $self
        }

        /// The role to ask as, in another account for instance: its full ARN, or a
        /// [`Role`](crate::sources::Role) with more, such as an external id.
        ///
        /// Calls `sts:AssumeRole`, once for all entries with the role, and again shortly before its
        /// credentials expire. The function's own role needs the permission for it, and the role must
        /// trust the function's. The session is named after the function.
        pub fn assume_role(mut $self, role: impl Into<crate::sources::Role>) -> Self {
            $place.role = Some(role.into());
            $self
        }
    };
}
pub(crate) use place_options;

impl<D: AwsEntry, T> Entry<D, T> {
    place_options!(self => self.asks.place());
}

type Payload<D> = <<D as Declaration>::Source as Source>::Payload;

/// An entry that asks for this at the configuration's own place.
pub(crate) fn entry<D: Declaration, T>(
    declaration: D,
    decode: impl Fn(&Payload<D>) -> Result<T, DecodeError> + Send + Sync + 'static,
) -> Entry<AtPlace<D>, T> {
    Entry::new(AtPlace { declaration, place: Place::default() }, decode)
}

impl<D: Declaration, T> Entry<AtPlace<D>, T> {
    /// Sets an option of what is asked for.
    pub(crate) fn set(mut self, set: impl FnOnce(&mut D)) -> Self {
        set(&mut self.asks.declaration);
        self
    }

    /// The same entry, decoded in another way.
    pub(crate) fn decode_with<U>(
        self,
        decode: impl Fn(&Payload<D>) -> Result<U, DecodeError> + Send + Sync + 'static,
    ) -> Entry<AtPlace<D>, U> {
        Entry { options: self.options, ..Entry::new(self.asks, decode) }
    }

    /// The same entry, with its value decoded further.
    pub(crate) fn and_then<U>(
        self,
        convert: impl Fn(&T) -> Result<U, DecodeError> + Send + Sync + 'static,
    ) -> Entry<AtPlace<D>, U>
    where
        D: 'static,
        T: Send + 'static,
    {
        let Self { asks, options, decode } = self;
        let convert = Arc::new(convert);
        let decode = move |payload: &Payload<D>| {
            let convert = Arc::clone(&convert);
            decode(payload)?.and_then(move |value| convert(&value))
        };
        Entry { asks, options, decode: Arc::new(decode) }
    }
}

/// Partition, service, region, account and resource of an ARN. All but the resource are of letters,
/// digits and hyphens.
pub(crate) fn arn_parts(text: &str) -> Option<[&str; 5]> {
    let parts: Vec<&str> = text.strip_prefix("arn:")?.splitn(5, ':').collect();
    let parts: [&str; 5] = parts.try_into().ok()?;
    let [partition, place @ .., _] = &parts;
    let is_arn = !partition.is_empty()
        && [partition].into_iter().chain(place).all(|it| consists_of(it, "-"));
    is_arn.then_some(parts)
}

/// Whether this is the number of an account.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|it| it.is_ascii_digit())
}

/// Whether a text has only ASCII letters, digits and these other characters.
pub(crate) fn consists_of(text: &str, others: &str) -> bool {
    text.chars().all(|it| it.is_ascii_alphanumeric() || others.contains(it))
}
