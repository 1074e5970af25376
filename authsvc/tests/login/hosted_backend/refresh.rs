//! `POST refresh`: a use of the session, and new tokens where they are due.

use std::sync::Arc;

use futures_util::FutureExt as _;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Browser, NO_END, apps, problem};
use crate::idp::Reply;
use crate::logout::Apps;
use crate::site::START;

fn answers(apps: &Apps, reply: Reply) {
    apps.idp.on_refresh(Arc::new(move |_| futures_util::future::ready(reply.clone()).boxed()));
}

fn new_tokens() -> Value {
    json!({
        "access_token": "newer-access-token", "token_type": "Bearer", "expires_in": 300,
        "refresh_token": "newer-refresh-token",
    })
}

/// How often tokens were asked for by a refresh token.
fn redeemed(apps: &Apps) -> usize {
    let asked = apps.idp.seen("/token");
    asked.iter().filter(|seen| seen.one("grant_type") == Some("refresh_token")).count()
}

#[tokio::test]
async fn a_refresh_moves_the_end_of_the_session() {
    let apps = apps().await;
    let mut browser = Browser::logged_in(&apps).await;
    let answer = browser.refresh(&apps).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.json(), json!({}));
    assert_eq!(browser.end(), Some(START + 1800));
    assert_eq!(redeemed(&apps), 0, "its tokens are new");

    // Unused for longer than the idle timeout in all, but never at a time.
    answers(&apps, Reply::json(&new_tokens()));
    for round in 1..=3 {
        apps.clock.advance(1700);
        let answer = browser.refresh(&apps).await;
        assert_eq!(answer.status, StatusCode::OK, "{round}: {}", answer.body);
        assert_eq!(browser.end(), Some(START + round * 1700 + 1800), "{round}");
    }
    assert_eq!(redeemed(&apps), 3, "they were over each time");
}

#[tokio::test]
async fn no_refresh_outlives_the_absolute_timeout() {
    let apps = Apps::with(|policy| {
        super::serve(policy);
        policy.session.absolute_timeout = 2000;
    })
    .await;
    let mut browser = Browser::logged_in(&apps).await;
    answers(&apps, Reply::json(&new_tokens()));
    apps.clock.advance(1000);
    browser.refresh(&apps).await;
    assert_eq!(browser.end(), Some(START + 2000));
    apps.clock.advance(1001);
    assert_eq!(browser.refresh(&apps).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_a_session_there_is_nothing_to_refresh() {
    let apps = apps().await;
    let mut browser = Browser::default();
    browser.jar.insert("app.at_exp".to_owned(), (START + 1800).to_string());
    let answer = browser.refresh(&apps).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(problem(&answer), "unauthenticated");
    assert_eq!(answer.json()["status"], 400);
    assert_eq!(answer.set_cookies(), [NO_END]);
}

#[tokio::test]
async fn a_session_that_the_provider_ended_is_over() {
    let apps = apps().await;
    let mut browser = Browser::logged_in(&apps).await;
    browser.refresh(&apps).await;
    answers(&apps, Reply::status(400, &json!({"error": "invalid_grant"})));
    apps.clock.advance(400);
    let answer = browser.refresh(&apps).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
    assert_eq!(browser.end(), None);
    assert!(!browser.is_logged_in(&apps).await);
}

#[tokio::test]
async fn a_provider_that_does_not_answer_ends_nothing() {
    let apps = apps().await;
    let mut browser = Browser::logged_in(&apps).await;
    answers(&apps, Reply::status(503, &json!({})));
    // Due, but not over.
    apps.clock.advance(290);
    assert_eq!(browser.refresh(&apps).await.status, StatusCode::OK);
    assert_eq!(redeemed(&apps), 1);
    let end = browser.end();
    apps.clock.advance(20);
    let answer = browser.refresh(&apps).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.set_cookies().is_empty());
    assert_eq!(browser.end(), end);
    assert!(browser.is_logged_in(&apps).await);
}
