//! Transactions and tokens of others: of another browser, session, user, purpose or time.

use http::StatusCode;
use serde_json::json;

use super::{AUTHORIZE, Area, BASE, Browser, Sent, error_of};
use crate::idp::Reply;
use crate::site::ORIGIN;

const TARGET: &str = "/api/production/authorize?scope=prod:read&redirectUri=/app";

#[tokio::test]
async fn r48_t097_a_callback_of_another_browser_is_a_page_and_gives_nobody_anything() {
    let area = Area::new().await;
    let mut attacker = area.logged_in_as(|session| session.subject = "mallory".to_owned()).await;
    let sent = attacker.leave(&area, TARGET).await;
    area.idp.code("c", Reply::json(&area.tokens(&sent, |_| {}, |_| {})));
    for mut victim in [area.logged_in().await, Browser::default()] {
        let answer = victim.come_back(&area, &sent, "code=c").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.is_page());
        assert!(area.elevation(&victim).await.is_none());
    }
    assert!(area.redeemed("authorization_code").is_empty());
}

#[tokio::test]
async fn r48_a_session_that_is_another_one_meanwhile_gets_nothing() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, TARGET).await;
    let other = area.logged_in().await;
    browser.jar.extend(other.jar.clone());
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(error_of(back.location()).as_deref(), Some("expired"), "though it is alice's too");
    assert!(area.elevation(&browser).await.is_none());
    assert!(area.redeemed("authorization_code").is_empty());
}

#[tokio::test]
async fn a_session_that_ended_meanwhile_gets_nothing() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, TARGET).await;
    let out = browser.ask(&area, "POST", "/bff/logout", &super::FETCH).await;
    assert_eq!(out.status, StatusCode::OK);
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(error_of(back.location()).as_deref(), Some("expired"));
    assert!(browser.jar.is_empty(), "and it is no login");
}

#[tokio::test]
async fn a_strict_session_that_ended_meanwhile_gets_nothing_either() {
    let area = Area::with(|policy| {
        policy.session.same_site = vestibule_policy::model::SameSite::Strict;
    })
    .await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, TARGET).await;
    browser.ask(&area, "POST", "/bff/logout", &super::FETCH).await;
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert!(back.is_page());
    assert!(back.body.contains("mediation_error=expired"), "{}", back.body);
    assert!(area.redeemed("authorization_code").is_empty());
}

#[tokio::test]
async fn another_user_at_the_provider_gets_nothing_and_their_tokens_are_revoked() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, TARGET).await;
    let tokens = area.tokens(&sent, |claims| claims["sub"] = json!("bob"), |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(error_of(back.location()).as_deref(), Some("other_user"));
    assert!(area.elevation(&browser).await.is_none());
    assert_eq!(area.session(&browser).await.unwrap().session.subject, "alice");
    let mut given: Vec<_> = ["refresh_token", "access_token"]
        .map(|name| tokens[name].as_str().unwrap().to_owned())
        .into();
    let mut revoked = area.revoked().await;
    given.sort_unstable();
    revoked.sort_unstable();
    assert_eq!(revoked, given);
    assert!(area.counted("other_user"));
}

#[tokio::test]
async fn a_callback_counts_once_and_for_ten_minutes() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, TARGET).await;
    let mut again = browser.clone();
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    area.grant(&mut browser, &sent, &tokens).await;
    let answer = again.come_back(&area, &sent, "code=c").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.is_page());
    let answer = again.come_back(&area, &sent, "error=access_denied").await;
    assert!(answer.is_page(), "nor with an error");

    let mut late = area.logged_in().await;
    let sent = late.leave(&area, TARGET).await;
    area.clock.advance(601);
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let answer = area.grant(&mut late, &sent, &tokens).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.is_page() && area.elevation(&late).await.is_none());
}

