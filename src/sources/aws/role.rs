//! [`Role`]: a role to assume, and how.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::entry::{arn_parts, is_account};

/// A session's name where there is no function's name.
const DEFAULT_SESSION: &str = "lambda-cache";
const MAX_TAGS: usize = 50;
/// In seconds: 15 minutes to 12 hours.
const DURATION: RangeInclusive<u64> = 900..=43_200;

// What STS allows, by the API reference of AssumeRole.
const SESSION_NAME: TextRule = TextRule {
    length: 2..=64,
    allows: |it| it.is_ascii_alphanumeric() || "_+=,.@-".contains(it),
    characters: "letters, digits and _+=,.@-",
};
const EXTERNAL_ID: TextRule = TextRule {
    length: 2..=1224,
    allows: |it| it.is_ascii_alphanumeric() || "_+=,.@-:/".contains(it),
    characters: "letters, digits and _+=,.@-:/",
};
const TAG_KEY: TextRule = TextRule {
    length: 1..=128,
    allows: |it| {
        let is_space = it.is_whitespace() && !it.is_control();
        it.is_alphanumeric() || is_space || "_.:/=+-@".contains(it)
    },
    characters: "letters, digits, spaces and _.:/=+-@",
};
const TAG_VALUE: TextRule = TextRule { length: 0..=256, ..TAG_KEY };

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
#[must_use = "a role is assumed only for entries that name it"]
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
    pub fn external_id(mut self, id: impl Into<String>) -> Self {
        self.external_id = Some(id.into());
        self
    }

    /// The session's name, which CloudTrail shows: 2 to 64 letters, digits and `_+=,.@-`. Defaults to
    /// the function's name (`AWS_LAMBDA_FUNCTION_NAME`), made valid, or `lambda-cache` if there is none.
    pub fn session_name(mut self, name: impl Into<String>) -> Self {
        self.session_name = Some(name.into());
        self
    }

    /// How long credentials last before they are renewed: 15 minutes to 12 hours, in whole seconds, and
    /// no longer than the role allows. Defaults to an hour.
    ///
    /// In Lambda an hour is the maximum: a function's credentials already are those of a role, and STS
    /// limits such role chaining to an hour.
    pub fn session_duration(mut self, duration: Duration) -> Self {
        self.session_duration = Some(duration);
        self
    }

    /// Adds a session tag, for policies that decide by tags. A key has 1 to 128 and a value 0 to 256
    /// letters, digits, spaces and `_.:/=+-@`. There can be 50 tags, whose keys must differ in more than
    /// case. Needs `sts:TagSession`.
    pub fn session_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.session_tags.push((key.into(), value.into()));
        self.session_tags.sort();
        self
    }

    /// What STS would refuse, if anything.
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
            // Not shown, since some keep it secret.
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
        if self.session_tags.len() > MAX_TAGS {
            let number = self.session_tags.len();
            return Err(format!("{number} session tags, where {MAX_TAGS} are allowed"));
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

    /// The name of its sessions, in the function of this name, if there is one.
    pub(super) fn session_name_in(&self, function: Option<String>) -> Cow<'_, str> {
        match (&self.session_name, function.as_deref()) {
            (Some(name), _) => name.into(),
            (None, None | Some("")) => DEFAULT_SESSION.into(),
            (None, Some(function)) => valid_session_name(function).into(),
        }
    }
}

/// The function's name, with the characters replaced that STS does not allow.
fn valid_session_name(function: &str) -> String {
    let valid = |it| if (SESSION_NAME.allows)(it) { it } else { '-' };
    let mut name: String = function.chars().map(valid).take(*SESSION_NAME.length.end()).collect();
    if name.len() < *SESSION_NAME.length.start() {
        // Functions can have names of one letter.
        name.push_str("-lambda");
    }
    name
}

/// `arn:<partition>:iam::<account>:role/<path and name>`
fn is_role(arn: &str) -> bool {
    matches!(arn_parts(arn), Some([_, "iam", "", account, resource])
        if is_account(account)
            && resource.strip_prefix("role/").is_some_and(|name| !name.is_empty())
            && arn.bytes().all(|it| it.is_ascii_graphic()))
}

/// Which texts are valid.
struct TextRule {
    /// In characters.
    length: RangeInclusive<usize>,
    allows: fn(char) -> bool,
    /// The characters that it allows, for errors.
    characters: &'static str,
}

impl TextRule {
    fn check(&self, what: impl fmt::Display, text: &str) -> Result<(), String> {
        if self.length.contains(&text.chars().count()) && text.chars().all(self.allows) {
            return Ok(());
        }
        let (min, max) = (self.length.start(), self.length.end());
        Err(format!("{what}: {min} to {max} {} are allowed", self.characters))
    }
}

macro_rules! from_arns {
    ($($arn:ty),+) => {
        $(impl From<$arn> for Role {
            fn from(arn: $arn) -> Self {
                Self::new(arn)
            }
        })+
    };
}

