//! Elevated tokens: what the user of a session, or a caller who brings a token, got for a Route Authority.
//!
//! Why it exists: an elevated token is kept as a record like a session's, but sealed by another key,
//! under a key of the store that is made of the session's and the authority's. So leases, fences, cache
//! and news of sessions serve it. It is found by its session alone, ends with it, and is never deleted
//! before: a remembered end would keep its successor out. A refusal of the provider makes it *spent*
//! instead. This module must not look inside access tokens, or say what a route needs.

mod keep;
mod renew;

use vestibule_policy::model::{CompiledAuthority, Obtain};

use super::{Claims, Grant, Session};
use crate::clock::Timestamp;
use crate::oidc::{Exchanged, Identity};
use crate::policies::LiveAuthority;
use crate::token::Token;

/// What an elevated token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It may go upstream.
    Usable,
    /// It is over, and a new one may be had without the browser.
    Refresh,
    /// It is missing, or no good: the browser should go to the authority's endpoint.
    Advise,
    /// It has not the scopes, though they were asked for.
    Insufficient,
}

/// Judges an elevated token for a request that needs these scopes of its authority; with none, any scope
/// will do.
#[must_use]
pub fn judge(
    authority: &CompiledAuthority,
    required: &[String],
    elevated: Option<&Session>,
    now: Timestamp,
) -> Judgement {
    let Some((elevated, grant)) = elevated.and_then(|one| Some((one, one.grant.as_ref()?))) else {
        return Judgement::Advise;
    };
    let lists = |scope: &String| authority.scopes.iter().any(|listed| listed.name == *scope);
    if is_spent(elevated)
        || lacks_authentication(authority, elevated, now)
        || !grant.was_asked(required)
        // The authority may have listed them once.
        || !grant.granted.iter().all(lists)
    {
        return Judgement::Advise;
    }
    if elevated.access_token_expires_at.is_some_and(|end| end <= now) {
        let renewable = is_renewable(authority, elevated);
        return if renewable { Judgement::Refresh } else { Judgement::Advise };
    }
    let suffices = match required {
        [] => !grant.granted.is_empty(),
        required => grant.covers(required),
    };
    if suffices { Judgement::Usable } else { Judgement::Insufficient }
}

/// Whether the user authenticated too weakly or too long ago for the authority.
#[must_use]
pub fn lacks_authentication(
    authority: &CompiledAuthority,
    elevated: &Session,
    now: Timestamp,
) -> bool {
    (authority.acr.is_some() && authority.acr != elevated.acr)
        || authority.max_age.is_some_and(|limit| now.since(elevated.auth_time) > limit)
}

/// Whether the provider gives no more tokens for it: only a new one will do.
#[must_use]
pub fn is_spent(elevated: &Session) -> bool {
    elevated.access_token.expose().is_empty()
}

/// Whether a new token may be had for one that is over, or soon will be. Not again for one that was over
/// when it came.
fn is_renewable(authority: &CompiledAuthority, elevated: &Session) -> bool {
    can_renew(authority, elevated)
        && elevated.access_token_expires_at.is_some_and(|end| end > elevated.tokens_issued_at)
}

fn can_renew(authority: &CompiledAuthority, elevated: &Session) -> bool {
    let granted = elevated.grant.as_ref().is_some_and(|grant| !grant.granted.is_empty());
    // What was exchanged may be exchanged again.
    let by_exchange = authority.obtain == Obtain::TokenExchange && granted;
    elevated.refresh_token.is_some() || by_exchange
}

/// Whether a new token should be had while this one still serves. `jitter` spreads them.
#[must_use]
pub fn is_refresh_due(
    authority: &CompiledAuthority,
    elevated: &Session,
    now: Timestamp,
    jitter: u8,
) -> bool {
    let end = elevated.access_token_expires_at;
    is_renewable(authority, elevated)
        && end
            .is_some_and(|end| super::refresh::is_soon(elevated.tokens_issued_at, end, now, jitter))
}

