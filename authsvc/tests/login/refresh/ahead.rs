//! Refreshing ahead of time: nobody waits for it, and not all sessions at once.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::{Checked, LIFETIME};
use crate::idp::Reply;

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn shortly_before_its_end_a_token_is_replaced_and_nobody_waits() {
    for target in ["/api/x", "/id/x", "/x"] {
        let checked = Checked::new().await;
        let cookie = checked.log_in("alice").await;
        // A tenth of 300 s before the end at the earliest, and half of that at the latest.
        checked.clock.advance(LIFETIME - 31);
        assert_eq!(checked.check(&cookie, target).await.status, StatusCode::OK);
        assert!(checked.app.sessions.finish_refreshes(Duration::ZERO).await, "{target}: too early");
        checked.clock.advance(16);
        checked.rotation.gate(false);
        for _ in 0..5 {
            let answer = checked.check(&cookie, target).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(target != "/api/x" || answer.bearer() == Some("alice.0"));
        }
        checked.rotation.asked(1).await;
        checked.rotation.gate(true);
        assert!(checked.app.sessions.finish_refreshes(LONG).await);
        let session = checked.session(&cookie).await.unwrap();
        assert_eq!(session.access_token.expose(), "alice.1", "{target}");
        assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.1"), "{target}");
        assert!(checked.app.sessions.finish_refreshes(LONG).await);
        assert_eq!(checked.rotation.redeemed().len(), 1, "{target}");
    }
}

#[tokio::test]
async fn sessions_that_began_together_do_not_refresh_together() {
    let checked = Checked::new().await;
    let mut cookies = Vec::new();
    for user in 0..60 {
        cookies.push(checked.log_in(&format!("user-{user}")).await);
    }
    let mut moments = Vec::new();
    checked.clock.advance(LIFETIME - 31);
    for left in (15..=30).rev() {
        checked.clock.advance(1);
        let before = checked.rotation.redeemed().len();
        for cookie in &cookies {
            assert_eq!(checked.check(cookie, "/api/x").await.status, StatusCode::OK);
        }
        assert!(checked.app.sessions.finish_refreshes(LONG).await);
        if checked.rotation.redeemed().len() > before {
            moments.push(left);
        }
    }
    assert_eq!(checked.rotation.redeemed().len(), cookies.len(), "all of them by now");
    assert!(moments.len() >= 8, "{moments:?}");
}

#[tokio::test]
async fn a_failure_ahead_of_time_is_nobodys_and_the_token_serves_to_its_end() {
    let checked = Checked::new().await;
    let cookie = checked.log_in("alice").await;
    checked.rotation.instead(Some(Reply::status(502, &json!({}))));
    checked.clock.advance(LIFETIME - 10);
    for _ in 0..20 {
        assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.0"));
    }
    assert!(checked.app.sessions.finish_refreshes(LONG).await);
    assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.0"));
    assert!(checked.app.sessions.finish_refreshes(LONG).await);
    assert_eq!(checked.rotation.redeemed().len(), 1, "it rests after a failure");
    // Not when it matters.
    checked.rotation.instead(None);
    checked.clock.advance(10);
    assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.1"));
}

#[tokio::test]
async fn short_lived_tokens_are_used_to_their_end() {
    let checked = Checked::new().await;
    let cookie = checked
        .log_in_with("alice", |session| {
            session.access_token_expires_at = Some(session.tokens_issued_at.plus(8));
        })
        .await;
    checked.clock.advance(7);
    assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.0"));
    assert!(checked.app.sessions.finish_refreshes(LONG).await);
    assert!(checked.rotation.redeemed().is_empty());
    checked.clock.advance(1);
    assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.1"));
}

#[tokio::test]
async fn a_token_without_an_end_is_never_refreshed() {
    let checked = Checked::new().await;
    let cookie =
        checked.log_in_with("alice", |session| session.access_token_expires_at = None).await;
    for _ in 0..5 {
        checked.clock.advance(1000);
        assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.0"));
    }
    assert!(checked.app.sessions.finish_refreshes(LONG).await);
    assert!(checked.rotation.redeemed().is_empty());
}
