//! Token revocation (RFC 7009): what a logout leaves behind at the provider is made worthless there.
//!
//! Why it exists: a session that has ended here may have left a refresh token that lives for months.
//! It runs after the session is gone, so nothing here can hold up or undo a logout. It must not log
//! a token, and must not try for ever.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::watch;
use vestibule_policy::model::CompiledClient;

use super::{OidcError, Provider, Providers, client_auth, error_code};
use crate::session::Session;
use crate::token::Token;

/// How long to wait before each further try. A provider that is down for longer keeps its tokens
/// until they expire; RFC 7009, section 2.2.1 asks for retries on 503.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];
/// How many sessions' tokens may be waiting to be revoked: a provider that hangs must not fill the
/// memory.
const MAX_UNDER_WAY: usize = 10_000;

/// How many revocations are under way, over all providers of a process.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Arc<watch::Sender<usize>>);

impl UnderWay {
    /// Counts one more; `None`: there are too many.
    fn one(&self) -> Option<One> {
        let counted = self.0.send_if_modified(|count| {
            let room = *count < MAX_UNDER_WAY;
            *count += usize::from(room);
            room
        });
        counted.then(|| One(Arc::clone(&self.0)))
    }
}

/// One that is under way, for as long as it is held.
struct One(Arc<watch::Sender<usize>>);

impl Drop for One {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Provider {
    /// Revokes the tokens of a session that has ended, in the background; nothing where the provider
    /// does not offer that.
    pub fn revoke_tokens(self: &Arc<Self>, client: &CompiledClient, session: &Session) {
        // The refresh token first: with it most providers end the access token too.
        let mut tokens = Vec::with_capacity(2);
        tokens.extend(session.refresh_token.clone().map(|token| ("refresh_token", token)));
        if session.access_token_expires_at.is_none_or(|end| end > self.now()) {
            tokens.push(("access_token", session.access_token.clone()));
        }
        let Some(one) = self.revocations.one() else {
            tracing::warn!(issuer = self.issuer(), "too many tokens wait to be revoked");
            return;
        };
        let (provider, client) = (Arc::clone(self), client.clone());
        tokio::spawn(async move {
            for (kind, token) in tokens {
                provider.revoke_in_the_end(&client, kind, &token).await;
            }
            drop(one);
        });
    }

    async fn revoke_in_the_end(&self, client: &CompiledClient, kind: &'static str, token: &Token) {
        let issuer = self.issuer();
        for pause in PAUSES.into_iter().map(Some).chain([None]) {
            let Err(error) = self.revoke(client, kind, token).await else { return };
            match (error, pause) {
                (OidcError::Unavailable(_), Some(pause)) => tokio::time::sleep(pause).await,
                // Access tokens that nobody looks up cannot be revoked (section 2.2.1).
                (OidcError::Refused("unsupported_token_type"), _) if kind == "access_token" => {
                    tracing::debug!(issuer, "the provider revokes no access tokens");
                    return;
                }
                (error, _) => {
                    tracing::warn!(issuer, kind, %error, "a token was not revoked");
                    return;
                }
            }
        }
    }

    /// One try. That the provider does not know the token is success (section 2.2).
    async fn revoke(
        &self,
        client: &CompiledClient,
        kind: &'static str,
        token: &Token,
    ) -> Result<(), OidcError> {
        let metadata = self.metadata().await?;
        let Some(endpoint) = metadata.revocation_endpoint.as_deref() else { return Ok(()) };
        let form = vec![("token", token.expose().to_owned()), ("token_type_hint", kind.to_owned())];
        let (now, random) = (self.now(), self.random());
        let request = client_auth::post(endpoint, &form, client, &metadata, now, random)?;
        let response = self.call("revocation endpoint", request).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::TOO_MANY_REQUESTS => {
                Err(OidcError::Unavailable("revocation endpoint: too many requests".to_owned()))
            }
            _ => Err(OidcError::Refused(error_code(response.body()))),
        }
    }
}

impl Providers {
    /// Waits until no revocation is under way, but no longer than `within`; gives how many still are.
    pub async fn revocations_done(&self, within: Duration) -> usize {
        let mut count = self.revocations.0.subscribe();
        let done = async {
            let _ = count.wait_for(|count| *count == 0).await;
        };
        let _ = tokio::time::timeout(within, done).await;
        *self.revocations.0.borrow()
    }
}
