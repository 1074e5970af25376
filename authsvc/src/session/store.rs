//! The trait that every session store implements. It moves sealed bytes and knows no session.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::StoreKey;

/// A record as stored, with the version that a replacement must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// Counts replacements, from 1.
    pub version: u64,
    /// The sealed record.
    pub value: Vec<u8>,
}

/// Why the store gave no answer. Never "no session": the caller answers 503 and deletes nothing.
#[derive(Debug, thiserror::Error)]
#[error("the session store did not answer: {0}")]
pub struct StoreError(pub String);

/// Keeps sealed records until their time is up.
pub trait SessionStore: Send + Sync + 'static {
    /// Writes a new record as version 1. An existing one is an error, not overwritten.
    fn create<'a>(
        &'a self,
        key: &'a StoreKey,
        value: Vec<u8>,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Reads a record; one round trip.
    fn load<'a>(
        &'a self,
        key: &'a StoreKey,
    ) -> BoxFuture<'a, Result<Option<Versioned>, StoreError>>;

    /// Replaces a record if it still has this version; `false`: it has another, or is gone.
    fn replace_if_version<'a>(
        &'a self,
        key: &'a StoreKey,
        version: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Deletes a record; one that is gone is no error.
    fn delete<'a>(&'a self, key: &'a StoreKey) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Reads and deletes a record in one step: of several takers one gets it.
    fn take<'a>(&'a self, key: &'a StoreKey) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;
}
