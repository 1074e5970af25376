//! Our own endpoints on the app's origin: who am I, logout, and which host they answer for.

use http::StatusCode;

use crate::check_access::SHOP;
use crate::support::{ACCESS_TOKEN, Ask, DIALECTS, FETCH, ID_TOKEN, TestApp};

const HOST: &str = "shop.example.com";

#[tokio::test]
async fn t018_session_shows_the_claims_of_the_policy_and_never_a_token() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    app.clock.advance(60);
    let mut headers = FETCH.to_vec();
    headers.push(("cookie", &cookie));
    for name in ["/bff/session", "/bff/me"] {
        let answer = app.browse("GET", HOST, name, &headers).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(
            answer.json(),
            serde_json::json!({
                "subject": "u-1",
                "claims": {"sub": "u-1", "name": "Ada"},
                "expiresIn": 3540,
                "idleExpiresIn": 600,
            })
        );
        assert!(!answer.body.contains(ACCESS_TOKEN) && !answer.body.contains(ID_TOKEN));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let none = app.browse("GET", HOST, "/bff/session", &FETCH).await;
    assert_eq!(none.status, StatusCode::UNAUTHORIZED);
    assert_eq!(none.json()["loginUrl"], "https://shop.example.com/bff/login");
}

#[tokio::test]
async fn a_look_at_the_session_is_no_use_of_it() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    let mut headers = FETCH.to_vec();
    headers.push(("cookie", &cookie));
    for passed in [200, 400, 599] {
        app.clock.advance(if passed == 599 { 199 } else { 200 });
        let answer = app.browse("GET", HOST, "/bff/session?peek=true", &headers).await;
        assert_eq!(answer.json()["idleExpiresIn"], 600 - passed, "after {passed} s");
        assert_eq!(answer.json()["subject"], "u-1");
        assert!(!answer.body.contains(ACCESS_TOKEN) && !answer.body.contains(ID_TOKEN));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    app.clock.advance(1);
    for target in ["/bff/session?peek=true", "/bff/session"] {
        let over = app.browse("GET", HOST, target, &headers).await;
        assert_eq!(over.status, StatusCode::UNAUTHORIZED, "{target}");
    }
}

#[tokio::test]
async fn a_look_at_the_session_proves_where_it_comes_from_and_whose_it_is() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    let target = "/bff/session?peek=true";
    let forged =
        [("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")];
    let answer = app.browse("GET", HOST, target, &forged).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let mut headers = FETCH.to_vec();
    headers.push(("cookie", &cookie));
    assert_eq!(app.browse("POST", HOST, "/bff/logout", &headers).await.status, StatusCode::OK);
    let answer = app.browse("GET", HOST, target, &headers).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "it has ended");
    let other =
        app.session("shop", |session| session.issuer = "https://former.example".to_owned()).await;
    let mut headers = FETCH.to_vec();
    headers.push(("cookie", &other));
    let answer = app.browse("GET", HOST, target, &headers).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "a session of the former provider");
}

#[tokio::test]
async fn t005_t090_after_a_logout_the_old_cookie_is_useless() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    let mut headers = FETCH.to_vec();
    headers.push(("cookie", &cookie));
    let answer = app.browse("POST", HOST, "/bff/logout", &headers).await;
    assert_eq!(answer.status, StatusCode::OK);
    let expired = "__Host-bff=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(answer.set_cookies(), [expired]);
    for dialect in DIALECTS {
        let after = Ask::get("/api").with(&FETCH).with(&[("cookie", &cookie)]);
        assert_eq!(after.ask(&app, dialect).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_logout_that_another_site_caused_is_refused() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    let forged = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("origin", "https://evil.example.com"),
    ];
    let answer = app.browse("POST", HOST, "/bff/logout", &forged).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let after = Ask::get("/staff").with(&[("cookie", &cookie)]).ask(&app, "nginx").await;
    assert_eq!(after.status, StatusCode::OK, "the session lives");
}

#[tokio::test]
async fn a_host_of_no_policy_is_refused_and_only_the_base_path_answers() {
    let app = TestApp::new(&[("shop", SHOP)]);
    for host in ["evil.example.com", "shop.example.com.evil.test", "", "shop.example.com:81"] {
        let answer = app.browse("GET", host, "/bff/session", &FETCH).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host:?}");
    }
    for target in ["/", "/bff", "/bffx/session", "/bff/unknown", "/other", "/bff//session"] {
        let answer = app.browse("GET", HOST, target, &FETCH).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{target}");
    }
}

#[tokio::test]
async fn t014_every_endpoint_refuses_other_methods() {
    let app = TestApp::new(&[("shop", SHOP)]);
    for (method, target) in [
        ("POST", "/bff/login"),
        ("HEAD", "/bff/login"),
        ("POST", "/bff/callback"),
        ("HEAD", "/bff/callback"),
        ("POST", "/bff/session"),
        ("DELETE", "/bff/logout"),
        ("PUT", "/bff/jwks.json"),
        ("POST", "/bff/client.js"),
        ("POST", "/bff/signed-out"),
    ] {
        let answer = app.browse(method, HOST, target, &FETCH).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {target}");
    }
}
