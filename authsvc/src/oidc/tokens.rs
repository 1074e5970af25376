//! The token endpoint's answer (RFC 6749, section 5): the same for a code and for a refresh token.
//!
//! It must not believe an ID token, which is for `id_token` to verify, and must show no token.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use vestibule_policy::model::CompiledClient;

use super::client_auth::{self, Form};
use super::id_token::MAX_TOKEN;
use super::metadata::Metadata;
use super::{OidcError, Provider, error_code, scopes};
use crate::clock::Timestamp;
use crate::token::Token;

/// What the token endpoint gave.
pub(super) struct Tokens {
    pub(super) access_token: Token,
    /// When the access token ends, where the provider said so.
    pub(super) access_token_expires_at: Option<Timestamp>,
    /// Not verified.
    pub(super) id_token: Option<String>,
    pub(super) refresh_token: Option<Token>,
    /// RFC 8693, section 2.2.1.
    pub(super) issued_token_type: Option<Value>,
    scope: Option<Value>,
}

impl Tokens {
    /// The scopes that were granted; `None`: those that were asked for (RFC 6749, section 5.1).
    ///
    /// # Errors
    /// Where the list is not understood.
    pub(super) fn scopes(&self) -> Result<Option<Vec<String>>, OidcError> {
        let Some(scope) = &self.scope else { return Ok(None) };
        let unusable =
            || OidcError::Unusable("the scope of the token response is malformed".to_owned());
        scopes::parse(scope).map(Some).ok_or_else(unusable)
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    expires_in: Option<Value>,
    #[serde(default)]
    scope: Option<Value>,
    #[serde(default)]
    issued_token_type: Option<Value>,
}

impl Provider {
    /// Asks for tokens with a grant.
    pub(super) async fn request_tokens(
        &self,
        client: &CompiledClient,
        metadata: &Metadata,
        grant: &Form<'_>,
    ) -> Result<Tokens, OidcError> {
        let (now, random) = (self.now(), self.random());
        let request =
            client_auth::post(&metadata.token_endpoint, grant, client, metadata, now, random)?;
        let response = self.call("token endpoint", request).await?;
        if response.status() != StatusCode::OK {
            return Err(OidcError::Refused(error_code(response.body())));
        }
        let answer: Answer = serde_json::from_slice(response.body())
            .map_err(|_| OidcError::Unusable("the token response is not usable".to_owned()))?;
        if !answer.token_type.eq_ignore_ascii_case("Bearer") {
            return Err(OidcError::Unusable("token_type is not Bearer".to_owned()));
        }
        let lifetime = answer.expires_in.as_ref().and_then(seconds);
        Ok(Tokens {
            access_token: Token::new(header_safe(answer.access_token)?),
            access_token_expires_at: lifetime.map(|lifetime| self.now().plus(lifetime)),
            id_token: answer.id_token,
            refresh_token: answer.refresh_token.filter(|text| !text.is_empty()).map(Token::new),
            issued_token_type: answer.issued_token_type,
            scope: answer.scope,
        })
    }
}

/// A token goes into a header as it is: anything else than visible ASCII would not stay one value.
fn header_safe(token: String) -> Result<String, OidcError> {
    let safe = !token.is_empty()
        && token.len() <= MAX_TOKEN
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    if safe {
        Ok(token)
    } else {
        Err(OidcError::Unusable("the access token cannot be sent in a header".to_owned()))
    }
}

/// A lifetime; some providers write it as a string. What is no number is as if not said.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
