//! Sessions in the memory of this process: for demos, tests and a single replica.
//!
//! It must not grow without bound, keep a record past its time, or be used by two replicas.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::store::{SessionStore, StoreError, Versioned};
use super::{Purpose, StoreKey};
use crate::clock::{Clock, Timestamp};

/// Records kept unless told otherwise; at some 4 KiB each, 400 MiB.
const DEFAULT_CAPACITY: usize = 100_000;

/// A bounded store in memory.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    capacity: usize,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    by_key: HashMap<StoreKey, Record>,
    by_end: BTreeSet<(Timestamp, StoreKey)>,
}

struct Record {
    stored: Versioned,
    ends_at: Timestamp,
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
        Self { clock, capacity, records: Mutex::default() }
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
        records.put(key, Versioned { version: 1, value }, end(now, ttl));
        Ok(())
    }

    fn replace_now(&self, key: &StoreKey, version: u64, value: Vec<u8>, ttl: Duration) -> bool {
        let (mut records, now) = self.current();
        if records.by_key.get(key).is_none_or(|record| record.stored.version != version) {
            return false;
        }
        records.remove(key);
        records.put(key, Versioned { version: version + 1, value }, end(now, ttl));
        true
    }
}

impl Records {
    fn put(&mut self, key: &StoreKey, stored: Versioned, ends_at: Timestamp) {
        self.by_end.insert((ends_at, key.clone()));
        self.by_key.insert(key.clone(), Record { stored, ends_at });
    }

    fn remove(&mut self, key: &StoreKey) -> Option<Versioned> {
        let (key, record) = self.by_key.remove_entry(key)?;
        self.by_end.remove(&(record.ends_at, key));
        Some(record.stored)
    }

    /// Makes room: anyone can begin logins, so they never keep a session out. `false`: there are none.
    fn drop_a_login(&mut self) -> bool {
        let first = self.by_end.iter().find(|(_, key)| key.is_for(Purpose::Login)).cloned();
        first.is_some_and(|(_, key)| self.remove(&key).is_some())
    }

    fn drop_ended(&mut self, now: Timestamp) {
        while self.by_end.first().is_some_and(|(ends_at, _)| *ends_at <= now) {
            if let Some((_, key)) = self.by_end.pop_first() {
                self.by_key.remove(&key);
            }
        }
    }
}

/// Whole seconds, rounded up: a record is never dropped early.
fn end(now: Timestamp, ttl: Duration) -> Timestamp {
    now.plus(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))
}

impl SessionStore for MemoryStore {
    fn create<'a>(
        &'a self,
        key: &'a StoreKey,
        value: Vec<u8>,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { self.create_now(key, value, ttl) }.boxed()
    }

    fn load<'a>(
        &'a self,
        key: &'a StoreKey,
    ) -> BoxFuture<'a, Result<Option<Versioned>, StoreError>> {
        async move {
            let (records, _) = self.current();
            Ok(records.by_key.get(key).map(|record| record.stored.clone()))
        }
        .boxed()
    }

    fn replace_if_version<'a>(
        &'a self,
        key: &'a StoreKey,
        version: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        async move { Ok(self.replace_now(key, version, value, ttl)) }.boxed()
    }

    fn delete<'a>(&'a self, key: &'a StoreKey) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            self.current().0.remove(key);
            Ok(())
        }
        .boxed()
    }

    fn take<'a>(&'a self, key: &'a StoreKey) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        async move { Ok(self.current().0.remove(key).map(|stored| stored.value)) }.boxed()
    }
}

#[cfg(test)]
impl MemoryStore {
    /// All that a dump of this process's store would show.
    pub(super) fn dump(&self) -> Vec<u8> {
        let (records, _) = self.current();
        let shown = |(key, record): (&StoreKey, &Record)| {
            [key.as_str().as_bytes(), &record.stored.value].concat()
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
