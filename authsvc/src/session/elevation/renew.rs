//! New elevated tokens for old: by their refresh token, or by another exchange of the session's token.
//!
//! It must not store anything: that is the turn's work (`session::refresh`).

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use super::{Of, can_renew, identity};
use crate::oidc::{ExchangeRequest, Identity, OidcError, RefreshError};
use crate::policies::{LiveAuthority, LivePolicy};
use crate::session::Session;
use crate::session::refresh::{Redeemer, Refreshed};
use crate::session::service::{Loaded, Sessions, Terms};
use crate::session::store::StoreError;
use crate::token::Token;

impl Sessions {
    /// Gets a new elevated token for one that is over, as [`Sessions::refresh`] does for sessions: one
    /// redeem per session and base over all replicas. `Ended`: it is spent now, or gone.
    ///
    /// # Errors
    /// Where the store did not answer.
    pub async fn refresh_elevation(
        self: &Arc<Self>,
        policy: &Arc<LivePolicy>,
        authority: &Arc<LiveAuthority>,
        session: &Loaded,
        elevated: &Loaded,
    ) -> Result<Refreshed, StoreError> {
        let renewer = self.renewer(policy, authority, session);
        self.refresh_by(policy, renewer, elevated).await
    }

    /// As [`Sessions::refresh_soon`], for an elevated token that is about to be over.
    pub fn refresh_elevation_soon(
        self: &Arc<Self>,
        policy: &Arc<LivePolicy>,
        authority: &Arc<LiveAuthority>,
        session: &Loaded,
        elevated: &Loaded,
    ) {
        self.refresh_soon_by(policy, self.renewer(policy, authority, session), elevated);
    }

    fn renewer(
        self: &Arc<Self>,
        policy: &Arc<LivePolicy>,
        authority: &Arc<LiveAuthority>,
        session: &Loaded,
    ) -> Arc<Renewer> {
        Arc::new(Renewer {
            sessions: Arc::clone(self),
            policy: Arc::clone(policy),
            authority: Arc::clone(authority),
            session: session.clone(),
        })
    }
}

/// Gets new tokens of an authority for a session.
struct Renewer {
    sessions: Arc<Sessions>,
    policy: Arc<LivePolicy>,
    authority: Arc<LiveAuthority>,
    session: Loaded,
}

impl Redeemer for Renewer {
    fn terms<'a>(&'a self, policy: &'a LivePolicy) -> Terms<'a> {
        Terms::of_elevation(policy, &self.authority, &self.session.key)
    }

    fn can_redeem(&self, elevated: &Session) -> bool {
        can_renew(&self.authority.compiled, elevated)
    }

    fn redeem<'a>(
        &'a self,
        elevated: &'a Session,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Identity, RefreshError>> {
        async move {
            if elevated.refresh_token.is_none() {
                let late = || failed("token endpoint: no answer in time");
                let exchanging = self.exchange(elevated);
                return timeout_at(deadline, exchanging).await.unwrap_or_else(|_| Err(late()));
            }
            let (client, login) = (&self.authority.client, self.authority.login(&[], false));
            self.policy.provider.refresh(client, &login, elevated, deadline).await
        }
        .boxed()
    }

    fn discard(&self, elevated: &Session) {
        self.policy.discard(&self.authority.client, elevated);
    }
}

impl Renewer {
    /// Exchanges the session's token once more, for what was granted.
    async fn exchange(&self, elevated: &Session) -> Result<Identity, RefreshError> {
        let compiled = &self.authority.compiled;
        let granted = elevated.grant.as_ref().map_or(&[][..], |grant| &grant.granted);
        let subject_token = self.subject_token().await?;
        let request = ExchangeRequest {
            subject_token: &subject_token,
            scopes: granted,
            audience: compiled.audience.as_deref(),
            resources: &compiled.resources,
        };
        let exchanged = self.policy.provider.exchange(&self.authority.client, &request).await;
        let caller = Of {
            subject: &elevated.subject,
            issuer: &elevated.issuer,
            auth_time: elevated.auth_time,
        };
        exchanged.map(|exchanged| identity(exchanged, caller)).map_err(refused)
    }

    /// The session's access token, a new one where it is over.
    async fn subject_token(&self) -> Result<Token, RefreshError> {
        let session = &self.session.session;
        let now = self.sessions.clock.now();
        if session.access_token_expires_at.is_none_or(|end| end > now) {
            return Ok(session.access_token.clone());
        }
        match self.sessions.refresh(&self.policy, &self.session).await {
            Ok(Refreshed::Fresh(session)) => Ok(session.session.access_token.clone()),
            Ok(Refreshed::Ended) => Err(failed("the session is over")),
            Ok(Refreshed::Failed) => Err(failed("the session has no new tokens")),
            Err(error) => Err(failed(&error.to_string())),
        }
    }
}

/// Who the user is and what they may do is for the provider to say: then it is the end of the elevated
/// token. Anything else says nothing of the user.
fn refused(error: OidcError) -> RefreshError {
    match error {
        OidcError::Refused(
            "access_denied" | "invalid_grant" | "invalid_request" | "invalid_scope",
        ) => RefreshError::Ended(error),
        other => RefreshError::Failed(other),
    }
}

fn failed(why: &str) -> RefreshError {
    RefreshError::Failed(OidcError::Unavailable(why.to_owned()))
}
