//! Redeeming a code (OpenID Connect Core 1.0, section 3.1.3): what the user's tokens say, verified.

use vestibule_policy::model::{CompiledClient, CompiledLogin};

use super::id_token::{self, Expected, ExpectedNonce, Refusal, Verified};
use super::metadata::Metadata;
use super::{OidcError, Provider};
use crate::clock::Timestamp;
use crate::session::{Claims, LoginTransaction, Session};
use crate::token::Token;

/// Who logged in, all of it verified.
#[derive(Debug)]
pub struct Identity {
    /// `sub`.
    pub subject: String,
    /// `iss`.
    pub issuer: String,
    /// `sid`.
    pub provider_session: Option<String>,
    /// The ID token.
    pub id_token: Token,
    /// Its `exp`.
    pub id_token_expires_at: Timestamp,
    /// The access token.
    pub access_token: Token,
    /// When it ends, if the provider said so.
    pub access_token_expires_at: Option<Timestamp>,
    /// Gets new tokens, where the provider gave one.
    pub refresh_token: Option<Token>,
    /// The scopes that the access token has, where the provider said so and that matters: for a login
    /// it does not. `None`: those that it had, or was asked for (RFC 6749, sections 5.1 and 6).
    pub scopes: Option<Vec<String>>,
    /// The ID token's claims, completed by `UserInfo` where the policy asks for it.
    pub claims: Claims,
    /// `acr`.
    pub acr: Option<String>,
    /// `auth_time`; the epoch where the provider does not say.
    pub auth_time: Timestamp,
}

impl Identity {
    /// A session of this user that begins now, with tokens that are as new.
    #[must_use]
    pub fn into_session(self, nonce: Option<Token>, now: Timestamp) -> Session {
        Session {
            subject: self.subject,
            issuer: self.issuer,
            provider_session: self.provider_session,
            id_token: self.id_token,
            id_token_expires_at: self.id_token_expires_at,
            access_token: self.access_token,
            access_token_expires_at: self.access_token_expires_at,
            refresh_token: self.refresh_token,
            tokens_issued_at: now,
            nonce,
            claims: self.claims,
            acr: self.acr,
            auth_time: self.auth_time,
            created_at: now,
            touched_at: now,
            grant: None,
        }
    }
}

impl Provider {
    /// Redeems a code of a login transaction.
    ///
    /// # Errors
    /// Where the provider cannot be reached or refuses the code, and where any check of its answer
    /// fails.
    pub async fn redeem(
        &self,
        client: &CompiledClient,
        login: &CompiledLogin,
        transaction: &LoginTransaction,
        code: &str,
    ) -> Result<Identity, OidcError> {
        let metadata = self.metadata().await?;
        let mut grant = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", transaction.redirect_uri.clone()),
            ("code_verifier", transaction.code_verifier.expose().to_owned()),
        ];
        grant.extend(login.resources.iter().map(|resource| ("resource", resource.clone())));
        let tokens = self.request_tokens(client, &metadata, &grant).await?;
        // No login fails for what is not looked at.
        let scopes = if transaction.elevation.is_some() { tokens.scopes()? } else { None };
        let access_token = tokens.access_token;
        let id_token = tokens.id_token.ok_or_else(|| {
            OidcError::Token("there is none in the token response; is openid a scope?".to_owned())
        })?;

        let expected = Expected {
            issuer: self.issuer(),
            client_id: &client.id,
            nonce: ExpectedNonce::Exactly(transaction.nonce.expose()),
            acr_values: &transaction.acr_values,
            max_age: transaction.max_age,
            access_token: &access_token,
            algorithms: metadata.id_token_signing_alg_values_supported.as_deref(),
            now: self.now(),
        };
        let verified = self.verify(&id_token, &metadata, &expected).await?;
        let mut claims = verified.claims;
        if login.user_info {
            let more = self.user_info(&metadata, client, &access_token, &verified.subject).await?;
            // The ID token is the stronger statement (Core, section 5.3.2).
            claims.complete(more);
        }
        Ok(Identity {
            subject: verified.subject,
            issuer: self.issuer().to_owned(),
            provider_session: verified.session,
            id_token: Token::new(id_token),
            id_token_expires_at: verified.expires_at,
            access_token,
            access_token_expires_at: tokens.access_token_expires_at,
            refresh_token: tokens.refresh_token,
            scopes,
            claims,
            acr: verified.acr,
            // Unknown counts as too old for every limit: the step-up login then insists on it.
            auth_time: verified.auth_time.unwrap_or_default(),
        })
    }

    /// Verifies with the keys at hand, and once more with fresh ones if the key is not among them.
    pub(super) async fn verify(
        &self,
        id_token: &str,
        metadata: &Metadata,
        expected: &Expected<'_>,
    ) -> Result<Verified, OidcError> {
        let keys = self.keys(metadata).await?;
        match id_token::verify(id_token, &keys, expected) {
            Ok(verified) => return Ok(verified),
            Err(Refusal::Error(error)) => return Err(error),
            Err(Refusal::UnknownKey) => {}
        }
        let keys = self.newer_keys(metadata, &keys).await?;
        id_token::verify(id_token, &keys, expected).map_err(|refusal| match refusal {
            Refusal::Error(error) => error,
            Refusal::UnknownKey => {
                OidcError::Token("it is signed by none of the provider's keys".to_owned())
            }
        })
    }
}
