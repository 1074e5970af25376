//! Reading a session, from memory or the store, and noting that it is used.
//!
//! Why memory is as good as the store: see `session::cache`. Only what the store was asked ends a
//! session: one in memory that looks over may have been used on another replica.

use std::sync::Arc;

use super::{Kind, Loaded, Sessions, Terms, index_entries, open};
use crate::audit::{EndReason, Ending};
use crate::clock::Timestamp;
use crate::session::cache::{Kept, Ticket};
use crate::session::store::StoreError;
use crate::session::{Session, StoreKey};

/// What became of noting the use of a session.
enum Touch {
    /// It is noted.
    Done(Kept),
    /// The record is another by now, or gone.
    Lost,
    /// The store did not say.
    Failed,
}

impl Sessions {
    /// The session of a key, if it is not over; [`Sessions::load`] is this by its id.
    pub(in crate::session) async fn load_session(
        &self,
        terms: Terms<'_>,
        key: &StoreKey,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        if let Some((kept, ticket)) = self.cache.get(key, terms.sealer.id())
            && let Some(session) = self.use_kept(terms, key, kept, ticket).await
        {
            return Ok(Some(session));
        }
        self.load_from_store(terms, key).await
    }

    /// `None`: the store must be asked.
    async fn use_kept(
        &self,
        terms: Terms<'_>,
        key: &StoreKey,
        kept: Kept,
        ticket: Ticket,
    ) -> Option<Arc<Session>> {
        let now = self.clock.now();
        if terms.remaining(&kept.session, now) == 0 {
            return None;
        }
        if !is_write_due(terms, &kept, now) || !self.cache.claim_touch(key) {
            return Some(kept.session);
        }
        match self.touch(terms, key, &kept, now).await {
            Touch::Done(touched) => {
                let session = Arc::clone(&touched.session);
                self.cache.keep(Some(ticket), key, touched);
                Some(session)
            }
            Touch::Lost => {
                self.cache.forget(key);
                None
            }
            Touch::Failed => Some(kept.session),
        }
    }

    /// The session as the store has it now.
    pub(in crate::session) async fn load_from_store(
        &self,
        terms: Terms<'_>,
        key: &StoreKey,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let ticket = self.cache.ticket(key);
        let stored = self.store.load(key).await;
        if self.cache.has_ended(key) {
            self.end_again(key, matches!(stored, Ok(Some(_)))).await;
            return Ok(None);
        }
        let Some(stored) = stored? else { return Ok(None) };
        let Some(session) = open::<Session>(terms.sealer, key, &stored.value) else {
            // Left where it is: a key that was taken off the keyring by mistake may come back.
            tracing::warn!(policy = terms.policy_uid, "a session's record does not open");
            return Ok(None);
        };
        let session = Arc::new(session);
        let now = self.clock.now();
        if terms.remaining(&session, now) == 0 {
            if matches!(terms.kind, Kind::Elevation(..)) {
                // Its session goes as well, and with it this one.
                return Ok(None);
            }
            let loaded = Loaded { key: *key, session };
            let ending = Ending { reason: EndReason::Timeout, by: "vestibule" };
            if let Err(error) = self.end_session(terms, &loaded, ending).await {
                tracing::debug!(policy = terms.policy_uid, %error, "a session that is over stays");
            }
            return Ok(None);
        }
        let mut kept = Kept {
            session,
            version: stored.version,
            opened_by: terms.sealer.id().clone(),
            by_active_key: terms.sealer.is_by_active_key(&stored.value),
        };
        if is_write_due(terms, &kept, now) {
            // It was loaded just now, so nothing here is its end: who loses the race to another
            // replica has been touched by that one.
            match self.touch(terms, key, &kept, now).await {
                Touch::Done(touched) => kept = touched,
                Touch::Lost => return Ok(Some(kept.session)),
                Touch::Failed => {}
            }
        }
        let session = Arc::clone(&kept.session);
        self.cache.keep(ticket, key, kept);
        Ok(Some(session))
    }

    /// Notes that the session was used, under the active key.
    async fn touch(&self, terms: Terms<'_>, key: &StoreKey, kept: &Kept, now: Timestamp) -> Touch {
        let touched = Session { touched_at: now, ..(*kept.session).clone() };
        match self.write_touched(terms, key, kept, &touched, now).await {
            Ok(true) => {
                self.in_use.note(terms.policy_uid);
                Touch::Done(Kept {
                    session: Arc::new(touched),
                    version: kept.version + 1,
                    by_active_key: true,
                    opened_by: kept.opened_by.clone(),
                })
            }
            Ok(false) => {
                tracing::debug!(policy = terms.policy_uid, "lost the race to touch");
                Touch::Lost
            }
            Err(error) => {
                tracing::warn!(policy = terms.policy_uid, %error, "a session was not touched");
                Touch::Failed
            }
        }
    }

    async fn write_touched(
        &self,
        terms: Terms<'_>,
        key: &StoreKey,
        kept: &Kept,
        touched: &Session,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        // Before it is resealed, so that a session is always found by the key that seals it; and each
        // time, since the policy's timeouts may have grown: it must be found for as long as it lives.
        self.store.index(&index_entries(terms, key, touched)).await?;
        let sealed = self.seal(terms.sealer, key, touched)?;
        let ttl = terms.keep_for(touched, now);
        self.store.replace_if_version(key, kept.version, sealed, ttl).await
    }
}

/// Whether a record is to be written anew: its use is to be noted, or its key is one that is to go.
fn is_write_due(terms: Terms<'_>, kept: &Kept, now: Timestamp) -> bool {
    !kept.by_active_key || terms.is_touch_due(&kept.session, now)
}
