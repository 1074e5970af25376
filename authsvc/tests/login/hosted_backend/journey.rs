//! Login, user, logout: what an SDK sees of them.

use std::sync::Arc;

use axum::body::Body;
use http::header::COOKIE;
use http::{Request, StatusCode};
use serde_json::json;
use tower::ServiceExt as _;
use url::Url;

use super::{Browser, LOGIN, LOGOUT, NAVIGATION, NO_END, REFRESH, apps as an_app, problem, sent};
use crate::logout::{Apps, FETCH};
use crate::site::{START, check_port};

/// Logs in, and gives where the browser is afterwards.
async fn log_in(apps: &Apps, browser: &mut Browser, target: &str) -> String {
    let answer = browser.navigate(apps, target).await;
    let asked = sent(apps, &answer);
    let token = apps.idp.id_token(&asked["nonce"], START, |claims| {
        claims["given_name"] = json!("Alice");
    });
    apps.idp.grant("the-code", &token);
    let back = format!("/bff/callback?code=the-code&state={}", asked["state"]);
    let answer = browser.navigate(apps, &back).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    answer.header("location").unwrap().to_owned()
}

#[tokio::test]
async fn a_login_comes_back_with_the_state_and_says_when_the_session_ends() {
    let apps = an_app().await;
    let mut browser = Browser::default();
    let answer = browser.navigate(&apps, LOGIN).await;
    let asked = sent(&apps, &answer);
    assert_eq!(asked["scope"], "openid email", "the policy says what is asked for");
    assert_eq!(asked["redirect_uri"], "https://shop.example.com/bff/callback");
    assert!(!asked.contains_key("idp_hint") && !asked.contains_key("prompt"), "{asked:?}");

    let url = log_in(&apps, &mut browser, LOGIN).await;
    assert_eq!(url, "https://shop.example.com/home?x=1&state=the%20state%26x%3D1");
    assert_eq!(browser.end(), Some(START + 1800), "unused");
    let names: Vec<_> = browser.jar.keys().filter(|name| !name.contains("login")).collect();
    assert_eq!(names, ["__Host-bff", "app.at_exp"]);

    // Whoever is logged in comes straight back.
    apps.clock.advance(1000);
    browser.jar.remove("app.at_exp");
    let answer = browser.navigate(&apps, "/app/login/shop?redirect_uri=%2Fhome&state=s").await;
    assert_eq!(answer.header("location"), Some("https://shop.example.com/home?state=s"));
    assert_eq!(browser.end(), Some(START + 2800));
}

#[tokio::test]
async fn the_paths_of_the_documentation_and_of_the_sdks_mean_the_same() {
    let apps = an_app().await;
    for target in [
        "/app/login/shop",
        "/app/login?client_id=shop",
        "/app/login/?client_id=shop",
        "/app/login/shop?client_id=shop",
        "/app/register/shop",
        "/app/register/?client_id=shop",
    ] {
        let url = log_in(&apps, &mut Browser::default(), target).await;
        assert_eq!(url, "https://shop.example.com/", "{target}");
    }
    for target in ["/app/me", "/app/me/"] {
        let answer = Browser::logged_in(&apps).await.fetch(&apps, target).await;
        assert_eq!(answer.status, StatusCode::OK, "{target}");
    }
    for target in ["/app/logout/shop", "/app/logout?client_id=shop", LOGOUT] {
        let mut browser = Browser::logged_in(&apps).await;
        let answer = browser.navigate(&apps, target).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{target}");
        assert!(!browser.is_logged_in(&apps).await, "{target}");
    }
    for target in ["/app/refresh/shop", "/app/refresh?client_id=shop", REFRESH] {
        let answer = Browser::logged_in(&apps).await.ask(&apps, ("POST", target), &FETCH).await;
        assert_eq!(answer.status, StatusCode::OK, "{target}");
    }
}

#[tokio::test]
async fn a_registration_begins_with_the_providers_where_it_lists_that() {
    let apps = an_app().await;
    let target = LOGIN.replace("login", "register");
    let at_first = sent(&apps, &Browser::default().navigate(&apps, &target).await);
    assert!(!at_first.contains_key("prompt"), "it is a login: {at_first:?}");

    let apps = an_app().await;
    apps.idp.set_metadata(|metadata| {
        metadata["prompt_values_supported"] = json!(["none", "login", "create"]);
    });
    let asked = sent(&apps, &Browser::default().navigate(&apps, &target).await);
    assert_eq!(asked["prompt"], "create");
    let asked = sent(&apps, &Browser::default().navigate(&apps, LOGIN).await);
    assert!(!asked.contains_key("prompt"), "{asked:?}");
    let url = log_in(&apps, &mut Browser::default(), &target).await;
    assert_eq!(url, "https://shop.example.com/home?x=1&state=the%20state%26x%3D1");
}

#[tokio::test]
async fn the_user_is_the_subject_and_the_claims_that_scripts_may_see() {
    let apps = Apps::with(|policy| {
        super::serve(policy);
        policy.session.claims = ["email", "given_name", "roles"].map(str::to_owned).to_vec();
    })
    .await;
    let mut browser = Browser::logged_in(&apps).await;
    let answer = browser.fetch(&apps, "/app/me/").await;
    assert_eq!(answer.json(), json!({"sub": "alice", "email": "alice@example.com"}));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(browser.end(), Some(START + 1800), "it is said anew");
}

