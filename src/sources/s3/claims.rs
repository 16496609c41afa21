//! Which entry writes which file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Request, S3};
use crate::error::{Error, ErrorKind};

/// The files that a cache's entries are written to, and what each is written with.
#[derive(Default)]
pub(crate) struct Claims(HashMap<PathBuf, (Arc<S3>, Request)>);

impl Claims {
    /// Reserves a file for a request and all entries that share it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Declaration`] if another request writes it.
    pub(super) fn claim(
        &mut self,
        path: &Path,
        source: &Arc<S3>,
        request: &Request,
    ) -> Result<(), Error> {
        match self.0.entry(whatever_its_name(path)) {
            Entry::Vacant(free) => {
                free.insert((Arc::clone(source), request.clone()));
                Ok(())
            }
            Entry::Occupied(taken) => {
                let (owner, first) = taken.get();
                if Arc::ptr_eq(owner, source) && first == request {
                    return Ok(());
                }
                let message = format!(
                    "the file {} is written by two entries: {first} and {request}",
                    path.display()
                );
                Err(Error::new(ErrorKind::Declaration, message))
            }
        }
    }
}

/// The one path of a file that links and `..` give several, where its directory exists.
fn whatever_its_name(path: &Path) -> PathBuf {
    let directory = path.parent().and_then(|it| it.canonicalize().ok());
    match (directory, path.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => path.to_owned(),
    }
}
