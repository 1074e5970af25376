//! A memory store that counts what it is asked, and fails or loses races on demand.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::session::StoreKey;
use crate::session::index::{IndexEntry, IndexKey, MarkKey};
use crate::session::memory::MemoryStore;
use crate::session::store::{
    Acquired, Change, ChangeListener, Owner, SessionStore, StoreError, StoreFuture, Versioned,
};

/// The store of these tests.
pub(super) struct SpyStore {
    pub(super) inner: MemoryStore,
    /// All that it was asked.
    pub(super) asked: AtomicUsize,
    pub(super) replaced: AtomicUsize,
    pub(super) fails: AtomicBool,
    pub(super) fails_to_write: AtomicBool,
    pub(super) loses_races: AtomicBool,
    listeners: Mutex<Vec<Arc<dyn ChangeListener>>>,
}

impl SpyStore {
    pub(super) fn new(inner: MemoryStore) -> Self {
        Self {
            inner,
            asked: AtomicUsize::default(),
            replaced: AtomicUsize::default(),
            fails: AtomicBool::default(),
            fails_to_write: AtomicBool::default(),
            loses_races: AtomicBool::default(),
            listeners: Mutex::default(),
        }
    }

    /// From now on, also when nobody polls what `tell_changes` gave.
    pub(super) fn listen(&self, listener: Arc<dyn ChangeListener>) {
        self.listeners.lock().expect("whole").push(listener);
    }

    fn tell(&self, key: &StoreKey, change: Change) {
        let listeners = self.listeners.lock().expect("whole").clone();
        for listener in listeners {
            listener.changed(key, change);
        }
    }

    fn gate<'a, T: Send + 'a>(
        &self,
        writes: bool,
        call: impl FnOnce() -> StoreFuture<'a, T>,
    ) -> StoreFuture<'a, T> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let broken = self.fails.load(Ordering::SeqCst)
            || (writes && self.fails_to_write.load(Ordering::SeqCst));
        if broken { async { Err(StoreError("cut off".to_owned())) }.boxed() } else { call() }
    }
}

impl SessionStore for SpyStore {
    fn create<'a>(
        &'a self,
        key: &'a StoreKey,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, ()> {
        self.gate(true, move || self.inner.create(key, value, ttl))
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        self.gate(false, move || self.inner.load(key))
    }

    fn load_many<'a>(&'a self, keys: &'a [StoreKey]) -> StoreFuture<'a, Vec<Option<Versioned>>> {
        self.gate(false, move || self.inner.load_many(keys))
    }

    fn replace_if_version<'a>(
        &'a self,
        key: &'a StoreKey,
        version: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        self.replaced.fetch_add(1, Ordering::SeqCst);
        let lost = u64::from(self.loses_races.load(Ordering::SeqCst));
        self.gate(true, move || self.inner.replace_if_version(key, version + lost, value, ttl))
    }

    fn delete<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, bool> {
        self.gate(true, move || {
            let deleted = self.inner.delete(key);
            self.tell(key, Change::Ended);
            deleted
        })
    }

    fn take<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.gate(true, move || self.inner.take(key))
    }

    fn acquire<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, Acquired> {
        self.gate(true, move || self.inner.acquire(key, owner, lease))
    }

    fn renew<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, bool> {
        self.gate(true, move || self.inner.renew(key, owner, lease))
    }

    fn complete<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        self.gate(true, move || {
            let completed = self.inner.complete(key, owner, fence, value, ttl);
            self.tell(key, Change::Replaced);
            completed
        })
    }

    fn delete_under_lease<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
    ) -> StoreFuture<'a, bool> {
        self.gate(true, move || self.inner.delete_under_lease(key, owner, fence))
    }

    fn release<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        pause: Duration,
    ) -> StoreFuture<'a, ()> {
        self.gate(true, move || self.inner.release(key, owner, pause))
    }

    fn index<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        self.gate(true, move || self.inner.index(entries))
    }

    fn unindex<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        self.gate(true, move || self.inner.unindex(entries))
    }

    fn indexed<'a>(
        &'a self,
        index: &'a IndexKey,
        offset: usize,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>> {
        self.gate(false, move || self.inner.indexed(index, offset, limit))
    }

    fn mark_once<'a>(&'a self, mark: &'a MarkKey, ttl: Duration) -> StoreFuture<'a, bool> {
        self.gate(true, move || self.inner.mark_once(mark, ttl))
    }

    fn tell_changes(&self, listener: Arc<dyn ChangeListener>) -> BoxFuture<'_, ()> {
        self.listen(listener);
        std::future::pending().boxed()
    }
}
