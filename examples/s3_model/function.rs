//! The function, as you would write it: it keeps a model as a file, for readers of the file, and loaded.

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

/// The max age of the model.
pub const MAX_AGE: Duration = Duration::from_millis(400);

/// The size of a model, in bytes.
pub const SIZE: usize = 1024 * 1024;

/// How often a model was loaded.
pub static LOADS: AtomicUsize = AtomicUsize::new(0);

/// A model whose every byte is the number of its version.
pub struct Model {
    bytes: Vec<u8>,
}

/// What an invocation saw.
#[derive(Debug, Serialize, Deserialize)]
pub struct Score {
    /// The version of the loaded model; `None` if it is not complete.
    pub model: Option<u8>,
    /// The version that each reader of the file found; `None` if it was not complete.
    pub file: Vec<Option<u8>>,
}

/// What `main` does with the builder of `Cache::builder(&aws_config::load_from_env().await)`. In Lambda
/// the path is below `/tmp`, where `.to_temporary_file()` puts it too.
pub async fn run(mut builder: Builder, path: PathBuf) -> Result<(), Error> {
    // Both entries have the same request, so the object is fetched once.
    let object = || s3::object("s3://models/v1.bin").to_file(&path).max_age(MAX_AGE);
    let file = builder.add(object().name("file"));
    let model = builder.add(object().name("model").derive(load));

    let cache = builder.spawn().await?;
    cache
        .run(move |_: LambdaEvent<serde_json::Value>, snapshot: Snapshot| async move {
            let (file, model) = (snapshot.get(file)?, snapshot.get(model)?);
            // The loaded model and an opened file stay what they are, even if they are replaced
            // meanwhile.
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

/// Reads the file as a library does that takes a path.
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
    /// The model's version, if it is complete.
    fn version(&self) -> Option<u8> {
        let version = *self.bytes.first()?;
        let complete = self.bytes.len() == SIZE && self.bytes.iter().all(|byte| *byte == version);
        complete.then_some(version)
    }
}
