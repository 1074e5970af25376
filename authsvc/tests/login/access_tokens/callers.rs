//! Who calls: a token that is brought counts alone.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use vestibule_authsvc::caller::{self, Authorization, Caller, CallerError};
use vestibule_authsvc::cookies::Cookies;
use vestibule_authsvc::session::StoreKey;

use super::{access_token, bearer};
use crate::idp::Reply;
use crate::site::{Browser, START, Shop};

struct Api {
    shop: Shop,
    cookie: String,
}

impl Api {
    /// With a session of alice.
    async fn new(takes_tokens: bool) -> Self {
        let shop = Shop::with(|policy| {
            policy.bearer = takes_tokens.then(|| Box::new(bearer(&["at+jwt"])));
        })
        .await;
        let mut browser = Browser::default();
        shop.log_in(&mut browser, "/", |nonce| shop.idp.id_token(nonce, START, |_| {})).await;
        let cookie = format!("__Host-bff={}", browser.cookies["__Host-bff"]);
        Self { shop, cookie }
    }

    async fn who(&self, cookie: bool, headers: &[&str]) -> Result<Option<Caller>, CallerError> {
        let mut map = HeaderMap::new();
        if cookie {
            map.insert(COOKIE, HeaderValue::from_str(&self.cookie).unwrap());
        }
        for value in headers {
            map.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let policy = &self.shop.policy;
        let authorization = Authorization::read(policy, &map);
        caller::of(&self.shop.app, policy, Cookies::from_headers(&map), &authorization).await
    }
}

#[tokio::test]
async fn without_a_token_the_session_calls() {
    let api = Api::new(true).await;
    assert!(api.who(false, &[]).await.unwrap().is_none());
    for headers in [vec![], vec!["Basic YTpi"]] {
        let caller = api.who(true, &headers).await.unwrap().unwrap();
        let Caller::Session(loaded) = &caller else { panic!("{caller:?}") };
        assert_eq!((caller.subject(), caller.issuer()), ("alice", &*api.shop.idp.issuer));
        assert_eq!(caller.key(&api.shop.policy), loaded.key);
        assert_eq!(caller.claims()["email"], "alice@example.com");
    }
}

#[tokio::test]
async fn r47_a_token_counts_alone_with_or_without_a_session() {
    let api = Api::new(true).await;
    let token = access_token(&api.shop.idp, |claims| claims["sub"] = json!("bob"));
    for cookie in [true, false] {
        let caller = api.who(cookie, &[&format!("bearer {token}")]).await.unwrap().unwrap();
        assert!(matches!(caller, Caller::Bearer(_)));
        assert_eq!((caller.subject(), caller.issuer()), ("bob", &*api.shop.idp.issuer));
        let policy = &api.shop.policy;
        let key = StoreKey::of_bearer(&policy.compiled.uid, caller.issuer(), "bob");
        assert_eq!(caller.key(policy), key);
        assert_eq!(caller.claims()["scope"], "endpoint:mediate");
        assert_eq!(caller.access_token().expose(), token);
    }
}

#[tokio::test]
async fn r47_t068_a_token_that_is_no_good_is_never_no_token() {
    let api = Api::new(true).await;
    let good = access_token(&api.shop.idp, |_| {});
    let other = access_token(&api.shop.idp, |claims| claims["aud"] = json!("other"));
    for headers in [
        vec!["Bearer".to_owned()],
        vec!["Bearer junk".to_owned()],
        vec![format!("Bearer {other}")],
        vec![format!("Bearer {good} {good}")],
        vec![format!("Bearer {good}"), format!("Bearer {good}")],
        vec!["Basic YTpi".to_owned(), format!("Bearer {good}")],
    ] {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let result = api.who(true, &headers).await;
        assert!(matches!(result, Err(CallerError::Invalid)), "{result:?}");
    }
}

#[tokio::test]
async fn r55_a_token_that_cannot_be_verified_is_neither_good_nor_bad() {
    let api = Api::new(true).await;
    // A key that is not known, while nobody can be asked for it.
    api.shop.clock.advance(5);
    api.shop.idp.reply("/jwks", Reply::status(503, &json!({})));
    let header = json!({"alg": "RS256", "kid": "rsa2", "typ": "at+jwt"});
    let claims = super::claims(&api.shop.idp, api.shop.now());
    let token = crate::jose::jwt(&header, &claims, &crate::jose::Signer::OtherRsa);
    let result = api.who(true, &[&format!("Bearer {token}")]).await;
    assert!(matches!(result, Err(CallerError::Unavailable)), "{result:?}");
}

#[tokio::test]
async fn where_the_policy_takes_no_tokens_none_is_looked_at() {
    let api = Api::new(false).await;
    let token = access_token(&api.shop.idp, |_| {});
    for value in [format!("Bearer {token}"), "Bearer junk".to_owned(), "Bearer".to_owned()] {
        let caller = api.who(true, &[&value]).await.unwrap().unwrap();
        assert!(matches!(caller, Caller::Session(_)));
        assert!(api.who(false, &[&value]).await.unwrap().is_none());
    }
}
