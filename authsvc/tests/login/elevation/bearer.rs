//! Callers that bring a token instead of a session: who gets in, and what they get.

use http::StatusCode;
use serde_json::{Value, json};
use vestibule_policy::model::OwnTokens;

use super::{AUTHORIZE, Answer, Area, BASE, Browser, FETCH, MEDIATE, error_of};
use crate::idp::Reply;
use crate::site::ORIGIN;

async fn area() -> Area {
    Area::with(|policy| policy.bearer = Some(Box::new(super::bearer()))).await
}

async fn ask(area: &Area, browser: &mut Browser, token: &str, target: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [&FETCH[..], &[("authorization", &authorization)]].concat();
    browser.ask(area, "GET", target, &headers).await
}

fn metadata() -> String {
    format!("{ORIGIN}/.well-known/oauth-protected-resource{BASE}")
}

#[tokio::test]
async fn a_mediating_token_gets_elevated_by_a_navigation_of_whoever_is_logged_in_there() {
    let area = area().await;
    let mut browser = Browser::default();
    let token = area.bearer(MEDIATE, |_| {});
    let target = format!("{AUTHORIZE}?scope=prod:read&redirectUri=/app");
    let advised = ask(&area, &mut browser, &token, &target).await;
    assert_eq!(advised.problem(), "mediation-advised");
    let url = advised.json()["authorizeUrl"].as_str().unwrap().to_owned();
    let sent = super::Sent::of(&area, &browser.follow(&area, &url).await);
    assert!(sent.is_silent());
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(back.location(), format!("{ORIGIN}/app"));
    assert!(!browser.names().contains(&"__Host-bff"), "no session comes of it");
    let answer = ask(&area, &mut browser, &token, &target).await;
    assert_eq!(answer.permissions(), [("prod:read".to_owned(), None)]);

    let authorization = format!("Bearer {token}");
    let check =
        browser.check(&area, "/api/production/x", &[("authorization", &authorization)]).await;
    assert_eq!(check.status, StatusCode::OK);
    let elevated = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    assert_eq!(check.header("authorization"), Some(&*elevated));

    // A second elevation is for both, since the advice knows what there is.
    let more = ask(&area, &mut browser, &token, &format!("{AUTHORIZE}?scope=prod:write")).await;
    assert_eq!(more.json()["scope"], "prod:read prod:write");
}

#[tokio::test]
async fn the_cookies_of_one_user_are_of_no_use_with_a_token_of_another() {
    let area = area().await;
    let mut browser = Browser::default();
    let sent = browser.leave(&area, AUTHORIZE).await;
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    area.grant(&mut browser, &sent, &tokens).await;
    let alice = area.bearer(MEDIATE, |_| {});
    assert_eq!(ask(&area, &mut browser, &alice, AUTHORIZE).await.status, StatusCode::OK);
    let bob = area.bearer(MEDIATE, |claims| claims["sub"] = json!("bob"));
    assert_eq!(ask(&area, &mut browser, &bob, AUTHORIZE).await.problem(), "mediation-advised");
    let authorization = format!("Bearer {bob}");
    let check =
        browser.check(&area, "/api/production/x", &[("authorization", &authorization)]).await;
    assert_eq!(check.status, StatusCode::UNAUTHORIZED);
    let mut session = area.logged_in().await;
    session.jar.extend(browser.jar.clone());
    let answer = session.fetch(&area, AUTHORIZE).await;
    assert_eq!(answer.problem(), "mediation-advised", "nor for a session, though it is alice's");
}

