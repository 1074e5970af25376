//! Policies with authorities, elevated tokens for them, and a browser's cookies.

use std::sync::Arc;

use base64::engine::general_purpose::STANDARD;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use vestibule_policy::model::{
    CompiledAuthority, CompiledPolicy, CompiledScope, Obtain, TokenStorage,
};

use super::*;
use crate::clock::ManualClock;
use crate::oidc::Providers;
use crate::random::SeededRandom;
use crate::session::keyring::Keyring;
use crate::session::{Claims, Grant, Purpose, SecretId};
use crate::token::Token;

pub(crate) const START: Timestamp = Timestamp(1_800_000_000);
pub(crate) const ISSUER: &str = "https://id.example.com";
/// One below another, and one that only looks like it is.
pub(crate) const BASES: [&str; 3] = ["/production", "/production/lines", "/productions"];

pub(crate) fn keyring(keys: &[(&str, u8)]) -> Keyring {
    let entries: Vec<String> = keys
        .iter()
        .map(|(id, seed)| format!("{{id: {id}, secret: {}}}", STANDARD.encode([*seed; 32])))
        .collect();
    Keyring::parse(&format!("keys: [{}]", entries.join(", "))).expect("the keyring parses")
}

fn authority(base: &str) -> CompiledAuthority {
    let scope = |name: &str| CompiledScope { name: name.to_owned(), description: None };
    CompiledAuthority {
        base: base.to_owned(),
        scopes: ["read", "write", "stop"].map(scope).into(),
        added_scopes: vec!["openid".to_owned(), "profile".to_owned()],
        obtain: Obtain::AuthorizationCode,
        audience: None,
        resources: Vec::new(),
        acr: None,
        max_age: None,
        storage: TokenStorage::Cookie,
        client: None,
        permissions: Vec::new(),
    }
}

/// A policy of this name with the authorities of [`BASES`].
pub(crate) fn policy_with(
    name: &str,
    keyring: &Keyring,
    edit: impl FnOnce(&mut CompiledPolicy),
) -> Arc<LivePolicy> {
    let mut compiled = crate::policies::tests::compiled(name, &["https://shop.example.com"]);
    compiled.authorities = BASES.map(authority).into();
    edit(&mut compiled);
    let clock = Arc::new(ManualClock::new(START));
    let providers = Providers::new(clock, Arc::new(SeededRandom::default()));
    let provider = providers.get(&compiled.provider).expect("an issuer");
    Arc::new(LivePolicy::new(compiled, keyring, provider).expect("names of headers"))
}

pub(crate) fn policy() -> Arc<LivePolicy> {
    policy_with("shop", &keyring(&[("k1", 1)]), |_| {})
}

pub(crate) fn production(policy: &LivePolicy) -> Arc<LiveAuthority> {
    Arc::clone(policy.authority(BASES[0]).expect("is there"))
}

/// The caller with the session of this number.
pub(crate) fn caller(number: u8) -> StoreKey {
    SecretId([number; 32]).store_key(Purpose::Session, "uid-of-shop")
}

fn texts(scopes: &[&str]) -> Vec<String> {
    scopes.iter().map(|scope| (*scope).to_owned()).collect()
}

/// An elevated token that `access` and `refresh` are the tokens of.
pub(crate) fn elevated(access: &str, refresh: Option<&str>) -> Session {
    Session {
        subject: "u-1".to_owned(),
        issuer: ISSUER.to_owned(),
        provider_session: Some("sid-0".to_owned()),
        id_token: Token::new("canary-id-token"),
        id_token_expires_at: START.plus(300),
        access_token: Token::new(access),
        access_token_expires_at: Some(START.plus(300)),
        refresh_token: refresh.map(Token::new),
        tokens_issued_at: START.plus(60),
        nonce: Some(Token::new("canary-nonce")),
        claims: std::iter::once(("sub".to_owned(), "u-1".into())).collect::<Claims>(),
        acr: Some("gold".to_owned()),
        auth_time: Timestamp(START.0 - 90),
        created_at: START,
        touched_at: START.plus(60),
        grant: Some(Box::new(Grant {
            asked: texts(&["read", "write", "stop"]),
            granted: texts(&["read", "stop"]),
        })),
    }
}

/// Name and value of a `Set-Cookie` value.
pub(crate) fn pair_of(set_cookie: &str) -> (&str, &str) {
    let pair = set_cookie.split("; ").next().expect("a pair");
    pair.split_once('=').expect("name and value")
}

/// The headers with what a browser sends back that was told this.
pub(crate) fn sent_back(set_cookies: &[String]) -> HeaderMap {
    let pairs: Vec<String> = set_cookies
        .iter()
        .map(|cookie| pair_of(cookie))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    cookies(&pairs.join("; "))
}

pub(crate) fn cookies(field: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_str(field).expect("a header value"));
    headers
}
