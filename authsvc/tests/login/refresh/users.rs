//! Many at once: one redeem for each session, and to each user what is that user's.

use std::sync::Arc;

use futures_util::future::join_all;
use http::StatusCode;
use vestibule_policy::model::CompiledRequire;

use super::{Checked, LIFETIME};
use crate::site::route;

#[tokio::test]
async fn a_hundred_requests_of_one_session_redeem_once() {
    let checked = Arc::new(Checked::new().await);
    let cookie = checked.log_in("alice").await;
    checked.clock.advance(LIFETIME);
    checked.rotation.gate(false);
    let asking = (0..100).map(|_| {
        let (checked, cookie) = (Arc::clone(&checked), cookie.clone());
        tokio::spawn(async move { checked.check(&cookie, "/api/x").await })
    });
    let asking: Vec<_> = asking.collect();
    checked.rotation.asked(1).await;
    checked.rotation.gate(true);
    for answer in join_all(asking).await {
        assert_eq!(answer.unwrap().bearer(), Some("alice.1"));
    }
    assert_eq!(checked.rotation.redeemed(), ["alice.0"]);
}

#[tokio::test]
async fn t032_users_who_refresh_at_once_each_get_their_own_tokens() {
    const USERS: usize = 50;
    let checked = Arc::new(Checked::new().await);
    let mut asking = Vec::new();
    let mut cookies = Vec::new();
    for user in 0..USERS {
        cookies.push(checked.log_in(&format!("user-{user}")).await);
    }
    checked.clock.advance(LIFETIME);
    checked.rotation.gate(false);
    for round in 0..4 * USERS {
        let (checked, user) = (Arc::clone(&checked), round % USERS);
        let cookie = cookies[user].clone();
        let asked = async move { (user, checked.check(&cookie, "/api/x").await) };
        asking.push(tokio::spawn(asked));
    }
    checked.rotation.asked(USERS).await;
    checked.rotation.gate(true);
    for answer in join_all(asking).await {
        let (user, answer) = answer.unwrap();
        assert_eq!(answer.bearer(), Some(format!("user-{user}.1").as_str()));
    }
    for (user, cookie) in cookies.iter().enumerate() {
        let session = checked.session(cookie).await.unwrap();
        assert_eq!(session.subject, format!("user-{user}"));
        assert_eq!(session.refresh_token.as_ref().unwrap().expose(), format!("user-{user}.1"));
    }
    assert_eq!(checked.rotation.redeemed().len(), USERS);
}

#[tokio::test]
async fn t036_what_one_request_refreshed_is_judged_anew_for_each_rule_and_policy() {
    let checked = Checked::with(|policy| {
        let gold = CompiledRequire { acr: Some("gold".to_owned()), ..CompiledRequire::default() };
        policy.routes.push(route("/api/gold", gold, true));
        policy.routes.push(route(
            "/api/fresh",
            CompiledRequire { max_age: Some(60), ..CompiledRequire::default() },
            true,
        ));
    })
    .await;
    let cookie = checked.log_in("alice").await;
    checked.clock.advance(LIFETIME);
    // Whoever refreshes: the rules ask for more than a session with tokens.
    for target in ["/api/gold", "/api/fresh"] {
        let answer = checked.check(&cookie, target).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{target}");
        assert_eq!(answer.bearer(), None, "{target}");
    }
    assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.1"));
    // The same cookie at an app that shares provider, client and store.
    let elsewhere = checked.check_as("desk", &cookie, "/api/x", &super::FETCH).await;
    assert_eq!(elsewhere.status, StatusCode::UNAUTHORIZED);
    assert_eq!(checked.rotation.redeemed().len(), 1);
}
