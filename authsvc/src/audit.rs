//! The audit trail: one line for each event that somebody may ask about later, on a log target of its
//! own, so that it can be kept elsewhere and longer.
//!
//! It names users and sessions, and must never hold a token, a cookie or a claim beyond `sub`. A
//! session's name is the hash that the store knows it by: no cookie can be made of it.

use vestibule_policy::model::PolicyId;

use crate::session::{Session, StoreKey};

/// The log target of every line here.
pub const TARGET: &str = "vestibule::audit";

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The user logged out.
    Logout,
    /// The user logged out everywhere.
    LogoutEverywhere,
    /// The provider said so (OpenID Connect Back-Channel Logout 1.0).
    BackChannelLogout,
    /// The provider had the browser say so (OpenID Connect Front-Channel Logout 1.0).
    FrontChannelLogout,
    /// An admin ended it.
    Admin,
    /// The provider gives no more tokens for it.
    RefreshRefused,
    /// The same browser logged in anew.
    NewLogin,
    /// It was not used for too long, or began too long ago.
    Timeout,
}

impl EndReason {
    /// As the line has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::LogoutEverywhere => "logout_everywhere",
            Self::BackChannelLogout => "back_channel_logout",
            Self::FrontChannelLogout => "front_channel_logout",
            Self::Admin => "admin",
            Self::RefreshRefused => "refresh_refused",
            Self::NewLogin => "new_login",
            Self::Timeout => "timeout",
        }
    }
}

/// Why a session ended, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending<'a> {
    /// Why.
    pub reason: EndReason,
    /// Who did it: `user`, `provider`, `vestibule`, or an admin's name.
    pub by: &'a str,
}

/// A user logged in, under a new session; `elevated`: because the one before was too weak or too old
/// for what they wanted.
pub fn login(policy: &PolicyId, key: &StoreKey, session: &Session, elevated: bool) {
    tracing::info!(
        target: TARGET,
        event = if elevated { "elevation" } else { "login" },
        policy = %policy,
        session = key.name(),
        subject = session.subject,
        issuer = session.issuer,
        "audit"
    );
}

/// A login that the provider sent back was refused. Who it would have been is not known, or not
/// believed.
pub fn login_refused(policy: &PolicyId, reason: &'static str) {
    tracing::info!(target: TARGET, event = "login_refused", policy = %policy, reason, "audit");
}

/// A user asked for what their session does not suffice for.
pub fn check_refused(policy: &PolicyId, key: &StoreKey, session: &Session, reason: &'static str) {
    tracing::info!(
        target: TARGET,
        event = "check_refused",
        policy = %policy,
        session = key.name(),
        subject = session.subject,
        issuer = session.issuer,
        reason,
        "audit"
    );
}

/// A session ended.
pub fn session_ended(policy: &PolicyId, key: &StoreKey, session: &Session, ending: Ending<'_>) {
    tracing::info!(
        target: TARGET,
        event = "session_ended",
        policy = %policy,
        session = key.name(),
        subject = session.subject,
        issuer = session.issuer,
        reason = ending.reason.name(),
        by = ending.by,
        "audit"
    );
}

/// A caller got an elevated token of a Route Authority, with these scopes; `key` is the session's, where
/// they have one.
pub fn elevated(
    policy: &PolicyId,
    key: Option<&StoreKey>,
    subject: &str,
    issuer: &str,
    base: &str,
    granted: &[String],
) {
    tracing::info!(
        target: TARGET,
        event = "elevated",
        policy = %policy,
        session = key.map(StoreKey::name),
        subject,
        issuer,
        base,
        scopes = granted.join(" "),
        "audit"
    );
}

/// A caller got no elevated token. Who it would have been is not known, or not believed.
pub fn elevation_refused(policy: &PolicyId, base: &str, reason: &'static str) {
    tracing::info!(target: TARGET, event = "elevation_refused", policy = %policy, base, reason, "audit");
}

/// An elevated token ended before its session did.
pub fn elevation_ended(
    policy: &PolicyId,
    key: &StoreKey,
    session: &Session,
    base: &str,
    reason: &str,
) {
    tracing::info!(
        target: TARGET,
        event = "elevation_ended",
        policy = %policy,
        session = key.name(),
        subject = session.subject,
        issuer = session.issuer,
        base,
        reason,
        "audit"
    );
}

#[cfg(test)]
#[path = "audit/tests.rs"]
mod tests;
