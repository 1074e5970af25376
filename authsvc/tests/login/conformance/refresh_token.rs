//! `oidcc-client-refreshtoken-test-plan`, three modules: a whole login, then its refresh token.

use axum::body::Body;
use http::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use url::Url;
use vestibule_authsvc::clock::Clock as _;
use vestibule_authsvc::router;

use crate::idp::{Reply, Seen};
use crate::refresh::{Checked, LIFETIME, NAVIGATION};

/// A browser's page of the shop; gives the headers of the redirect that it answers.
async fn visit(checked: &Checked, target: &str, cookie: Option<&str>) -> HeaderMap {
    let mut request = Request::get(target).header(HOST, "shop.example.com");
    for (name, value) in NAVIGATION {
        request = request.header(name, value);
    }
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    let router = router::browser(checked.app.clone());
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER, "{target}");
    response.headers().clone()
}

/// The cookies that were set, `NAME=VALUE` each.
fn set_cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let cookies = headers.get_all(SET_COOKIE).into_iter();
    cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap())
}

/// A login of `alice` that gives the refresh token `alice.0`; gives the session cookie's value.
async fn log_in(checked: &Checked) -> String {
    let sent = visit(checked, "/bff/login?rd=/api/x", None).await;
    let url = Url::parse(sent[LOCATION].to_str().unwrap()).unwrap();
    let parameter =
        |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    let id_token = checked.idp.id_token(&parameter("nonce"), checked.clock.now().0, |_| {});
    let tokens = json!({
        "access_token": "alice.0", "refresh_token": "alice.0", "token_type": "Bearer",
        "expires_in": LIFETIME, "id_token": id_token,
    });
    checked.idp.code("c", Reply::json(&tokens));
    let login = set_cookies(&sent).next().unwrap();
    let target = format!("/bff/callback?code=c&state={}", parameter("state"));
    let back = visit(checked, &target, Some(login)).await;
    let session = set_cookies(&back).find_map(|cookie| cookie.strip_prefix("__Host-bff="));
    session.unwrap().to_owned()
}

/// The app, whose provider answers `UserInfo`, as the suite waits for it.
async fn asking_user_info() -> Checked {
    let checked = Checked::with(|policy| policy.login.user_info = true).await;
    checked.idp.reply("/userinfo", Reply::json(&json!({"sub": "alice"})));
    checked
}

/// The access tokens that `UserInfo` was asked with.
fn bearers(checked: &Checked) -> Vec<String> {
    let bearer = |seen: Seen| seen.authorization.unwrap();
    checked.idp.seen("/userinfo").into_iter().map(bearer).collect()
}

/// Refreshes with an ID token whose claims are altered: what came with it is not used at all.
async fn refuses(alter: impl Fn(&mut Value) + Send + Sync + 'static) {
    let checked = asking_user_info().await;
    let cookie = log_in(&checked).await;
    checked.rotation.claims(alter);
    checked.clock.advance(LIFETIME);
    let answer = checked.check(&cookie, "/api/x").await;
    assert_eq!(checked.rotation.redeemed(), ["alice.0"]);
    assert_eq!((answer.status, answer.bearer()), (StatusCode::UNAUTHORIZED, None));
    assert_eq!(bearers(&checked), ["Bearer alice.0"], "only after the login");
    assert!(checked.session(&cookie).await.is_none(), "it would be somebody else's");
    assert_eq!(checked.check(&cookie, "/x").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn oidcc_client_test_refresh_token() {
    let checked = asking_user_info().await;
    let cookie = log_in(&checked).await;
    assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.0"));
    for token in ["alice.1", "alice.2"] {
        checked.clock.advance(LIFETIME);
        assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some(token));
    }
    assert_eq!(bearers(&checked), ["Bearer alice.0", "Bearer alice.1", "Bearer alice.2"]);
    let [login, refreshes @ ..] = &checked.idp.seen("/token")[..] else { panic!("a login") };
    for (seen, refresh_token) in refreshes.iter().zip(["alice.0", "alice.1"]) {
        assert_eq!(seen.one("grant_type"), Some("refresh_token"));
        assert_eq!(seen.one("refresh_token"), Some(refresh_token));
        assert_eq!(seen.one("scope"), None, "that of the login (RFC 6749, section 6)");
        assert_eq!(seen.authorization, login.authorization, "the same client");
    }
    assert_eq!(refreshes.len(), 2);
}

#[tokio::test]
async fn oidcc_client_test_refresh_token_invalid_issuer() {
    refuses(|claims| claims["iss"] = json!("https://evil.example")).await;
    refuses(|claims| claims["iss"] = json!(format!("{}/", claims["iss"].as_str().unwrap()))).await;
}

#[tokio::test]
async fn oidcc_client_test_refresh_token_invalid_sub() {
    refuses(|claims| claims["sub"] = json!("alice1")).await;
    refuses(|claims| claims["sub"] = json!("ALICE")).await;
}
