//! Where an entry's service is asked: the region, and in whose name.

use super::Role;
use crate::error::{Error, ErrorKind};
use crate::sources::{Declare, Entry};

/// A region and a role, each that of the configuration given to
/// [`Cache::builder`](crate::Cache::builder) unless an entry's user says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Place {
    region: Option<String>,
    role: Option<Role>,
}

impl Place {
    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    pub(crate) fn role(&self) -> Option<&Role> {
        self.role.as_ref()
    }

    pub(crate) fn set_region(&mut self, region: String) {
        self.region = Some(region);
    }

    pub(crate) fn set_role(&mut self, role: Role) {
        self.role = Some(role);
    }

    /// The same place by one name: the configuration's own region by name is no other region.
    pub(crate) fn canonical(mut self, own_region: Option<&str>) -> Self {
        self.region = self.region.filter(|region| Some(region.as_str()) != own_region);
        self
    }

    /// What is wrong with it, if anything.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |message| Error::new(ErrorKind::Declaration, message);
        if self.region.as_deref() == Some("") {
            return Err(invalid("the region is empty".to_owned()));
        }
        self.role.as_ref().map_or(Ok(()), |role| role.check().map_err(invalid))
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

    /// Ask with the rights of this role, in whose account the thing may be: its full ARN, or a [`Role`]
    /// that says more, such as an external id.
    ///
    /// Calls `sts:AssumeRole`, once for all entries with the role, and again shortly before its
    /// credentials expire. The function's own role needs the permission for it, and the role must
    /// trust the function's. The session is named after the function.
    #[must_use]
    pub fn assume_role(mut self, role: impl Into<Role>) -> Self {
        self.asks.place().set_role(role.into());
        self
    }
}
