//! Sessions and login transactions: ids, records, and the service that keeps them.
//!
//! The browser holds an id; the store holds a sealed record under the id's hash. This module must
//! not know HTTP. A store error is never "no session".

pub mod cache;
pub mod elevation;
pub mod elevation_cookies;
pub mod index;
#[cfg(test)]
mod intercepted;
pub mod keyring;
pub mod memory;
pub mod redis;
pub mod refresh;
pub mod seal;
pub mod service;
pub mod store;
#[cfg(test)]
mod store_contract;

use std::hash::{Hash, Hasher};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
pub use vestibule_policy::claims::Claims;

use crate::clock::Timestamp;
use crate::random::Random;
use crate::token::Token;

/// 256 random bits that a browser holds: a session id, or the id of a login transaction.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretId([u8; 32]);

impl SecretId {
    /// A new id.
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        Self(bytes)
    }

    /// Reads a cookie's value; anything but 43 base64url characters of 32 bytes is no id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        decoded(text).map(Self)
    }

    /// The cookie's value.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Where the record is: a hash over purpose, policy and id, each with its length, so that no two
    /// tuples share a key and no dump of the store gives a usable cookie.
    #[must_use]
    pub fn store_key(&self, purpose: Purpose, policy_uid: &str) -> StoreKey {
        let digest = hash(&[purpose.label().as_bytes(), policy_uid.as_bytes(), &self.0]);
        StoreKey { purpose, digest }
    }
}

/// 32 bytes of 43 base64url characters.
fn decoded(text: &str) -> Option<[u8; 32]> {
    if text.len() != 43 {
        return None;
    }
    // The decoder wants room for a multiple of three.
    let mut bytes = [0; 33];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    bytes.get(..length)?.try_into().ok()
}

/// Over the parts, each with its length.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    // At once, since every check does this: a hash that is fed bit by bit is made on the heap.
    let text = keyring::length_prefixed(parts);
    let mut hashed = [0; 32];
    hashed.copy_from_slice(digest(&SHA256, &text).as_ref());
    hashed
}

/// Tells the elevated tokens of one authority from those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorityTag([u8; 32]);

impl AuthorityTag {
    /// That of a base.
    #[must_use]
    pub fn new(policy_uid: &str, base: &str) -> Self {
        Self(hash(&[b"elevation", policy_uid.as_bytes(), base.as_bytes()]))
    }
}

impl std::fmt::Debug for SecretId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretId([hidden])")
    }
}

/// A key of the store. Not a secret: it is a hash, and no cookie can be made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreKey {
    purpose: Purpose,
    digest: [u8; 32],
}

impl Hash for StoreKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.number());
    }
}

impl StoreKey {
    /// Reads what [`StoreKey::name`] wrote for this purpose.
    #[must_use]
    pub fn from_name(purpose: Purpose, name: &str) -> Option<Self> {
        Some(Self { purpose, digest: decoded(name)? })
    }

    /// The key of a session's record, by its hash.
    #[must_use]
    pub fn of_session(digest: &[u8]) -> Option<Self> {
        Some(Self { purpose: Purpose::Session, digest: digest.try_into().ok()? })
    }

    /// What the record is for.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The key of the elevated token that a session, or a caller without one, has for an authority.
    /// Keys of sessions are hashes already, so that one more hash per check would gain nothing.
    #[must_use]
    pub fn of_elevation(caller: &Self, authority: &AuthorityTag) -> Self {
        let mut digest = caller.digest;
        for (byte, tag) in digest.iter_mut().zip(authority.0) {
            *byte ^= tag;
        }
        Self { purpose: Purpose::Session, digest }
    }

    /// Names a caller who brings a token instead of a session. No record lies under it.
    #[must_use]
    pub fn of_bearer(policy_uid: &str, issuer: &str, subject: &str) -> Self {
        let parts = [b"bearer", policy_uid.as_bytes(), issuer.as_bytes(), subject.as_bytes()];
        Self { purpose: Purpose::Session, digest: hash(&parts) }
    }

    /// A part of the digest, which is a hash already; not its beginning, by which the cache has chosen the
    /// shard.
    fn number(&self) -> u64 {
        self.digest.last_chunk().map_or(0, |end| u64::from_le_bytes(*end))
    }

