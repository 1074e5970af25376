//! A part of the cache under one lock: entries within a bound, and who waits for news of a key.
//!
//! It must not look at a session, or at a clock by itself.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Kept;
use crate::session::StoreKey;

/// How long a try to note the use of a session keeps others from it.
const TOUCH_PAUSE: Duration = Duration::from_secs(1);

/// Entries, evicted by second chance: what was used since its last turn gets another.
pub(super) struct Shard {
    /// Counts what was heard. An answer of the store that was asked for under another is not kept.
    generation: u64,
    entries: Entries,
    /// Whose turn it is to go: keys with the number of their entry, some of them gone already.
    turns: VecDeque<(StoreKey, u64)>,
    last_number: u64,
    bytes: usize,
    capacity: usize,
    listeners: HashMap<StoreKey, watch::Sender<()>>,
}

/// Keys are parts of hashes, so that hashing them once more would gain nothing.
type Entries = HashMap<StoreKey, Entry, BuildHasherDefault<AsItIs>>;

/// The number that was written, as its own hash.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Keys write one number alone. Whatever else comes is mixed in somehow.
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }
}

/// Freed by who takes it, not under the lock.
pub(super) type Dropped = Entries;

pub(super) struct Entry {
    kept: Kept,
    bytes: usize,
    number: u64,
    used: bool,
    touch_after: Option<Instant>,
}

impl Shard {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            generation: 0,
            entries: Entries::default(),
            turns: VecDeque::new(),
            last_number: 0,
            bytes: 0,
            capacity,
            listeners: HashMap::new(),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&mut self, key: &StoreKey) -> Option<Kept> {
        let entry = self.entries.get_mut(key)?;
        entry.used = true;
        Some(entry.kept.clone())
    }

    /// Takes an entry in, if nothing was heard since `generation`. What was there before is older,
    /// unless its version says otherwise, and goes in any case.
    pub(super) fn put(
        &mut self,
        generation: Option<u64>,
        key: &StoreKey,
        kept: Kept,
        bytes: usize,
    ) {
        let newer = |entry: &Entry| {
            entry.kept.version > kept.version && entry.kept.opened_by == kept.opened_by
        };
        if self.entries.get(key).is_some_and(newer) {
            return;
        }
        self.drop_entry(key);
        if generation != Some(self.generation) || bytes > self.capacity {
            return;
        }
        self.evict(self.capacity - bytes);
        self.last_number += 1;
        let number = self.last_number;
        let entry = Entry { kept, bytes, number, used: false, touch_after: None };
        self.entries.insert(*key, entry);
        self.turns.push_back((*key, number));
        self.bytes += bytes;
    }

    fn drop_entry(&mut self, key: &StoreKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }

    pub(super) fn forget(&mut self, key: &StoreKey) {
        self.generation += 1;
        self.drop_entry(key);
    }

    pub(super) fn changed(&mut self, key: &StoreKey) {
        self.forget(key);
        if let Some(listener) = self.listeners.get(key) {
            listener.send_replace(());
        }
    }

    /// Drops all, and wakes everybody: what they wait for may have been missed.
    pub(super) fn interrupted(&mut self) -> Dropped {
        self.generation += 1;
        self.turns.clear();
        self.bytes = 0;
        self.listeners.values().for_each(|listener| {
            listener.send_replace(());
        });
        std::mem::take(&mut self.entries)
    }

    pub(super) fn claim_touch(&mut self, key: &StoreKey, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return true };
        if entry.touch_after.is_some_and(|after| now < after) {
            return false;
        }
        entry.touch_after = Some(now + TOUCH_PAUSE);
        true
    }

    pub(super) fn listen(&mut self, key: &StoreKey) -> watch::Receiver<()> {
        self.listeners.entry(*key).or_default().subscribe()
    }

    pub(super) fn stop_listening(&mut self, key: &StoreKey) {
        if self.listeners.get(key).is_some_and(|listener| listener.receiver_count() == 0) {
            self.listeners.remove(key);
        }
    }

    /// Drops entries until the others take no more than `room`.
    fn evict(&mut self, room: usize) {
        while self.bytes > room {
            let Some((key, number)) = self.turns.pop_front() else { return };
            let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.number == number)
            else {
                continue;
            };
            if entry.used {
                entry.used = false;
                self.turns.push_back((key, number));
            } else {
                self.drop_entry(&key);
            }
        }
        // Entries that news dropped leave their turns behind.
        if self.turns.len() > 2 * self.entries.len() + 16 {
            let entries = &self.entries;
            self.turns.retain(|(key, number)| {
                entries.get(key).is_some_and(|entry| entry.number == *number)
            });
        }
    }
}

#[cfg(test)]
impl Shard {
    pub(super) fn turns_left(&self) -> usize {
        self.turns.len()
    }

    pub(super) fn listening(&self) -> usize {
        self.listeners.len()
    }
}
