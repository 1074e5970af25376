//! The provider's refusals, and one login from end to end.

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use base64::engine::general_purpose::STANDARD;
use tower::ServiceExt;
use url::Url;
use vestibule_authsvc::clock::{ManualClock, Timestamp};

use super::super::authsvc::SystemRandom;
use super::*;

const ISSUER: &str = "http://127.0.0.1:9000";
const CALLBACK: &str = "http://localhost:8080/bff/callback";
const AFTER_LOGOUT: &str = "http://localhost:8080/";
const VERIFIER: &str = "0123456789-0123456789-0123456789-0123456789";

struct Browser {
    provider: Arc<Provider>,
    clock: Arc<ManualClock>,
    cookie: String,
}

impl Browser {
    fn new() -> Self {
        let client = Registration {
            id: "shop".to_owned(),
            secret: "s/e+c%r:et".to_owned(),
            redirect_uri: CALLBACK.to_owned(),
            post_logout_redirect_uri: AFTER_LOGOUT.to_owned(),
            scopes: &SHOP_SCOPES,
        };
        let clock = Arc::new(ManualClock::new(Timestamp(1_800_000_000)));
        let provider =
            Provider::new(ISSUER.to_owned(), client, clock.clone(), Arc::new(SystemRandom));
        Self { provider: Arc::new(provider.unwrap()), clock, cookie: String::new() }
    }

