//! What lies in the two cookies: as little as is needed, under names of one letter, since browsers keep
//! no more than 4 KiB of each.
//!
//! It must not seal or judge. Whatever has a member that is not known here is no record: a later version
//! may have meant it as a restriction.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::session::{Claims, Grant, Session, hash};
use crate::token::Token;

/// How many bytes of a hash tell one access token from another.
const PAIR_BYTES: usize = 16;

/// The cookie of the access token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Access {
    #[serde(rename = "t")]
    token: Token,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(rename = "m")]
    issued_at: Timestamp,
    #[serde(rename = "c")]
    created_at: Timestamp,
    #[serde(rename = "i")]
    issuer: String,
    #[serde(rename = "s")]
    subject: String,
    #[serde(rename = "a")]
    auth_time: Timestamp,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    acr: Option<String>,
    #[serde(rename = "g")]
    granted: Vec<String>,
    /// Those that were asked for and not granted.
    #[serde(rename = "n", default, skip_serializing_if = "Vec::is_empty")]
    not_granted: Vec<String>,
}

impl Access {
    /// `None`: it is no elevated token.
    pub(super) fn of(session: &Session) -> Option<Self> {
        let grant = session.grant.as_ref()?;
        let not_granted = grant.asked.iter().filter(|scope| !grant.granted.contains(scope));
        Some(Self {
            token: session.access_token.clone(),
            expires_at: session.access_token_expires_at,
            issued_at: session.tokens_issued_at,
            created_at: session.created_at,
            issuer: session.issuer.clone(),
            subject: session.subject.clone(),
            auth_time: session.auth_time,
            acr: session.acr.clone(),
            granted: grant.granted.clone(),
            not_granted: not_granted.cloned().collect(),
        })
    }

    pub(super) fn into_session(self) -> Session {
        let asked = self.granted.iter().chain(&self.not_granted).cloned().collect();
        Session {
            subject: self.subject,
            issuer: self.issuer,
            provider_session: None,
            id_token: Token::new(""),
            id_token_expires_at: Timestamp::default(),
            access_token: self.token,
            access_token_expires_at: self.expires_at,
            refresh_token: None,
            tokens_issued_at: self.issued_at,
            nonce: None,
            claims: Claims::new(),
            acr: self.acr,
            auth_time: self.auth_time,
            created_at: self.created_at,
            touched_at: self.issued_at,
            grant: Some(Box::new(Grant { asked, granted: self.granted })),
        }
    }
}

/// The cookie of the refresh token. What else a refresh must know to tell another user or another login
/// (OpenID Connect Core 1.0, section 12.2) is in the other one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refresh {
    #[serde(rename = "t")]
    token: Token,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    nonce: Option<Token>,
    /// Names the access token that it came with.
    #[serde(rename = "p")]
    pair: String,
}

impl Refresh {
    /// `None`: there is no refresh token.
    pub(super) fn of(session: &Session) -> Option<Self> {
        Some(Self {
            token: session.refresh_token.clone()?,
            nonce: session.nonce.clone(),
            pair: pair(&session.access_token),
        })
    }

    /// What the other cookie says, with the refresh token; `None`: they are of different pairs.
    pub(super) fn completed(self, session: Session) -> Option<Session> {
        let is_pair = self.pair == pair(&session.access_token);
        let completed = Session { refresh_token: Some(self.token), nonce: self.nonce, ..session };
        is_pair.then_some(completed)
    }
}

/// Not random: two answers with the same tokens, as to two requests that waited for one refresh, pair in
/// whatever order a browser keeps their cookies.
fn pair(access_token: &Token) -> String {
    let digest = hash(&[b"pair", access_token.expose().as_bytes()]);
    URL_SAFE_NO_PAD.encode(&digest[..PAIR_BYTES])
}
