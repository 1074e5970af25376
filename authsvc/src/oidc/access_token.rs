//! Access tokens that callers bring (RFC 9068, section 4): the provider says who calls, and what the
//! token may do.
//!
//! Why it exists: such a token is all that stands between anybody and a user's rights, and shares
//! issuer and keys with tokens of other kinds. What is no access token for one of the policy's
//! audiences never passes. It must not decide what a scope allows, and errors never repeat a claim's
//! value.

mod claims;
mod verified;

use std::sync::Arc;

use vestibule_policy::model::CompiledBearer;

use super::id_token::{self, Header, PLAIN_JWT, media_type};
use super::{OidcError, Provider};
use crate::clock::Timestamp;
use crate::session::Claims;
use crate::token::Token;

use self::verified::TokenKey;
pub(super) use self::verified::VerifiedTokens;

/// The greatest bearer token that is looked at, in bytes.
pub const MAX_BEARER: usize = 16 * 1024;
/// The type that access tokens alone have (RFC 9068, section 2.1). Of any other, what a token says
/// decides as well.
const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// A verified access token.
#[derive(Clone, Debug)]
pub struct BearerToken {
    /// The token itself.
    pub token: Token,
    /// `sub`.
    pub subject: String,
    /// `iss`.
    pub issuer: String,
    /// The scopes that it has.
    pub scopes: Vec<String>,
    /// All that it says.
    pub claims: Claims,
    /// `exp`.
    pub expires_at: Timestamp,
    /// Who it was given to: `client_id`, or `azp`.
    pub client_id: Option<String>,
}

impl BearerToken {
    /// Whether it has a scope.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|one| one == scope)
    }

    /// Whether it has all of these scopes.
    #[must_use]
    pub fn covers(&self, scopes: &[String]) -> bool {
        scopes.iter().all(|scope| self.has(scope))
    }
}

/// Why a bearer token does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// It is no good; the reason is safe to log.
    #[error("the bearer token is refused: {0}")]
    Invalid(String),
    /// The provider's keys cannot be had, so that nothing can be said of it.
    #[error("{0}")]
    Unavailable(OidcError),
}

impl From<OidcError> for BearerError {
    fn from(error: OidcError) -> Self {
        match error {
            OidcError::Token(reason) => Self::Invalid(reason),
            other => Self::Unavailable(other),
        }
    }
}

impl Provider {
    /// Verifies an access token that a caller brings. One that passed is remembered for a minute at
    /// most, one that did not is not.
    ///
    /// # Errors
    /// As [`BearerError`] says.
    pub async fn verify_access_token(
        &self,
        token: &str,
        bearer: &CompiledBearer,
    ) -> Result<Arc<BearerToken>, BearerError> {
        if token.len() > MAX_BEARER {
            return Err(BearerError::Invalid("it is larger than 16 KiB".to_owned()));
        }
        let key = TokenKey::of(token, bearer);
        if let Some(known) = self.bearers.get(&key, self.now()) {
            return Ok(known);
        }
        let verified = Arc::new(self.verify_unknown(token, bearer).await?);
        self.bearers.put(key, &verified, self.now());
        Ok(verified)
    }

    async fn verify_unknown(
        &self,
        token: &str,
        bearer: &CompiledBearer,
    ) -> Result<BearerToken, OidcError> {
        let metadata = self.metadata().await?;
        let algorithms = metadata.id_token_signing_alg_values_supported.as_deref();
        let is_listed = |typ: &str| bearer.token_types.iter().any(|one| media_type(one) == typ);
        let header = Header::read_typed(token, algorithms, is_listed).map_err(OidcError::Token)?;
        // Without a type it is a JWT (RFC 7519, section 5.1), and as good as one that says so.
        let typ = header.typ.as_deref().unwrap_or(PLAIN_JWT);
        if !is_listed(typ) {
            return Err(OidcError::Token("its typ is missing".to_owned()));
        }
        let expected = claims::Expected {
            issuer: self.issuer(),
            audiences: &bearer.audiences,
            typed: typ == ACCESS_TOKEN_TYPE,
            now: self.now(),
        };
        let claims = id_token::payload(token).map_err(OidcError::Token)?;
        let read = claims::read(&claims, &expected).map_err(OidcError::Token)?;
        self.verify_signature(token, &header, &metadata).await?;
        Ok(BearerToken {
            token: Token::new(token),
            subject: read.subject,
            issuer: self.issuer().to_owned(),
            scopes: read.scopes,
            claims,
            expires_at: read.expires_at,
            client_id: read.client_id,
        })
    }
}