    async fn send(&mut self, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let response = Arc::clone(&self.provider).router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        if let Some(cookie) = parts.headers.get("set-cookie") {
            self.cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        let body = to_bytes(body, 1 << 20).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&mut self, target: &str) -> (StatusCode, HeaderMap, String) {
        let request = Request::get(target).header("cookie", &self.cookie);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
        let request = Request::post(path).header("cookie", &self.cookie);
        self.send(request.body(Body::from(encoded(form))).unwrap()).await
    }

    async fn redeem(&mut self, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let secret = STANDARD.encode("shop:s%2Fe%2Bc%25r%3Aet");
        let request = Request::post("/token").header("authorization", format!("Basic {secret}"));
        let (status, _, body) = self.send(request.body(Body::from(encoded(form))).unwrap()).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn refresh(&mut self, token: &Value) -> (StatusCode, Value) {
        let token = token.as_str().unwrap();
        self.redeem(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Logs in anew as the demo user; the code.
    async fn code(&mut self) -> String {
        self.cookie.clear();
        let (_, _, page) = self.get(&authorize(&[])).await;
        let form = [("request", request_of(&page)), ("username", "demo"), ("password", "demo")];
        let (status, headers, _) = self.post("/login", &form).await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        let answer = answer_of(&headers);
        assert_eq!((&*answer["state"], &*answer["iss"]), ("st", ISSUER));
        answer["code"].clone()
    }
}

fn encoded(form: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

/// An authorization request, with some parameters changed or, where empty, left out.
fn authorize(changes: &[(&str, &str)]) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
    let mut params = vec![
        ("client_id", "shop"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid profile email groups"),
        ("state", "st"),
        ("nonce", "no"),
        ("code_challenge", &*challenge),
        ("code_challenge_method", "S256"),
    ];
    params.retain(|(name, _)| !changes.iter().any(|(changed, _)| name == changed));
    params.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    format!("/authorize?{}", encoded(&params))
}

fn exchange(code: &str) -> [(&'static str, &str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ]
}

fn request_of(page: &str) -> &str {
    page.split("name=\"request\" value=\"").nth(1).unwrap().split('"').next().unwrap()
}

fn answer_of(headers: &HeaderMap) -> request::Params {
    let url = Url::parse(headers["location"].to_str().unwrap()).unwrap();
    assert!(url.as_str().starts_with(CALLBACK));
    request::params(url.query().unwrap().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_login_gives_tokens_for_the_demo_user() {
    let mut browser = Browser::new();
    let code = browser.code().await;
    let (status, tokens) = browser.redeem(&exchange(&code)).await;
    assert_eq!(status, StatusCode::OK);
    let id_token = tokens["id_token"].as_str().unwrap();
    let claims = browser.provider.keys.verify(id_token, ISSUER, "shop").unwrap();
    assert_eq!((&claims["nonce"], &claims["acr"]), (&json!("no"), &json!("silver")));
    assert_eq!(claims["groups"], json!(["customers", "staff"]));
    let access_token = tokens["access_token"].as_str().unwrap();
    assert!(browser.provider.verify_access_token(access_token).is_some());
    assert!(browser.provider.verify_access_token(id_token).is_none());
    browser.clock.advance(3600);
    assert!(browser.provider.verify_access_token(access_token).is_none());
}

#[tokio::test]
async fn an_unregistered_redirect_uri_gets_a_page_and_no_redirect() {
    let mut browser = Browser::new();
    for uri in ["", "http://localhost:8080/bff/callback/", "http://localhost:8080/bff/callback?x"] {
        let (status, headers, _) = browser.get(&authorize(&[("redirect_uri", uri)])).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{uri}");
        assert!(!headers.contains_key("location"), "{uri}");
    }
    let twice = format!("{}&redirect_uri=x", authorize(&[]));
    assert_eq!(browser.get(&twice).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(browser.get(&authorize(&[("client_id", "other")])).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_request_without_pkce_state_or_nonce_is_refused() {
    let mut browser = Browser::new();
    for (change, error) in [
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("state", ""), "invalid_request"),
        (("nonce", ""), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("scope", "profile"), "invalid_scope"),
        (("prompt", "none"), "login_required"),
    ] {
        let (_, headers, _) = browser.get(&authorize(&[change])).await;
        let answer = answer_of(&headers);
        assert_eq!((&*answer["error"], &*answer["iss"]), (error, ISSUER), "{change:?}");
    }
}

#[tokio::test]
async fn a_wrong_verifier_or_redirect_uri_uses_the_code_up() {
    let mut browser = Browser::new();
    for (at, value) in [(3, "x".repeat(50)), (2, "http://localhost:8080/other".to_owned())] {
        let code = browser.code().await;
        let mut wrong = exchange(&code);
        wrong[at].1 = &value;
        let (status, answer) = browser.redeem(&wrong).await;
        assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
        let (status, _) = browser.redeem(&exchange(&code)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_code_works_once_and_a_second_try_ends_its_access_token() {
    let mut browser = Browser::new();
    let code = browser.code().await;
    let (_, tokens) = browser.redeem(&exchange(&code)).await;
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let userinfo = || {
        let request = Request::get("/userinfo").header("authorization", &bearer);
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(browser.send(userinfo()).await.0, StatusCode::OK);
    let (status, answer) = browser.redeem(&exchange(&code)).await;
    assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
    assert_eq!(browser.send(userinfo()).await.0, StatusCode::UNAUTHORIZED);

    let late = browser.code().await;
    browser.clock.advance(61);
    assert_eq!(browser.redeem(&exchange(&late)).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_client_without_its_secret_gets_nothing() {
    let mut browser = Browser::new();
    let code = browser.code().await;
    let (status, ..) = browser.post("/token", &exchange(&code)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn gold_needs_the_second_step_and_max_age_a_new_password() {
    let mut browser = Browser::new();
    browser.code().await;
    let (status, headers, _) = browser.get(&authorize(&[])).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "one login serves further requests");
    assert!(answer_of(&headers).contains_key("code"));

    let (_, _, page) = browser.get(&authorize(&[("acr_values", "gold")])).await;
    assert!(page.contains("One more step"));
    let form = [("request", request_of(&page)), ("code", "000000")];
    assert_eq!(browser.post("/confirm", &form).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let form = [("request", request_of(&page)), ("code", "123456")];
    let (_, headers, _) = browser.post("/confirm", &form).await;
    let code = answer_of(&headers)["code"].clone();
    let (_, tokens) = browser.redeem(&exchange(&code)).await;
    let id_token = tokens["id_token"].as_str().unwrap();
    assert_eq!(browser.provider.keys.verify(id_token, ISSUER, "shop").unwrap()["acr"], "gold");

    browser.clock.advance(11);
    let (_, _, page) = browser.get(&authorize(&[("max_age", "10")])).await;
    assert!(page.contains("name=\"password\""));
}

#[tokio::test]
async fn a_logout_ends_the_login_and_returns_to_registered_urls_only() {
    let mut browser = Browser::new();
    let code = browser.code().await;
    let (_, tokens) = browser.redeem(&exchange(&code)).await;
    let hint = tokens["id_token"].as_str().unwrap();
    let (_, headers, page) = browser.get("/logout").await;
    assert!(page.contains("Log out?") && !headers.contains_key("set-cookie"));

    let elsewhere = [("id_token_hint", hint), ("post_logout_redirect_uri", "http://evil.test/")];
    let (status, ..) = browser.get(&format!("/logout?{}", encoded(&elsewhere))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let form =
        [("id_token_hint", hint), ("post_logout_redirect_uri", AFTER_LOGOUT), ("state", "bye")];
    let (status, headers, _) = browser.get(&format!("/logout?{}", encoded(&form))).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(headers["location"], "http://localhost:8080/?state=bye");
    let (_, _, page) = browser.get(&authorize(&[])).await;
    assert!(page.contains("name=\"password\""), "the login is over");
}

#[tokio::test]
async fn a_wrong_password_shows_the_page_again_and_logs_nobody_in() {
    let mut browser = Browser::new();
    let (_, _, page) = browser.get(&authorize(&[])).await;
    let form = [("request", request_of(&page)), ("username", "<b>"), ("password", "x")];
    let (status, headers, page) = browser.post("/login", &form).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!headers.contains_key("set-cookie"));
    assert!(!page.contains("<b>"), "what was typed in is escaped");
}

/// The error of a request that wants no page.
async fn silently(browser: &mut Browser, changes: &[(&str, &str)]) -> Option<String> {
    let changes: Vec<_> = changes.iter().copied().chain([("prompt", "none")]).collect();
    let (status, headers, _) = browser.get(&authorize(&changes)).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let mut answer = answer_of(&headers);
    assert_ne!(answer.contains_key("error"), answer.contains_key("code"));
    answer.remove("error")
}

#[tokio::test]
async fn a_silent_request_says_which_page_it_would_need() {
    let mut browser = Browser::new();
    assert_eq!(silently(&mut browser, &[]).await.as_deref(), Some("login_required"));
    browser.code().await;
    assert_eq!(silently(&mut browser, &[]).await, None);
    assert_eq!(silently(&mut browser, &[("scope", "openid stock:read")]).await, None);
    let consent = silently(&mut browser, &[("scope", "openid orders:read")]).await;
    assert_eq!(consent.as_deref(), Some("consent_required"));
    let gold = silently(&mut browser, &[("acr_values", "gold")]).await;
    assert_eq!(gold.as_deref(), Some("interaction_required"));
    browser.clock.advance(11);
    let old = silently(&mut browser, &[("max_age", "10")]).await;
    assert_eq!(old.as_deref(), Some("login_required"));
}

#[tokio::test]
async fn the_user_is_asked_once_about_a_scope_and_may_say_no() {
    let mut browser = Browser::new();
    browser.code().await;
    let production = authorize(&[("scope", "openid orders:read")]);
    for (decision, outcome) in [("deny", "error"), ("", "error"), ("allow", "code")] {
        let (status, _, page) = browser.get(&production).await;
        assert_eq!(status, StatusCode::OK, "{decision}");
        assert!(page.contains("<code>orders:read</code>"), "{page}");
        let form = [("request", request_of(&page)), ("decision", decision)];
        let (_, headers, _) = browser.post("/consent", &form).await;
        let answer = answer_of(&headers);
        assert!(answer.contains_key(outcome), "{decision}: {answer:?}");
        assert!(answer.get("error").is_none_or(|error| error == "access_denied"));
    }
    let (status, headers, _) = browser.get(&production).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (_, tokens) = browser.redeem(&exchange(&answer_of(&headers)["code"])).await;
    assert_eq!(tokens["scope"], "openid orders:read");
    let claims = browser.provider.verify_access_token(tokens["access_token"].as_str().unwrap());
    assert_eq!(claims.unwrap()["scope"], "openid orders:read");
}

#[tokio::test]
async fn a_consent_without_a_login_gives_nothing() {
    let mut browser = Browser::new();
    browser.code().await;
    let (_, _, page) = browser.get(&authorize(&[("scope", "openid orders:read")])).await;
    browser.cookie.clear();
    let form = [("request", request_of(&page)), ("decision", "allow")];
    let (status, headers, _) = browser.post("/consent", &form).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(!headers.contains_key("location"));
}

#[tokio::test]
async fn a_user_gets_no_scope_that_is_for_others_and_no_client_one_it_is_not_registered_for() {
    let mut browser = Browser::new();
    let scope = "openid orders:release stock:read payroll:write";
    let (_, _, page) = browser.get(&authorize(&[("scope", scope)])).await;
    let form = [("request", request_of(&page)), ("username", "guest"), ("password", "guest")];
    let (_, headers, _) = browser.post("/login", &form).await;
    let (_, tokens) = browser.redeem(&exchange(&answer_of(&headers)["code"])).await;
    assert_eq!(tokens["scope"], "openid stock:read");
    assert!(scopes::asked("openid orders:read", &["openid"]).iter().all(|it| it.name == "openid"));
}

#[tokio::test]
async fn a_refresh_token_works_once_keeps_its_scopes_and_ends_with_the_login() {
    let mut browser = Browser::new();
    let code = browser.code().await;
    let (_, tokens) = browser.redeem(&exchange(&code)).await;
    let (first, hint) = (tokens["refresh_token"].clone(), tokens["id_token"].clone());
    let (status, again) = browser.refresh(&first).await;
    assert_eq!((status, &again["scope"]), (StatusCode::OK, &tokens["scope"]));
    assert_ne!(again["access_token"], tokens["access_token"]);
    assert_eq!(browser.refresh(&first).await.1["error"], "invalid_grant");
    let (status, third) = browser.refresh(&again["refresh_token"]).await;
    assert_eq!(status, StatusCode::OK);

    let hint = encoded(&[("id_token_hint", hint.as_str().unwrap())]);
    browser.get(&format!("/logout?{hint}")).await;
    assert_eq!(browser.refresh(&third["refresh_token"]).await.1["error"], "invalid_grant");
}
