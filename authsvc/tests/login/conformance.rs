//! The modules of the OpenID conformance suite for relying parties, each a test of its name.
//!
//! Why it exists: the suite itself needs a public address and a person who clicks. `FakeIdp` plays the
//! provider that a module plays, and the marks are the suite's: a client that accepts what it got asks
//! `UserInfo` with its new access token, one that refuses does not. Plans: basic certification, config
//! certification, refresh token. The plans about logout are in `logout/`. It must not assert less than
//! a module does; where a module lets the client choose, the test says what ours chooses.

mod basic;
mod config;
mod refresh_token;

use http::StatusCode;
use serde_json::{Value, json};

use crate::idp::{ACCESS_TOKEN, FakeIdp, Reply};
use crate::jose::{Signer, jwt};
use crate::site::{Begun, Browser, START, Shop};

/// Metadata of the provider where an ID token without a signature is among what it announces.
const WITH_NONE: [&[&str]; 2] = [&["none"], &["RS256", "none"]];

/// An app that asks for `UserInfo` after each login, as the suite waits for it.
async fn asking_user_info() -> Shop {
    let shop = Shop::with(|policy| policy.login.user_info = true).await;
    let info = json!({"sub": "alice", "groups": ["staff"]});
    shop.idp.reply("/userinfo", Reply::json(&info));
    shop
}

/// The algorithms that the provider says it signs with.
fn announce(idp: &FakeIdp, algorithms: &[&str]) {
    idp.set_metadata(|metadata| {
        metadata["id_token_signing_alg_values_supported"] = json!(algorithms);
    });
}

/// How often a path of the provider was asked.
fn asked(shop: &Shop, path: &str) -> usize {
    shop.idp.seen(path).len()
}

/// The good token of a login, under this header and signature.
fn signed(shop: &Shop, nonce: &str, header: &Value, signer: &Signer) -> String {
    jwt(header, &shop.idp.claims(nonce, shop.now()), signer)
}

/// The browser comes back with a code for this token: it is a session, and `UserInfo` was asked.
async fn returns_with_session(shop: &Shop, browser: &mut Browser, begun: &Begun, token: &str) {
    let before = asked(shop, "/userinfo");
    shop.idp.grant("good", token);
    let reply = browser.come_back(shop, "good", begun.state()).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    let session = shop.session(browser).await.unwrap();
    assert_eq!((session.subject.as_str(), session.id_token.expose()), ("alice", token));
    assert_eq!(session.claims["groups"], json!(["staff"]), "what only UserInfo says");
    let seen = shop.idp.seen("/userinfo");
    assert_eq!(seen.len(), before + 1);
    let bearer = format!("Bearer {ACCESS_TOKEN}");
    assert_eq!(seen[before].authorization, Some(bearer), "in the header");
    assert!(seen[before].form.is_empty(), "and nowhere else");
}

/// A login that becomes a session.
async fn accepts(shop: &Shop, token: impl FnOnce(&str) -> String) {
    let mut browser = Browser::default();
    let begun = browser.begin(shop, "/").await;
    returns_with_session(shop, &mut browser, &begun, &token(begun.nonce())).await;
}

/// A login whose code was redeemed, and whose ID token then led to nothing.
async fn refuses(shop: &Shop, token: impl FnOnce(&str) -> String) {
    let counts = || (asked(shop, "/token"), asked(shop, "/userinfo"));
    let (tokens, infos) = counts();
    let mut browser = Browser::default();
    let reply = shop.log_in(&mut browser, "/", token).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.body);
    assert!(reply.is_page_without_redirect());
    assert!(browser.cookies.is_empty(), "neither a session nor a login is left");
    assert_eq!(counts(), (tokens + 1, infos), "its access token is not used");
}

/// Of two ID tokens that differ in this alone, the good one is accepted and the altered one refused.
async fn refuses_altered(alter: impl Fn(&mut Value)) {
    let shop = asking_user_info().await;
    accepts(&shop, |nonce| shop.idp.id_token(nonce, START, |_| {})).await;
    refuses(&shop, |nonce| shop.idp.id_token(nonce, START, &alter)).await;
}

/// Refuses ID tokens without a signature, whatever the provider announces.
async fn refuses_unsigned(announced: &[&str]) {
    let shop = asking_user_info().await;
    announce(&shop.idp, announced);
    for header in [json!({"alg": "none"}), json!({"alg": "none", "kid": "rsa1", "typ": "JWT"})] {
        for signature in [Signer::Fixed(Vec::new()), Signer::Rsa] {
            refuses(&shop, |nonce| signed(&shop, nonce, &header, &signature)).await;
        }
    }
}
