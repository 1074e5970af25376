//! Keeps sessions and login transactions: ids, timeouts, sealing, and when to write.
//!
//! It must not know HTTP, and must not turn an error of the store into "no session".

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::index::{By, IndexEntry, Indexer};
use super::seal::Sealer;
use super::store::{SessionStore, StoreError};
use super::{LoginTransaction, Purpose, SecretId, Session, StoreKey};
use crate::audit::{self, Ending};
use crate::clock::{Clock, Timestamp};
use crate::policies::LivePolicy;
use crate::random::Random;

/// How long a login may take, in seconds.
pub const LOGIN_SECONDS: u64 = 600;

/// Keeps sessions and login transactions, sealed.
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A session that is not over, and where it is.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Names it, in the store and to admins.
    pub key: StoreKey,
    /// What is known of it.
    pub session: Arc<Session>,
}

/// What of a policy matters here.
#[derive(Clone, Copy)]
struct Terms<'a> {
    policy_uid: &'a str,
    session_sealer: &'a Sealer,
    login_sealer: &'a Sealer,
    indexer: &'a Indexer,
    /// In seconds.
    idle_timeout: u64,
    /// In seconds.
    absolute_timeout: u64,
}

impl<'a> Terms<'a> {
    fn of(policy: &'a LivePolicy) -> Self {
        Self {
            policy_uid: &policy.compiled.uid,
            session_sealer: &policy.session_sealer,
            login_sealer: &policy.login_sealer,
            indexer: &policy.indexer,
            idle_timeout: policy.compiled.session.idle_timeout,
            absolute_timeout: policy.compiled.session.absolute_timeout,
        }
    }

    /// Seconds until the session is over, by whichever timeout is first; 0: it is.
    fn remaining(&self, session: &Session, now: Timestamp) -> u64 {
        let idle = self.idle_timeout.saturating_sub(now.since(session.touched_at));
        let absolute = self.absolute_timeout.saturating_sub(now.since(session.created_at));
        idle.min(absolute)
    }
}

impl Sessions {
    /// Over a store.
    #[must_use]
    pub fn new(
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { store, clock, random }
    }

    /// Stores a session under a new id, which is all the browser gets.
    pub async fn create(
        &self,
        policy: &LivePolicy,
        session: &Session,
    ) -> Result<SecretId, StoreError> {
        self.create_session(Terms::of(policy), session).await
    }

    /// The session of an id, if it is not over. Applies idle and absolute timeouts (deleting what is
    /// over), and notes the use at most once per tenth of the idle timeout. A record that does not
    /// open is no session.
    pub async fn load(
        &self,
        policy: &LivePolicy,
        id: &SecretId,
    ) -> Result<Option<Loaded>, StoreError> {
        let terms = Terms::of(policy);
        let key = id.store_key(Purpose::Session, terms.policy_uid);
        let session = self.load_session(terms, &key).await?;
        Ok(session.map(|session| Loaded { key, session: Arc::new(session) }))
    }

    /// Ends a session, on every replica; one that is gone is no error. `true`: it was this call that
    /// ended it, and one audit line says so.
    ///
    /// # Errors
    /// Where the store did not say that it is gone.
    pub async fn end(
        &self,
        policy: &LivePolicy,
        loaded: &Loaded,
        ending: Ending<'_>,
    ) -> Result<bool, StoreError> {
        let terms = Terms::of(policy);
        let ended = self.store.delete(&loaded.key).await?;
        if ended {
            audit::session_ended(&policy.compiled.id, &loaded.key, &loaded.session, ending);
        }
        let entries = index_entries(terms, &loaded.key, &loaded.session);
        if let Err(error) = self.store.unindex(&entries).await {
            // What is left there points to nothing, and is gone with the session's time.
            tracing::debug!(policy = terms.policy_uid, %error, "an ended session is still indexed");
        }
        Ok(ended)
    }

    /// The sessions of a policy by something else than their cookie; `limit` at most, from `offset`
    /// on. Those that are over are left out.
    ///
    /// # Errors
    /// Where the store did not answer.
    pub async fn find(
        &self,
        policy: &LivePolicy,
        by: By<'_>,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<Loaded>, StoreError> {
        let terms = Terms::of(policy);
        let mut found = Vec::new();
        for index in terms.indexer.keys(&policy.compiled.provider.issuer, by) {
            let keys = self.store.indexed(&index, offset, limit).await?;
            let records = self.store.load_many(&keys).await?;
            let now = self.clock.now();
            for (key, record) in keys.into_iter().zip(records) {
                let Some(record) = record else { continue };
                let opened: Option<Session> = open(terms.session_sealer, &key, &record.value);
                let live = opened.filter(|session| terms.remaining(session, now) > 0);
                found.extend(live.map(|session| Loaded { key, session: Arc::new(session) }));
            }
        }
        Ok(found)
    }

    /// Stores a login transaction for [`LOGIN_SECONDS`].
    pub async fn begin_login(
        &self,
        policy: &LivePolicy,
        transaction: &LoginTransaction,
    ) -> Result<SecretId, StoreError> {
        self.create_login(Terms::of(policy), transaction).await
    }

