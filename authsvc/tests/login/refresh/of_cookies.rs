//! Refreshes of the tokens in two cookies: what they hold is enough to tell another user or another login
//! (OpenID Connect Core 1.0, section 12.2), and an answer may give no scope that nobody asked for.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use vestibule_authsvc::clock::Clock as _;
use vestibule_authsvc::cookies::Cookies;
use vestibule_authsvc::policies::{LiveAuthority, LivePolicy};
use vestibule_authsvc::random::SystemRandom;
use vestibule_authsvc::session::elevation_cookies::{self, CookieRefresh};
use vestibule_authsvc::session::{Claims, Grant, Session, StoreKey};
use vestibule_authsvc::token::Token;
use vestibule_policy::model::{CompiledAuthority, CompiledScope, Obtain, TokenStorage};

use super::{Checked, LIFETIME, NONCE};
use crate::idp::Reply;
use crate::site::START;

const BASE: &str = "/api/production";

fn authority() -> CompiledAuthority {
    let scope = |name: &str| CompiledScope { name: name.to_owned(), description: None };
    CompiledAuthority {
        base: BASE.to_owned(),
        scopes: ["prod:read", "prod:write", "prod:admin"].map(scope).into(),
        added_scopes: vec!["openid".to_owned()],
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

/// What becomes of the cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Fresh,
    Ended,
    Failed,
}

/// Alice, who brings a token, and the headers with what she has in cookies.
struct Alice {
    checked: Checked,
    policy: Arc<LivePolicy>,
    authority: Arc<LiveAuthority>,
    caller: StoreKey,
    cookies: HeaderMap,
}

impl Alice {
    async fn new() -> Self {
        let checked = Checked::with(|policy| {
            policy.authorities = vec![authority()];
        })
        .await;
        let policy = checked.policy("shop");
        let authority = Arc::clone(policy.authority(BASE).unwrap());
        let caller = StoreKey::of_bearer(&policy.compiled.uid, &checked.idp.issuer, "alice");
        let mut alice = Self { checked, policy, authority, caller, cookies: HeaderMap::new() };
        let now = alice.checked.clock.now();
        let elevated = Session {
            subject: "alice".to_owned(),
            issuer: alice.checked.idp.issuer.clone(),
            provider_session: None,
            id_token: Token::new(""),
            id_token_expires_at: now,
            access_token: Token::new("alice.0"),
            access_token_expires_at: Some(now.plus(LIFETIME)),
            refresh_token: Some(Token::new("alice.0")),
            tokens_issued_at: now,
            nonce: Some(Token::new(NONCE)),
            claims: Claims::new(),
            acr: None,
            auth_time: now,
            created_at: now,
            touched_at: now,
            grant: Some(Box::new(Grant {
                asked: vec!["prod:read".to_owned(), "prod:write".to_owned()],
                granted: vec!["prod:read".to_owned()],
            })),
        };
        alice.keep(&elevated);
        alice.checked.clock.advance(LIFETIME);
        alice
    }

    fn keep(&mut self, elevated: &Session) {
        let (policy, authority) = (&self.policy, &self.authority);
        let set =
            elevation_cookies::write(policy, authority, &self.caller, elevated, &SystemRandom);
        let pairs: Vec<String> =
            set.unwrap().iter().map(|set| set.split(';').next().unwrap().to_owned()).collect();
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_str(&pairs.join("; ")).unwrap());
        self.cookies = headers;
    }

    async fn refresh(&self) -> CookieRefresh {
        let sessions = &self.checked.app.sessions;
        let cookies = Cookies::from_headers(&self.cookies);
        let refreshing =
            sessions.refresh_cookie(&self.policy, &self.authority, &self.caller, cookies);
        refreshing.await.unwrap()
    }
}

async fn judge(name: &str, then: Then, alter: impl Fn(&mut Value) + Send + Sync + 'static) {
    let alice = Alice::new().await;
    alice.checked.rotation.claims(alter);
    let became = match alice.refresh().await {
        CookieRefresh::Fresh(session) => {
            assert_eq!(session.access_token.expose(), "alice.1", "{name}");
            assert_eq!((session.subject.as_str(), session.auth_time.0), ("alice", START), "{name}");
            assert!(session.claims.is_empty(), "{name}");
            Then::Fresh
        }
        CookieRefresh::Ended => Then::Ended,
        CookieRefresh::Failed => Then::Failed,
        CookieRefresh::None => panic!("{name}: there is a pair"),
    };
    assert_eq!(became, then, "{name}");
    assert_eq!(alice.checked.rotation.redeemed(), ["alice.0"], "{name}");
}

