//! What an entry can ask Secrets Manager for: the constructor, options, and what they come to.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::de::DeserializeOwned;

use super::content::{Payload, WithPrevious, both, field};
use super::{CURRENT, Request, Rotation, SecretsManager, Which};
use crate::decode;
use crate::error::{Error, ErrorKind};
use crate::sources::{AwsEntry, Connections, Declare, Declared, Entry, Place};

/// The current value of a secret, as a [`SecretString`], which no `Debug` prints and which is wiped
/// from memory when the last snapshot that holds it goes.
///
/// `secret` is its name or ARN. The entry's name is the last segment of the secret's name. A secret
/// that is stored as bytes is a decode error: declare it with [`binary`](Entry::binary).
pub fn secret(secret: impl Into<String>) -> Entry<OneSecret, SecretString> {
    let asks = OneSecret {
        secret: secret.into(),
        id: None,
        stage: None,
        pair: Pair::Single,
        rotation: Rotation::Ignored,
        place: Place::default(),
    };
    Entry::new(asks, |payload: &Payload| payload.text().cloned())
}

/// What an entry made by [`secret`] asks for.
#[derive(Debug, Clone)]
pub struct OneSecret {
    secret: String,
    id: Option<String>,
    stage: Option<String>,
    pair: Pair,
    rotation: Rotation,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pair {
    Single,
    WithPrevious,
}

impl Entry<OneSecret, SecretString> {
    /// The bytes of a secret that is stored as such, wiped from memory as text is.
    pub fn binary(self) -> Entry<OneSecret, SecretSlice<u8>> {
        self.decoded(|payload| payload.binary().cloned())
    }

    /// The bytes of the secret, in whichever of the two forms it is stored: a text's are its UTF-8.
    pub fn bytes(self) -> Entry<OneSecret, SecretSlice<u8>> {
        self.decoded(Payload::bytes)
    }

    /// A value of type `T` from the JSON text of the secret, or of the [`field`](Self::field) chosen
    /// before.
    ///
    /// What `T` holds is `T`'s to protect: give its secret fields the type [`SecretString`].
    pub fn json<T: DeserializeOwned>(self) -> Entry<OneSecret, T> {
        self.then(|text| decode::json(text.expose_secret()))
    }

    /// One field of a secret that is a JSON object: a string as it is, anything else as its JSON
    /// text. That it is missing or null is a decode error. A second call goes one level deeper.
    pub fn field(self, name: impl Into<String>) -> Entry<OneSecret, SecretString> {
        let name = name.into();
        self.then(move |object| field(object, &name))
    }
}

impl<T> Entry<OneSecret, T> {
    /// The version that carries this stage, not AWSCURRENT.
    #[must_use]
    pub fn version_stage(mut self, stage: impl Into<String>) -> Self {
        self.asks.stage = Some(stage.into());
        self
    }

    /// The version of this id, not the current one. It never changes, so
    /// [`once`](Self::once) suits it.
    #[must_use]
    pub fn version_id(mut self, id: impl Into<String>) -> Self {
        self.asks.id = Some(id.into());
        self
    }

    /// The current value and the one before it as one consistent value, for the overlap of a
    /// rotation, in which both may be in use. Decode first: `.json::<T>().with_previous()`.
    ///
    /// Takes calls of `secretsmanager:GetSecretValue` alone, and no part in batches: two, and a third
    /// that makes sure of what is new. If rotations take it apart time and again, that is an error
    /// ([`ErrorKind::Source`]).
    pub fn with_previous(mut self) -> Entry<OneSecret, WithPrevious<T>>
    where
        T: Send + 'static,
    {
        self.asks.pair = Pair::WithPrevious;
        let decode = self.decode;
        let decode = move |payload: &Payload| {
            let previous = payload.previous().map(|previous| decode(previous)).transpose()?;
            Ok(both(decode(payload)?, previous))
        };
        Entry { asks: self.asks, options: self.options, decode: Arc::new(decode) }
    }

