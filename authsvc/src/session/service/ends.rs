//! Ending sessions, so that they stay ended, and their elevated tokens with them.
//!
//! An end counts as soon as the store has it. If the store then fails over to a copy that does not,
//! the end is still remembered by every replica of ours that heard of it: the session is refused
//! whatever the store says, and is deleted again, at once for those that are asked for and for all
//! others when changes are told again.

use std::time::Duration;

use super::{Kind, Loaded, Sessions, Terms, index_entries};
use crate::audit::{self, Ending};
use crate::policies::LivePolicy;
use crate::session::store::{Change, ChangeListener as _, StoreError};
use crate::session::{Purpose, SecretId, StoreKey};

/// How many records are looked for at a time.
const BATCH: usize = 100;
/// Until the store is asked again whether ended sessions are back.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl Sessions {
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
        self.end_session(Terms::of(policy), loaded, ending).await
    }

    /// Takes away the record of an id that names no session as things are, if there is one.
    ///
    /// # Errors
    /// Where the store did not say that it is gone.
    pub async fn drop_record(&self, policy: &LivePolicy, id: &SecretId) -> Result<(), StoreError> {
        let key = id.store_key(Purpose::Session, &policy.compiled.uid);
        // Asked first: what was never there is told to nobody.
        if self.store.load(&key).await?.is_some() {
            self.store.delete(&key).await?;
            self.cache.changed(&key, Change::Ended);
            self.drop_elevations(policy.authorities(), &key).await;
        }
        Ok(())
    }

    pub(in crate::session) async fn end_session(
        &self,
        terms: Terms<'_>,
        loaded: &Loaded,
        ending: Ending<'_>,
    ) -> Result<bool, StoreError> {
        let ended = match self.store.delete(&loaded.key).await {
            Ok(ended) => ended,
            Err(error) => {
                // It may be gone or not: what is in memory must not decide.
                self.cache.forget(&loaded.key);
                return Err(error);
            }
        };
        self.note_end(terms, loaded, ended.then_some(ending)).await;
        Ok(ended)
    }

    /// To be called when the store has the end of a session: remembers it, writes the audit line of
    /// who ended it, deletes its elevated tokens and takes it off the indexes.
    pub(in crate::session) async fn note_end(
        &self,
        terms: Terms<'_>,
        loaded: &Loaded,
        ending: Option<Ending<'_>>,
    ) {
        self.cache.changed(&loaded.key, Change::Ended);
        if let Some(ending) = ending {
            audit::session_ended(terms.policy, &loaded.key, &loaded.session, ending);
        }
        if let Kind::Session(authorities) = terms.kind {
            self.drop_elevations(authorities, &loaded.key).await;
        }
        let entries = index_entries(terms, &loaded.key, &loaded.session);
        if let Err(error) = self.store.unindex(&entries).await {
            // What is left there points to nothing, and is gone with the session's time.
            tracing::debug!(policy = terms.policy_uid, %error, "an ended session is still indexed");
        }
    }

    /// Hears of what other replicas change, until it is dropped: without it nothing comes from
    /// memory.
    pub async fn follow(&self) {
        let told = self.store.tell_changes(self.cache.clone());
        tokio::join!(told, self.keep_ends());
    }

    /// After each interruption: what ended must not be back.
    async fn keep_ends(&self) {
        loop {
            self.cache.resumed().await;
            while let Err(error) = self.end_all_again().await {
                tracing::warn!(%error, "ended sessions may be in the store again");
                tokio::time::sleep(ASK_AGAIN).await;
            }
        }
    }

    async fn end_all_again(&self) -> Result<(), StoreError> {
        for keys in self.cache.remembered_ends().chunks(BATCH) {
            let records = self.store.load_many(keys).await?;
            for (key, _) in keys.iter().zip(records).filter(|(_, record)| record.is_some()) {
                self.store.delete(key).await?;
                warn_of_return(key);
            }
        }
        Ok(())
    }

    /// Deletes a session that is known to have ended, if it is back.
    pub(super) async fn end_again(&self, key: &StoreKey, is_back: bool) {
        if is_back {
            warn_of_return(key);
            if let Err(error) = self.store.delete(key).await {
                tracing::debug!(%error, "an ended session stays in the store");
            }
        }
    }
}

fn warn_of_return(key: &StoreKey) {
    tracing::warn!(
        session = key.name(),
        "the store had a session again that had ended, as after a failover; it is deleted"
    );
}
