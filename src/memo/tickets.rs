//! Which of a memo's keys are to be fetched, and who waits for them.
//!
//! A *ticket* stands for a key that is to be fetched, until what was fetched is in the store. Its
//! number is all that the engine knows of a key, and the engine decides when its fetch runs.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::store::Landed;
use crate::snapshot::{WaitCount, Waiting};
use crate::sync::watch;

/// Every ticket of the process has a number of its own.
static TICKETS: AtomicU64 = AtomicU64::new(1);

/// With this many tickets, none is added for keys that are only due.
const MOST_AHEAD: usize = 1024;

/// The state of a ticket.
#[derive(Clone)]
pub(super) enum Progress {
    Pending,
    /// Its fetch has taken longer than reads of a failing key wait.
    Slow,
    Landed(Landed),
}

pub(super) struct Ticket<K> {
    pub(super) number: u64,
    pub(super) key: K,
    /// How many readers wait for it.
    pub(super) waiting: Arc<WaitCount>,
    pub(super) progress: watch::Sender<Progress>,
}

/// A reader that waits at a ticket.
pub(super) struct Waiter {
    pub(super) ticket: u64,
    pub(super) count: Arc<WaitCount>,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) waiting: Waiting,
}

/// The tickets of one memo: of each key at most one, and by their numbers.
pub(super) struct Tickets<K> {
    of_key: HashMap<K, Arc<Ticket<K>>>,
    by_number: HashMap<u64, Arc<Ticket<K>>>,
}

impl<K: Clone + Eq + Hash> Tickets<K> {
    pub(super) fn new() -> Self {
        Self { of_key: HashMap::new(), by_number: HashMap::new() }
    }

    /// Waits for a key: at the ticket it has, or at a new one.
    pub(super) fn join(&mut self, key: &K) -> Waiter {
        let ticket = match self.of_key(key) {
            Some(ticket) => ticket,
            None => self.add(key.clone(), watch::Sender::new(Progress::Pending)),
        };
        Waiter {
            ticket: ticket.number,
            count: Arc::clone(&ticket.waiting),
            progress: ticket.progress.subscribe(),
            waiting: ticket.waiting.waiting(),
        }
    }

    /// A ticket for a key that is due; none if it has one.
    pub(super) fn ahead(&mut self, key: &K) -> Option<(u64, Arc<WaitCount>)> {
        let has_one = self.of_key(key).is_some();
        (!has_one && self.by_number.len() < MOST_AHEAD).then(|| {
            let ticket = self.add(key.clone(), watch::Sender::new(Progress::Pending));
            (ticket.number, Arc::clone(&ticket.waiting))
        })
    }

    /// The ticket of a key. An ended ticket may still be in the map, if the key's `Eq` or `Hash` panicked
    /// when it was to be removed.
    fn of_key(&self, key: &K) -> Option<Arc<Ticket<K>>> {
        let ticket = self.of_key.get(key)?;
        self.by_number.contains_key(&ticket.number).then(|| Arc::clone(ticket))
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<Ticket<K>>> {
        self.by_number.get(&number).map(Arc::clone)
    }

    /// Ends a ticket.
    pub(super) fn remove(&mut self, number: u64) -> Option<Arc<Ticket<K>>> {
        let ticket = self.by_number.remove(&number)?;
        self.of_key.remove(&ticket.key);
        Some(ticket)
    }

    /// Ends a ticket without looking up its key, whose code has panicked. The key's next read replaces
    /// it.
    pub(super) fn lose(&mut self, number: u64) {
        self.by_number.remove(&number);
    }

    /// Ends the ticket of a key that was invalidated: what is fetched for it is wrong. Its readers move to
    /// the new ticket that is returned.
    pub(super) fn void(&mut self, key: &K) -> Option<(u64, Arc<WaitCount>)> {
        let ticket = self.remove(self.of_key(key)?.number)?;
        ticket.waiting.any().then(|| {
            let again = Ticket {
                number: TICKETS.fetch_add(1, Ordering::Relaxed),
                key: key.clone(),
                waiting: Arc::clone(&ticket.waiting),
                progress: ticket.progress.clone(),
            };
            let again = self.insert(again);
            (again.number, Arc::clone(&again.waiting))
        })
    }

    fn add(&mut self, key: K, progress: watch::Sender<Progress>) -> Arc<Ticket<K>> {
        let number = TICKETS.fetch_add(1, Ordering::Relaxed);
        self.insert(Ticket { number, key, waiting: Arc::default(), progress })
    }

    fn insert(&mut self, ticket: Ticket<K>) -> Arc<Ticket<K>> {
        let ticket = Arc::new(ticket);
        self.of_key.insert(ticket.key.clone(), Arc::clone(&ticket));
        self.by_number.insert(ticket.number, Arc::clone(&ticket));
        ticket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_so_many_tickets_are_for_keys_that_are_only_due() {
        let mut tickets = Tickets::new();
        let numbers: Vec<_> = (0..MOST_AHEAD).filter_map(|key| tickets.ahead(&key)).collect();
        assert_eq!(numbers.len(), MOST_AHEAD);
        assert!(tickets.ahead(&MOST_AHEAD).is_none());
        // Readers get theirs all the same.
        _ = tickets.join(&MOST_AHEAD);
        for (number, _) in numbers {
            tickets.remove(number);
        }
        assert!(tickets.ahead(&0).is_some());
        assert!(tickets.ahead(&0).is_none(), "it has one");
        assert_eq!((tickets.of_key.len(), tickets.by_number.len()), (2, 2));
    }

    #[test]
    fn a_lost_ticket_is_replaced_by_the_next_read_of_its_key() {
        let mut tickets = Tickets::new();
        let lost = tickets.join(&1).ticket;
        tickets.lose(lost);
        let ticket = tickets.join(&1).ticket;
        assert_ne!(ticket, lost);
        assert_eq!(tickets.join(&1).ticket, ticket);
        tickets.remove(ticket);
        assert!(tickets.of_key.is_empty() && tickets.by_number.is_empty());
    }
}
