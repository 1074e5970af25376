//! The trait that every session store implements. It moves sealed bytes and knows no session.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::StoreKey;
use super::index::{IndexEntry, IndexKey, MarkKey};
use crate::clock::Timestamp;

/// A record as stored, with the version that a replacement must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// Counts replacements, from 1.
    pub version: u64,
    /// The sealed record.
    pub value: Vec<u8>,
}

/// Why the store gave no answer. Never "no session": the caller answers 503 and deletes nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the session store did not answer: {0}")]
pub struct StoreError(pub String);

/// What the store answers, later.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Who asks for a lease: random, new for each attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(pub [u8; 16]);

/// The answer to who asks for the lease of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The lease is the asker's. The record is as it is now; `fence` must be named when it is
    /// replaced, and any later lease makes it worthless.
    Mine {
        /// Counts the leases of this record.
        fence: u64,
        /// The record.
        record: Versioned,
    },
    /// Another has it, or gave it back with a pause that is not over.
    Held {
        /// For how long at most, unless it is renewed.
        remaining: Duration,
    },
    /// There is no such record.
    Gone,
}

/// Keeps sealed records until their time is up.
///
/// Several replicas use one store. Whatever takes a record away or replaces its tokens is told to
/// all of them (see [`ChangeListener`]); what only notes its use is not.
pub trait SessionStore: Send + Sync + 'static {
    /// Writes a new record as version 1. An existing one is an error, not overwritten.
    fn create<'a>(
        &'a self,
        key: &'a StoreKey,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, ()>;

    /// Reads a record; one round trip.
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>>;

    /// Reads several records; `None` where there is none.
    fn load_many<'a>(&'a self, keys: &'a [StoreKey]) -> StoreFuture<'a, Vec<Option<Versioned>>>;

    /// Replaces a record if it still has this version; `false`: it has another, or is gone. Told
    /// to nobody. Leaves lease and fence as they are.
    fn replace_if_version<'a>(
        &'a self,
        key: &'a StoreKey,
        version: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool>;

    /// Deletes a record and tells everybody, also where it was gone; `true`: it was there. Waits, as
    /// far as the store was set up so, until its own replicas have it too.
    fn delete<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, bool>;

    /// Reads and deletes a record in one step: of several takers one gets it.
    fn take<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Vec<u8>>>;

    /// Asks for the lease of a record.
    fn acquire<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, Acquired>;

    /// Prolongs a lease; `false`: it is not the owner's any more.
    fn renew<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, bool>;

    /// Replaces a record under a lease, gives the lease back and tells everybody. `false`: the record
    /// is gone, or a later lease was given. May be repeated when its answer was lost.
    fn complete<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool>;

    /// Deletes a record under a lease and tells everybody. `false` as in [`SessionStore::complete`].
    fn delete_under_lease<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
    ) -> StoreFuture<'a, bool>;

    /// Gives a lease back without a new record; nobody gets it before `pause` is over.
    fn release<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        pause: Duration,
    ) -> StoreFuture<'a, ()>;

    /// Adds records to indexes, each for as long as its record can live.
    fn index<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()>;

    /// Takes records off indexes.
    fn unindex<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()>;

    /// The records of an index, in a stable order, `limit` at most from `offset` on. Some may be gone.
    fn indexed<'a>(
        &'a self,
        index: &'a IndexKey,
        offset: usize,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>>;

    /// Of the records of an index those that end by then, the first of them first; `limit` at most.
    fn indexed_until<'a>(
        &'a self,
        index: &'a IndexKey,
        until: Timestamp,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>>;

    /// Notes something that may happen once; `false`: it was noted before.
    fn mark_once<'a>(&'a self, mark: &'a MarkKey, ttl: Duration) -> StoreFuture<'a, bool>;

    /// Tells of changes until it is dropped.
    fn tell_changes(&self, listener: Arc<dyn ChangeListener>) -> BoxFuture<'_, ()>;
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is gone.
    Ended,
    /// It has other content.
    Replaced,
}

/// Hears of changes that any replica made. Called in the order in which they happened; must be quick.
pub trait ChangeListener: Send + Sync + 'static {
    /// A record changed.
    fn changed(&self, key: &StoreKey, change: Change);

    /// Every change that happened before this moment has been told, if nothing was missed since
    /// the last call of [`ChangeListener::interrupted`].
    fn up_to_date(&self, as_of: Instant);

    /// Changes may have been missed: all that is remembered is worth nothing. Also called first, and
    /// once more when changes are told again: what was read in between may be old.
    fn interrupted(&self);
}
