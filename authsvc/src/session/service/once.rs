//! What may happen once, over all replicas: noted in the store.

use std::time::Duration;

use super::Sessions;
use crate::policies::LivePolicy;
use crate::session::store::StoreError;

impl Sessions {
    /// Notes that a token of this kind and id was used; `false`: it was used before. Forgotten after
    /// `remembered`, when the token must be worthless by itself.
    ///
    /// # Errors
    /// Where the store did not answer: it may be noted or not.
    pub async fn first_use(
        &self,
        policy: &LivePolicy,
        kind: &str,
        id: &str,
        remembered: Duration,
    ) -> Result<bool, StoreError> {
        let mark = policy.indexer.mark(kind, policy.provider.issuer(), id);
        let mark = mark.ok_or_else(|| StoreError("the keyring is empty".to_owned()))?;
        self.store.mark_once(&mark, remembered).await
    }
}
