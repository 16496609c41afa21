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
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    /// The clock of tokio, which is paused in these tests.
    #[allow(clippy::disallowed_methods)]
    fn now() -> Instant {
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn of_requests_that_are_answered_no_more_are_under_way_than_there_may_be() {
        let limit = RequestLimit::new(3);
        let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let request = async || {
            most.fetch_max(under_way.fetch_add(1, Relaxed) + 1, Relaxed);
            sleep(Duration::from_millis(100)).await;
            under_way.fetch_sub(1, Relaxed);
        };
        let began = now();
        join_all((0..9).map(|_| limit.run(request()))).await;
        assert_eq!(most.into_inner(), 3);
        assert_eq!(began.elapsed().as_millis(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_hang_do_not_keep_others_from_being_made() {
        let limit = RequestLimit::new(3);
        let hang = || timeout(Duration::from_secs(5), limit.run(pending::<()>()));
        let another = async {
            let began = now();
            limit.run(sleep(Duration::from_millis(10))).await;
            began.elapsed()
        };
        let (.., waited) = tokio::join!(hang(), hang(), hang(), another);
        assert!(waited <= COUNTED + Duration::from_millis(20), "{waited:?}");
    }
}
