//! A memory store that a test can cut off, at once or after some more calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use vestibule_authsvc::clock::Clock;
use vestibule_authsvc::session::StoreKey;
use vestibule_authsvc::session::index::{IndexEntry, IndexKey, MarkKey};
use vestibule_authsvc::session::memory::MemoryStore;
use vestibule_authsvc::session::store::{
    Acquired, ChangeListener, Owner, SessionStore, StoreError, StoreFuture, Versioned,
};

pub struct Cuttable {
    inner: MemoryStore,
    /// How many more calls are answered; below 0: all.
    calls_left: AtomicIsize,
    deletions: AtomicUsize,
}

impl Cuttable {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: MemoryStore::new(clock),
            calls_left: AtomicIsize::new(-1),
            deletions: AtomicUsize::new(0),
        }
    }

    /// Answers so many more calls, and then none.
    pub fn cut_after(&self, calls: isize) {
        self.calls_left.store(calls, Ordering::SeqCst);
    }

    /// Answers again.
    pub fn mend(&self) {
        self.cut_after(-1);
    }

    /// How many deletions were asked for.
    pub fn deletions(&self) -> usize {
        self.deletions.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), StoreError> {
        let spend = |left: isize| (left > 0).then(|| left - 1);
        let spent = self.calls_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend);
        match spent {
            Err(0) => Err(StoreError("cut off by the test".to_owned())),
            _ => Ok(()),
        }
    }

    /// Calls only then: the memory store has done it when it gives the future.
    fn unless_cut<'a, T: Send + 'a>(
        &'a self,
        call: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            self.check()?;
            call().await
        })
    }
}

impl SessionStore for Cuttable {
    fn create<'a>(
        &'a self,
        key: &'a StoreKey,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, ()> {
        self.unless_cut(move || self.inner.create(key, value, ttl))
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        self.unless_cut(move || self.inner.load(key))
    }

    fn load_many<'a>(&'a self, keys: &'a [StoreKey]) -> StoreFuture<'a, Vec<Option<Versioned>>> {
        self.unless_cut(move || self.inner.load_many(keys))
    }

    fn replace_if_version<'a>(
        &'a self,
        key: &'a StoreKey,
        version: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        self.unless_cut(move || self.inner.replace_if_version(key, version, value, ttl))
    }

    fn delete<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, bool> {
        self.deletions.fetch_add(1, Ordering::SeqCst);
        self.unless_cut(move || self.inner.delete(key))
    }

    fn take<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.unless_cut(move || self.inner.take(key))
    }

    fn acquire<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, Acquired> {
        self.unless_cut(move || self.inner.acquire(key, owner, lease))
    }

    fn renew<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, bool> {
        self.unless_cut(move || self.inner.renew(key, owner, lease))
    }

    fn complete<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        self.unless_cut(move || self.inner.complete(key, owner, fence, value, ttl))
    }

    fn delete_under_lease<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
    ) -> StoreFuture<'a, bool> {
        self.unless_cut(move || self.inner.delete_under_lease(key, owner, fence))
    }

    fn release<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        pause: Duration,
    ) -> StoreFuture<'a, ()> {
        self.unless_cut(move || self.inner.release(key, owner, pause))
    }

    fn index<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        self.unless_cut(move || self.inner.index(entries))
    }

    fn unindex<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        self.unless_cut(move || self.inner.unindex(entries))
    }

    fn indexed<'a>(
        &'a self,
        index: &'a IndexKey,
        offset: usize,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>> {
        self.unless_cut(move || self.inner.indexed(index, offset, limit))
    }

    fn mark_once<'a>(&'a self, mark: &'a MarkKey, ttl: Duration) -> StoreFuture<'a, bool> {
        self.unless_cut(move || self.inner.mark_once(mark, ttl))
    }

    fn tell_changes(&self, listener: Arc<dyn ChangeListener>) -> BoxFuture<'_, ()> {
        self.inner.tell_changes(listener)
    }
}
