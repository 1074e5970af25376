//! A part of the cache under one lock: entries within a bound, and who waits for news of a key.
//!
//! It must not look at a session, or at a clock by itself.

use std::collections::HashMap;

use hashbrown::HashTable;
use tokio::sync::watch;

use super::Kept;
use crate::session::StoreKey;

/// For how many microseconds a try to note the use of a session keeps others from it.
const TOUCH_PAUSE: u64 = 1_000_000;

/// Entries, evicted by second chance: what was used since its last turn gets another.
///
/// They lie side by side, and a table has nothing but their places: so a key is kept once, and a place
/// that is free in the table is a few bytes. Where one goes, the last takes its place.
pub(super) struct Shard {
    /// Counts what was heard. An answer of the store that was asked for under another is not kept.
    generation: u64,
    entries: Vec<Entry>,
    /// By [`StoreKey::number`].
    places: HashTable<u32>,
    /// Whose turn it is to go: a place, or one behind the last.
    turn: usize,
    bytes: usize,
    capacity: usize,
    listeners: HashMap<StoreKey, watch::Sender<()>>,
}

/// Freed by who takes it, not under the lock.
pub(super) type Dropped = Vec<Entry>;

pub(super) struct Entry {
    kept: Kept,
    /// The moment from which on a use may be noted.
    touch_from: u64,
    bytes: u32,
    key: StoreKey,
    used: bool,
}

impl Shard {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            generation: 0,
            entries: Vec::new(),
            places: HashTable::new(),
            turn: 0,
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
        let entry = self.entry(key)?;
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
        let known = self.place(key);
        let is_newer = |place: usize| {
            let known = &self.entries[place].kept;
            known.version > kept.version && known.opened_by == kept.opened_by
        };
        if known.is_some_and(is_newer) {
            return;
        }
        if let Some(known) = known {
            self.drop_at(known);
        }
        if generation != Some(self.generation) || bytes > self.capacity {
            return;
        }
        self.evict(self.capacity - bytes);
        let Ok(place) = u32::try_from(self.entries.len()) else { return };
        let Ok(size) = u32::try_from(bytes) else { return };
        let number = |place: &u32| self.entries[*place as usize].key.number();
        self.places.insert_unique(key.number(), place, number);
        self.entries.push(Entry { kept, touch_from: 0, bytes: size, key: *key, used: false });
        self.bytes += bytes;
    }

    fn place(&self, key: &StoreKey) -> Option<usize> {
        let is_its = |place: &u32| self.entries[*place as usize].key == *key;
        self.places.find(key.number(), is_its).map(|place| *place as usize)
    }

    fn entry(&mut self, key: &StoreKey) -> Option<&mut Entry> {
        self.place(key).and_then(|place| self.entries.get_mut(place))
    }

    fn drop_at(&mut self, place: usize) {
        let gone = self.entries.swap_remove(place);
        self.bytes -= gone.bytes as usize;
        let of_gone = self.places.find_entry(gone.key.number(), |one| *one as usize == place);
        let Ok(of_gone) = of_gone else { return };
        let (freed, _) = of_gone.remove();
        if let Some(moved) = self.entries.get(place) {
            let last = self.entries.len();
            let of_moved = self.places.find_mut(moved.key.number(), |one| *one as usize == last);
            if let Some(of_moved) = of_moved {
                *of_moved = freed;
            }
        }
    }

    pub(super) fn forget(&mut self, key: &StoreKey) {
        self.generation += 1;
        if let Some(place) = self.place(key) {
            self.drop_at(place);
        }
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
        self.places = HashTable::new();
        self.turn = 0;
        self.bytes = 0;
        self.listeners.values().for_each(|listener| {
            listener.send_replace(());
        });
        std::mem::take(&mut self.entries)
    }

    /// `now` in microseconds, whenever they begin.
    pub(super) fn claim_touch(&mut self, key: &StoreKey, now: u64) -> bool {
        let Some(entry) = self.entry(key) else { return true };
        if now < entry.touch_from {
            return false;
        }
        entry.touch_from = now + TOUCH_PAUSE;
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
            // The last came last, and is next to take another's place.
            if self.turn + 1 >= self.entries.len() {
                self.turn = 0;
            }
            let Some(entry) = self.entries.get_mut(self.turn) else { return };
            if entry.used {
                entry.used = false;
            } else {
                self.drop_at(self.turn);
            }
            // Also past the one that took the place of one that went.
            self.turn += 1;
        }
    }
}

#[cfg(test)]
impl Shard {
    pub(super) fn listening(&self) -> usize {
        self.listeners.len()
    }
}

#[cfg(test)]
mod tests;