    /// Lets no value outlive the date by which its secret is to be rotated next, however long its max
    /// age is.
    ///
    /// Calls `secretsmanager:DescribeSecret` before each fetch, and needs the permission for it. The
    /// date is the latest at which the service will rotate; it may do so before, and fail to do so by
    /// then. So the date only ever shortens the max age, and one that has passed says nothing: keep a
    /// max age that suits a secret which changes at any time.
    #[must_use]
    pub fn follow_rotation(mut self) -> Self {
        self.asks.rotation = Rotation::Followed;
        self
    }
}

impl AwsEntry for OneSecret {
    fn place(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl Declare for OneSecret {
    type Source = SecretsManager;

    fn declare(self, connections: &mut Connections) -> Result<Declared<SecretsManager>, Error> {
        let name = entry_name(&self.secret).map(str::to_owned);
        self.declare_unnamed(connections, name.clone()).map_err(|error| match name {
            Some(name) => error.entry_named(&Arc::from(name)),
            None => error,
        })
    }
}

impl OneSecret {
    fn declare_unnamed(
        self,
        connections: &mut Connections,
        name: Option<String>,
    ) -> Result<Declared<SecretsManager>, Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::Declaration, message));
        let Self { secret, id, stage, pair, rotation, place } = self;
        if !is_secret(&secret) {
            return invalid(format!("\"{secret}\" is not the name or ARN of a secret"));
        }
        if [&id, &stage].into_iter().flatten().any(String::is_empty) {
            return invalid(format!("secret {secret}: an empty version id or stage"));
        }
        let stage = stage.filter(|stage| id.is_some() || stage != CURRENT);
        let which = match (pair, id, stage) {
            (Pair::Single, None, None) => Which::Current,
            (Pair::Single, id, stage) => Which::Version { id, stage },
            (Pair::WithPrevious, None, None) => Which::CurrentAndPrevious,
            (Pair::WithPrevious, ..) => {
                return invalid(format!(
                    "secret {secret}: `with_previous` asks for two stages of its own, so no \
                     version can be chosen"
                ));
            }
        };
        let request = Request { secret, which, rotation };
        Ok(Declared { source: SecretsManager::at(place, connections)?, request, name })
    }
}

/// Letters, digits and `/_+=.@-`; in an ARN colons too.
fn is_secret(secret: &str) -> bool {
    let allowed = |it: char| it.is_ascii_alphanumeric() || "/_+=.@-".contains(it);
    let name = match secret.strip_prefix("arn:") {
        Some(arn) => match arn.splitn(6, ':').collect::<Vec<_>>()[..] {
            [_, "secretsmanager", _, _, "secret", name] => name,
            _ => return false,
        },
        None => secret,
    };
    !name.is_empty() && name.len() <= 512 && name.chars().all(allowed)
}

/// The last segment of the secret's name; of an ARN without the six characters that it ends in.
fn entry_name(secret: &str) -> Option<&str> {
    let name = secret.rsplit([':', '/']).next()?;
    let name = match name.rsplit_once('-') {
        Some((name, suffix)) if secret.starts_with("arn:") && suffix.len() == 6 => name,
        _ => name,
    };
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_named_after_the_last_segment_of_the_secrets_name() {
        assert_eq!(entry_name("db"), Some("db"));
        assert_eq!(entry_name("/prod/db"), Some("db"));
        assert_eq!(entry_name("prod/db-main"), Some("db-main"));
        let arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-main-AbC123";
        assert_eq!(entry_name(arn), Some("db-main"));
        assert_eq!(entry_name("prod/"), None);
    }

    #[test]
    fn a_secret_is_told_by_its_name_or_arn() {
        for right in
            ["db", "/prod/db", "a+b=c.d@e-f_g", "arn:aws:secretsmanager:r:1:secret:prod/db-AbC123"]
        {
            assert!(is_secret(right), "{right}");
        }
        for wrong in ["", "a b", "a:b", "arn:aws:ssm:r:1:parameter/x", "arn:aws:secretsmanager"] {
            assert!(!is_secret(wrong), "{wrong}");
        }
    }
}
