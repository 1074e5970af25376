//! Finding sessions for admins: by the name of one, and by a provider that the policy had before.
//! Nothing here counts as a use of a session.

use std::sync::Arc;

use super::{Loaded, Page, Sessions, Terms};
use crate::policies::LivePolicy;
use crate::session::StoreKey;
use crate::session::index::By;
use crate::session::store::StoreError;

impl Sessions {
    /// As [`Sessions::find`], of a provider that need not be the policy's of now.
    ///
    /// # Errors
    /// Where the store did not answer.
    pub async fn find_of_issuer(
        &self,
        policy: &LivePolicy,
        issuer: &str,
        by: By<'_>,
        offset: usize,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.find_sessions(Terms::of(policy), issuer, by, offset, limit).await
    }

    /// The session of this key, if it is not over, and which of the policies it belongs to: the one
    /// whose key opens its record.
    ///
    /// # Errors
    /// Where the store did not answer.
    pub async fn find_named(
        &self,
        policies: &[Arc<LivePolicy>],
        key: &StoreKey,
    ) -> Result<Option<(Arc<LivePolicy>, Loaded)>, StoreError> {
        let Some(stored) = self.store.load(key).await? else { return Ok(None) };
        Ok(policies.iter().find_map(|policy| {
            let session = self.opened(Terms::of(policy), key, &stored)?;
            Some((Arc::clone(policy), Loaded { key: *key, session: Arc::new(session) }))
        }))
    }
}
