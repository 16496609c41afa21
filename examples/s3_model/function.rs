//! The function: it scores with a model that is kept in a file, and hands the file to others. It knows
//! nothing of where it runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use lambda_cache::sources::s3;
use lambda_cache::{Builder, Snapshot};
use lambda_runtime::{Error, LambdaEvent};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

/// How old the model may be.
pub const MAX_AGE: Duration = Duration::from_millis(400);

/// Of a model, in bytes.
pub const SIZE: usize = 1024 * 1024;

/// A metric: how often a model was loaded.
pub static LOADS: AtomicUsize = AtomicUsize::new(0);

/// A model whose every byte is the number of its version.
pub struct Model {
    bytes: Vec<u8>,
}

/// What an invocation saw.
#[derive(Debug, Serialize, Deserialize)]
pub struct Score {
    /// The model that is loaded, if it is whole.
    pub model: Option<u8>,
    /// The models that readers of the file found in it, if they are whole.
    pub file: Vec<Option<u8>>,
}

/// What `main` does, once it has a builder: `Cache::builder(&aws_config::load_from_env().await)`. In
/// Lambda the path is one below `/tmp`, where `.to_temporary_file()` puts it too.
pub async fn run(mut builder: Builder, path: PathBuf) -> Result<(), Error> {
    // Both entries ask for one thing, so it is fetched once.
    let object = || s3::object("s3://models/v1.bin").to_file(&path).max_age(MAX_AGE);
    let file = builder.add(object().name("file"));
    let model = builder.add(object().name("model").derive(load));

    let cache = builder.spawn().await?;
    cache
        .run(move |_: LambdaEvent<serde_json::Value>, snapshot: Snapshot| async move {
            let (file, model) = (snapshot.get(file)?, snapshot.get(model)?);
            // The model that is loaded stays what it is, and so does a file that was opened, even if
            // a new one takes their place meanwhile.
            let readers = try_join_all((0..4).map(|_| read_slowly(file))).await?;
            let file = readers.iter().map(Model::version).collect();
            Ok::<_, Error>(Score { model: model.version(), file })
        })
        .await
}

/// Runs once for each version of the object.
async fn load(path: PathBuf) -> Result<Model, io::Error> {
    LOADS.fetch_add(1, Ordering::SeqCst);
    Ok(Model { bytes: tokio::fs::read(path).await? })
}

/// As a library does that takes a path.
async fn read_slowly(path: &Path) -> Result<Model, io::Error> {
    let mut file = tokio::fs::File::open(path).await?;
    let (mut bytes, mut part) = (Vec::new(), vec![0; SIZE / 16]);
    loop {
        match file.read(&mut part).await? {
            0 => return Ok(Model { bytes }),
            read => bytes.extend_from_slice(&part[..read]),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl Model {
    /// The model's version, if it is whole.
    fn version(&self) -> Option<u8> {
        let version = *self.bytes.first()?;
        let whole = self.bytes.len() == SIZE && self.bytes.iter().all(|byte| *byte == version);
        whole.then_some(version)
    }
}
