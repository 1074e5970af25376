//! The refreshes of this process: one at a time for each session, shared by all who wait.
//!
//! Two sessions share one only if they are one: the key of the table is the whole store key, which
//! is a hash of policy and id, and holds all that the request to the provider is made of. It must
//! not know leases or tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Outcome, REST, Sessions};
use crate::session::StoreKey;

/// So many sessions may rest before those that are done are looked for.
const RESTING: usize = 1024;

type Sender = Arc<watch::Sender<Option<Outcome>>>;

/// The refreshes that are under way in this process.
pub(in crate::session) struct Flights {
    table: Mutex<Table>,
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct Table {
    under_way: HashMap<StoreKey, Sender>,
    /// Not to be tried ahead of time before then.
    resting: HashMap<StoreKey, Instant>,
    /// How many of them make it worth looking for those that are done.
    look_at: usize,
}

impl Default for Flights {
    fn default() -> Self {
        let table = Mutex::new(Table { look_at: RESTING, ..Table::default() });
        Self { table, count: watch::Sender::new(0) }
    }
}

impl Flights {
    /// Whether an attempt failed not long ago.
    pub(super) fn is_resting(&self, key: &StoreKey) -> bool {
        self.table().resting.get(key).is_some_and(|until| *until > Instant::now())
    }

    /// Waits until none is under way.
    pub(super) async fn all_landed(&self) {
        // The sender is right here.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn rest(&self, key: StoreKey, until: Instant) {
        let mut table = self.table();
        if table.resting.len() >= table.look_at {
            let now = Instant::now();
            table.resting.retain(|_, until| *until > now);
            table.look_at = RESTING.max(2 * table.resting.len());
        }
        table.resting.insert(key, until);
    }

    /// Every change is complete before the guard goes: a panic elsewhere leaves nothing torn.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that a session has. It has landed when this is dropped, whatever happened.
pub(in crate::session) struct Flight {
    sessions: Arc<Sessions>,
    key: StoreKey,
    outcome: Sender,
}

impl Flight {
    /// The outcome of a session's flight, to be waited for. `Some`: there was none, the caller flies.
    pub(in crate::session) fn board(
        sessions: &Arc<Sessions>,
        key: &StoreKey,
    ) -> (watch::Receiver<Option<Outcome>>, Option<Self>) {
        let flights = &sessions.flights;
        let mut table = flights.table();
        if let Some(outcome) = table.under_way.get(key) {
            return (outcome.subscribe(), None);
        }
        let outcome = Arc::new(watch::Sender::new(None));
        table.under_way.insert(*key, Arc::clone(&outcome));
        flights.count.send_modify(|count| *count += 1);
        let receiver = outcome.subscribe();
        (receiver, Some(Self { sessions: Arc::clone(sessions), key: *key, outcome }))
    }

    pub(in crate::session) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Whether nobody waits for it; nobody will then.
    pub(in crate::session) fn leave_if_alone(&self) -> bool {
        let mut table = self.sessions.flights.table();
        let alone = self.outcome.receiver_count() == 0;
        if alone {
            self.remove(&mut table);
        }
        alone
    }

    /// Tells all who wait.
    pub(in crate::session) fn land(self, outcome: Outcome) {
        if !matches!(outcome, Ok(super::Refreshed::Fresh(_) | super::Refreshed::Ended)) {
            let rest = REST + self.sessions.part_of(REST);
            self.sessions.flights.rest(self.key, Instant::now() + rest);
        }
        // Who comes from now on is not told of the past.
        self.remove(&mut self.sessions.flights.table());
        self.outcome.send_replace(Some(outcome));
    }

    /// Another may have begun since this one was left.
    fn remove(&self, table: &mut Table) {
        if table.under_way.get(&self.key).is_some_and(|one| Arc::ptr_eq(one, &self.outcome)) {
            table.under_way.remove(&self.key);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.remove(&mut self.sessions.flights.table());
        self.sessions.flights.count.send_modify(|count| *count -= 1);
    }
}
