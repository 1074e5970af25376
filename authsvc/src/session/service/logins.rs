//! Login transactions: kept for ten minutes, taken once. They are never kept in memory.

use std::time::Duration;

use super::{Sessions, Terms, open};
use crate::policies::LivePolicy;
use crate::session::store::StoreError;
use crate::session::{LoginTransaction, Purpose, SecretId};

/// How long a login may take, in seconds.
pub const LOGIN_SECONDS: u64 = 600;

impl Sessions {
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

    pub(super) async fn create_login(
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

    pub(super) async fn consume_login(
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
}
