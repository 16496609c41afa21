//! A database in this process: the server, and the driver that a function would use.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

/// How long it takes to connect.
const HANDSHAKE: Duration = Duration::from_millis(5);

/// The server. Clones are one.
#[derive(Clone, Default)]
pub struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    passwords: Vec<String>,
    seen: Seen,
}

/// What the server has seen so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// How many rows were inserted.
    pub rows: usize,
    /// How many connections were refused for their password.
    pub refused: usize,
    /// How many pools were made with each password.
    pub pools: BTreeMap<String, usize>,
    /// How many of them are open.
    pub open_pools: usize,
    /// How many were closed while they were in use.
    pub closed_in_use: usize,
    /// How many rows were inserted through a pool that was no longer the newest.
    pub rows_of_old_pools: usize,
}

impl Server {
    /// From now on the server accepts these passwords and no others.
    pub fn accept<const N: usize>(&self, passwords: [&str; N]) {
        self.state().passwords = passwords.map(str::to_owned).to_vec();
    }

    pub fn seen(&self) -> Seen {
        self.state().seen.clone()
    }

    /// A pool of connections.
    pub async fn connect(&self, _: &str, password: SecretString) -> Result<Pool, DatabaseError> {
        self.log_in(&password).await?;
        let mut state = self.state();
        *state.seen.pools.entry(password.expose_secret().to_owned()).or_default() += 1;
        state.seen.open_pools += 1;
        let number = state.seen.pools.values().sum();
        Ok(Pool { server: self.clone(), password, number, in_use: AtomicUsize::new(0) })
    }

    async fn log_in(&self, password: &SecretString) -> Result<(), DatabaseError> {
        tokio::time::sleep(HANDSHAKE).await;
        let mut state = self.state();
        if state.passwords.iter().any(|it| it == password.expose_secret()) {
            return Ok(());
        }
        state.seen.refused += 1;
        Err(DatabaseError::PasswordRefused)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }
}

/// Connections that are made with one password. Closed when dropped.
pub struct Pool {
    server: Server,
    password: SecretString,
    /// How many there have been.
    number: usize,
    in_use: AtomicUsize,
}

impl Pool {
    /// Inserts a row, through a connection of its own, which takes up to 60 ms.
    pub async fn insert(&self, _: &str, number: u64) -> Result<(), super::stage::Error> {
        let _in_use = InUse::new(&self.in_use);
        self.server.log_in(&self.password).await?;
        tokio::time::sleep(Duration::from_millis(number % 12 * 5)).await;
        let seen = &mut self.server.state().seen;
        seen.rows += 1;
        seen.rows_of_old_pools += usize::from(self.number < seen.pools.values().sum());
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let seen = &mut self.server.state().seen;
        seen.open_pools -= 1;
        seen.closed_in_use += usize::from(self.in_use.load(Ordering::SeqCst) > 0);
    }
}

struct InUse<'a>(&'a AtomicUsize);

impl<'a> InUse<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
pub enum DatabaseError {
    PasswordRefused,
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the password is refused")
    }
}

impl std::error::Error for DatabaseError {}