#[tokio::test]
async fn a_token_counts_alone_and_the_cookie_beside_it_does_not() {
    let area = area().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    assert_eq!(browser.fetch(&area, AUTHORIZE).await.status, StatusCode::OK);
    let token = area.bearer(MEDIATE, |_| {});
    assert_eq!(ask(&area, &mut browser, &token, AUTHORIZE).await.problem(), "mediation-advised");
    let answer = ask(&area, &mut browser, "canary.no.token", AUTHORIZE).await;
    assert_eq!(answer.problem(), "invalid-token");
    let headers = [&super::NAVIGATION[..], &[("authorization", "Bearer canary.no.token")]].concat();
    let answer = browser.ask(&area, "GET", AUTHORIZE, &headers).await;
    assert_eq!(answer.problem(), "invalid-token", "and it is no navigation of a browser");
}

#[tokio::test]
async fn r47_t095_a_token_that_is_no_good_is_401_and_says_where_to_get_one() {
    type Alter = fn(&mut Value);
    let area = area().await;
    let altered: [Alter; 6] = [
        |claims| claims["aud"] = json!("other-api"),
        |claims| claims["iss"] = json!("https://evil.example"),
        |claims| claims["exp"] = json!(1),
        |claims| claims["exp"] = json!(null),
        |claims| claims["sub"] = json!(""),
        |claims| claims["cnf"] = json!({"jkt": "x"}),
    ];
    let mut tokens: Vec<String> =
        altered.into_iter().map(|alter| area.bearer(MEDIATE, alter)).collect();
    let good = area.bearer(MEDIATE, |_| {});
    let id_token = area.idp.id_token("n", area.now(), |claims| {
        claims["aud"] = json!("shop-api");
        claims["scope"] = json!(MEDIATE);
    });
    tokens.extend([
        id_token,
        format!("{good}x"),
        format!("{good},x"),
        "a b".to_owned(),
        "=".to_owned(),
    ]);
    for token in tokens {
        let answer = ask(&area, &mut Browser::default(), &token, AUTHORIZE).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.problem(), "invalid-token");
        let challenge =
            format!("Bearer error=\"invalid_token\", resource_metadata=\"{}\"", metadata());
        assert_eq!(answer.header("www-authenticate"), Some(&*challenge));
        assert!(!answer.body.contains("evil"));
    }
    let answer = ask(&area, &mut Browser::default(), &good, AUTHORIZE).await;
    assert_eq!(answer.problem(), "mediation-advised");
}

#[tokio::test]
async fn nobody_at_all_is_told_where_tokens_come_from_and_where_to_log_in() {
    let area = area().await;
    for headers in [&FETCH[..], &[("accept", "application/json")]] {
        let answer = Browser::default().ask(&area, "GET", AUTHORIZE, headers).await;
        assert_eq!(answer.problem(), "unauthenticated");
        let challenge = format!("Bearer resource_metadata=\"{}\"", metadata());
        assert_eq!(answer.header("www-authenticate"), Some(&*challenge));
        assert!(answer.json()["loginUrl"].is_string());
    }
    let target = metadata();
    let target = target.strip_prefix(ORIGIN).unwrap();
    let answer = Browser::default().ask(&area, "GET", target, &[]).await;
    assert_eq!(answer.json()["resource"], format!("{ORIGIN}{BASE}"));
}

#[tokio::test]
async fn a_token_that_does_not_mediate_and_has_no_scope_of_the_authority_is_refused() {
    let area = area().await;
    for scope in ["", "openid", "staging:read", "endpoint:mediate2", "Endpoint:mediate"] {
        let token = area.bearer(scope, |_| {});
        let answer = ask(&area, &mut Browser::default(), &token, AUTHORIZE).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{scope}");
        assert_eq!(answer.problem(), "insufficient-scope", "{scope}");
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"endpoint:mediate\"";
        assert_eq!(answer.header("www-authenticate"), Some(challenge), "{scope}");
    }
}

