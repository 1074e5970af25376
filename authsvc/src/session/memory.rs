//! Sessions in the memory of this process: for demos, tests and a single replica.
//!
//! It must not grow without bound, keep a record past its time, or be used by two replicas.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::index::{IndexEntry, IndexKey, MarkKey};
use super::store::{
    Acquired, Change, ChangeListener, Owner, SessionStore, StoreError, StoreFuture, Versioned,
};
use super::{Purpose, StoreKey};
use crate::clock::{Clock, Timestamp};

/// Records kept unless told otherwise; at some 4 KiB each, 400 MiB.
const DEFAULT_CAPACITY: usize = 100_000;
/// How often listeners are told that they missed nothing.
const UP_TO_DATE_EVERY: Duration = Duration::from_millis(100);

/// A bounded store in memory.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    capacity: usize,
    records: Mutex<Records>,
    listeners: Mutex<Vec<Arc<dyn ChangeListener>>>,
}

#[derive(Default)]
struct Records {
    by_key: HashMap<StoreKey, Record>,
    by_end: BTreeSet<(Timestamp, StoreKey)>,
    leases: HashMap<StoreKey, Lease>,
    indexes: HashMap<IndexKey, BTreeMap<StoreKey, Timestamp>>,
    marks: HashMap<MarkKey, Timestamp>,
}

struct Record {
    stored: Versioned,
    fence: u64,
    ends_at: Timestamp,
}

/// Whose turn it is to refresh a record; `None`: nobody's, before `until`.
struct Lease {
    owner: Option<Owner>,
    until: Timestamp,
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
        let fence = record.fence;
        records.remove(key);
        records.put(*key, Versioned { version: version + 1, value }, fence, end(now, ttl));
        true
    }

    fn acquire_now(&self, key: &StoreKey, owner: Owner, lease: Duration) -> Acquired {
        let (mut records, now) = self.current();
        let held = records.leases.get(key).filter(|held| held.until > now);
        if let Some(held) = held.filter(|held| held.owner != Some(owner)) {
            return Acquired::Held { remaining: Duration::from_secs(held.until.since(now)) };
        }
        let Some(record) = records.by_key.get_mut(key) else { return Acquired::Gone };
        record.fence += 1;
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
        true
    }

    fn delete_under_lease_now(&self, key: &StoreKey, lease: (Owner, u64)) -> bool {
        let mut records = self.current().0;
        records.version_under(key, lease).is_some() && records.remove(key).is_some()
    }

    fn tell(&self, key: &StoreKey, change: Change) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        listeners.iter().for_each(|listener| listener.changed(key, change));
    }
}

impl Records {
    fn put(&mut self, key: StoreKey, stored: Versioned, fence: u64, ends_at: Timestamp) {
        self.by_end.insert((ends_at, key));
        self.by_key.insert(key, Record { stored, fence, ends_at });
    }

    fn remove(&mut self, key: &StoreKey) -> Option<Versioned> {
        let (key, record) = self.by_key.remove_entry(key)?;
        self.by_end.remove(&(record.ends_at, key));
        self.leases.remove(&key);
        Some(record.stored)
    }

    /// The version of a record if no later lease than this was given.
    fn version_under(&self, key: &StoreKey, (owner, fence): (Owner, u64)) -> Option<u64> {
        let taken = self.leases.get(key).and_then(|lease| lease.owner).is_some_and(|o| o != owner);
        let record = self.by_key.get(key).filter(|record| record.fence == fence && !taken)?;
        Some(record.stored.version)
    }

    /// Makes room: anyone can begin logins, so they never keep a session out. `false`: there are none.
    fn drop_a_login(&mut self) -> bool {
        let first = self.by_end.iter().find(|(_, key)| key.purpose() == Purpose::Login).copied();
        first.is_some_and(|(_, key)| self.remove(&key).is_some())
    }

    fn drop_ended(&mut self, now: Timestamp) {
        while self.by_end.first().is_some_and(|(ends_at, _)| *ends_at <= now) {
            if let Some((_, key)) = self.by_end.pop_first() {
                self.by_key.remove(&key);
                self.leases.remove(&key);
            }
        }
    }
}

