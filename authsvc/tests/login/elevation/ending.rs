//! Logouts: elevated tokens end with their session, here and at the provider.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};
use vestibule_policy::model::CompiledClient;

use super::{AUTHORIZE, Area, Browser, FETCH};

async fn elevated(area: &Area) -> Browser {
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    assert!(area.elevation(&browser).await.is_some());
    browser
}

/// The tokens that were revoked.
async fn revoked(area: &Area) -> Vec<String> {
    let mut tokens = area.revoked().await;
    tokens.sort_unstable();
    tokens
}

#[tokio::test]
async fn a_logout_revokes_what_the_session_had_for_every_authority() {
    let area = Area::with(|policy| policy.authorities.push(super::authority("/api/staging"))).await;
    let mut browser = elevated(&area).await;
    area.elevate(&mut browser, "/api/staging/authorize").await;
    let kept = browser.clone();
    let out = browser.ask(&area, "POST", "/bff/logout", &FETCH).await;
    assert_eq!(out.status, StatusCode::OK);
    let tokens = revoked(&area).await;
    assert_eq!(tokens.len(), 6, "{tokens:?}");
    assert_eq!(tokens.iter().filter(|one| one.starts_with("canary-elevated")).count(), 4);
    assert!(area.elevation(&kept).await.is_none());
    let check = kept.check(&area, "/api/production/x", &FETCH).await;
    assert_eq!(check.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_logout_everywhere_revokes_those_of_the_other_sessions_too() {
    let area = Area::new().await;
    let (mut one, other) = (elevated(&area).await, elevated(&area).await);
    one.ask(&area, "POST", "/bff/logout?everywhere=true", &FETCH).await;
    let tokens = revoked(&area).await;
    assert_eq!(tokens.iter().filter(|one| one.starts_with("canary-elevated")).count(), 4);
    assert!(area.session(&other).await.is_none());
}

#[tokio::test]
async fn each_token_is_revoked_by_the_client_that_it_was_given_to() {
    let area = Area::of(|authority| {
        let client = crate::site::client();
        authority.client = Some(CompiledClient { id: "shop-production".to_owned(), ..client });
    })
    .await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, AUTHORIZE).await;
    assert_eq!(sent.one("client_id"), Some("shop-production"));
    let of_client = |claims: &mut Value| claims["aud"] = json!("shop-production");
    let tokens = area.tokens(&sent, of_client, |_| {});
    area.grant(&mut browser, &sent, &tokens).await;
    assert!(area.elevation(&browser).await.is_some());
    browser.ask(&area, "POST", "/bff/logout", &FETCH).await;
    area.revoked().await;
    let seen = area.idp.seen("/revoke");
    assert_eq!(seen.len(), 4);
    for one in seen {
        let elevated = one.one("token").unwrap().starts_with("canary-elevated");
        let authorization = one.authorization.unwrap();
        let basic = authorization.strip_prefix("Basic ").unwrap();
        let client = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
        let expected = if elevated { "shop-production:" } else { "shop:" };
        assert!(client.starts_with(expected), "{client}");
    }
}

#[tokio::test]
async fn nothing_is_revoked_where_the_policy_leaves_that_to_the_provider() {
    let area = Area::with(|policy| policy.logout.revoke_tokens = false).await;
    let mut browser = elevated(&area).await;
    browser.ask(&area, "POST", "/bff/logout", &FETCH).await;
    assert!(revoked(&area).await.is_empty());
}

#[tokio::test]
async fn a_store_that_does_not_confirm_a_logout_loses_nothing() {
    let area = Area::new().await;
    let mut browser = elevated(&area).await;
    let before = browser.jar.clone();
    for calls in 0..3 {
        area.store.cut_after(calls);
        let out = browser.ask(&area, "POST", "/bff/logout", &FETCH).await;
        area.store.mend();
        if out.status == StatusCode::OK {
            continue;
        }
        assert_eq!(out.status, StatusCode::SERVICE_UNAVAILABLE, "after {calls} calls");
        assert_eq!(browser.jar, before, "after {calls} calls");
        assert!(revoked(&area).await.is_empty(), "after {calls} calls");
        assert!(area.elevation(&browser).await.is_some(), "after {calls} calls");
    }
}
