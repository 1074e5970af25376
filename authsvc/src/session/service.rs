//! Keeps sessions and login transactions: ids, timeouts, sealing, and when to write.
//!
//! It must not know HTTP, and must not turn an error of the store into "no session".

mod admin;
mod ends;
mod find;
mod load;
mod logins;
mod once;
mod peek;
mod terms;
mod timeouts;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cache::{DEFAULT_BYTES, News, SessionCache};
use super::refresh::Flights;
use super::seal::Sealer;
use super::store::{SessionStore, StoreError, Versioned};
use super::{Purpose, SecretId, Session, StoreKey};
use crate::clock::Clock;
use crate::policies::LivePolicy;
use crate::random::Random;
pub use find::Page;
pub use logins::LOGIN_SECONDS;
pub(super) use terms::{Kind, Terms, index_entries};
use timeouts::InUse;

/// Keeps sessions and login transactions, sealed.
pub struct Sessions {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    /// What was read lately, and what ended. Whoever changes a record tells it so, once the store
    /// has it.
    pub(super) cache: Arc<SessionCache>,
    /// The refreshes that are under way in this process.
    pub(super) flights: Flights,
    in_use: InUse,
}

/// A session that is not over, and where it is.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Names it, in the store and to admins.
    pub key: StoreKey,
    /// What is known of it.
    pub session: Arc<Session>,
}

impl Sessions {
    /// Over a store, with [`DEFAULT_BYTES`] of memory for what was read lately. Nothing comes from
    /// memory before [`Sessions::follow`] runs.
    #[must_use]
    pub fn new(
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Arc<Self> {
        Self::with_cache(store, clock, random, DEFAULT_BYTES)
    }

    /// As [`Sessions::new`], with so many bytes; 0: nothing comes from memory.
    #[must_use]
    pub fn with_cache(
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        bytes: usize,
    ) -> Arc<Self> {
        let cache = Arc::new(SessionCache::new(bytes));
        Arc::new(Self {
            store,
            clock,
            random,
            cache,
            flights: Flights::default(),
            in_use: InUse::default(),
        })
    }

    /// Stores a session under a new id, which is all the browser gets.
    pub async fn create(
        &self,
        policy: &LivePolicy,
        session: &Session,
    ) -> Result<SecretId, StoreError> {
        self.create_session(Terms::of(policy), session).await
    }

    /// The session of an id, if it is not over; from memory, where that is as good as the store.
    /// Applies idle and absolute timeouts (ending what is over), and notes the use at most once per
    /// tenth of the idle timeout. A record that does not open is no session.
    pub async fn load(
        &self,
        policy: &LivePolicy,
        id: &SecretId,
    ) -> Result<Option<Loaded>, StoreError> {
        let terms = Terms::of(policy);
        let key = id.store_key(Purpose::Session, terms.policy_uid);
        let session = self.load_session(terms, &key).await?;
        Ok(session.map(|session| Loaded { key, session }))
    }

    /// News of a session, from now on: to be had before the store is asked for what is waited for.
    #[must_use]
    pub fn news(&self, key: &StoreKey) -> News {
        self.cache.news(key)
    }

    /// Whether sessions may come from memory now: changes are told, and none was missed.
    #[must_use]
    pub fn answers_from_memory(&self) -> bool {
        self.cache.is_fresh()
    }

    async fn create_session(
        &self,
        terms: Terms<'_>,
        session: &Session,
    ) -> Result<SecretId, StoreError> {
        let id = SecretId::generate(&*self.random);
        let key = id.store_key(Purpose::Session, terms.policy_uid);
        let sealed = self.seal(terms.sealer, &key, session)?;
        let ttl = terms.keep_for(session, self.clock.now());
        // Indexed first: a session that a logout could not find must not exist.
        self.store.index(&index_entries(terms, &key, session)).await?;
        self.store.create(&key, sealed, ttl).await?;
        self.in_use.note(terms.policy_uid);
        Ok(id)
    }

    /// The session of a record, if it opens, is not over, and is not known to have ended. To be asked
    /// after the store was: it may have ended meanwhile.
    pub(super) fn opened(
        &self,
        terms: Terms<'_>,
        key: &StoreKey,
        record: &Versioned,
    ) -> Option<Session> {
        if self.cache.has_ended(key) {
            return None;
        }
        let session: Session = open(terms.sealer, key, &record.value)?;
        (terms.remaining(&session, self.clock.now()) > 0).then_some(session)
    }

    pub(super) fn seal<T: Serialize>(
        &self,
        sealer: &Sealer,
        key: &StoreKey,
        record: &T,
    ) -> Result<Vec<u8>, StoreError> {
        let plain = serde_json::to_vec(record)
            .map_err(|_| StoreError("the record cannot be written as JSON".to_owned()))?;
        Ok(sealer.seal(&*self.random, key, plain))
    }
}

/// `None` for what does not open and for what is no record of ours: neither is told apart.
pub(super) fn open<T: DeserializeOwned>(
    sealer: &Sealer,
    key: &StoreKey,
    record: &[u8],
) -> Option<T> {
    let plain = sealer.open(key, record).ok()?;
    serde_json::from_slice(&plain).ok()
}

#[cfg(test)]
mod tests;