#[tokio::test]
async fn a_token_that_has_the_scopes_itself_shows_its_own_permissions_where_it_may() {
    for own_tokens in [OwnTokens::Pass, OwnTokens::Refuse] {
        let area = Area::with(|policy| {
            policy.bearer = Some(Box::new(super::bearer()));
            policy.bearer.as_mut().unwrap().own_tokens = own_tokens;
        })
        .await;
        let token = area.bearer("prod:read prod:write", |_| {});
        let mut caller = Browser::default();
        let all = ask(&area, &mut caller, &token, AUTHORIZE).await;
        let some = ask(&area, &mut caller, &token, &format!("{AUTHORIZE}?scope=prod:read")).await;
        let none = ask(&area, &mut caller, &token, &format!("{AUTHORIZE}?scope=prod:admin")).await;
        assert_eq!(none.problem(), "insufficient-scope");
        if own_tokens == OwnTokens::Refuse {
            assert_eq!(all.problem(), "insufficient-scope");
            assert_eq!(some.problem(), "insufficient-scope");
            continue;
        }
        assert_eq!(some.permissions(), [("prod:read".to_owned(), None)]);
        assert_eq!(some.json()["expiresAt"], "2027-01-15T08:05:00Z", "its own end");
        assert_eq!(all.json()["scopes"]["missing"], json!(["prod:admin"]));
        // One that mediates besides gets the rest by mediation.
        let both = area.bearer("prod:read endpoint:mediate", |_| {});
        let more = ask(&area, &mut caller, &both, AUTHORIZE).await;
        assert_eq!(more.problem(), "mediation-advised");
    }
}

#[tokio::test]
async fn what_nothing_ambient_authorises_needs_no_proof_of_where_it_comes_from() {
    let area = area().await;
    let token = area.bearer(MEDIATE, |_| {});
    let authorization = format!("Bearer {token}");
    let headers = [
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://spa.example"),
        ("authorization", &authorization),
    ];
    let answer = Browser::default().ask(&area, "GET", AUTHORIZE, &headers).await;
    assert_eq!(answer.problem(), "mediation-advised");
    assert_eq!(answer.header("access-control-allow-origin"), None, "but that page may not read it");
    let basic = [&headers[..3], &[("authorization", "Basic YTpi")]].concat();
    let answer = Browser::default().ask(&area, "GET", AUTHORIZE, &basic).await;
    assert_eq!(answer.problem(), "forged");
}

#[tokio::test]
async fn where_tokens_do_not_count_they_are_not_looked_at() {
    let area = Area::new().await;
    let token = area.bearer(MEDIATE, |_| {});
    let answer = ask(&area, &mut Browser::default(), &token, AUTHORIZE).await;
    assert_eq!(answer.problem(), "unauthenticated");
    assert!(area.idp.seen("/jwks").is_empty());
    let mut browser = area.logged_in().await;
    assert_eq!(ask(&area, &mut browser, "x", AUTHORIZE).await.problem(), "mediation-advised");
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_503_and_not_401() {
    let area = area().await;
    area.idp.reply("/jwks", Reply::status(502, &json!({})));
    let token = area.bearer(MEDIATE, |_| {});
    let answer = ask(&area, &mut Browser::default(), &token, AUTHORIZE).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.problem(), "authority-unavailable");
}

#[tokio::test]
async fn a_refresh_of_a_bearers_cookies_needs_no_page_and_a_logout_takes_them_away() {
    let area = area().await;
    let mut browser = Browser::default();
    let sent = browser.leave(&area, AUTHORIZE).await;
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(error_of(back.location()), None);
    area.clock.advance(61);
    let renewed = json!({
        "access_token": area.hide("canary-renewed"), "token_type": "Bearer", "expires_in": 60,
    });
    area.idp.reply("/token", Reply::json(&renewed));
    let token = area.bearer(MEDIATE, |_| {});
    let answer = ask(&area, &mut browser, &token, AUTHORIZE).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(area.redeemed("refresh_token").len(), 1);
    assert_eq!(browser.jar.len(), 2);
    browser.ask(&area, "POST", "/bff/logout", &FETCH).await;
    assert!(browser.jar.is_empty(), "{:?}", browser.names());
}
