//! Ending sessions that timed out unused, so that each has its line in the audit trail.
//!
//! Why it exists: nobody asks for such a session any more, and a store that drops it by itself tells
//! nobody whose it was. So records are kept a while longer than their sessions live, and those that are
//! over are looked for. Every replica looks; the store settles which one ends a session. It must not end
//! what is not over by the policy of now.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::terms::KEPT_AFTER_ITS_END;
use super::{Loaded, Sessions, Terms, index_entries, open};
use crate::audit::{EndReason, Ending};
use crate::policies::{LivePolicy, Policies};
use crate::session::index::{By, IndexEntry, IndexKey};
use crate::session::store::{StoreError, Versioned};
use crate::session::{Session, StoreKey};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Each so many times it is looked at all policies, not only at those in use here: another replica may
/// be gone whose sessions they are.
const ALL_EVERY: u32 = 60;
/// How many records are looked at together.
const BATCH: usize = 100;

/// The policies, by their uids, that may have sessions, as far as this process knows.
#[derive(Default)]
pub(in crate::session) struct InUse(Mutex<HashSet<String>>);

impl InUse {
    /// A session of this policy was written.
    pub(super) fn note(&self, policy_uid: &str) {
        let mut uids = self.uids();
        if !uids.contains(policy_uid) {
            uids.insert(policy_uid.to_owned());
        }
    }

    fn uids(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// Looks for sessions that timed out and ends them, until it is dropped.
    pub async fn end_timeouts(&self, policies: &Policies) {
        let mut every = interval(LOOK_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = 0_u32;
        loop {
            every.tick().await;
            // The first look is at all, so it waits for them.
            if policies.is_loaded() && self.look(policies, round.is_multiple_of(ALL_EVERY)).await {
                round = round.wrapping_add(1);
            }
        }
    }

    /// Looks at the policies that are in use, or at all; `false`: the store did not answer.
    async fn look(&self, policies: &Policies, all: bool) -> bool {
        // Taken before it is looked: one that is noted meanwhile is not forgotten.
        let in_use = std::mem::take(&mut *self.in_use.uids());
        for policy in policies.running().iter().filter_map(|one| one.keeper().map(Arc::clone)) {
            let uid = &policy.compiled.uid;
            if !all && !in_use.contains(uid) {
                continue;
            }
            match self.end_timed_out(&policy).await {
                Ok(true) => self.in_use.note(uid),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(policy = uid, %error, "timed out sessions are not looked for");
                    // The next would wait for the same store.
                    self.in_use.uids().extend(in_use);
                    return false;
                }
            }
        }
        true
    }

    /// Ends the sessions of a policy that are over. `true`: it may have others.
    ///
    /// # Errors
    /// Where the store did not answer.
    pub async fn end_timed_out(&self, policy: &LivePolicy) -> Result<bool, StoreError> {
        self.end_those_over(Terms::of(policy)).await
    }

    pub(super) async fn end_those_over(&self, terms: Terms<'_>) -> Result<bool, StoreError> {
        let mut others = false;
        for index in terms.indexer.keys("", By::End) {
            while self.end_some(terms, &index).await? == BATCH {}
            others |= !self.store.indexed(&index, 0, 1).await?.is_empty();
        }
        Ok(others)
    }

    /// How many records were found, none of which will be found again.
    async fn end_some(&self, terms: Terms<'_>, index: &IndexKey) -> Result<usize, StoreError> {
        let until = self.clock.now().plus(KEPT_AFTER_ITS_END);
        let keys = self.store.indexed_until(index, until, BATCH).await?;
        let records = self.store.load_many(&keys).await?;
        for (key, record) in keys.iter().zip(records) {
            if let Some(session) = record.and_then(|record| opened_anyway(terms, key, &record)) {
                self.end_or_move(terms, key, session).await?;
            } else {
                // It ended, or nobody can say whose it was.
                let entry = IndexEntry { index: *index, record: *key, until };
                self.store.unindex(&[entry]).await?;
            }
        }
        Ok(keys.len())
    }

    async fn end_or_move(
        &self,
        terms: Terms<'_>,
        key: &StoreKey,
        session: Session,
    ) -> Result<(), StoreError> {
        if terms.remaining(&session, self.clock.now()) > 0 {
            // The policy's timeouts are longer by now.
            return self.store.index(&index_entries(terms, key, &session)).await;
        }
        let loaded = Loaded { key: *key, session: Arc::new(session) };
        let ending = Ending { reason: EndReason::Timeout, by: "vestibule" };
        self.end_session(terms, &loaded, ending).await.map(drop)
    }
}

/// Also where the session is over.
fn opened_anyway(terms: Terms<'_>, key: &StoreKey, record: &Versioned) -> Option<Session> {
    open(terms.sealer, key, &record.value)
}
