//! Looking at a session without using it: for pages that watch whether theirs lives.
//!
//! It must note no use, or a page left open would keep its session alive. It asks the store, since
//! another replica may know of a later use than the memory of this one.

use std::sync::Arc;

use super::{Loaded, Sessions, Terms};
use crate::policies::LivePolicy;
use crate::session::store::StoreError;
use crate::session::{Purpose, SecretId};

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
        let Some(stored) = self.store.load(&key).await? else { return Ok(None) };
        Ok(self
            .opened(terms, &key, &stored)
            .map(|session| Loaded { key, session: Arc::new(session) }))
    }
}
