//! Token exchange (RFC 8693): an elevated token for the caller's own, without the browser.
//!
//! Why it exists: some providers narrow a token by exchange alone. It is the caller who is
//! impersonated: no actor is named, and what the provider answers is for the API to look into, not
//! for us. It must not keep anything.

use serde_json::Value;
use vestibule_policy::model::CompiledClient;

use super::client_auth::Form;
use super::{OidcError, Provider};
use crate::clock::Timestamp;
use crate::token::Token;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What some providers call an access token that is a JWT (RFC 8693, section 3).
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeRequest<'a> {
    /// The caller's access token.
    pub subject_token: &'a Token,
    /// The scopes that the new one shall have.
    pub scopes: &'a [String],
    /// The `audience` that it is for, where the provider takes one.
    pub audience: Option<&'a str>,
    /// The RFC 8707 resources that it is for.
    pub resources: &'a [String],
}

/// What the provider gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// The elevated token.
    pub access_token: Token,
    /// When it ends, if the provider said so.
    pub expires_at: Option<Timestamp>,
    /// Gets new tokens, where the provider gave one.
    pub refresh_token: Option<Token>,
    /// The scopes that it has; `None`: those that were asked for.
    pub scopes: Option<Vec<String>>,
}

impl Provider {
    /// Exchanges a caller's access token for one with these scopes.
    ///
    /// # Errors
    /// [`OidcError::Refused`] where the provider says no; anything else where it cannot be asked, or
    /// its answer is no access token.
    pub async fn exchange(
        &self,
        client: &CompiledClient,
        request: &ExchangeRequest<'_>,
    ) -> Result<Exchanged, OidcError> {
        let metadata = self.metadata().await?;
        let tokens = self.request_tokens(client, &metadata, &form(request)).await?;
        let kind = tokens.issued_token_type.as_ref().and_then(Value::as_str);
        if !matches!(kind, Some(ACCESS_TOKEN | JWT)) {
            let message = "the exchange gave no access token (issued_token_type)";
            return Err(OidcError::Unusable(message.to_owned()));
        }
        let scopes = tokens.scopes()?;
        Ok(Exchanged {
            access_token: tokens.access_token,
            expires_at: tokens.access_token_expires_at,
            refresh_token: tokens.refresh_token,
            scopes,
        })
    }
}

/// RFC 8693, section 2.1.
fn form(request: &ExchangeRequest<'_>) -> Form<'static> {
    let mut form: Form = vec![
        ("grant_type", GRANT.to_owned()),
        ("subject_token", request.subject_token.expose().to_owned()),
        ("subject_token_type", ACCESS_TOKEN.to_owned()),
        ("requested_token_type", ACCESS_TOKEN.to_owned()),
    ];
    if !request.scopes.is_empty() {
        form.push(("scope", request.scopes.join(" ")));
    }
    form.extend(request.audience.map(|audience| ("audience", audience.to_owned())));
    form.extend(request.resources.iter().map(|resource| ("resource", resource.clone())));
    form
}

#[cfg(test)]
mod tests;