    /// Takes a login transaction: once, and not after [`LOGIN_SECONDS`].
    pub async fn take_login(
        &self,
        policy: &LivePolicy,
        id: &SecretId,
    ) -> Result<Option<LoginTransaction>, StoreError> {
        self.consume_login(Terms::of(policy), id).await
    }

    async fn create_session(
        &self,
        terms: Terms<'_>,
        session: &Session,
    ) -> Result<SecretId, StoreError> {
        let id = SecretId::generate(&*self.random);
        let key = id.store_key(Purpose::Session, terms.policy_uid);
        let sealed = self.seal(terms.session_sealer, &key, session)?;
        let ttl = Duration::from_secs(terms.remaining(session, self.clock.now()).max(1));
        // Indexed first: a session that a logout could not find must not exist.
        self.store.index(&index_entries(terms, &key, session)).await?;
        self.store.create(&key, sealed, ttl).await?;
        Ok(id)
    }

    async fn load_session(
        &self,
        terms: Terms<'_>,
        key: &StoreKey,
    ) -> Result<Option<Session>, StoreError> {
        let Some(stored) = self.store.load(key).await? else {
            return Ok(None);
        };
        let opened: Option<Session> = open(terms.session_sealer, key, &stored.value);
        let Some(mut session) = opened else {
            // Left where it is: a key that was taken off the keyring by mistake may come back.
            tracing::warn!(policy = terms.policy_uid, "a session record does not open");
            return Ok(None);
        };
        let now = self.clock.now();
        if terms.remaining(&session, now) == 0 {
            if let Err(error) = self.store.delete(key).await {
                tracing::debug!(policy = terms.policy_uid, %error, "a session that is over stays");
            }
            return Ok(None);
        }
        if now.since(session.touched_at) >= (terms.idle_timeout / 10).max(1) {
            self.touch(terms, key, stored.version, &mut session, now).await;
        }
        Ok(Some(session))
    }

    /// Notes that the session was used. It was loaded already, so nothing here is its end: who loses
    /// the race to another replica has been touched by that one.
    async fn touch(
        &self,
        terms: Terms<'_>,
        key: &StoreKey,
        version: u64,
        session: &mut Session,
        now: Timestamp,
    ) {
        let touched = Session { touched_at: now, ..session.clone() };
        let ttl = Duration::from_secs(terms.remaining(&touched, now));
        let replaced = match self.seal(terms.session_sealer, key, &touched) {
            Ok(sealed) => self.store.replace_if_version(key, version, sealed, ttl).await,
            Err(error) => Err(error),
        };
        match replaced {
            Ok(true) => *session = touched,
            Ok(false) => tracing::debug!(policy = terms.policy_uid, "lost the race to touch"),
            Err(error) => {
                tracing::warn!(policy = terms.policy_uid, %error, "a session was not touched");
            }
        }
    }

    async fn create_login(
        &self,
        terms: Terms<'_>,
        transaction: &LoginTransaction,
    ) -> Result<SecretId, StoreError> {
        let id = SecretId::generate(&*self.random);
        let key = id.store_key(Purpose::Login, terms.policy_uid);
        let sealed = self.seal(terms.login_sealer, &key, transaction)?;
        self.store.create(&key, sealed, Duration::from_secs(LOGIN_SECONDS)).await?;
        Ok(id)
    }

    async fn consume_login(
        &self,
        terms: Terms<'_>,
        id: &SecretId,
    ) -> Result<Option<LoginTransaction>, StoreError> {
        let key = id.store_key(Purpose::Login, terms.policy_uid);
        let Some(sealed) = self.store.take(&key).await? else {
            return Ok(None);
        };
        let opened: Option<LoginTransaction> = open(terms.login_sealer, &key, &sealed);
        if opened.is_none() {
            tracing::warn!(policy = terms.policy_uid, "a login transaction does not open");
        }
        let now = self.clock.now();
        Ok(opened.filter(|transaction| now.since(transaction.created_at) < LOGIN_SECONDS))
    }

    fn seal<T: Serialize>(
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

/// Where a session is found by others than its browser.
fn index_entries(terms: Terms<'_>, key: &StoreKey, session: &Session) -> Vec<IndexEntry> {
    let sid = session.provider_session.as_deref().map(By::ProviderSession);
    let until = session.created_at.plus(terms.absolute_timeout);
    [By::Policy, By::Subject(&session.subject)]
        .into_iter()
        .chain(sid)
        .flat_map(|by| terms.indexer.keys(&session.issuer, by))
        .map(|index| IndexEntry { index, record: *key, until })
        .collect()
}

/// `None` for what does not open and for what is no record of ours: neither is told apart.
fn open<T: DeserializeOwned>(sealer: &Sealer, key: &StoreKey, record: &[u8]) -> Option<T> {
    let plain = sealer.open(key, record).ok()?;
    serde_json::from_slice(&plain).ok()
}

#[cfg(test)]
mod tests;
