//! What ends a session and what does not.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use http::header::{LOCATION, RETRY_AFTER};
use serde_json::json;
use tokio::time::timeout;

use super::{Checked, LIFETIME, NAVIGATION};
use crate::idp::Reply;

#[tokio::test]
async fn invalid_grant_ends_the_session_with_a_login() {
    for status in [400, 401] {
        let checked = Checked::new().await;
        let [first, second] = [checked.log_in("alice").await, checked.log_in("bob").await];
        checked.rotation.instead(Some(Reply::status(status, &json!({"error": "invalid_grant"}))));
        checked.clock.advance(LIFETIME);
        assert_eq!(checked.check(&first, "/api/x").await.status, StatusCode::UNAUTHORIZED);
        let answer = checked.check_as("shop", &second, "/api/x", &NAVIGATION).await;
        assert_eq!(answer.status, StatusCode::FOUND);
        assert!(answer.headers[LOCATION].to_str().unwrap().contains("/bff/login?rd="));
        for cookie in [first, second] {
            assert!(checked.session(&cookie).await.is_none());
            assert_eq!(checked.check(&cookie, "/x").await.status, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(checked.rotation.redeemed().len(), 2, "each once");
    }
}

#[tokio::test]
async fn a_refresh_token_that_was_used_elsewhere_ends_the_session() {
    let checked = Checked::new().await;
    let [cookie, copy] = [checked.log_in("alice").await, checked.log_in("alice").await];
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/x").await.status, StatusCode::OK);
    // Whoever has it second.
    assert_eq!(checked.check(&copy, "/api/x").await.status, StatusCode::UNAUTHORIZED);
    assert!(checked.session(&copy).await.is_none());
    assert!(checked.session(&cookie).await.is_some());
}

#[tokio::test]
async fn whatever_else_the_provider_says_keeps_the_session() {
    let error = |status, code: &str| Reply::status(status, &json!({"error": code}));
    let html = Reply { kind: "text/html", body: "<html>".into(), ..error(200, "") };
    for (name, reply) in [
        ("500", Reply::status(500, &json!({}))),
        ("502 that says invalid_grant", error(502, "invalid_grant")),
        ("503", error(503, "temporarily_unavailable")),
        ("too many requests", error(429, "slow_down")),
        ("invalid_client", error(401, "invalid_client")),
        ("invalid_request", error(400, "invalid_request")),
        ("an unknown error", error(400, "no_such_error")),
        ("an error that is no text", Reply::status(400, &json!({"error": ["invalid_grant"]}))),
        ("200 that says invalid_grant", error(200, "invalid_grant")),
        ("a page", html),
        ("not Bearer", Reply::json(&json!({"access_token": "a", "token_type": "mac"}))),
        ("no access token", Reply::json(&json!({"token_type": "Bearer"}))),
        ("two lines", Reply::json(&json!({"access_token": "a\nb", "token_type": "Bearer"}))),
    ] {
        let checked = Checked::new().await;
        let cookie = checked.log_in("alice").await;
        checked.rotation.instead(Some(reply));
        checked.clock.advance(LIFETIME);
        let answer = checked.check(&cookie, "/api/x").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{name}");
        assert!(answer.headers.contains_key(RETRY_AFTER), "{name}");
        let session = checked.session(&cookie).await.unwrap();
        assert_eq!(session.access_token.expose(), "alice.0", "{name}");
        assert_eq!(checked.check(&cookie, "/x").await.status, StatusCode::OK, "{name}");

        checked.rotation.instead(None);
        // The pause after a failure.
        checked.clock.advance(6);
        assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.1"), "{name}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_in_its_time_keeps_the_session() {
    let checked = Checked::with(|policy| {
        policy.provider.request_timeout = Duration::from_millis(300);
    })
    .await;
    let cookie = checked.log_in("alice").await;
    checked.rotation.gate(false);
    checked.clock.advance(LIFETIME);
    let answer = checked.check(&cookie, "/api/x").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(checked.session(&cookie).await.is_some());
}

#[tokio::test]
async fn few_checks_wait_for_a_provider_that_hangs_and_the_others_are_told_at_once() {
    let checked = Checked::new().await;
    let cookie = checked.log_in("alice").await;
    checked.rotation.gate(false);
    checked.clock.advance(LIFETIME);
    let (all, room) = (600, 512);
    let mut checks: FuturesUnordered<_> =
        (0..all).map(|_| checked.check(&cookie, "/api/x")).collect();
    for _ in room..all {
        let told = timeout(Duration::from_secs(4), checks.next()).await;
        let answer = told.expect("long before the provider is given up").unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    checked.rotation.gate(true);
    while let Some(answer) = checks.next().await {
        assert_eq!(answer.bearer(), Some("alice.1"));
    }
    assert_eq!(checked.rotation.redeemed().len(), 1);
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_do_not_cost_the_refresh_token() {
    let checked = Checked::new().await;
    let cookie = checked.log_in("alice").await;
    checked.idp.reply("/jwks", Reply::status(503, &json!({})));
    checked.clock.advance(LIFETIME);
    let answer = checked.check(&cookie, "/api/x").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(checked.rotation.redeemed().is_empty(), "what is lost then cannot be had again");
    checked.idp.reply("/jwks", Reply::json(&crate::jose::jwks()));
    checked.clock.advance(6);
    assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.1"));
}

#[tokio::test]
async fn t069_a_request_that_goes_away_leaves_its_refresh_to_the_next_one() {
    let checked = Checked::new().await;
    let cookie = checked.log_in("alice").await;
    checked.rotation.gate(false);
    checked.clock.advance(LIFETIME);
    tokio::select! {
        answer = checked.check(&cookie, "/api/x") => panic!("answered {}", answer.status),
        () = checked.rotation.asked(1) => {}
    }
    checked.rotation.gate(true);
    assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.1"));
    assert_eq!(checked.rotation.redeemed().len(), 1);
}