from_arns!(&str, String, &String, Cow<'_, str>);

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
#[path = "../../../tests/parsers/role.rs"]
mod parsers;
#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const READER: &str = "arn:aws:iam::111122223333:role/reader";

    #[test]
    fn a_role_is_told_by_its_arn() {
        assert!(is_role(READER));
        assert!(is_role("arn:aws-cn:iam::111122223333:role/path/reader"));
        for wrong in [
            "reader",
            "arn:aws:iam::111122223333:user/me",
            "arn:aws:iam::1:role/reader",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/reader ",
        ] {
            assert!(!is_role(wrong), "{wrong}");
        }
    }

    pub(super) fn session_name(function: &str) -> String {
        Role::new(READER).session_name_in(Some(function.to_owned())).into_owned()
    }

    #[test]
    fn a_session_is_called_as_its_function_is_as_far_as_sts_takes_it() {
        assert_eq!(session_name("shop-frontend_2"), "shop-frontend_2");
        assert_eq!(session_name("a"), "a-lambda");
        assert_eq!(session_name("a b/ü:$LATEST"), "a-b----LATEST");
        assert_eq!(session_name(&"f".repeat(100)), "f".repeat(64));
        assert_eq!(session_name(""), DEFAULT_SESSION);
        for name in ["a", "a b/ü", &"f".repeat(100), ""] {
            assert_eq!(Role::new(READER).session_name(session_name(name)).check(), Ok(()));
        }
        assert_eq!(Role::new(READER).session_name_in(None), DEFAULT_SESSION);
        let named = Role::new(READER).session_name("mine");
        assert_eq!(named.session_name_in(Some("function".to_owned())), "mine");
    }

    #[test]
    fn everything_that_sts_takes_is_taken() {
        let role = |it: fn(Role) -> Role| it(Role::new(READER)).check();
        assert_eq!(role(|it| it), Ok(()));
        assert_eq!(role(|it| it.external_id("aZ0_+=,.@:/-")), Ok(()));
        assert_eq!(role(|it| it.external_id("x".repeat(1224))), Ok(()));
        assert_eq!(role(|it| it.session_name("aZ0_+=,.@-")), Ok(()));
        assert_eq!(role(|it| it.session_duration(Duration::from_secs(900))), Ok(()));
        assert_eq!(role(|it| it.session_duration(Duration::from_secs(43_200))), Ok(()));
        assert_eq!(role(|it| it.session_tag("Größe ２/_.:/=+-@", "")), Ok(()));
        assert_eq!(role(|it| it.session_tag("k".repeat(128), "v".repeat(256))), Ok(()));
        assert_eq!(role(|it| (0..50).fold(it, |it, n| it.session_tag(n.to_string(), "x"))), Ok(()));
    }

    #[test]
    fn what_sts_would_refuse_is_refused_and_says_what_is_allowed() {
        let refused = |it: fn(Role) -> Role, expected: &str| {
            let problem = it(Role::new(READER)).check().expect_err(expected);
            assert!(
                problem.starts_with("role arn:aws:iam::111122223333:role/reader: "),
                "{problem}"
            );
            assert!(problem.contains(expected), "{problem}");
        };
        refused(|it| it.external_id("x"), "the external id: 2 to 1224 letters");
        refused(|it| it.external_id("x".repeat(1225)), "the external id: 2 to 1224 letters");
        refused(|it| it.external_id("x y"), "the external id: 2 to 1224 letters");
        refused(|it| it.session_name("x"), "the session name \"x\": 2 to 64 letters");
        refused(|it| it.session_name("x".repeat(65)), "2 to 64 letters");
        refused(|it| it.session_name("a:b"), "the session name \"a:b\": 2 to 64 letters");
        refused(|it| it.session_name("äö"), "2 to 64 letters");
        refused(|it| it.session_duration(Duration::from_secs(899)), "899s: 15 minutes");
        refused(|it| it.session_duration(Duration::from_secs(43_201)), "12 hours");
        refused(|it| it.session_duration(Duration::from_millis(1_000_500)), "whole seconds");
        refused(|it| it.session_tag("", "x"), "the session tag's key \"\": 1 to 128 letters");
        refused(|it| it.session_tag("a!", "x"), "the session tag's key \"a!\"");
        refused(|it| it.session_tag("a\t", "x"), "1 to 128 letters");
        refused(|it| it.session_tag("k".repeat(129), "x"), "1 to 128 letters");
        refused(|it| it.session_tag("a", "!"), "the value of the session tag \"a\": 0 to 256");
        refused(|it| it.session_tag("a", "v".repeat(257)), "0 to 256");
        refused(|it| it.session_tag("AWS:a", "x"), "AWS keeps aws: for itself");
        refused(|it| it.session_tag("Team", "x").session_tag("team", "y"), "with the key \"team\"");
        refused(
            |it| (0..51).fold(it, |it, n| it.session_tag(n.to_string(), "x")),
            "51 session tags, where 50 are allowed",
        );
    }

    #[test]
    fn the_order_of_tags_makes_no_other_role_and_an_external_id_is_not_printed() {
        let role = Role::new(READER).external_id("hush");
        let one = role.clone().session_tag("a", "1").session_tag("b", "2");
        assert_eq!(one, role.clone().session_tag("b", "2").session_tag("a", "1"));
        assert_ne!(one, role);
        assert_ne!(role, Role::new(READER));
        assert!(!format!("{role:?}").contains("hush"));
    }
}