/// The provider granted a scope that nobody asked for. Nothing of it is to be kept.
#[derive(Debug, thiserror::Error)]
#[error("the provider granted a scope that was not asked for and that it is not said to add")]
pub struct ScopeRefused {
    /// The tokens, to be revoked.
    pub tokens: Box<Session>,
}

/// The record of what a login for these scopes gave. `nonce` is the login's: the ID token of a refresh may
/// repeat it.
///
/// # Errors
/// Where a scope was granted that was neither asked for nor is one that the provider adds by itself.
pub fn record(
    mut identity: Identity,
    nonce: Option<Token>,
    asked: Vec<String>,
    authority: &LiveAuthority,
    now: Timestamp,
) -> Result<Session, ScopeRefused> {
    // Absent: as asked (RFC 6749, section 5.1).
    let scopes = identity.scopes.take().unwrap_or_else(|| asked.clone());
    with_grant(identity.into_session(nonce, now), &scopes, asked, authority)
}

/// For whom a token was exchanged.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// `sub`.
    pub subject: &'a str,
    /// `iss`.
    pub issuer: &'a str,
    /// When the user authenticated.
    pub auth_time: Timestamp,
}

/// The record of what an exchange of the caller's token for these scopes gave (RFC 8693).
///
/// # Errors
/// As [`record`].
pub fn record_exchanged(
    exchanged: Exchanged,
    caller: Of<'_>,
    asked: Vec<String>,
    authority: &LiveAuthority,
    now: Timestamp,
) -> Result<Session, ScopeRefused> {
    record(identity(exchanged, caller), None, asked, authority, now)
}

fn identity(exchanged: Exchanged, caller: Of<'_>) -> Identity {
    Identity {
        subject: caller.subject.to_owned(),
        issuer: caller.issuer.to_owned(),
        provider_session: None,
        id_token: Token::new(""),
        id_token_expires_at: Timestamp::default(),
        access_token: exchanged.access_token,
        access_token_expires_at: exchanged.expires_at,
        refresh_token: exchanged.refresh_token,
        scopes: exchanged.scopes,
        claims: Claims::new(),
        acr: None,
        auth_time: caller.auth_time,
    }
}

/// An elevated token with what a refresh gave; what the provider does not say is as it was.
pub(in crate::session) fn renewed(
    before: &Session,
    mut identity: Identity,
    authority: &LiveAuthority,
    now: Timestamp,
) -> Result<Session, ScopeRefused> {
    let (asked, granted) = match &before.grant {
        Some(grant) => (grant.asked.clone(), grant.granted.clone()),
        None => (Vec::new(), Vec::new()),
    };
    let scopes = identity.scopes.take().unwrap_or(granted);
    let session = identity.into_session(before.nonce.clone(), now);
    let session = Session { created_at: before.created_at, ..session };
    with_grant(session, &scopes, asked, authority)
}

/// The record that says that there is no token any more.
pub(in crate::session) fn spent(before: &Session) -> Session {
    Session {
        access_token: Token::new(""),
        access_token_expires_at: None,
        refresh_token: None,
        grant: Some(Box::new(Grant { asked: Vec::new(), granted: Vec::new() })),
        ..before.clone()
    }
}

/// Who the user is, the session or the caller's token says: of the ID token nothing is kept.
fn with_grant(
    session: Session,
    scopes: &[String],
    asked: Vec<String>,
    authority: &LiveAuthority,
) -> Result<Session, ScopeRefused> {
    let session = Session { id_token: Token::new(""), claims: Claims::new(), ..session };
    let is_asked = |scope: &String| asked.contains(scope) && authority.lists(scope);
    if !scopes.iter().all(|scope| is_asked(scope) || authority.adds(scope)) {
        return Err(ScopeRefused { tokens: Box::new(session) });
    }
    let granted = asked.iter().filter(|scope| scopes.contains(scope)).cloned().collect();
    Ok(Session { grant: Some(Box::new(Grant { asked, granted })), ..session })
}

#[cfg(test)]
mod tests;
