//! Looking at a session without using it: for pages that watch whether theirs lives.
//!
//! It must note no use, or a page left open would keep its session alive. It asks the store, since
//! another replica may know of a later use than the memory of this one.

use std::sync::Arc;

use super::{Loaded, Sessions, Terms, open};
use crate::policies::LivePolicy;
use crate::session::store::StoreError;
use crate::session::{Purpose, SecretId, Session};

impl Sessions {
    /// The session of an id, if it is not over. Changes nothing.
    ///
    /// # Errors
    /// Where the store did not answer.
    pub async fn peek(
        &self,
        policy: &LivePolicy,
        id: &SecretId,
    ) -> Result<Option<Loaded>, StoreError> {
        let terms = Terms::of(policy);
        let key = id.store_key(Purpose::Session, terms.policy_uid);
        let stored = self.store.load(&key).await?;
        // Asked after the store was: it may have ended meanwhile.
        let Some(stored) = stored.filter(|_| !self.cache.has_ended(&key)) else { return Ok(None) };
        let opened: Option<Session> = open(terms.session_sealer, &key, &stored.value);
        let live = opened.filter(|session| terms.remaining(session, self.clock.now()) > 0);
        Ok(live.map(|session| Loaded { key, session: Arc::new(session) }))
    }
}
