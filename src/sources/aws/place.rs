//! Where an entry's service is asked: the region, and in whose name.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::sources::{Declare, Entry};

/// A region and a role, each that of the configuration given to
/// [`Cache::builder`](crate::Cache::builder) unless an entry's user says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Place {
    region: Option<String>,
    role: Option<String>,
}

impl Place {
    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    pub(crate) fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    pub(crate) fn set_region(&mut self, region: String) {
        self.region = Some(region);
    }

    pub(crate) fn set_role(&mut self, arn: String) {
        self.role = Some(arn);
    }

    /// The same place by one name: the configuration's own region by name is no other region.
    pub(crate) fn canonical(mut self, own_region: Option<&str>) -> Self {
        self.region = self.region.filter(|region| Some(region.as_str()) != own_region);
        self
    }

    /// What is wrong with it, if anything.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |message| Err(Error::new(ErrorKind::Declaration, message));
        match (&self.region, &self.role) {
            (Some(region), _) if region.is_empty() => invalid("the region is empty".to_owned()),
            (_, Some(role)) if !is_role(role) => invalid(format!(
                "\"{role}\" is not the ARN of a role, such as \
                 arn:aws:iam::111122223333:role/reader"
            )),
            _ => Ok(()),
        }
    }
}

/// `arn:<partition>:iam::<account>:role/<name>`
fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(&*parts, ["arn", _, "iam", "", account, resource]
        if account.len() == 12
            && account.bytes().all(|it| it.is_ascii_digit())
            && resource.strip_prefix("role/").is_some_and(|name| !name.is_empty()))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (region, role) = (self.region().unwrap_or_default(), self.role().unwrap_or_default());
        write!(f, "{region}|{role}")
    }
}

/// What an entry of an AWS source asks for, where its user says.
pub trait AwsEntry: Declare {
    /// Where it asks.
    fn place(&mut self) -> &mut Place;
}

impl<D: AwsEntry, T> Entry<D, T> {
    /// The region to ask in. Entries of one region and role share a client and batches. Defaults to
    /// that of the configuration given to [`Cache::builder`](crate::Cache::builder).
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.asks.place().set_region(region.into());
        self
    }

    /// Ask with the rights of this role, in whose account the thing may be; `arn` is the role's full
    /// ARN.
    ///
    /// Calls `sts:AssumeRole`, once for all entries with the role, and again shortly before its
    /// credentials expire. The function's own role needs the permission for it, and the role must
    /// trust the function's.
    #[must_use]
    pub fn assume_role(mut self, arn: impl Into<String>) -> Self {
        self.asks.place().set_role(arn.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_told_by_its_arn() {
        assert!(is_role("arn:aws:iam::111122223333:role/reader"));
        assert!(is_role("arn:aws-cn:iam::111122223333:role/path/reader"));
        for wrong in ["reader", "arn:aws:iam::111122223333:user/me", "arn:aws:iam::1:role/reader"] {
            assert!(!is_role(wrong), "{wrong}");
        }
    }
}
