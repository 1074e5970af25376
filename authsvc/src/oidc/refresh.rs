//! New tokens for old (OpenID Connect Core 1.0, section 12): the same user, the same login.
//!
//! Why it exists: a refresh token may be good for once, so what comes with its redemption is either
//! taken or lost. What can be asked again (keys, `UserInfo`) is therefore asked again for a while;
//! what says that this is another user, or another login, ends the session.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};
use vestibule_policy::model::{CompiledClient, CompiledLogin};

use super::id_token::{self, Expected, ExpectedNonce, Verified};
use super::metadata::Metadata;
use super::tokens::Tokens;
use super::{Identity, OidcError, Provider};
use crate::session::{Claims, Session};
use crate::token::Token;

/// How long keys and `UserInfo` are asked for once the tokens are there.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait between two attempts.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// What an ID token says of the login itself: where a later one leaves it out, it is as it was.
const OF_THE_LOGIN: [&str; 4] = ["acr", "amr", "auth_time", "sid"];

/// Why there are no new tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// The provider gives no more for this login, or gives those of another: the session is over.
    #[error("{0}")]
    Ended(OidcError),
    /// Anything else: the session is as good as its tokens.
    #[error("{0}")]
    Failed(OidcError),
}

impl Provider {
    /// Redeems the refresh token of a session. What the provider leaves out of its answer is as it
    /// was; what it says anew replaces it.
    ///
    /// # Errors
    /// As [`RefreshError`] says; also where it is not done by `deadline`.
    pub async fn refresh(
        &self,
        client: &CompiledClient,
        login: &CompiledLogin,
        session: &Session,
        deadline: Instant,
    ) -> Result<Identity, RefreshError> {
        let late = || {
            RefreshError::Failed(OidcError::Unavailable("token endpoint: no answer in time".into()))
        };
        let refreshing = self.refresh_by(client, login, session, deadline);
        timeout_at(deadline, refreshing).await.unwrap_or_else(|_| Err(late()))
    }

    async fn refresh_by(
        &self,
        client: &CompiledClient,
        login: &CompiledLogin,
        session: &Session,
        deadline: Instant,
    ) -> Result<Identity, RefreshError> {
        let Some(refresh_token) = &session.refresh_token else {
            return Err(RefreshError::Failed(OidcError::Refused("there is no refresh token")));
        };
        // Fetched first: what then fails must not cost the refresh token.
        let metadata = self.metadata().await.map_err(RefreshError::Failed)?;
        self.keys(&metadata).await.map_err(RefreshError::Failed)?;
        let mut grant = vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", refresh_token.expose().to_owned()),
        ];
        grant.extend(login.resources.iter().map(|resource| ("resource", resource.clone())));
        let tokens = self.request_tokens(client, &metadata, &grant).await;
        let tokens = tokens.map_err(|error| match error {
            OidcError::Refused("invalid_grant") => RefreshError::Ended(error),
            other => RefreshError::Failed(other),
        })?;
        // An elevated token that may do nobody knows what is none; of a session nobody asks.
        let scopes = match session.grant {
            Some(_) => tokens.scopes().map_err(RefreshError::Failed)?,
            None => None,
        };
        let patience = deadline.min(Instant::now() + PATIENCE);
        let verified = self.verify_refreshed(&tokens, &metadata, client, session, patience).await?;
        let mut claims = match &verified {
            Some(verified) => with_the_login(verified.claims.clone(), &session.claims),
            None if login.user_info => {
                id_token::payload(session.id_token.expose()).unwrap_or_default()
            }
            None => session.claims.clone(),
        };
        if login.user_info {
            let access_token = &tokens.access_token;
            let ask = || self.user_info(&metadata, client, access_token, &session.subject);
            let more = match until(patience, ask).await {
                Ok(more) => more,
                Err(error @ OidcError::UserInfo(_)) => return Err(RefreshError::Ended(error)),
                Err(error) => {
                    // The tokens are worth more than the age of these: without them it is the end.
                    tracing::warn!(issuer = self.issuer(), %error, "UserInfo is as it was");
                    only_of_user_info(session)
                }
            };
            claims.complete(more);
        }
        Ok(identity(tokens, verified, scopes, claims, session))
    }

    /// The new ID token, if there is one, and if it is of the same login.
    async fn verify_refreshed(
        &self,
        tokens: &Tokens,
        metadata: &Metadata,
        client: &CompiledClient,
        session: &Session,
        patience: Instant,
    ) -> Result<Option<Verified>, RefreshError> {
        let Some(id_token) = &tokens.id_token else { return Ok(None) };
        if let Some(claim) = another_login(id_token, session, &client.id) {
            let message = format!("it is not of the login that is refreshed ({claim})");
            return Err(RefreshError::Ended(OidcError::Token(message)));
        }
        let expected = Expected {
            issuer: self.issuer(),
            client_id: &client.id,
            nonce: ExpectedNonce::NoneOr(session.nonce.as_ref().map(Token::expose)),
            acr_values: &[],
            max_age: None,
            access_token: &tokens.access_token,
            algorithms: metadata.id_token_signing_alg_values_supported.as_deref(),
            now: self.now(),
        };
        let verified = until(patience, || self.verify(id_token, metadata, &expected)).await;
        verified.map(Some).map_err(RefreshError::Failed)
    }
}

