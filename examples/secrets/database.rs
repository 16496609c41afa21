//! A database in this process: the server, and the driver that the function uses.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lambda_runtime::Error;
use secrecy::{ExposeSecret, SecretString};

/// How long it takes to connect.
const HANDSHAKE: Duration = Duration::from_millis(5);

/// The server. Clones share one.
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
    /// How many rows were inserted into each table.
    pub rows: BTreeMap<&'static str, usize>,
    /// How many connections were refused because of their password.
    pub refused: usize,
    /// How many pools were made with each password.
    pub pools: BTreeMap<String, usize>,
    /// How many pools are open.
    pub open_pools: usize,
    /// How many rows were inserted through a pool that was not the newest.
    pub rows_of_old_pools: usize,
}

impl Server {
    /// The server accepts only these passwords from now on.
    pub fn accept<const N: usize>(&self, passwords: [&str; N]) {
        self.state().passwords = passwords.map(str::to_owned).to_vec();
    }

    pub fn seen(&self) -> Seen {
        self.state().seen.clone()
    }

    /// Makes a pool of connections.
    pub async fn connect(&self, username: String, password: SecretString) -> Result<Pool, Error> {
        self.log_in(&username, &password).await?;
        let mut state = self.state();
        *state.seen.pools.entry(password.expose_secret().to_owned()).or_default() += 1;
        state.seen.open_pools += 1;
        let number = state.seen.pools.values().sum();
        Ok(Pool { server: self.clone(), username, password, number })
    }

    async fn log_in(&self, username: &str, password: &SecretString) -> Result<(), DatabaseError> {
        tokio::time::sleep(HANDSHAKE).await;
        let mut state = self.state();
        let accepted = state.passwords.iter().any(|it| it == password.expose_secret());
        if username == "orders" && accepted {
            return Ok(());
        }
        state.seen.refused += 1;
        Err(DatabaseError::PasswordRefused)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }
}

/// A pool whose connections use one password. Closed when dropped.
pub struct Pool {
    server: Server,
    username: String,
    password: SecretString,
    /// Its place in the order of all pools, from 1.
    number: usize,
}

impl Pool {
    /// Inserts a row through a new connection, which takes up to 60 ms.
    pub async fn insert(&self, table: &'static str, number: u64) -> Result<(), Error> {
        self.server.log_in(&self.username, &self.password).await?;
        tokio::time::sleep(Duration::from_millis(number % 12 * 5)).await;
        let seen = &mut self.server.state().seen;
        *seen.rows.entry(table).or_default() += 1;
        seen.rows_of_old_pools += usize::from(self.number < seen.pools.values().sum());
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.server.state().seen.open_pools -= 1;
    }
}

#[derive(Debug)]
pub enum DatabaseError {
    PasswordRefused,
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the password was refused")
    }
}

impl std::error::Error for DatabaseError {}
