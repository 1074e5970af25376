//! Logout tokens (OpenID Connect Back-Channel Logout 1.0, sections 2.4 and 2.6): the provider says
//! which of its sessions, or of its users, has ended.
//!
//! Why it exists: whoever can send one that passes ends sessions, and the endpoint is open to the
//! internet. What tells it from every other token of the same key is checked: `events`, no `nonce`.
//! It must not end anything itself, and errors never repeat a claim's value.

use serde_json::Value;
use vestibule_policy::model::CompiledClient;

use super::id_token::{self, EXPIRY_SKEW, Header, MAX_ISSUED_AGO};
use super::{OidcError, Provider};
use crate::clock::Timestamp;
use crate::session::Claims;

/// The greatest logout token that is looked at, in bytes.
pub const MAX_LOGOUT_TOKEN: usize = 16 * 1024;
/// The member of `events` that makes a token a logout token (section 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// The greatest `jti`, `sid` and `sub`.
const MAX_ID: usize = 255;

/// What has ended at the provider. One of `subject` and `session` is there.
#[derive(Debug, PartialEq, Eq)]
pub struct LogoutToken {
    /// `sub`: the user.
    pub subject: Option<String>,
    /// `sid`: the provider's session; without one, all of the user's.
    pub session: Option<String>,
    /// `jti`: names this token.
    pub id: String,
    /// `iat`.
    pub issued_at: Timestamp,
    /// From when on it would be refused in any case.
    pub ends_at: Timestamp,
}

impl Provider {
    /// Verifies a logout token for a client.
    ///
    /// # Errors
    /// [`OidcError::Token`] where it does not pass; anything else where the provider's keys cannot
    /// be had.
    pub async fn verify_logout_token(
        &self,
        client: &CompiledClient,
        token: &str,
    ) -> Result<LogoutToken, OidcError> {
        if token.len() > MAX_LOGOUT_TOKEN {
            return Err(OidcError::Token("it is larger than 16 KiB".to_owned()));
        }
        let metadata = self.metadata().await?;
        let algorithms = metadata.id_token_signing_alg_values_supported.as_deref();
        let header =
            Header::read_typed(token, algorithms, is_logout_type).map_err(OidcError::Token)?;
        let claims = id_token::payload(token).map_err(OidcError::Token)?;
        let read =
            read(&claims, self.issuer(), &client.id, self.now()).map_err(OidcError::Token)?;
        self.verify_signature(token, &header, &metadata).await?;
        Ok(read)
    }
}

/// `logout+jwt` (section 2.4), or what providers send that are older than that: `JWT`, or none.
fn is_logout_type(typ: &str) -> bool {
    matches!(typ, "logout+jwt" | "jwt")
}

/// Judges the claims. A claim of a wrong type is refused, never taken as absent.
fn read(
    claims: &Claims,
    issuer: &str,
    client_id: &str,
    now: Timestamp,
) -> Result<LogoutToken, String> {
    if id_token::string(claims, "iss")?.as_deref() != Some(issuer) {
        return Err("it is from another issuer (iss)".to_owned());
    }
    if !is_for(claims.get("aud"), client_id) {
        return Err("it is for another client (aud)".to_owned());
    }
    let issued_at = id_token::issued_at(claims, now)?;
    let expires_at = id_token::time(claims, "exp")?.ok_or("exp is missing")?;
    if expires_at.plus(EXPIRY_SKEW) <= now {
        return Err("it has expired (exp)".to_owned());
    }
    let is_logout =
        claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object);
    if !is_logout {
        return Err("it is no logout token (events)".to_owned());
    }
    // Section 2.4: with one it could be an ID token.
    if claims.contains_key("nonce") {
        return Err("it has a nonce".to_owned());
    }
    let id = identifier(claims, "jti")?.ok_or("jti is missing")?;
    let subject = identifier(claims, "sub")?;
    let session = identifier(claims, "sid")?;
    if subject.is_none() && session.is_none() {
        return Err("sub and sid are missing".to_owned());
    }
    let ends_at = expires_at.plus(EXPIRY_SKEW).min(issued_at.plus(MAX_ISSUED_AGO + 1));
    Ok(LogoutToken { subject, session, id, issued_at, ends_at })
}

/// Whether a token's audience is this client, and no other as well.
fn is_for(audience: Option<&Value>, client_id: &str) -> bool {
    match audience {
        Some(Value::String(one)) => one == client_id,
        Some(Value::Array(all)) => !all.is_empty() && all.iter().all(|one| one == client_id),
        _ => false,
    }
}

/// A claim that names something; an empty, overlong or unprintable one is refused.
fn identifier(claims: &Claims, name: &str) -> Result<Option<String>, String> {
    let Some(text) = id_token::string(claims, name)? else { return Ok(None) };
    let odd = text.trim().is_empty() || text.len() > MAX_ID || text.chars().any(char::is_control);
    if odd { Err(format!("{name} is empty, too long, or not printable")) } else { Ok(Some(text)) }
}

#[cfg(test)]
#[path = "logout_token/tests.rs"]
mod tests;
