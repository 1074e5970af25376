//! What an access token must say (RFC 9068, sections 2.2 and 4), and what it must not.
//!
//! Pure. A claim of a wrong type is refused, never taken as absent.

use serde_json::Value;

use super::super::id_token::{self, EXPIRY_SKEW};
use super::super::scopes;
use crate::clock::Timestamp;
use crate::session::Claims;

/// What ID tokens (`nonce`, hashes), logout tokens and other statements about events have, and access
/// tokens have not.
const OF_OTHER_KINDS: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "events"];

/// What a token must fulfil.
pub(super) struct Expected<'a> {
    /// The issuer.
    pub(super) issuer: &'a str,
    /// One of these.
    pub(super) audiences: &'a [String],
    /// Whether its header tells that it is an access token.
    pub(super) typed: bool,
    /// The time.
    pub(super) now: Timestamp,
}

/// What is read of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) subject: String,
    pub(super) scopes: Vec<String>,
    pub(super) expires_at: Timestamp,
    pub(super) client_id: Option<String>,
}

/// Judges the claims.
pub(super) fn read(claims: &Claims, expected: &Expected<'_>) -> Result<Read, String> {
    if id_token::string(claims, "iss")?.as_deref() != Some(expected.issuer) {
        return Err("it is from another issuer (iss)".to_owned());
    }
    if !is_for(claims.get("aud"), expected.audiences) {
        return Err("it is for another audience (aud)".to_owned());
    }
    let expires_at = id_token::time(claims, "exp")?.ok_or("exp is missing")?;
    if expires_at.plus(EXPIRY_SKEW) <= expected.now {
        return Err("it has expired (exp)".to_owned());
    }
    for name in ["nbf", "iat"] {
        if id_token::past(claims, name, expected.now)?.is_some_and(|time| time > expires_at) {
            return Err(format!("{name} is after exp"));
        }
    }
    // Whoever copied the token has no such key, and only the key's proof would tell (RFC 9449, RFC
    // 8705): taken without it, the token would be worth less than its owner was promised.
    if claims.contains_key("cnf") {
        return Err("it is bound to a key whose proof is not checked here (cnf)".to_owned());
    }
    refuse_other_kinds(claims, expected.typed)?;
    let scopes = match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(list) => scopes::parse(list).ok_or("scope or scp is no list of scopes")?,
        None if expected.typed => Vec::new(),
        None => return Err("it has no scope, so it may be of another kind of token".to_owned()),
    };
    Ok(Read {
        subject: id_token::subject(claims)?,
        scopes,
        expires_at,
        client_id: match id_token::string(claims, "client_id")? {
            Some(client_id) => Some(client_id),
            None => id_token::string(claims, "azp")?,
        },
    })
}

/// Tokens of other kinds have the same issuer and keys, and at many providers the same `typ` in their
/// headers (RFC 8725, section 3.12).
fn refuse_other_kinds(claims: &Claims, typed: bool) -> Result<(), String> {
    // Keycloak's word for it: others are ID, Refresh, Offline, Logout.
    let kind = id_token::string(claims, "typ")?;
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("Bearer")) {
        return Err("it says that it is of another kind of token (typ)".to_owned());
    }
    let found = OF_OTHER_KINDS.into_iter().find(|name| claims.contains_key(name));
    match found.filter(|_| !typed) {
        Some(name) => Err(format!("it has {name}, so it is of another kind of token")),
        None => Ok(()),
    }
}

/// Whether one of a token's audiences is one of ours.
fn is_for(audience: Option<&Value>, ours: &[String]) -> bool {
    let is_ours = |one: &str| ours.iter().any(|known| known == one);
    match audience {
        Some(Value::String(one)) => is_ours(one),
        Some(Value::Array(all)) => {
            all.iter().all(Value::is_string) && all.iter().filter_map(Value::as_str).any(is_ours)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
