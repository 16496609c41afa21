//! Stand-ins for what shuttle has not, made of its mutex.

use std::ops::Deref;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::sync::{Mutex, MutexGuard};

pub(crate) fn step() {
    // shuttle may switch before each access to an atomic.
    AtomicBool::new(false).load(Ordering::SeqCst);
}

pub(crate) fn spawn_blocking(run: impl FnOnce() + Send + 'static) {
    shuttle::thread::spawn(run);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

impl<T> ArcSwap<T> {
    pub(crate) fn from_pointee(value: T) -> Self {
        Self(Mutex::new(Arc::new(value)))
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        Arc::clone(&lock(&self.0))
    }

    pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
        std::mem::replace(&mut *lock(&self.0), value)
    }
}

/// tokio's own, whose calls are single steps.
pub(crate) struct Notify(tokio::sync::Notify);

impl Notify {
    pub(crate) fn new() -> Self {
        Self(tokio::sync::Notify::new())
    }

    pub(crate) fn notify_one(&self) {
        step();
        self.0.notify_one();
    }

    pub(crate) async fn notified(&self) {
        step();
        self.0.notified().await;
    }
}

pub(crate) mod watch {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    struct Shared<T> {
        value: T,
        changes: u64,
        senders: usize,
        waiting: Vec<Waker>,
    }

    pub(crate) struct Sender<T>(Arc<Mutex<Shared<T>>>);

    pub(crate) struct Receiver<T> {
        shared: Arc<Mutex<Shared<T>>>,
        seen: u64,
    }

    /// A copy: a guard of shuttle's cannot go to another thread.
    pub(crate) struct Ref<T>(T);

    /// All senders are gone.
    #[derive(Debug)]
    pub(crate) struct Closed;

    impl<T> Deref for Ref<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T: Clone> Sender<T> {
        pub(crate) fn new(value: T) -> Self {
            let shared = Shared { value, changes: 0, senders: 1, waiting: Vec::new() };
            Self(Arc::new(Mutex::new(shared)))
        }

        pub(crate) fn subscribe(&self) -> Receiver<T> {
            Receiver { shared: Arc::clone(&self.0), seen: lock(&self.0).changes }
        }

        pub(crate) fn send_replace(&self, value: T) -> T {
            let mut before = value;
            self.send_if_modified(|now| {
                std::mem::swap(now, &mut before);
                true
            });
            before
        }

        pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
            let mut shared = lock(&self.0);
            let modified = modify(&mut shared.value);
            if modified {
                shared.changes += 1;
                let waiting = std::mem::take(&mut shared.waiting);
                drop(shared);
                waiting.into_iter().for_each(Waker::wake);
            }
            modified
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            lock(&self.0).senders += 1;
            Self(Arc::clone(&self.0))
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            let mut shared = lock(&self.0);
            shared.senders -= 1;
            if shared.senders == 0 {
                let waiting = std::mem::take(&mut shared.waiting);
                drop(shared);
                waiting.into_iter().for_each(Waker::wake);
            }
        }
    }

    impl<T: Clone> Receiver<T> {
        pub(crate) fn borrow(&self) -> Ref<T> {
            Ref(lock(&self.shared).value.clone())
        }

        pub(crate) fn borrow_and_update(&mut self) -> Ref<T> {
            let shared = lock(&self.shared);
            self.seen = shared.changes;
            Ref(shared.value.clone())
        }

        pub(crate) async fn changed(&mut self) -> Result<(), Closed> {
            changed(&self.shared, &mut self.seen).await
        }

        pub(crate) async fn wait_for(
            &mut self,
            mut is_awaited: impl FnMut(&T) -> bool,
        ) -> Result<Ref<T>, Closed> {
            loop {
                let value = self.borrow_and_update();
                if is_awaited(&value) {
                    return Ok(value);
                }
                changed(&self.shared, &mut self.seen).await?;
            }
        }
    }

    async fn changed<T>(shared: &Mutex<Shared<T>>, seen: &mut u64) -> Result<(), Closed> {
        poll_fn(|context| {
            let mut shared = lock(shared);
            if shared.changes != *seen {
                *seen = shared.changes;
                Poll::Ready(Ok(()))
            } else if shared.senders == 0 {
                Poll::Ready(Err(Closed))
            } else {
                shared.waiting.push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// Runs a test on many random schedules, half of them by shuttle's PCT scheduler, which finds bugs that
/// take few but exact switches. `INTERLEAVINGS` says how many. A failure prints its schedule.
#[cfg(test)]
pub(crate) fn on_every_schedule(test: impl Fn() + Send + Sync + Copy + 'static) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};

    let schedules = std::env::var("INTERLEAVINGS").ok().and_then(|it| it.parse().ok());
    let half = schedules.unwrap_or(10_000_usize).div_ceil(2);
    shuttle::Runner::new(RandomScheduler::new(half), shuttle::Config::new()).run(test);
    shuttle::Runner::new(PctScheduler::new(3, half), shuttle::Config::new()).run(test);
}
