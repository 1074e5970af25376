//! What the store in memory holds, behind its lock.
//!
//! Whatever has an end is dropped at its end, so that nothing grows without bound.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::super::index::{IndexEntry, IndexKey, MarkKey};
use super::super::store::{Owner, Versioned};
use super::super::{Purpose, StoreKey};
use crate::clock::Timestamp;

#[derive(Default)]
pub(super) struct Records {
    pub(super) by_key: HashMap<StoreKey, Record>,
    pub(super) by_end: BTreeSet<(Timestamp, StoreKey)>,
    pub(super) leases: HashMap<StoreKey, Lease>,
    pub(super) indexes: HashMap<IndexKey, BTreeMap<StoreKey, Timestamp>>,
    pub(super) index_ends: BTreeSet<(Timestamp, IndexKey, StoreKey)>,
    pub(super) marks: HashMap<MarkKey, Timestamp>,
}

pub(super) struct Record {
    pub(super) stored: Versioned,
    pub(super) fence: u64,
    pub(super) ends_at: Timestamp,
}

/// Whose turn it is to refresh a record; `None`: nobody's, before `until`.
pub(super) struct Lease {
    pub(super) owner: Option<Owner>,
    pub(super) until: Timestamp,
}

impl Records {
    pub(super) fn put(&mut self, key: StoreKey, stored: Versioned, fence: u64, ends_at: Timestamp) {
        self.by_end.insert((ends_at, key));
        self.by_key.insert(key, Record { stored, fence, ends_at });
    }

    pub(super) fn remove(&mut self, key: &StoreKey) -> Option<Versioned> {
        let (key, record) = self.by_key.remove_entry(key)?;
        self.by_end.remove(&(record.ends_at, key));
        self.leases.remove(&key);
        Some(record.stored)
    }

    /// The version of a record if no later lease than this was given.
    pub(super) fn version_under(
        &self,
        key: &StoreKey,
        (owner, fence): (Owner, u64),
    ) -> Option<u64> {
        let taken = self.leases.get(key).and_then(|lease| lease.owner).is_some_and(|o| o != owner);
        let record = self.by_key.get(key).filter(|record| record.fence == fence && !taken)?;
        Some(record.stored.version)
    }

    /// Makes room: anyone can begin logins, so they never keep a session out. `false`: there are none.
    pub(super) fn drop_a_login(&mut self) -> bool {
        let first = self.by_end.iter().find(|(_, key)| key.purpose() == Purpose::Login).copied();
        first.is_some_and(|(_, key)| self.remove(&key).is_some())
    }

    pub(super) fn drop_ended(&mut self, now: Timestamp) {
        while self.by_end.first().is_some_and(|(ends_at, _)| *ends_at <= now) {
            if let Some((_, key)) = self.by_end.pop_first() {
                self.by_key.remove(&key);
                self.leases.remove(&key);
            }
        }
        while self.index_ends.first().is_some_and(|(until, ..)| *until <= now) {
            if let Some((until, index, record)) = self.index_ends.pop_first() {
                self.unindex(&IndexEntry { index, record, until });
            }
        }
    }

    pub(super) fn indexed_until(
        &self,
        index: &IndexKey,
        until: Timestamp,
        limit: usize,
    ) -> Vec<StoreKey> {
        let entries = self.indexes.get(index).into_iter().flatten();
        let mut ending: Vec<_> =
            entries.filter(|(_, end)| **end <= until).map(|(key, end)| (*end, *key)).collect();
        ending.sort_unstable();
        ending.into_iter().take(limit).map(|(_, key)| key).collect()
    }

    pub(super) fn unindex(&mut self, entry: &IndexEntry) {
        let Some(index) = self.indexes.get_mut(&entry.index) else { return };
        if let Some(until) = index.remove(&entry.record) {
            self.index_ends.remove(&(until, entry.index, entry.record));
        }
        if index.is_empty() {
            self.indexes.remove(&entry.index);
        }
    }
}

/// Whole seconds, rounded up: a record is never dropped early.
pub(super) fn end(now: Timestamp, ttl: Duration) -> Timestamp {
    now.plus(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))
}
