//! Sessions in the memory of this process: for demos, tests and a single replica.
//!
//! It must not grow without bound, keep a record past its time, or be used by two replicas.

mod records;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::StoreKey;
use super::index::{IndexEntry, IndexKey, MarkKey};
use super::store::{
    Acquired, Change, ChangeListener, Owner, SessionStore, StoreError, StoreFuture, Versioned,
};
use crate::clock::{Clock, Timestamp};
use records::{Lease, Records, end};

/// Records kept unless told otherwise; at some 4 KiB each, 400 MiB.
const DEFAULT_CAPACITY: usize = 100_000;
/// How often listeners are told that they missed nothing.
const UP_TO_DATE_EVERY: Duration = Duration::from_millis(100);

/// A bounded store in memory.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    capacity: usize,
    records: Mutex<Records>,
    listeners: Mutex<Listeners>,
}

/// Who is told of changes, each under a number of its own.
#[derive(Default)]
struct Listeners {
    next: u64,
    by_number: BTreeMap<u64, Arc<dyn ChangeListener>>,
}

impl MemoryStore {
    /// An empty store for 100 000 records.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_capacity(clock, DEFAULT_CAPACITY)
    }

    /// An empty store that refuses to hold more than `capacity` records.
    #[must_use]
    pub fn with_capacity(clock: Arc<dyn Clock>, capacity: usize) -> Self {
        Self { clock, capacity, records: Mutex::default(), listeners: Mutex::default() }
    }

    /// The records as of now, those whose time is up dropped.
    fn current(&self) -> (MutexGuard<'_, Records>, Timestamp) {
        let now = self.clock.now();
        // Every change is complete before the guard goes: a panic elsewhere leaves nothing torn.
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.drop_ended(now);
        (records, now)
    }

    fn create_now(&self, key: &StoreKey, value: Vec<u8>, ttl: Duration) -> Result<(), StoreError> {
        let (mut records, now) = self.current();
        if records.by_key.contains_key(key) {
            return Err(StoreError("there is a record under this key already".to_owned()));
        }
        if records.by_key.len() >= self.capacity && !records.drop_a_login() {
            return Err(StoreError(format!(
                "the memory store is full ({} records); use Redis",
                self.capacity
            )));
        }
        records.put(*key, Versioned { version: 1, value }, 0, end(now, ttl));
        Ok(())
    }

    fn replace_now(&self, key: &StoreKey, version: u64, value: Vec<u8>, ttl: Duration) -> bool {
        let (mut records, now) = self.current();
        let Some(record) = records.by_key.get(key).filter(|one| one.stored.version == version)
        else {
            return false;
        };
        let (fence, lease) = (record.fence, records.leases.remove(key));
        records.remove(key);
        records.put(*key, Versioned { version: version + 1, value }, fence, end(now, ttl));
        records.leases.extend(lease.map(|lease| (*key, lease)));
        true
    }

    fn acquire_now(&self, key: &StoreKey, owner: Owner, lease: Duration) -> Acquired {
        let (mut records, now) = self.current();
        let held = records.leases.get(key).filter(|held| held.until > now);
        let again = held.is_some_and(|held| held.owner == Some(owner));
        if let Some(held) = held.filter(|_| !again) {
            return Acquired::Held { remaining: Duration::from_secs(held.until.since(now)) };
        }
        let Some(record) = records.by_key.get_mut(key) else { return Acquired::Gone };
        record.fence += u64::from(!again);
        let acquired = Acquired::Mine { fence: record.fence, record: record.stored.clone() };
        records.leases.insert(*key, Lease { owner: Some(owner), until: end(now, lease) });
        acquired
    }

    fn complete_now(
        &self,
        key: &StoreKey,
        lease: (Owner, u64),
        value: Vec<u8>,
        ttl: Duration,
    ) -> bool {
        let (mut records, now) = self.current();
        let Some(version) = records.version_under(key, lease) else { return false };
        records.remove(key);
        records.put(*key, Versioned { version: version + 1, value }, lease.1, end(now, ttl));
        self.tell(&records, key, Change::Replaced);
        true
    }

    fn delete_under_lease_now(&self, key: &StoreKey, lease: (Owner, u64)) -> bool {
        let mut records = self.current().0;
        let mine = records.version_under(key, lease).is_some();
        if mine {
            records.remove(key);
            self.tell(&records, key, Change::Ended);
        }
        mine
    }

    /// Tells of a change while the records are still locked, so that changes are told in their
    /// order, and none that was made is still to be told when the lock is free.
    fn tell(&self, _locked: &Records, key: &StoreKey, change: Change) {
        for listener in self.listeners().by_number.values() {
            listener.changed(key, change);
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a listener until it is dropped.
struct Telling<'a> {
    store: &'a MemoryStore,
    number: u64,
}

impl<'a> Telling<'a> {
    fn begin(store: &'a MemoryStore, listener: Arc<dyn ChangeListener>) -> Self {
        let mut listeners = store.listeners();
        let number = listeners.next;
        listeners.next += 1;
        listeners.by_number.insert(number, listener);
        Self { store, number }
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.store.listeners().by_number.remove(&self.number);
    }
}

/// An answer that is there already.
fn ready<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> StoreFuture<'a, T> {
    std::future::ready(answer).boxed()
}

