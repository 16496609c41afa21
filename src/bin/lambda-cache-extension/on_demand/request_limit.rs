//! [`RequestLimit`]: how many requests may be under way to one service.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// A request counts for this long. A service that is well has answered by then; one that hangs must
/// not keep the places from requests that would not.
const COUNTED: Duration = Duration::from_millis(250);

/// Clones share one limit.
#[derive(Debug, Clone)]
pub(super) struct RequestLimit(Arc<Semaphore>);

impl RequestLimit {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))))
    }

    /// Runs a request as soon as fewer than the most are under way.
    pub(super) async fn run<T>(&self, request: impl Future<Output = T>) -> T {
        // It fails only where it is closed, which nobody does.
        let place = self.0.acquire().await;
        let mut request = pin!(request);
        match tokio::time::timeout(COUNTED, &mut request).await {
            Ok(answer) => answer,
            Err(_) => {
                drop(place);
                request.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures_util::future::join_all;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_requests_that_are_answered_no_more_are_under_way_than_there_may_be() {
        let limit = RequestLimit::new(3);
        let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let request = async || {
            most.fetch_max(under_way.fetch_add(1, Relaxed) + 1, Relaxed);
            sleep(Duration::from_millis(100)).await;
            under_way.fetch_sub(1, Relaxed);
        };
        let all = join_all((0..9).map(|_| limit.run(request())));
        timeout(Duration::from_millis(301), all).await.expect("three at a time");
        assert_eq!(most.into_inner(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_hang_do_not_keep_others_from_being_made() {
        let limit = RequestLimit::new(3);
        let hang = || timeout(Duration::from_secs(5), limit.run(pending::<()>()));
        let quick = Duration::from_millis(10);
        let another = timeout(COUNTED + 2 * quick, limit.run(sleep(quick)));
        let (.., another) = tokio::join!(hang(), hang(), hang(), another);
        another.expect("an answer");
    }
}
