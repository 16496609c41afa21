//! A file that an object is put into: replaced as a whole, and by the newest fetch alone.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::{fs, io};

use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

use super::Request;
use super::object::Body;
use crate::entry::Version;
use crate::error::ErrorKind;
use crate::sources::FetchError;
use crate::sources::aws::Place;

/// What the names of unfinished files end in.
const UNFINISHED: &str = ".lambda-cache";
/// The longest name of a file, in bytes: systems allow 255, and an unfinished file's is longer.
const MAX_NAME: usize = 200;

/// Which request writes which file of a cache.
#[derive(Default)]
pub(super) struct Writers(Mutex<HashMap<PathBuf, (Place, Request)>>);

impl Writers {
    /// Reserves a file for a request at one place, or says which other request writes it.
    pub(super) fn add(
        &self,
        file: &TargetFile,
        place: &Place,
        request: &Request,
    ) -> Result<(), String> {
        let writer = (place.clone(), request.clone());
        let mut writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = writers.entry(canonical(&file.path)).or_insert_with(|| writer.clone());
        if *first == writer {
            return Ok(());
        }
        let path = file.path.display();
        Err(format!("the file {path} is written by two entries: {} and {request}", first.1))
    }
}

/// The path of a file without links and `..`, if its directory exists.
fn canonical(path: &Path) -> PathBuf {
    let directory = path.parent().and_then(|it| it.canonicalize().ok());
    match (directory, path.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => path.to_owned(),
    }
}

/// A file, identified by its path.
#[derive(Debug)]
pub(super) struct TargetFile {
    path: PathBuf,
    state: Mutex<State>,
    swept: Once,
}

#[derive(Debug, Default)]
struct State {
    /// The current turn: only its fetch may replace the file.
    turn: u64,
    held: Option<Held>,
}

/// What was last written into a file.
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
    /// The file at `path`, made absolute, or why there can be no file.
    pub(super) fn new(path: &Path) -> Result<Arc<Self>, String> {
        let bytes = path.as_os_str().as_encoded_bytes();
        let problem = match path.file_name() {
            None => Some("it ends in no name"),
            Some(name) if name.len() > MAX_NAME => Some("its name is longer than 200 bytes"),
            _ if bytes.contains(&0) => Some("it has a NUL in it"),
            _ if bytes.ends_with(b"/") || path.is_dir() => Some("it is that of a directory"),
            _ => None,
        };
        let absolute = match problem {
            Some(problem) => Err(problem.to_owned()),
            None => std::path::absolute(path).map_err(|error| error.to_string()),
        };
        match absolute {
            Ok(path) => Ok(Arc::new(Self { path, state: Mutex::default(), swept: Once::new() })),
            Err(problem) => Err(format!("\"{}\" is no path for a file: {problem}", path.display())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a fetch's turn, and ends that of any earlier fetch, which can no longer replace the file.
    ///
    /// The refresher starts a fetch anew that was frozen in flight. If the older one could end last, it
    /// would bring back an old object, which every 304 would then confirm.
    pub(super) fn begin(self: &Arc<Self>) -> Turn {
        let mut state = self.lock();
        state.turn += 1;
        Turn { file: Arc::clone(self), number: state.turn }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the names of its unfinished files begin with.
    fn unfinished_prefix(&self) -> OsString {
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
        beside.prefix(&self.unfinished_prefix()).suffix(UNFINISHED).tempfile_in(self.directory())
    }

    /// Removes unfinished files of a process that was killed, as far as possible: an environment keeps
    /// its small `/tmp` when a function runs into its timeout.
    fn sweep(&self) {
        let prefix = self.unfinished_prefix();
        // Between the two is one random word. Anything else belongs to a file with a longer name.
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
        // Locked while the file is renamed, so that when a fetch's turn is over it has either replaced
        // the file or never will.
        let mut state = self.lock();
        if state.turn != turn {
            return Err(io::Error::other("a later fetch has begun"));
        }
        finished.persist(&self.path).map_err(|error| error.error)?;
        state.held = held;
        Ok(())
    }
}

/// A fetch's turn to replace a file, which is over when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    file: Arc<TargetFile>,
    number: u64,
}

impl Turn {
    /// The version of the object in the file, if it is still there as it was written.
    pub(super) async fn held(&self) -> Option<Version> {
        let held = self.file.lock().held.clone()?;
        let there = tokio::fs::metadata(&self.file.path).await.ok()?;
        (there.is_file() && there.len() == held.length).then_some(held.version)
    }

    /// Writes a body into a file beside the target, which then replaces it: whoever opens the target
    /// gets all of the old object or all of the new one. If this fails or is dropped, the target stays
    /// and the file beside it is removed.
    pub(super) async fn write(
        self,
        mut body: Body,
        version: Option<&Version>,
    ) -> Result<(), FetchError> {
        let failed = |error: io::Error| {
            let message = format!("the file {} could not be written", self.file.path.display());
            FetchError::new(ErrorKind::Source, error).lasting().context(message)
        };
        let target = Arc::clone(&self.file);
        let unfinished = blocking(move || target.beside()).await.map_err(failed)?;
        let mut file = tokio::fs::File::from_std(unfinished.as_file().try_clone().map_err(failed)?);
        while let Some(chunk) = body.next().await? {
            file.write_all(&chunk).await.map_err(failed)?;
        }
        // Reports an error of the last write.
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

/// Runs work on a thread that may wait for the disk. Renaming a large file takes tens of milliseconds.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::from).flatten()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A fetch has written its file, and something happens before the rename.
    fn written_late(meanwhile: impl FnOnce(&Arc<TargetFile>, Turn)) -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("file");
        fs::write(&path, "old")?;
        let target = TargetFile::new(&path).expect("a path");
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