/// Asks, and again while the provider does not answer.
async fn until<T, F>(patience: Instant, ask: impl Fn() -> F) -> Result<T, OidcError>
where
    F: Future<Output = Result<T, OidcError>>,
{
    loop {
        match ask().await {
            Err(OidcError::Unavailable(_)) if Instant::now() + ASK_AGAIN < patience => {
                sleep(ASK_AGAIN).await;
            }
            answer => return answer,
        }
    }
}

/// The claim by which a token is of another login than the session's (Core, section 12.2). What is
/// of a wrong type is left to the verification.
fn another_login(id_token: &str, session: &Session, client_id: &str) -> Option<&'static str> {
    let claims = id_token::payload(id_token).ok()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let differs = |name: &str, was: &str| text(name).is_some_and(|is| is != was);
    let for_us = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(client_id)),
        Some(one) => one.as_str() == Some(client_id),
        None => true,
    };
    // A later one is the same user who authenticated again, perhaps for another app: Keycloak keeps
    // one `auth_time` for all of them. The session's own stays as it was.
    let authenticated_at = claims.get("auth_time").and_then(Value::as_u64);
    let is_earlier = authenticated_at.is_some_and(|is| is < session.auth_time.0);
    if differs("iss", &session.issuer) {
        Some("iss")
    } else if differs("sub", &session.subject) {
        Some("sub")
    } else if !for_us {
        Some("aud")
    } else if text("nonce").is_some_and(|is| session.nonce.as_ref().map(Token::expose) != Some(is))
    {
        Some("nonce")
    } else {
        is_earlier.then_some("auth_time")
    }
}

/// What the session has of UserInfo: what an ID token said before and does not say now is gone.
fn only_of_user_info(session: &Session) -> Claims {
    let of_the_token = id_token::payload(session.id_token.expose()).unwrap_or_default();
    let others = session.claims.iter().filter(|(name, _)| !of_the_token.contains_key(name));
    others.map(|(name, value)| (name, value.clone())).collect()
}

/// A later ID token's claims, with what it leaves out about the login itself.
fn with_the_login(mut claims: Claims, before: &Claims) -> Claims {
    for name in OF_THE_LOGIN {
        if let (false, Some(value)) = (claims.contains_key(name), before.get(name)) {
            claims.insert(name, value.clone());
        }
    }
    claims
}

fn identity(
    tokens: Tokens,
    verified: Option<Verified>,
    scopes: Option<Vec<String>>,
    claims: Claims,
    session: &Session,
) -> Identity {
    let (id_token, id_token_expires_at, provider_session, acr) = match (tokens.id_token, verified) {
        (Some(id_token), Some(verified)) => {
            (Token::new(id_token), verified.expires_at, verified.session, verified.acr)
        }
        _ => (session.id_token.clone(), session.id_token_expires_at, None, None),
    };
    Identity {
        subject: session.subject.clone(),
        issuer: session.issuer.clone(),
        provider_session: provider_session.or_else(|| session.provider_session.clone()),
        id_token,
        id_token_expires_at,
        access_token: tokens.access_token,
        access_token_expires_at: tokens.access_token_expires_at,
        refresh_token: tokens.refresh_token.or_else(|| session.refresh_token.clone()),
        scopes,
        claims,
        acr: acr.or_else(|| session.acr.clone()),
        auth_time: session.auth_time,
    }
}