/// Whole seconds, rounded up: a record is never dropped early.
fn end(now: Timestamp, ttl: Duration) -> Timestamp {
    now.plus(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))
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
        let was_there = self.current().0.remove(key).is_some();
        self.tell(key, Change::Ended);
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
        let mine = records.leases.get_mut(key).filter(|held| held.owner == Some(owner));
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
        let done = self.complete_now(key, (owner, fence), value, ttl);
        if done {
            self.tell(key, Change::Replaced);
        }
        ready(Ok(done))
    }

    fn delete_under_lease<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
    ) -> StoreFuture<'a, bool> {
        let done = self.delete_under_lease_now(key, (owner, fence));
        if done {
            self.tell(key, Change::Ended);
        }
        ready(Ok(done))
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
        let (mut records, now) = self.current();
        for entry in entries {
            let index = records.indexes.entry(entry.index).or_default();
            index.retain(|_, until| *until > now);
            index.insert(entry.record, entry.until);
        }
        ready(Ok(()))
    }

    fn unindex<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        let (mut records, _) = self.current();
        for entry in entries {
            if let Some(index) = records.indexes.get_mut(&entry.index) {
                index.remove(&entry.record);
                if index.is_empty() {
                    records.indexes.remove(&entry.index);
                }
            }
        }
        ready(Ok(()))
    }

    fn indexed<'a>(
        &'a self,
        index: &'a IndexKey,
        offset: usize,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>> {
        let (records, now) = self.current();
        let live = |(key, until): (&StoreKey, &Timestamp)| (*until > now).then_some(*key);
        let found = records.indexes.get(index).into_iter().flatten().filter_map(live);
        ready(Ok(found.skip(offset).take(limit).collect()))
    }

    fn mark_once<'a>(&'a self, mark: &'a MarkKey, ttl: Duration) -> StoreFuture<'a, bool> {
        let (mut records, now) = self.current();
        records.marks.retain(|_, until| *until > now);
        ready(Ok(records.marks.insert(*mark, end(now, ttl)).is_none()))
    }

    /// Nothing can be missed here, so the moment up to which all was told is always now.
    fn tell_changes(&self, listener: Arc<dyn ChangeListener>) -> BoxFuture<'_, ()> {
        listener.interrupted();
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&listener));
        async move {
            loop {
                listener.up_to_date(tokio::time::Instant::now());
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
        let shown = |(key, record): (&StoreKey, &Record)| {
            [key.text().as_bytes(), &record.stored.value].concat()
        };
        records.by_key.iter().flat_map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Purpose, SecretId, store_contract};
    use super::*;
    use crate::clock::ManualClock;
    use crate::random::SystemRandom;

    fn fresh() -> StoreKey {
        SecretId::generate(&SystemRandom).store_key(Purpose::Session, "default/shop")
    }

    fn store(capacity: usize) -> (MemoryStore, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp(1_000)));
        (MemoryStore::with_capacity(clock.clone(), capacity), clock)
    }

    #[tokio::test]
    async fn keeps_replaces_and_deletes_records() {
        store_contract::keeps_replaces_and_deletes_records(&store(100).0, fresh).await;
    }

    #[tokio::test]
    async fn records_end_with_their_time() {
        let (store, clock) = store(100);
        store_contract::records_end_with_their_time(&store, fresh, async || clock.advance(1)).await;
    }

    #[tokio::test]
    async fn a_full_store_refuses_until_a_record_has_ended() {
        let (store, clock) = store(2);
        let ttl = Duration::from_millis(9_001);
        store.create(&fresh(), vec![1], ttl).await.expect("creates");
        store.create(&fresh(), vec![2], ttl).await.expect("creates");
        let error = store.create(&fresh(), vec![3], ttl).await.expect_err("the store is full");
        assert!(error.to_string().contains("full (2 records)"), "{error}");
        clock.advance(9);
        assert!(store.create(&fresh(), vec![3], ttl).await.is_err(), "a record was dropped early");
        clock.advance(1);
        store.create(&fresh(), vec![3], ttl).await.expect("there is room again");
        assert_eq!(store.dump().last(), Some(&3));
    }

    #[tokio::test]
    async fn nothing_is_left_of_records_that_ended_were_replaced_or_deleted() {
        let (store, clock) = store(10);
        let [ended, replaced, taken] = [fresh(), fresh(), fresh()];
        for key in [&ended, &replaced, &taken] {
            store.create(key, vec![1], Duration::from_secs(5)).await.expect("creates");
        }
        let longer = Duration::from_secs(7);
        assert!(store.replace_if_version(&replaced, 1, vec![2], longer).await.expect("runs"));
        store.take(&taken).await.expect("takes");
        let count = |store: &MemoryStore| {
            let records = store.current().0;
            assert_eq!(records.by_key.len(), records.by_end.len());
            records.by_key.len()
        };
        assert_eq!(count(&store), 2);
        clock.advance(5);
        assert_eq!(count(&store), 1);
        clock.advance(2);
        assert_eq!(count(&store), 0);
    }
}
