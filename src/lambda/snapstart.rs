//! SnapStart: nothing fetched before the snapshot is in it, or served after the restore.

use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{BoxFuture, SnapStartResource};

use crate::cache::Cache;
use crate::refresher::Message;

/// What a restore may take: Lambda gives hooks ten seconds.
const RESTORE_DEADLINE: Duration = Duration::from_secs(8);

impl Cache {
    /// The hooks for a runtime of your own
    /// ([`Runtime::register_snapstart_resource`](lambda_runtime::Runtime::register_snapstart_resource));
    /// [`run`](Self::run) registers them itself.
    ///
    /// Before the snapshot every value is dropped and every fetch cancelled, so that no secret is in
    /// the snapshot, which may be kept for days. After the restore clients are rebuilt, since no
    /// connection survives, and everything is fetched again. Snapshots and values that your own code
    /// keeps are out of reach.
    pub fn snapstart_resource(&self) -> Arc<dyn SnapStartResource> {
        Arc::new(Hooks(self.clone()))
    }
}

struct Hooks(Cache);

impl SnapStartResource for Hooks {
    fn before_snapshot(&self) -> BoxFuture<'_, Result<(), lambda_runtime::Error>> {
        Box::pin(async {
            self.0.refresher.ask(|done| Message::Suspend { done }).await?;
            Ok(())
        })
    }

    fn after_restore(&self) -> BoxFuture<'_, Result<(), lambda_runtime::Error>> {
        Box::pin(async {
            self.0.refresher.ask(|done| Message::Resume { done }).await?;
            if let Err(error) = self.0.load(RESTORE_DEADLINE).await {
                // Reads say so too, if it is still so then; a restore that fails helps nobody.
                tracing::warn!(%error, "not everything could be fetched after the restore");
            }
            Ok(())
        })
    }
}
