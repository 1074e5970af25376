//! Revocation: what a logout makes worthless at the provider, and how often it tries.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::{Answer, Apps, FETCH};
use crate::idp::{ACCESS_TOKEN, Reply};

const REFRESH_TOKEN: &str = "refresh-token-of-alice";

async fn log_out(apps: &Apps, cookie: &str, query: &str) -> Answer {
    let headers = [&FETCH[..], &[("cookie", cookie)]].concat();
    apps.ask("shop", ("POST", &format!("/bff/logout{query}")), &headers, "").await
}

/// What was revoked, once nothing is under way any more: token and hint.
async fn revoked(apps: &Apps) -> Vec<(String, String)> {
    let providers = apps.replicas[0].policies.providers();
    assert_eq!(providers.revocations_done(Duration::from_mins(1)).await, 0);
    let seen = apps.idp.seen("/revoke");
    let text = |seen: &crate::idp::Seen, name| seen.one(name).unwrap().to_owned();
    seen.iter().map(|seen| (text(seen, "token"), text(seen, "token_type_hint"))).collect()
}

fn pair(token: &str, hint: &str) -> (String, String) {
    (token.to_owned(), hint.to_owned())
}

#[tokio::test]
async fn r43_a_logout_revokes_refresh_and_access_token_as_this_client() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    assert_eq!(log_out(&apps, &cookie, "").await.status, StatusCode::OK);
    let both = [pair(REFRESH_TOKEN, "refresh_token"), pair(ACCESS_TOKEN, "access_token")];
    assert_eq!(revoked(&apps).await, both);
    for seen in apps.idp.seen("/revoke") {
        assert!(seen.authorization.unwrap().starts_with("Basic "));
    }
}

#[tokio::test]
async fn what_is_not_there_or_over_is_not_revoked() {
    let apps = Apps::new().await;
    let now = apps.replicas[0].clock.now();
    let none = apps.session("shop", |session| session.refresh_token = None).await;
    log_out(&apps, &none, "").await;
    assert_eq!(revoked(&apps).await, [pair(ACCESS_TOKEN, "access_token")]);
    let over = apps.session("shop", |session| session.access_token_expires_at = Some(now)).await;
    log_out(&apps, &over, "").await;
    assert_eq!(revoked(&apps).await[1..], [pair(REFRESH_TOKEN, "refresh_token")]);
    log_out(&apps, "a=b", "").await;
    assert_eq!(revoked(&apps).await.len(), 2);
}

#[tokio::test]
async fn everywhere_revokes_the_tokens_of_all() {
    let apps = Apps::new().await;
    let token = |text: &'static str| {
        move |session: &mut vestibule_authsvc::session::Session| {
            session.refresh_token = Some(vestibule_authsvc::token::Token::new(text));
        }
    };
    let own = apps.session("shop", token("r-own")).await;
    apps.session("shop", token("r-phone")).await;
    apps.session("desk", token("r-desk")).await;
    apps.session("bank", token("r-bank")).await;
    assert_eq!(log_out(&apps, &own, "?everywhere=true").await.status, StatusCode::OK);
    let mut tokens: Vec<_> = revoked(&apps).await.into_iter().map(|(token, _)| token).collect();
    tokens.retain(|token| token != ACCESS_TOKEN);
    tokens.sort_unstable();
    assert_eq!(tokens, ["r-desk", "r-own", "r-phone"]);
}

#[tokio::test]
async fn a_policy_may_leave_the_tokens_alone() {
    let apps = Apps::with(|policy| policy.logout.revoke_tokens = false).await;
    let cookie = apps.session("shop", |_| {}).await;
    assert_eq!(log_out(&apps, &cookie, "?everywhere=true").await.status, StatusCode::OK);
    assert!(revoked(&apps).await.is_empty());
}

#[tokio::test]
async fn a_provider_without_revocation_is_left_alone() {
    let apps = Apps::new().await;
    apps.idp.set_metadata(|_| {});
    let cookie = apps.session("shop", |_| {}).await;
    assert_eq!(log_out(&apps, &cookie, "").await.status, StatusCode::OK);
    assert!(revoked(&apps).await.is_empty());
}

#[tokio::test]
async fn a_logout_that_the_store_did_not_confirm_revokes_nothing() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    apps.store.cut_after(1);
    let answer = log_out(&apps, &cookie, "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    apps.store.mend();
    assert!(revoked(&apps).await.is_empty());
    assert!(apps.is_alive("shop", &cookie).await);
}

#[tokio::test]
async fn r43_a_provider_that_is_down_is_asked_again_and_the_user_does_not_wait_for_it() {
    for down in [503, 500, 429] {
        let apps = Apps::new().await;
        apps.idp.reply("/revoke", Reply::status(down, &json!({})));
        let cookie = apps.session("shop", |_| {}).await;
        assert_eq!(log_out(&apps, &cookie, "").await.status, StatusCode::OK);
        assert!(!apps.is_alive("shop", &cookie).await);
        let asked = async {
            while apps.idp.seen("/revoke").is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap();
        apps.idp.reply("/revoke", Reply::json(&json!({})));
        let seen = revoked(&apps).await;
        assert!(seen.len() >= 3, "{seen:?}");
        assert_eq!(seen[0], seen[1], "the refresh token again");
        assert_eq!(seen.last(), Some(&pair(ACCESS_TOKEN, "access_token")));
    }
}

#[tokio::test]
async fn r43_a_refusal_is_not_tried_again_and_does_not_keep_the_other_token() {
    for code in ["unsupported_token_type", "invalid_client"] {
        let apps = Apps::new().await;
        apps.idp.reply("/revoke", Reply::status(400, &json!({"error": code})));
        let cookie = apps.session("shop", |_| {}).await;
        log_out(&apps, &cookie, "").await;
        assert_eq!(revoked(&apps).await.len(), 2, "{code}");
    }
}

#[tokio::test]
async fn who_ends_the_process_waits_for_a_bounded_time() {
    let apps = Apps::new().await;
    apps.idp.reply("/revoke", Reply::status(503, &json!({})));
    let cookie = apps.session("shop", |_| {}).await;
    log_out(&apps, &cookie, "").await;
    let providers = apps.replicas[0].policies.providers();
    assert_eq!(providers.revocations_done(Duration::from_millis(1)).await, 1);
}
