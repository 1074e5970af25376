//! A memory store behind something that sees, refuses or answers each call instead, for tests.
//!
//! Included by the unit tests and, as `store_contract` is, by those in `tests`, so it names only what
//! is beside it in both.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::index::{IndexEntry, IndexKey, MarkKey};
use super::memory::MemoryStore;
use super::store::{Acquired, ChangeListener, Owner, SessionStore, StoreFuture, Versioned};
use super::{StoreKey, Timestamp};

/// What stands before the store.
pub trait Intercept: Send + Sync + 'static {
    /// Answers a call to `command` of [`SessionStore`]. The memory store does what it is asked in
    /// `call`, not when its future is awaited.
    fn answer<'a, T: Send + 'a>(
        &'a self,
        command: &'static str,
        call: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T>;

    /// The version that a replacement is made to name.
    fn version(&self, named: u64) -> u64 {
        named
    }

    /// The store has done something with a record that it may have to tell of.
    fn done(&self, _command: &'static str, _key: &StoreKey) {}

    /// Tells of changes.
    fn tell_changes<'a>(
        &'a self,
        inner: &'a MemoryStore,
        listener: Arc<dyn ChangeListener>,
    ) -> BoxFuture<'a, ()> {
        inner.tell_changes(listener)
    }
}

/// The store, and what stands before it.
pub struct Intercepted<I> {
    pub inner: MemoryStore,
    by: I,
}

impl<I: Intercept> Intercepted<I> {
    pub fn by(by: I, inner: MemoryStore) -> Self {
        Self { inner, by }
    }
}

impl<I> Deref for Intercepted<I> {
    type Target = I;

    fn deref(&self) -> &I {
        &self.by
    }
}

impl<I: Intercept> SessionStore for Intercepted<I> {
    fn create<'a>(
        &'a self,
        key: &'a StoreKey,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, ()> {
        self.by.answer("create", move || self.inner.create(key, value, ttl))
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        self.by.answer("load", move || self.inner.load(key))
    }

    fn load_many<'a>(&'a self, keys: &'a [StoreKey]) -> StoreFuture<'a, Vec<Option<Versioned>>> {
        self.by.answer("load_many", move || self.inner.load_many(keys))
    }

    fn replace_if_version<'a>(
        &'a self,
        key: &'a StoreKey,
        version: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        let version = self.by.version(version);
        self.by.answer("replace", move || self.inner.replace_if_version(key, version, value, ttl))
    }

    fn delete<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, bool> {
        self.by.answer("delete", move || {
            let deleted = self.inner.delete(key);
            self.by.done("delete", key);
            deleted
        })
    }

    fn take<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.by.answer("take", move || self.inner.take(key))
    }

    fn acquire<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, Acquired> {
        self.by.answer("acquire", move || self.inner.acquire(key, owner, lease))
    }

    fn renew<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, bool> {
        self.by.answer("renew", move || self.inner.renew(key, owner, lease))
    }

    fn complete<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        self.by.answer("complete", move || {
            let completed = self.inner.complete(key, owner, fence, value, ttl);
            self.by.done("complete", key);
            completed
        })
    }

    fn delete_under_lease<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
    ) -> StoreFuture<'a, bool> {
        let delete = move || self.inner.delete_under_lease(key, owner, fence);
        self.by.answer("delete_under_lease", delete)
    }

    fn release<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        pause: Duration,
    ) -> StoreFuture<'a, ()> {
        self.by.answer("release", move || self.inner.release(key, owner, pause))
    }

    fn index<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        self.by.answer("index", move || self.inner.index(entries))
    }

    fn unindex<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        self.by.answer("unindex", move || self.inner.unindex(entries))
    }

    fn indexed<'a>(
        &'a self,
        index: &'a IndexKey,
        offset: usize,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>> {
        self.by.answer("indexed", move || self.inner.indexed(index, offset, limit))
    }

    fn indexed_until<'a>(
        &'a self,
        index: &'a IndexKey,
        until: Timestamp,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>> {
        self.by.answer("indexed_until", move || self.inner.indexed_until(index, until, limit))
    }

    fn mark_once<'a>(&'a self, mark: &'a MarkKey, ttl: Duration) -> StoreFuture<'a, bool> {
        self.by.answer("mark_once", move || self.inner.mark_once(mark, ttl))
    }

    fn tell_changes(&self, listener: Arc<dyn ChangeListener>) -> BoxFuture<'_, ()> {
        self.by.tell_changes(&self.inner, listener)
    }
}
