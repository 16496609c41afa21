//! Permissions for batch operations, which a role may lack although it has those for single items.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// On which resources the role may not use a batch operation, so that their items are asked for one by
/// one.
#[derive(Debug)]
pub(crate) struct BatchPermission {
    operation: &'static str,
    lacking: Mutex<HashSet<String>>,
}

impl BatchPermission {
    /// The permission for an operation such as `dynamodb:BatchGetItem`, which is there until proved
    /// otherwise.
    pub(crate) fn new(operation: &'static str) -> Self {
        Self { operation, lacking: Mutex::default() }
    }

    pub(crate) fn is_lacking_on(&self, resource: &str) -> bool {
        self.lacking().contains(resource)
    }

    /// Remembers that the role lacks the permission, and warns of it the first time.
    pub(crate) fn lacks_on(&self, resource: &str, message: Option<&str>) {
        if self.lacking().insert(resource.to_owned()) {
            let operation = self.operation;
            tracing::warn!(
                message,
                "fetched one by one from now on: the role lacks the permission {operation} on \
                 {resource}"
            );
        }
    }

    /// Forgets everything: the role may be another one.
    pub(crate) fn reset(&self) {
        self.lacking().clear();
    }

    fn lacking(&self) -> MutexGuard<'_, HashSet<String>> {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
