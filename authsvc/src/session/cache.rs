//! Sessions as this replica read them last, so that a check of a session in use asks no store.
//!
//! Why it exists, and why it is not the store's client's: an entry must never outlive the news that
//! made it wrong. Three rules make that so:
//! - An entry is taken in only if nothing was heard in its shard since before the store was asked,
//!   and only if changes were being told by then. An answer that news overtook is used once and not
//!   kept.
//! - Any news of a key drops its entry; an interruption drops all.
//! - Nothing is given out unless all that happened until [`FRESH_FOR`] ago was told.
//!
//! It must not ask the store, judge whether a session is over, or be asked under another sealer than
//! the one that opened the record: another keyring or policy finds nothing here.

mod ends;
mod footprint;
mod news;
mod shard;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::seal::SealerId;
use super::store::{Change, ChangeListener};
use super::{Session, StoreKey};
use ends::Ends;
pub use news::News;
use shard::Shard;

/// For how long what was told last is enough to answer from memory.
pub const FRESH_FOR: Duration = Duration::from_millis(500);

/// How much the sessions in memory may take together, unless set otherwise.
pub const DEFAULT_BYTES: usize = 64 * 1024 * 1024;

/// One lock each.
const SHARDS: usize = 16;

/// The sessions in memory, and the ends that are remembered.
pub struct SessionCache {
    shards: [Mutex<Shard>; SHARDS],
    started: Instant,
    /// Up to when all was told: microseconds from `started`, and one; 0: nothing is told.
    told_until: AtomicU64,
    interrupted: AtomicBool,
    resumed: Notify,
    ends: Mutex<Ends>,
}

/// A session in memory.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The session.
    pub session: Arc<Session>,
    /// The version of its record.
    pub version: u64,
    /// What opened its record.
    pub opened_by: SealerId,
    /// Whether the record is sealed by the active key.
    pub by_active_key: bool,
}

/// Lets an answer of the store in that was asked for after this was given out, if nothing was heard
/// in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl SessionCache {
    /// An empty one for so many bytes; with 0 it never holds anything.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(Shard::new(bytes / SHARDS))),
            started: Instant::now(),
            told_until: AtomicU64::new(0),
            interrupted: AtomicBool::new(true),
            resumed: Notify::new(),
            ends: Mutex::default(),
        }
    }

    /// What is known of a session without asking, and the ticket for what is made of it.
    #[must_use]
    pub fn get(&self, key: &StoreKey, sealer: &SealerId) -> Option<(Kept, Ticket)> {
        self.get_at(key, sealer, Instant::now())
    }

    fn get_at(&self, key: &StoreKey, sealer: &SealerId, now: Instant) -> Option<(Kept, Ticket)> {
        if !self.is_fresh_at(now) {
            return None;
        }
        let mut shard = self.shard(key);
        let kept = shard.get(key).filter(|kept| kept.opened_by == *sealer)?;
        Some((kept, Ticket(shard.generation())))
    }

    /// To be taken before the store is asked. `None`: changes are not told, nothing may be kept.
    #[must_use]
    pub fn ticket(&self, key: &StoreKey) -> Option<Ticket> {
        // In this order: an interruption takes back the moment first, and the generations then.
        let ticket = Ticket(self.shard(key).generation());
        (self.told_until.load(Ordering::SeqCst) > 0).then_some(ticket)
    }

    /// Keeps what the store answered, if the ticket still holds.
    pub fn keep(&self, ticket: Option<Ticket>, key: &StoreKey, kept: Kept) {
        let bytes = footprint::of(&kept.session);
        self.shard(key).put(ticket.map(|ticket| ticket.0), key, kept, bytes);
    }

    /// Forgets a session that turned out to be different, and what is on its way here.
    pub fn forget(&self, key: &StoreKey) {
        self.shard(key).forget(key);
    }

    /// Whether the caller is the one to note the use of a session in memory: one at a time, and no
    /// second try within a second.
    #[must_use]
    pub fn claim_touch(&self, key: &StoreKey) -> bool {
        self.shard(key).claim_touch(key, self.moment(Instant::now()))
    }

    /// News of one key, from now on.
    #[must_use]
    pub fn news(self: &Arc<Self>, key: &StoreKey) -> News {
        let heard = self.shard(key).listen(key);
        News::new(Arc::clone(self), *key, heard)
    }

    /// Whether it is known that this session ended, whatever the store says.
    #[must_use]
    pub fn has_ended(&self, key: &StoreKey) -> bool {
        self.ends().contains(key, Instant::now())
    }

    /// All ends that are remembered.
    #[must_use]
    pub fn remembered_ends(&self) -> Vec<StoreKey> {
        self.ends().all(Instant::now())
    }

    /// Waits until changes are told again after an interruption.
    pub async fn resumed(&self) {
        self.resumed.notified().await;
    }

    /// Whether answers may come from memory now.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.is_fresh_at(Instant::now())
    }

    fn is_fresh_at(&self, now: Instant) -> bool {
        let told_until = self.told_until.load(Ordering::SeqCst);
        let silent = self.moment(now).saturating_sub(told_until);
        told_until > 0 && silent <= micros(FRESH_FOR)
    }

    /// What all entries are taken to need.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).bytes()).sum()
    }

    fn stop_listening(&self, key: &StoreKey) {
        self.shard(key).stop_listening(key);
    }

    fn moment(&self, at: Instant) -> u64 {
        micros(at.saturating_duration_since(self.started)).saturating_add(1)
    }

    fn shard(&self, key: &StoreKey) -> MutexGuard<'_, Shard> {
        lock(&self.shards[usize::from(key.digest()[0]) % SHARDS])
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        lock(&self.ends)
    }
}

impl ChangeListener for SessionCache {
    fn changed(&self, key: &StoreKey, change: Change) {
        if change == Change::Ended {
            self.ends().remember(*key, Instant::now());
        }
        self.shard(key).changed(key);
    }

    fn up_to_date(&self, as_of: Instant) {
        self.told_until.fetch_max(self.moment(as_of), Ordering::SeqCst);
        if self.interrupted.swap(false, Ordering::SeqCst) {
            self.resumed.notify_one();
        }
    }

    fn interrupted(&self) {
        self.told_until.store(0, Ordering::SeqCst);
        self.interrupted.store(true, Ordering::SeqCst);
        for shard in &self.shards {
            let dropped = lock(shard).interrupted();
            // Sessions are freed where nobody waits for them.
            drop(dropped);
        }
    }
}

/// What a guard protects is whole between two calls: a panic elsewhere leaves nothing torn.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
