//! A file that an object is put into: replaced as a whole, and by nothing but the newest fetch.

use std::error::Error as StdError;
use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::{fmt, fs, io};

use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

use super::body::Body;
use crate::entry::Version;
use crate::error::ErrorKind;
use crate::sources::FetchError;

/// What the names of unfinished files end in.
const UNFINISHED: &str = ".lambda-cache";

/// A file, known by its path.
#[derive(Debug)]
pub(super) struct TargetFile {
    path: PathBuf,
    state: Mutex<State>,
    swept: Once,
}

#[derive(Debug, Default)]
struct State {
    /// The turn whose fetch may replace the file.
    turn: u64,
    /// What it holds.
    held: Option<Held>,
}

#[derive(Debug, Clone)]
struct Held {
    version: Version,
    length: u64,
}

impl PartialEq for TargetFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for TargetFile {}

impl Hash for TargetFile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.path.hash(state);
    }
}

impl TargetFile {
    /// `path` is absolute and ends in a name.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, state: Mutex::default(), swept: Once::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A fetch begins: what an earlier one has not put into the file by now never gets there.
    ///
    /// The refresher starts a fetch anew that was frozen in flight. Were the older one to end last, an
    /// object that has been replaced would come back, and every 304 would confirm it.
    pub(super) fn begin(self: &Arc<Self>) -> Turn {
        let mut state = self.lock();
        state.turn += 1;
        Turn { file: Arc::clone(self), number: state.turn }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the names of its unfinished files begin with.
    fn unfinished(&self) -> OsString {
        let mut prefix = OsString::from(".");
        prefix.push(self.path.file_name().unwrap_or_default());
        prefix.push(".");
        prefix
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// A file beside it, which is removed when this is dropped.
    fn beside(&self) -> io::Result<NamedTempFile> {
        self.swept.call_once(|| self.sweep());
        let mut beside = tempfile::Builder::new();
        beside.prefix(&self.unfinished()).suffix(UNFINISHED).tempfile_in(self.directory())
    }

    /// Removes what a process that was killed has left, as far as possible: an environment keeps its
    /// `/tmp` when a function runs into its timeout, and there is not much of it.
    fn sweep(&self) {
        let prefix = self.unfinished();
        // Between the two is one random word: more is an unfinished file of a longer name than this.
        let is_ours = |name: &OsStr| {
            let name = name.as_encoded_bytes();
            let name = name.strip_prefix(prefix.as_encoded_bytes());
            let word = name.and_then(|rest| rest.strip_suffix(UNFINISHED.as_bytes()));
            word.is_some_and(|word| word.iter().all(u8::is_ascii_alphanumeric))
        };
        for entry in fs::read_dir(self.directory()).into_iter().flatten().flatten() {
            if is_ours(&entry.file_name()) {
                _ = fs::remove_file(entry.path());
            }
        }
    }

    fn replace(&self, turn: u64, finished: NamedTempFile, held: Option<Held>) -> io::Result<()> {
        // Held while the file is renamed, so that a fetch has either replaced it when its turn is
        // over, or never will.
        let mut state = self.lock();
        if state.turn != turn {
            return Err(io::Error::other("a later fetch has begun"));
        }
        finished.persist(&self.path).map_err(|error| error.error)?;
        state.held = held;
        Ok(())
    }
}

/// A fetch's turn at a file, which is over when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    file: Arc<TargetFile>,
    number: u64,
}

impl Turn {
    /// The version that the file holds, if it is still there as it was written.
    pub(super) async fn held(&self) -> Option<Version> {
        let held = self.file.lock().held.clone()?;
        let there = tokio::fs::metadata(&self.file.path).await.ok()?;
        (there.is_file() && there.len() == held.length).then_some(held.version)
    }

    /// Puts a body into a file beside the target, which then takes its place: whoever opens the
    /// target gets all of the old object or all of the new one. If this fails or is dropped, the
    /// target stays and the file beside it goes.
    pub(super) async fn write(
        self,
        mut body: Body,
        version: Option<&Version>,
    ) -> Result<(), FetchError> {
        let failed = |source| {
            let path = self.file.path.clone();
            FetchError::new(ErrorKind::Source, FileError { path, source })
        };
        let target = Arc::clone(&self.file);
        let unfinished = blocking(move || target.beside()).await.map_err(failed)?;
        let mut file = tokio::fs::File::from_std(unfinished.as_file().try_clone().map_err(failed)?);
        while let Some(chunk) = body.next().await? {
            file.write_all(&chunk).await.map_err(failed)?;
        }
        // Only this tells what has become of the last write.
        file.flush().await.map_err(failed)?;
        let held = version.map(|it| Held { version: it.clone(), length: body.read() });
        let (target, turn) = (Arc::clone(&self.file), self.number);
        blocking(move || target.replace(turn, unfinished, held)).await.map_err(failed)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.file.lock();
        if state.turn == self.number {
            state.turn += 1;
        }
    }
}

/// On a thread that may wait for the disk. To rename a large file takes tens of milliseconds.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::from).flatten()
}

/// What is wrong with a file, and which.
#[derive(Debug)]
struct FileError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the file {} could not be written", self.path.display())
    }
}

impl StdError for FileError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A fetch has written its file, and dawdles before the rename: what happens meanwhile?
    fn written_late(meanwhile: impl FnOnce(&Arc<TargetFile>, Turn)) -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("file");
        fs::write(&path, "old")?;
        let target = Arc::new(TargetFile::new(path.clone()));
        let turn = target.begin();
        let (number, mut beside) = (turn.number, target.beside()?);
        beside.write_all(b"new")?;
        meanwhile(&target, turn);
        let replaced = target.replace(number, beside, None);
        assert_eq!(fs::read_dir(directory.path())?.count(), 1, "nothing is left beside it");
        let expected = if replaced.is_ok() { "new" } else { "old" };
        assert_eq!(fs::read_to_string(path)?, expected);
        replaced
    }

    #[test]
    fn a_fetch_whose_turn_it_is_replaces_the_file() {
        let mut turns = Vec::new();
        assert!(written_late(|_, turn| turns.push(turn)).is_ok());
    }

    #[test]
    fn a_fetch_that_is_dropped_while_it_renames_changes_nothing() {
        assert!(written_late(|_, turn| drop(turn)).is_err());
    }

    #[test]
    fn a_fetch_that_is_overtaken_changes_nothing() {
        let mut turns = Vec::new();
        let overtaken = written_late(|target, turn| turns.extend([turn, target.begin()]));
        assert!(overtaken.is_err());
    }
}