#[tokio::test]
async fn a_state_or_an_issuer_that_is_not_the_transactions_is_a_page_and_no_redirect() {
    let area = Area::new().await;
    for (state, iss) in [("AAAA", ""), ("", "&iss=https%3A%2F%2Fevil.example")] {
        let mut browser = area.logged_in().await;
        let sent = browser.leave(&area, TARGET).await;
        let (suffix, secret) = sent.state().split_once('.').unwrap();
        let state = if state.is_empty() { secret } else { state };
        for outcome in ["code=c", "error=access_denied"] {
            let mut browser = browser.clone();
            let target = format!("/bff/callback?{outcome}&state={suffix}.{state}{iss}");
            let answer = browser.navigate(&area, &target).await;
            assert!(answer.is_page() && !answer.body.contains("evil"), "{outcome} {state}{iss}");
        }
    }
    assert!(area.redeemed("authorization_code").is_empty());
}

#[tokio::test]
async fn t101_a_code_of_an_elevation_makes_no_login_and_one_of_a_login_no_elevation() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let session = browser.jar.clone();
    let elevation = browser.leave(&area, TARGET).await;
    let login = browser.leave(&area, "/bff/login?rd=/admin").await;
    // What the provider binds to a request is its nonce and its challenge; here it is as lax as can be.
    let of_elevation = area.tokens(&elevation, |claims| claims["acr"] = json!("gold"), |_| {});
    let of_login = area.tokens(&login, |claims| claims["acr"] = json!("gold"), |_| {});
    area.idp.code("of-elevation", Reply::json(&of_elevation));
    area.idp.code("of-login", Reply::json(&of_login));
    let answer = browser.come_back(&area, &login, "code=of-elevation").await;
    assert!(answer.is_page(), "{}", answer.body);
    let answer = browser.come_back(&area, &elevation, "code=of-login").await;
    assert_eq!(error_of(answer.location()).as_deref(), Some("server_error"));
    assert_eq!(browser.jar, session, "neither a session nor a token");
    assert!(area.elevation(&browser).await.is_none());
    let verifiers: Vec<_> = area
        .redeemed("authorization_code")
        .iter()
        .map(|seen| seen.one("code_verifier").unwrap().to_owned())
        .collect();
    assert_ne!(verifiers[0], verifiers[1], "a real one would not have given any");
}

#[tokio::test]
async fn tabs_that_elevate_at_once_do_not_mix() {
    let area = Area::with(|policy| policy.authorities.push(super::authority("/api/staging"))).await;
    let mut browser = area.logged_in().await;
    let here = browser.leave(&area, &format!("{AUTHORIZE}?redirectUri=/one")).await;
    let there = browser.leave(&area, "/api/staging/authorize?redirectUri=/two").await;
    let of_there = area.tokens(&there, |_| {}, |_| {});
    let back = area.grant(&mut browser, &there, &of_there).await;
    assert_eq!(back.location(), format!("{ORIGIN}/two"));
    assert!(area.elevation(&browser).await.is_none(), "{BASE} has none yet");
    let of_here = area.tokens(&here, |_| {}, |_| {});
    let back = area.grant(&mut browser, &here, &of_here).await;
    assert_eq!(back.location(), format!("{ORIGIN}/one"));
    let elevated = area.elevation(&browser).await.unwrap();
    assert_eq!(elevated.access_token.expose(), of_here["access_token"]);
}

#[tokio::test]
async fn a_session_of_the_former_provider_is_none() {
    let area = Area::new().await;
    let mut browser =
        area.logged_in_as(|session| session.issuer = "https://former.example".to_owned()).await;
    assert_eq!(browser.fetch(&area, AUTHORIZE).await.problem(), "unauthenticated");
    let answer = browser.navigate(&area, AUTHORIZE).await;
    assert!(answer.location().starts_with(&format!("{ORIGIN}/bff/login?rd=")));
    let sent = Sent::of(&area, &browser.follow(&area, answer.location()).await);
    assert_eq!(sent.one("scope"), Some("openid email"));
}
