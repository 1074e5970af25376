//! Authorities that ask how and when the user authenticated: asked for, checked, and never in a loop.

use serde_json::{Value, json};

use super::{AUTHORIZE, Area, Browser, FETCH, Sent, error_of};

const TARGET: &str = "/api/production/authorize?scope=prod:read&redirectUri=/app";

async fn gold() -> Area {
    Area::of(|authority| authority.acr = Some("gold".to_owned())).await
}

async fn fresh() -> Area {
    Area::of(|authority| authority.max_age = Some(300)).await
}

async fn came_with(
    area: &Area,
    browser: &mut Browser,
    sent: &Sent,
    claims: impl FnOnce(&mut Value),
) -> super::Answer {
    let tokens = area.tokens(sent, claims, |_| {});
    area.grant(browser, sent, &tokens).await
}

#[tokio::test]
async fn r46_what_the_authority_asks_of_the_user_is_asked_of_the_provider() {
    let area = Area::of(|authority| {
        authority.acr = Some("gold".to_owned());
        authority.max_age = Some(300);
    })
    .await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, TARGET).await;
    assert_eq!(sent.one("acr_values"), Some("gold"));
    assert_eq!(sent.one("max_age"), Some("300"));
    let again = browser.come_back(&area, &sent, "error=login_required").await;
    let again = Sent::of(&area, &again);
    assert_eq!(again.one("acr_values"), Some("gold"));
    assert_eq!(again.one("max_age"), Some("300"));
    let right = |claims: &mut Value| claims["acr"] = json!("gold");
    let back = came_with(&area, &mut browser, &again, right).await;
    assert_eq!(error_of(back.location()), None);
    assert_eq!(area.elevation(&browser).await.unwrap().acr.as_deref(), Some("gold"));
}

#[tokio::test]
async fn r46_a_silent_answer_that_is_too_weak_asks_the_user_once_and_a_second_one_is_an_error() {
    for acr in [json!(null), json!("silver"), json!("GOLD"), json!("gold silver")] {
        let area = gold().await;
        let mut browser = area.logged_in().await;
        let sent = browser.leave(&area, TARGET).await;
        let weak = |claims: &mut Value| claims["acr"] = acr.clone();
        let again = came_with(&area, &mut browser, &sent, weak).await;
        let again = Sent::of(&area, &again);
        assert!(!again.is_silent(), "{acr}");
        assert!(area.elevation(&browser).await.is_none(), "{acr}");
        let back = came_with(&area, &mut browser, &again, weak).await;
        assert_eq!(error_of(back.location()).as_deref(), Some("step_up_failed"), "{acr}");
        assert!(area.elevation(&browser).await.is_none(), "{acr}");
        assert_eq!(browser.names(), ["__Host-bff"], "{acr}: nothing is under way");
    }
}

#[tokio::test]
async fn r46_an_authentication_that_is_too_old_is_asked_for_once() {
    let area = fresh().await;
    let mut browser = area.logged_in().await;
    for auth_time in [Some(area.now() - 400), Some(area.now() - 305), None] {
        let sent = browser.leave(&area, TARGET).await;
        let old = |claims: &mut Value| match auth_time {
            Some(time) => claims["auth_time"] = json!(time),
            None => {
                claims.as_object_mut().unwrap().remove("auth_time");
            }
        };
        let again = came_with(&area, &mut browser, &sent, old).await;
        let again = Sent::of(&area, &again);
        assert!(!again.is_silent(), "{auth_time:?}");
        let back = came_with(&area, &mut browser, &again, old).await;
        assert_eq!(error_of(back.location()).as_deref(), Some("step_up_failed"), "{auth_time:?}");
    }
    let sent = browser.leave(&area, TARGET).await;
    let back = came_with(&area, &mut browser, &sent, |_| {}).await;
    assert_eq!(error_of(back.location()), None);
}

#[tokio::test]
async fn r46_an_elevated_token_ages_and_is_advised_anew_while_the_session_stays() {
    let area = fresh().await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, TARGET).await;
    let tokens = area.tokens(&sent, |_| {}, |all| all["expires_in"] = json!(36000));
    area.grant(&mut browser, &sent, &tokens).await;
    let target = format!("{AUTHORIZE}?scope=prod:read");
    area.clock.advance(300);
    assert_eq!(browser.fetch(&area, &target).await.status, 200);
    area.clock.advance(1);
    assert_eq!(browser.fetch(&area, &target).await.problem(), "mediation-advised");
    let check = browser.check(&area, "/api/production/x", &FETCH).await;
    assert_eq!(check.status, 401);
    assert!(check.header("www-authenticate").unwrap().contains("Mediation Advised"));
    assert!(area.redeemed("refresh_token").is_empty(), "a refresh makes nobody younger");
    browser.leave(&area, TARGET).await;
    assert!(area.session(&browser).await.is_some());
}

#[tokio::test]
async fn r46_what_the_session_authenticated_with_is_not_the_elevated_tokens() {
    let area = gold().await;
    let mut browser = area.logged_in_as(|session| session.acr = Some("gold".to_owned())).await;
    let sent = browser.leave(&area, TARGET).await;
    let again = came_with(&area, &mut browser, &sent, |_| {}).await;
    assert!(!Sent::of(&area, &again).is_silent());
    let own = area.session(&browser).await.unwrap();
    assert_eq!(own.session.acr.as_deref(), Some("gold"), "and old and new are kept apart");
}

#[tokio::test]
async fn an_authority_that_asks_for_more_than_it_did_when_the_browser_left_gets_it() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, TARGET).await;
    area.install(|policy| policy.authorities[0].acr = Some("gold".to_owned()));
    let again = came_with(&area, &mut browser, &sent, |_| {}).await;
    let again = Sent::of(&area, &again);
    assert_eq!(again.one("acr_values"), Some("gold"));
    assert!(area.elevation(&browser).await.is_none());
}
