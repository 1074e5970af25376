//! A memory store that counts what it is asked, and fails or loses races on demand.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::session::StoreKey;
use crate::session::intercepted::{Intercept, Intercepted};
use crate::session::memory::MemoryStore;
use crate::session::store::{Change, ChangeListener, StoreError, StoreFuture};

/// The store of these tests.
pub(super) type SpyStore = Intercepted<Spy>;

/// What only reads.
const READS: [&str; 3] = ["load", "load_many", "indexed"];

#[derive(Default)]
pub(super) struct Spy {
    /// All that it was asked.
    pub(super) asked: AtomicUsize,
    pub(super) replaced: AtomicUsize,
    pub(super) fails: AtomicBool,
    pub(super) fails_to_write: AtomicBool,
    pub(super) loses_races: AtomicBool,
    listeners: Mutex<Vec<Arc<dyn ChangeListener>>>,
}

impl Spy {
    /// From now on, also when nobody polls what `tell_changes` gave.
    pub(super) fn listen(&self, listener: Arc<dyn ChangeListener>) {
        self.listeners.lock().expect("whole").push(listener);
    }
}

impl Intercept for Spy {
    fn answer<'a, T: Send + 'a>(
        &'a self,
        command: &'static str,
        call: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let broken = self.fails.load(Ordering::SeqCst)
            || (!READS.contains(&command) && self.fails_to_write.load(Ordering::SeqCst));
        if broken { async { Err(StoreError("cut off".to_owned())) }.boxed() } else { call() }
    }

    fn version(&self, named: u64) -> u64 {
        self.replaced.fetch_add(1, Ordering::SeqCst);
        named + u64::from(self.loses_races.load(Ordering::SeqCst))
    }

    fn done(&self, command: &'static str, key: &StoreKey) {
        let change = if command == "delete" { Change::Ended } else { Change::Replaced };
        let listeners = self.listeners.lock().expect("whole").clone();
        for listener in listeners {
            listener.changed(key, change);
        }
    }

    fn tell_changes<'a>(
        &'a self,
        _inner: &'a MemoryStore,
        listener: Arc<dyn ChangeListener>,
    ) -> BoxFuture<'a, ()> {
        self.listen(listener);
        std::future::pending().boxed()
    }
}