#[tokio::test]
async fn r38_an_id_token_of_the_same_login_is_taken() {
    judge("without a nonce", Then::Fresh, |_| {}).await;
    judge("the nonce of the login", Then::Fresh, |claims| claims["nonce"] = json!(NONCE)).await;
    judge("auth_time as it was", Then::Fresh, |claims| claims["auth_time"] = json!(START)).await;
    judge("a later auth_time", Then::Fresh, |claims| claims["auth_time"] = json!(START + 1)).await;
    judge("aud in a list", Then::Fresh, |claims| claims["aud"] = json!(["shop"])).await;
}

#[tokio::test]
async fn r38_an_id_token_of_another_user_or_login_ends_the_cookies() {
    judge("another iss", Then::Ended, |claims| claims["iss"] = json!("https://evil.example")).await;
    judge("another sub", Then::Ended, |claims| claims["sub"] = json!("mallory")).await;
    judge("sub in capitals", Then::Ended, |claims| claims["sub"] = json!("ALICE")).await;
    judge("another aud", Then::Ended, |claims| claims["aud"] = json!("other")).await;
    judge("another nonce", Then::Ended, |claims| claims["nonce"] = json!("n")).await;
    judge("an empty nonce", Then::Ended, |claims| claims["nonce"] = json!("")).await;
    judge("an older auth_time", Then::Ended, |claims| claims["auth_time"] = json!(START - 1)).await;
}

#[tokio::test]
async fn r38_an_id_token_that_is_no_good_is_as_no_answer() {
    judge("more than us in aud", Then::Failed, |claims| claims["aud"] = json!(["shop", "x"])).await;
    judge("expired", Then::Failed, |claims| claims["exp"] = json!(START)).await;
    judge("nonce as a number", Then::Failed, |claims| claims["nonce"] = json!(7)).await;
}

#[tokio::test]
async fn an_answer_without_an_id_token_is_of_the_same_login() {
    let alice = Alice::new().await;
    alice.checked.rotation.response(|answer| {
        answer.as_object_mut().unwrap().remove("id_token");
    });
    assert!(matches!(alice.refresh().await, CookieRefresh::Fresh(_)));
}

#[tokio::test]
async fn the_scopes_of_an_answer_are_what_is_granted_from_then_on() {
    for (said, granted) in [
        (None, Some(&["prod:read"][..])),
        (Some("prod:read prod:write"), Some(&["prod:read", "prod:write"][..])),
        (Some("openid prod:write"), Some(&["prod:write"][..])),
        (Some("prod:read prod:admin"), None),
        (Some("prod:read elsewhere"), None),
    ] {
        let alice = Alice::new().await;
        if let Some(said) = said {
            alice.checked.rotation.response(move |answer| answer["scope"] = json!(said));
        }
        match (alice.refresh().await, granted) {
            (CookieRefresh::Fresh(session), Some(granted)) => {
                assert_eq!(session.grant.unwrap().granted, granted, "{said:?}");
            }
            (CookieRefresh::Ended, None) => {}
            (other, _) => panic!("{said:?} gave {other:?}"),
        }
    }
}

#[tokio::test]
async fn each_refresh_redeems_the_token_that_the_one_before_gave() {
    let mut alice = Alice::new().await;
    for round in 1..4 {
        let CookieRefresh::Fresh(session) = alice.refresh().await else { panic!("round {round}") };
        assert_eq!(session.access_token.expose(), format!("alice.{round}"));
        alice.keep(&session);
        alice.checked.clock.advance(LIFETIME);
    }
    assert_eq!(alice.checked.rotation.redeemed(), ["alice.0", "alice.1", "alice.2"]);
}

#[tokio::test]
async fn a_revoked_refresh_token_is_the_end_and_an_outage_is_not() {
    let alice = Alice::new().await;
    let error = |status, code| Some(Reply::status(status, &json!({"error": code})));
    for (status, code) in [(503, "temporarily_unavailable"), (400, "invalid_client")] {
        alice.checked.rotation.instead(error(status, code));
        assert!(matches!(alice.refresh().await, CookieRefresh::Failed), "{code}");
        // The pause after a failure is in whole seconds of the clock that the store has.
        alice.checked.clock.advance(10);
    }
    alice.checked.rotation.instead(error(400, "invalid_grant"));
    assert!(matches!(alice.refresh().await, CookieRefresh::Ended));
}
