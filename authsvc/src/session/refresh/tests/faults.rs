//! A memory store with the faults of a real one: no answer, an answer that is lost after the deed,
//! and silence.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::session::StoreKey;
use crate::session::index::{IndexEntry, IndexKey, MarkKey};
use crate::session::memory::MemoryStore;
use crate::session::store::{
    Acquired, ChangeListener, Owner, SessionStore, StoreError, StoreFuture, Versioned,
};

/// What is wrong with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and an error says so.
    Refused,
    /// It is done, and an error is the answer.
    AnswerLost,
    /// Neither, ever.
    Silent,
    /// It is done, and done again a moment later: a copy of the request was on its way.
    Twice,
}

pub struct FaultyStore {
    pub inner: MemoryStore,
    faults: Mutex<HashMap<&'static str, Fault>>,
    asked: Mutex<HashMap<&'static str, usize>>,
}

impl FaultyStore {
    pub fn new(inner: MemoryStore) -> Self {
        Self { inner, faults: Mutex::default(), asked: Mutex::default() }
    }

    /// From now on; `None`: it works.
    pub fn fault(&self, command: &'static str, fault: Option<Fault>) {
        let mut faults = self.faults.lock().unwrap();
        match fault {
            Some(fault) => faults.insert(command, fault),
            None => faults.remove(command),
        };
    }

    /// How often a command was asked for.
    pub fn asked(&self, command: &'static str) -> usize {
        self.asked.lock().unwrap().get(command).copied().unwrap_or_default()
    }

    /// The memory store does what it is asked when it is asked, not when it is awaited.
    fn run<'a, T: Send + 'a>(
        &self,
        command: &'static str,
        done: impl FnOnce() -> StoreFuture<'a, T>,
    ) -> StoreFuture<'a, T> {
        *self.asked.lock().unwrap().entry(command).or_default() += 1;
        let lost = || async { Err(StoreError("cut off".to_owned())) }.boxed();
        let fault = self.faults.lock().unwrap().get(command).copied();
        match fault {
            None | Some(Fault::Twice) => done(),
            Some(Fault::Refused) => lost(),
            Some(Fault::Silent) => pending().boxed(),
            Some(Fault::AnswerLost) => {
                drop(done());
                lost()
            }
        }
    }
}

impl SessionStore for FaultyStore {
    fn create<'a>(
        &'a self,
        key: &'a StoreKey,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, ()> {
        self.run("create", || self.inner.create(key, value, ttl))
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        self.run("load", || self.inner.load(key))
    }

    fn load_many<'a>(&'a self, keys: &'a [StoreKey]) -> StoreFuture<'a, Vec<Option<Versioned>>> {
        self.run("load_many", || self.inner.load_many(keys))
    }

    fn replace_if_version<'a>(
        &'a self,
        key: &'a StoreKey,
        version: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        self.run("replace", || self.inner.replace_if_version(key, version, value, ttl))
    }

    fn delete<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, bool> {
        self.run("delete", || self.inner.delete(key))
    }

    fn take<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.run("take", || self.inner.take(key))
    }

    fn acquire<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, Acquired> {
        let answer = self.run("acquire", || self.inner.acquire(key, owner, lease));
        if self.faults.lock().unwrap().get("acquire") == Some(&Fault::Twice) {
            drop(self.inner.acquire(key, owner, lease));
        }
        answer
    }

    fn renew<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, bool> {
        self.run("renew", || self.inner.renew(key, owner, lease))
    }

    fn complete<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        self.run("complete", || self.inner.complete(key, owner, fence, value, ttl))
    }

    fn delete_under_lease<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
    ) -> StoreFuture<'a, bool> {
        self.run("delete_under_lease", || self.inner.delete_under_lease(key, owner, fence))
    }

    fn release<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        pause: Duration,
    ) -> StoreFuture<'a, ()> {
        self.run("release", || self.inner.release(key, owner, pause))
    }

    fn index<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        self.run("index", || self.inner.index(entries))
    }

    fn unindex<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        self.run("unindex", || self.inner.unindex(entries))
    }

    fn indexed<'a>(
        &'a self,
        index: &'a IndexKey,
        offset: usize,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>> {
        self.run("indexed", || self.inner.indexed(index, offset, limit))
    }

    fn mark_once<'a>(&'a self, mark: &'a MarkKey, ttl: Duration) -> StoreFuture<'a, bool> {
        self.run("mark_once", || self.inner.mark_once(mark, ttl))
    }

    fn tell_changes(&self, listener: Arc<dyn ChangeListener>) -> BoxFuture<'_, ()> {
        self.inner.tell_changes(listener)
    }
}
