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