impl SessionStore for MemoryStore {
    fn create<'a>(
        &'a self,
        key: &'a StoreKey,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, ()> {
        ready(self.create_now(key, value, ttl))
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        ready(Ok(self.current().0.by_key.get(key).map(|record| record.stored.clone())))
    }

    fn load_many<'a>(&'a self, keys: &'a [StoreKey]) -> StoreFuture<'a, Vec<Option<Versioned>>> {
        let (records, _) = self.current();
        let stored = |key| records.by_key.get(key).map(|record| record.stored.clone());
        ready(Ok(keys.iter().map(stored).collect()))
    }

    fn replace_if_version<'a>(
        &'a self,
        key: &'a StoreKey,
        version: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        ready(Ok(self.replace_now(key, version, value, ttl)))
    }

    fn delete<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, bool> {
        let (mut records, _) = self.current();
        let was_there = records.remove(key).is_some();
        self.tell(&records, key, Change::Ended);
        ready(Ok(was_there))
    }

    fn take<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        ready(Ok(self.current().0.remove(key).map(|stored| stored.value)))
    }

    fn acquire<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, Acquired> {
        ready(Ok(self.acquire_now(key, owner, lease)))
    }

    fn renew<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, bool> {
        let (mut records, now) = self.current();
        let mine = records.leases.get_mut(key);
        let mine = mine.filter(|held| held.owner == Some(owner) && held.until > now);
        let renewed = mine.map(|mine| mine.until = end(now, lease)).is_some();
        ready(Ok(renewed))
    }

    fn complete<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        ready(Ok(self.complete_now(key, (owner, fence), value, ttl)))
    }

    fn delete_under_lease<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
    ) -> StoreFuture<'a, bool> {
        ready(Ok(self.delete_under_lease_now(key, (owner, fence))))
    }

    fn release<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        pause: Duration,
    ) -> StoreFuture<'a, ()> {
        let (mut records, now) = self.current();
        if let Some(mine) = records.leases.get_mut(key).filter(|held| held.owner == Some(owner)) {
            *mine = Lease { owner: None, until: end(now, pause) };
        }
        ready(Ok(()))
    }

    fn index<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        let (mut records, _) = self.current();
        for entry in entries {
            records.unindex(entry);
            records.indexes.entry(entry.index).or_default().insert(entry.record, entry.until);
            records.index_ends.insert((entry.until, entry.index, entry.record));
        }
        ready(Ok(()))
    }

    fn unindex<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        let (mut records, _) = self.current();
        for entry in entries {
            records.unindex(entry);
        }
        ready(Ok(()))
    }

    fn indexed<'a>(
        &'a self,
        index: &'a IndexKey,
        offset: usize,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>> {
        let (records, _) = self.current();
        let found = records.indexes.get(index).into_iter().flatten().map(|(key, _)| *key);
        ready(Ok(found.skip(offset).take(limit).collect()))
    }

    fn indexed_until<'a>(
        &'a self,
        index: &'a IndexKey,
        until: Timestamp,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>> {
        let (records, _) = self.current();
        ready(Ok(records.indexed_until(index, until, limit)))
    }

    fn mark_once<'a>(&'a self, mark: &'a MarkKey, ttl: Duration) -> StoreFuture<'a, bool> {
        let (mut records, now) = self.current();
        records.marks.retain(|_, until| *until > now);
        ready(Ok(records.marks.insert(*mark, end(now, ttl)).is_none()))
    }

    /// Nothing can be missed here, so the moment up to which all was told is always now.
    fn tell_changes(&self, listener: Arc<dyn ChangeListener>) -> BoxFuture<'_, ()> {
        let telling = Telling::begin(self, Arc::clone(&listener));
        listener.interrupted();
        async move {
            let _until_dropped = telling;
            loop {
                let now = {
                    let _no_change_is_half_done = self.current();
                    tokio::time::Instant::now()
                };
                listener.up_to_date(now);
                tokio::time::sleep(UP_TO_DATE_EVERY).await;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
impl MemoryStore {
    /// All that a dump of this process's store would show.
    pub(super) fn dump(&self) -> Vec<u8> {
        let (records, _) = self.current();
        let shown = |(key, record): (&StoreKey, &records::Record)| {
            [key.text().as_bytes(), &record.stored.value].concat()
        };
        records.by_key.iter().flat_map(shown).collect()
    }
}

#[cfg(test)]
mod tests;
