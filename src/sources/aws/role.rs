//! [`Role`]: a role to assume, and how.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A session's name where there is no function's name.
const DEFAULT_SESSION: &str = "lambda-cache";
const MOST_TAGS: usize = 50;
/// In seconds: 15 minutes to 12 hours.
const DURATION: RangeInclusive<u64> = 900..=43_200;

// What STS takes, by the API reference of AssumeRole.
const SESSION_NAME: Text = Text {
    length: 2..=64,
    takes: |it| is_word(it) || "+=,.@-".contains(it),
    words: "letters, digits and _+=,.@-",
};
const EXTERNAL_ID: Text = Text {
    length: 2..=1224,
    takes: |it| SESSION_NAME.takes(it) || ":/".contains(it),
    words: "letters, digits and _+=,.@-:/",
};
const TAG_KEY: Text = Text {
    length: 1..=128,
    takes: |it| {
        let is_space = it.is_whitespace() && !it.is_control();
        it.is_alphanumeric() || is_space || "_.:/=+-@".contains(it)
    },
    words: "letters, digits, spaces and _.:/=+-@",
};
const TAG_VALUE: Text = Text { length: 0..=256, ..TAG_KEY };

/// A role to assume, for [`Entry::assume_role`](crate::sources::Entry::assume_role), which also takes a
/// plain ARN.
///
/// Calls `sts:AssumeRole`. The function's role needs permission for `sts:AssumeRole` on the role, and for
/// `sts:TagSession` if there are session tags; the role's trust policy must allow both to the function's
/// role. Entries with equal roles share one session, clients and batches.
///
/// Values that STS would refuse are errors of their entries at [`spawn`](crate::Builder::spawn).
///
/// ```no_run
/// # async fn example() -> Result<(), lambda_cache::Error> {
/// use lambda_cache::Cache;
/// use lambda_cache::sources::{Role, ssm};
/// use std::time::Duration;
///
/// let theirs = Role::new("arn:aws:iam::111122223333:role/price-reader")
///     .external_id("shop-42")
///     .session_name("shop-frontend")
///     .session_duration(Duration::from_secs(900))
///     .session_tag("team", "shop");
///
/// let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
/// let mut builder = Cache::builder(&aws);
/// let price = builder.add(ssm::parameter("/prices/book").assume_role(theirs));
/// let cache = builder.spawn().await?;
/// println!("{}", *cache.get(price).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Role {
    pub(super) arn: String,
    pub(super) external_id: Option<String>,
    pub(super) session_name: Option<String>,
    pub(super) session_duration: Option<Duration>,
    /// Sorted, so that their order makes no difference.
    pub(super) session_tags: Vec<(String, String)>,
}

impl Role {
    /// The role with this full ARN, such as `arn:aws:iam::111122223333:role/reader`.
    pub fn new(arn: impl Into<String>) -> Self {
        Self {
            arn: arn.into(),
            external_id: None,
            session_name: None,
            session_duration: None,
            session_tags: Vec::new(),
        }
    }

    /// The external id that the role's trust policy asks for: 2 to 1,224 letters, digits and
    /// `_+=,.@-:/`.
    #[must_use]
    pub fn external_id(mut self, id: impl Into<String>) -> Self {
        self.external_id = Some(id.into());
        self
    }

    /// The session's name, which CloudTrail shows: 2 to 64 letters, digits and `_+=,.@-`. Defaults to
    /// the function's name (`AWS_LAMBDA_FUNCTION_NAME`), made valid, or `lambda-cache` if there is none.
    #[must_use]
    pub fn session_name(mut self, name: impl Into<String>) -> Self {
        self.session_name = Some(name.into());
        self
    }

    /// How long credentials last before they are renewed: 15 minutes to 12 hours, in whole seconds, and
    /// no longer than the role allows. Defaults to an hour.
    ///
    /// In Lambda an hour is the maximum: a function's credentials already are those of a role, and STS
    /// limits such role chaining to an hour.
    #[must_use]
    pub fn session_duration(mut self, duration: Duration) -> Self {
        self.session_duration = Some(duration);
        self
    }