#[tokio::test]
async fn where_the_session_is_over_the_sdk_is_told_and_its_cookie_goes() {
    let apps = an_app().await;
    for mut browser in [Browser::default(), Browser::logged_in(&apps).await] {
        apps.clock.advance(1801);
        browser.jar.insert("app.at_exp".to_owned(), (START + 100_000).to_string());
        let answer = browser.fetch(&apps, "/app/me/").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(problem(&answer), "unauthenticated");
        assert_eq!(answer.set_cookies(), [NO_END]);
        assert_eq!(browser.end(), None);
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_says_nothing_of_the_session() {
    let apps = an_app().await;
    let mut browser = Browser::logged_in(&apps).await;
    browser.jar.insert("app.at_exp".to_owned(), START.to_string());
    apps.clock.advance(500);
    apps.store.cut_after(0);
    for answer in [
        browser.fetch(&apps, "/app/me/").await,
        browser.refresh(&apps).await,
        browser.navigate(&apps, LOGOUT).await,
    ] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
        assert!(answer.set_cookies().is_empty());
    }
    apps.store.mend();
    assert!(browser.is_logged_in(&apps).await);
}

#[tokio::test]
async fn a_logout_ends_the_session_here_and_at_the_provider_and_comes_back_to_the_app() {
    let apps = an_app().await;
    let mut browser = Browser::logged_in(&apps).await;
    browser.fetch(&apps, "/app/me/").await;
    assert!(browser.end().is_some());
    let before = browser.clone();
    let answer = browser.navigate(&apps, LOGOUT).await;
    let url = Url::parse(answer.header("location").unwrap()).unwrap();
    assert!(url.as_str().starts_with(&format!("{}/end?", apps.idp.issuer)), "{url}");
    let one = |wanted: &str| {
        url.query_pairs().find(|(name, _)| name == wanted).map(|(_, v)| v.into_owned())
    };
    assert_eq!(one("post_logout_redirect_uri").as_deref(), Some("https://shop.example.com/"));
    assert_eq!(one("state"), None, "a page of the app would not know it");
    assert!(browser.jar.is_empty(), "{:?}", browser.jar);
    assert!(!before.is_logged_in(&apps).await);

    // Once more: there is nothing left to end, and the app is where the browser goes.
    let answer = browser.navigate(&apps, LOGOUT).await;
    assert_eq!(answer.header("location"), Some("https://shop.example.com/"));

    // Where none is named, it is the policy's page.
    let mut browser = Browser::logged_in(&apps).await;
    let answer = browser.navigate(&apps, "/app/logout/shop").await;
    assert!(answer.header("location").unwrap().contains("%2Fbff%2Fsigned-out"));
}

#[tokio::test]
async fn our_own_login_and_logout_tell_the_sdk_too() {
    let apps = an_app().await;
    let mut browser = Browser::default();
    log_in(&apps, &mut browser, "/bff/login?rd=%2F").await;
    assert_eq!(browser.end(), Some(START + 1800));
    let answer = browser.ask(&apps, ("POST", "/bff/logout"), &NAVIGATION).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    assert_eq!(browser.end(), None);
}

#[tokio::test]
async fn a_policy_without_the_flavour_has_no_such_endpoint_and_no_such_cookie() {
    let apps = Apps::new().await;
    for target in [LOGIN, LOGOUT, "/app/me", "/app/me/", "/app/register/shop", "/app/refresh/shop"]
    {
        let mut browser = Browser::logged_in(&apps).await;
        for method in ["GET", "POST"] {
            let answer = browser.ask(&apps, (method, target), &NAVIGATION).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {target}");
        }
        assert!(browser.is_logged_in(&apps).await);
    }
    let mut browser = Browser::default();
    log_in(&apps, &mut browser, "/bff/login?rd=%2Fapp%2Fhome").await;
    assert_eq!(browser.end(), None);
    let answer = browser.ask(&apps, ("POST", "/bff/logout"), &NAVIGATION).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    assert!(!answer.set_cookies().iter().any(|cookie| cookie.starts_with("app.")));
}

#[tokio::test]
async fn of_the_other_paths_and_methods_there_is_nothing() {
    let apps = an_app().await;
    let mut browser = Browser::logged_in(&apps).await;
    for target in [
        "/app",
        "/app/",
        "/app/callback",
        "/app/session",
        "/app/client.js",
        "/app/login/shop/more",
        "/app/me/shop",
        "/application/me",
        "/APP/me",
    ] {
        let answer = browser.navigate(&apps, target).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{target}");
    }
    for (method, target) in [
        ("POST", LOGIN),
        ("HEAD", LOGIN),
        ("POST", LOGOUT),
        ("HEAD", LOGOUT),
        ("GET", REFRESH),
        ("POST", "/app/me"),
    ] {
        let answer = browser.ask(&apps, (method, target), &FETCH).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {target}");
    }
    assert!(browser.is_logged_in(&apps).await);
}

#[tokio::test]
async fn a_gateway_that_asks_about_these_paths_is_told_to_send_them_elsewhere() {
    let apps = an_app().await;
    let browser = Browser::logged_in(&apps).await;
    for (path, wanted) in [
        ("/app", StatusCode::FORBIDDEN),
        ("/app/me/", StatusCode::FORBIDDEN),
        ("/app/anything", StatusCode::FORBIDDEN),
        ("/application", StatusCode::OK),
    ] {
        let request = Request::get("/check/nginx/default/shop")
            .header("x-original-url", format!("https://shop.example.com{path}"))
            .header("x-original-method", "GET")
            .header(COOKIE, format!("__Host-bff={}", browser.jar["__Host-bff"]))
            .body(Body::empty())
            .unwrap();
        let check = check_port(Arc::clone(&apps.replicas[0]));
        let answer = check.oneshot(request).await.unwrap();
        assert_eq!(answer.status(), wanted, "{path}");
    }
}