    /// The hash.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The hash in 43 base64url characters: how admins and audit lines name a session.
    #[must_use]
    pub fn name(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.digest)
    }

    /// The key in the store. All keys of one session share a cluster hash tag.
    #[must_use]
    pub fn text(&self) -> String {
        format!("vestibule:{}:{{{}}}", self.purpose.label(), self.name())
    }

    /// The key of the lease under which the record's tokens are refreshed.
    #[must_use]
    pub fn lease_text(&self) -> String {
        format!("vestibule:lease:{{{}}}", self.name())
    }
}

/// What a record is for; keys, store keys and sealed records of one purpose are useless for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// A session record.
    Session,
    /// A login transaction.
    Login,
    /// An elevated token, kept beside its session. Its key in the store is a session's.
    Elevation,
    /// The cookie with an elevated access token.
    AccessCookie,
    /// The cookie with an elevated refresh token.
    RefreshCookie,
    /// What a refresh of such a cookie gave, for those who came with the same cookie.
    CookieRefresh,
}

impl Purpose {
    /// The name used in keys and derivations; never changed once released.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Login => "login",
            Self::Elevation => "elevation",
            Self::AccessCookie => "access-cookie",
            Self::RefreshCookie => "refresh-cookie",
            Self::CookieRefresh => "cookie-refresh",
        }
    }
}

/// What the server knows of one logged-in browser.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    /// `sub` of the ID token.
    pub subject: String,
    /// `iss` of the ID token.
    pub issuer: String,
    /// `sid` of the ID token.
    pub provider_session: Option<String>,
    /// The ID token, for `id_token_hint` and upstreams that want it.
    pub id_token: Token,
    /// `exp` of the ID token.
    pub id_token_expires_at: Timestamp,
    /// The access token.
    pub access_token: Token,
    /// When it ends, where the provider said so.
    pub access_token_expires_at: Option<Timestamp>,
    /// Gets new tokens, where the provider gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Token>,
    /// When the tokens were given: by the login, or by a refresh since.
    #[serde(default)]
    pub tokens_issued_at: Timestamp,
    /// The nonce of the login: an ID token of a refresh has none or this one (Core, section 12.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Token>,
    /// What `expression`s and header values see: the ID token's, completed by `UserInfo` where the policy
    /// asks for it.
    pub claims: Claims,
    /// `acr` of the ID token.
    pub acr: Option<String>,
    /// `auth_time` of the ID token; the epoch where it says nothing, too old for any limit.
    pub auth_time: Timestamp,
    /// When the session began.
    pub created_at: Timestamp,
    /// When it was last seen in use, to within a tenth of the idle timeout.
    pub touched_at: Timestamp,
    /// `Some`: this is no session but the elevated token of an authority, with the scopes it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Box<Grant>>,
}

/// The scopes of an elevated token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Those that were asked for, ever.
    pub asked: Vec<String>,
    /// Those that the provider granted.
    pub granted: Vec<String>,
}

impl Grant {
    /// Whether all of these were granted.
    #[must_use]
    pub fn covers(&self, scopes: &[String]) -> bool {
        scopes.iter().all(|scope| self.granted.contains(scope))
    }

    /// Whether all of these were asked for.
    #[must_use]
    pub fn was_asked(&self, scopes: &[String]) -> bool {
        scopes.iter().all(|scope| self.asked.contains(scope))
    }
}

/// One login under way, from the redirect to the provider until its callback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoginTransaction {
    /// The `state` parameter.
    pub state: Token,
    /// The `nonce` parameter.
    pub nonce: Token,
    /// The PKCE `code_verifier`.
    pub code_verifier: Token,
    /// The issuer the browser was sent to.
    pub issuer: String,
    /// The exact `redirect_uri` that was sent.
    pub redirect_uri: String,
    /// Path and query to return to, validated as same-origin.
    pub return_to: String,
    /// The ID token must carry one of these, if any is given.
    pub acr_values: Vec<String>,
    /// The authentication must not be older than this, in seconds.
    pub max_age: Option<u64>,
    /// When the transaction began.
    pub created_at: Timestamp,
    /// `Some`: this is no login but obtains the elevated token of an authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elevation: Option<ElevationRequest>,
}

/// What a navigation to an authority asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElevationRequest {
    /// The authority's base.
    pub base: String,
    /// The scopes asked for, all of them the authority's.
    pub scopes: Vec<String>,
    /// Whether the provider was told to show no page (`prompt=none`).
    pub silent: bool,
    /// The session that it is for, by [`StoreKey::name`]; `None`: for a caller who brings a token, and
    /// so for whoever logs in.
    pub session: Option<String>,
}
