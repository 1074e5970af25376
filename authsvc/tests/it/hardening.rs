//! What reviews found, each as the request that showed it.

use std::sync::Arc;

use http::StatusCode;
use vestibule_authsvc::policies::PolicyEntry;
use vestibule_authsvc::session::keyring::Keyring;

use crate::check_access::SHOP;
use crate::support::{Ask, DIALECTS, FETCH, NAVIGATION, TestApp, compiled};

#[tokio::test]
async fn a_cookie_that_a_sibling_host_planted_behind_an_odd_space_is_not_the_session() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    for dialect in DIALECTS {
        for space in ["\u{2003}", "\u{a0}", "\u{85}"] {
            let planted = format!("{space}{cookie}");
            let ask = Ask::get("/api").with(&FETCH).with(&[("cookie", &planted)]);
            assert_eq!(ask.ask(&app, dialect).await.status, StatusCode::UNAUTHORIZED);
        }
    }
}

#[tokio::test]
async fn an_upgrade_to_anything_but_a_websocket_is_refused_before_it_tunnels() {
    let app = TestApp::new(&[("shop", SHOP)]);
    for dialect in DIALECTS {
        for (headers, status) in [
            (&[("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQ")][..], StatusCode::FORBIDDEN),
            (&[("http2-settings", "AAMAAABkAAQ")], StatusCode::FORBIDDEN),
            (&[("upgrade", "websocket, h2c")], StatusCode::FORBIDDEN),
            (&[("upgrade", "websocket"), ("upgrade", "h2c")], StatusCode::FORBIDDEN),
            (&[("upgrade", "WebSocket")], StatusCode::OK),
        ] {
            let answer = Ask::get("/public").with(headers).ask(&app, dialect).await;
            assert_eq!(answer.status, status, "{dialect} {headers:?}");
        }
    }
}

#[tokio::test]
async fn a_session_of_the_provider_that_the_policy_had_before_is_none() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |s| s.issuer = "https://old.example.com".to_owned()).await;
    for dialect in DIALECTS {
        let ask = Ask::get("/api").with(&FETCH).with(&[("cookie", &cookie)]);
        assert_eq!(ask.ask(&app, dialect).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn an_authentication_of_unknown_age_is_too_old_for_every_limit() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie =
        app.session("shop", |s| s.auth_time = vestibule_authsvc::clock::Timestamp(0)).await;
    let ask = Ask::get("/fresh").with(&FETCH).with(&[("cookie", &cookie)]);
    let answer = ask.ask(&app, "traefik").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.header("www-authenticate").unwrap().contains("max_age"));
}

#[tokio::test]
async fn a_provider_that_cannot_be_set_up_does_not_replace_the_last_good_policy() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let mut broken = compiled("shop", SHOP);
    broken.provider.ca_bundle =
        Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".into());
    let keyring = Arc::new(Keyring::ephemeral(&*app.app.random));
    let refused = app.app.policies.install(vec![PolicyEntry::accepted(Arc::new(broken))], &keyring);
    assert_eq!(refused.len(), 1, "it is told");
    let public = Ask::get("/public").ask(&app, "nginx").await;
    assert_eq!(public.status, StatusCode::OK, "the last good form goes on");
}

#[tokio::test]
async fn the_first_403_that_an_author_meets_explains_itself() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    let ask = Ask::get("/api").method("POST").with(&[("cookie", &cookie)]);
    let answer = ask.ask(&app, "traefik").await;
    assert_eq!(answer.json()["type"], "https://vestibule.dev/problems/forged");
    assert!(answer.json()["detail"].as_str().unwrap().contains("x-bff"));
    let page = Ask::get("/deny").with(&NAVIGATION).ask(&app, "traefik").await;
    assert_eq!(page.json()["type"], "https://vestibule.dev/problems/forbidden");
}

#[tokio::test]
async fn what_is_not_there_below_the_base_path_is_a_problem_too() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let answer = app.browse("GET", "shop.example.com", "/bff/nope", &FETCH).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.json()["type"], "https://vestibule.dev/problems/not-found");
}

#[tokio::test]
async fn every_outcome_is_counted_under_its_own_label() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let weak = app.session("shop", |_| {}).await;
    for ask in [
        Ask::get("/public"),
        Ask::get("/deny"),
        Ask::get("/api").with(&NAVIGATION),
        Ask::get("/api").with(&FETCH),
        Ask::get("/gold").with(&FETCH).with(&[("cookie", &weak)]),
        Ask::get("/staff").with(&FETCH).with(&[("cookie", &weak)]),
    ] {
        ask.ask(&app, "traefik").await;
    }
    let metrics = app.app.metrics.render();
    for outcome in ["allow", "allow_anonymous", "forbidden", "login", "unauthenticated", "step_up"]
    {
        assert!(metrics.contains(&format!("outcome=\"{outcome}\"")), "{outcome}: {metrics}");
    }
}