    /// Adds a session tag, for policies that decide by tags. A key has 1 to 128 and a value 0 to 256
    /// letters, digits, spaces and `_.:/=+-@`. There can be 50 tags, whose keys must differ in more than
    /// case. Needs `sts:TagSession`.
    #[must_use]
    pub fn session_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.session_tags.push((key.into(), value.into()));
        self.session_tags.sort();
        self
    }

    /// What is wrong with it, if anything.
    pub(super) fn check(&self) -> Result<(), String> {
        if !is_role(&self.arn) {
            return Err(format!(
                "\"{}\" is not the ARN of a role, such as arn:aws:iam::111122223333:role/reader",
                self.arn
            ));
        }
        self.check_session().map_err(|problem| format!("role {}: {problem}", self.arn))
    }

    fn check_session(&self) -> Result<(), String> {
        if let Some(id) = &self.external_id {
            // Not shown, since some treat it as a secret.
            EXTERNAL_ID.check("the external id", id)?;
        }
        if let Some(name) = &self.session_name {
            SESSION_NAME.check(format_args!("the session name \"{name}\""), name)?;
        }
        if let Some(duration) = self.session_duration
            && !(duration.subsec_nanos() == 0 && DURATION.contains(&duration.as_secs()))
        {
            let range = "15 minutes to 12 hours, in whole seconds";
            return Err(format!("a session of {duration:?}: {range} are allowed"));
        }
        self.check_tags()
    }

    fn check_tags(&self) -> Result<(), String> {
        if self.session_tags.len() > MOST_TAGS {
            let number = self.session_tags.len();
            return Err(format!("{number} session tags, where {MOST_TAGS} are allowed"));
        }
        let mut keys: Vec<_> =
            self.session_tags.iter().map(|(key, _)| key.to_lowercase()).collect();
        keys.sort();
        if let Some(twice) = keys.windows(2).find(|keys| keys[0] == keys[1]) {
            return Err(format!("two session tags with the key \"{}\"", twice[0]));
        }
        for (key, value) in &self.session_tags {
            TAG_KEY.check(format_args!("the session tag's key \"{key}\""), key)?;
            TAG_VALUE.check(format_args!("the value of the session tag \"{key}\""), value)?;
            if key.to_lowercase().starts_with("aws:") {
                return Err(format!("the session tag's key \"{key}\": AWS keeps aws: for itself"));
            }
        }
        Ok(())
    }

    /// The name of its sessions in this function, if there is one.
    pub(super) fn session_name_in(&self, function: Option<String>) -> Cow<'_, str> {
        match (&self.session_name, function.as_deref()) {
            (Some(name), _) => name.into(),
            (None, None | Some("")) => DEFAULT_SESSION.into(),
            (None, Some(function)) => valid_session_name(function).into(),
        }
    }
}

/// The function's name, with what STS does not take replaced.
fn valid_session_name(function: &str) -> String {
    let valid = |it| if SESSION_NAME.takes(it) { it } else { '-' };
    let mut name: String = function.chars().map(valid).take(*SESSION_NAME.length.end()).collect();
    if name.len() < *SESSION_NAME.length.start() {
        // Functions can have names of one letter.
        name.push_str("-lambda");
    }
    name
}

/// `arn:<partition>:iam::<account>:role/<path and name>`
fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(&*parts, ["arn", _, "iam", "", account, resource]
        if account.len() == 12
            && account.bytes().all(|it| it.is_ascii_digit())
            && resource.strip_prefix("role/").is_some_and(|name| !name.is_empty()))
        && arn.bytes().all(|it| it.is_ascii_graphic())
}

/// `\w` of the patterns in the API reference.
fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// What a text may consist of.
struct Text {
    /// In characters.
    length: RangeInclusive<usize>,
    takes: fn(char) -> bool,
    /// The characters that it takes.
    words: &'static str,
}

impl Text {
    fn takes(&self, character: char) -> bool {
        (self.takes)(character)
    }

    fn check(&self, what: impl fmt::Display, text: &str) -> Result<(), String> {
        let is_valid = self.length.contains(&text.chars().count())
            && text.chars().all(|character| self.takes(character));
        if is_valid {
            return Ok(());
        }
        let (least, most) = (self.length.start(), self.length.end());
        Err(format!("{what}: {least} to {most} {} are allowed", self.words))
    }
}

impl From<&str> for Role {
    fn from(arn: &str) -> Self {
        Self::new(arn)
    }
}

impl From<String> for Role {
    fn from(arn: String) -> Self {
        Self::new(arn)
    }
}

impl From<&String> for Role {
    fn from(arn: &String) -> Self {
        Self::new(arn)
    }
}

impl From<Cow<'_, str>> for Role {
    fn from(arn: Cow<'_, str>) -> Self {
        Self::new(arn)
    }
}

/// Without the external id.
impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Role")
            .field("arn", &self.arn)
            .field("session_name", &self.session_name)
            .field("session_duration", &self.session_duration)
            .field("session_tags", &self.session_tags)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
