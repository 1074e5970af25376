//! Authorities whose tokens come by exchange (RFC 8693): right here, without the browser.

use http::StatusCode;
use serde_json::{Value, json};
use vestibule_policy::model::{CompiledAuthority, Obtain, TokenStorage};

use super::{AUTHORIZE, Area, Browser, FETCH, error_of, owned};
use crate::idp::Reply;
use crate::site::ORIGIN;

async fn area() -> Area {
    area_of(|_| {}).await
}

async fn area_of(alter: impl FnOnce(&mut CompiledAuthority)) -> Area {
    Area::of(|authority| {
        authority.obtain = Obtain::TokenExchange;
        authority.audience = Some("production".to_owned());
        authority.resources = owned(&["https://production.example.com"]);
        alter(authority);
    })
    .await
}

fn exchanged(area: &Area, alter: impl FnOnce(&mut Value)) {
    let mut reply = json!({
        "access_token": area.hide("canary-exchanged"), "token_type": "Bearer", "expires_in": 60,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    });
    alter(&mut reply);
    area.idp.reply("/token", Reply::json(&reply));
}

const KIND: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

#[tokio::test]
async fn a_fetch_exchanges_the_sessions_token_and_answers_at_once() {
    let area = area().await;
    exchanged(&area, |_| {});
    let mut browser = area.logged_in().await;
    let answer = browser.fetch(&area, &format!("{AUTHORIZE}?scope=prod:read")).await;
    assert_eq!(answer.permissions(), [("prod:read".to_owned(), None)]);
    let seen = &area.redeemed(KIND)[0];
    assert_eq!(seen.one("subject_token"), Some("canary-own-access-token"));
    assert_eq!(seen.one("scope"), Some("prod:read"));
    assert_eq!(seen.one("audience"), Some("production"));
    assert_eq!(seen.one("resource"), Some("https://production.example.com"));
    assert!(seen.one("actor_token").is_none());
    let check = browser.check(&area, "/api/production/x", &FETCH).await;
    assert_eq!(check.header("authorization"), Some("Bearer canary-exchanged"));
    browser.fetch(&area, &format!("{AUTHORIZE}?scope=prod:read")).await;
    assert_eq!(area.redeemed(KIND).len(), 1, "once is enough");

    browser.fetch(&area, &format!("{AUTHORIZE}?scope=prod:write")).await;
    assert_eq!(area.redeemed(KIND)[1].one("scope"), Some("prod:read prod:write"));
    assert!(area.counted("exchanged"));
}

#[tokio::test]
async fn a_sessions_token_that_is_over_is_refreshed_first() {
    let area = area().await;
    let mut browser = area.logged_in().await;
    area.clock.advance(301);
    let issued = "urn:ietf:params:oauth:token-type:access_token";
    // The same answer serves the refresh and the exchange after it.
    let both = json!({
        "access_token": area.hide("canary-new"), "token_type": "Bearer", "expires_in": 60,
        "issued_token_type": issued,
    });
    area.idp.reply("/token", Reply::json(&both));
    assert_eq!(browser.fetch(&area, AUTHORIZE).await.status, StatusCode::OK);
    assert_eq!(area.redeemed("refresh_token").len(), 1);
    assert_eq!(area.redeemed(KIND)[0].one("subject_token"), Some("canary-new"));
}

#[tokio::test]
async fn a_session_whose_token_is_over_for_good_is_to_log_in() {
    let area = area().await;
    let mut browser = area.logged_in_as(|session| session.refresh_token = None).await;
    area.clock.advance(301);
    assert_eq!(browser.fetch(&area, AUTHORIZE).await.problem(), "unauthenticated");
    let answer = browser.navigate(&area, AUTHORIZE).await;
    assert!(answer.location().starts_with(&format!("{ORIGIN}/bff/login?rd=")));
    assert!(area.redeemed(KIND).is_empty());
}

#[tokio::test]
async fn a_refusal_is_401_or_503_as_it_is_about_the_user_or_not() {
    for (reply, problem) in [
        (json!({"error": "access_denied"}), "insufficient-scope"),
        (json!({"error": "invalid_grant"}), "insufficient-scope"),
        (json!({"error": "invalid_request"}), "insufficient-scope"),
        (json!({"error": "invalid_scope"}), "insufficient-scope"),
        (json!({"error": "invalid_target"}), "authority-unavailable"),
        (json!({"error": "unauthorized_client"}), "authority-unavailable"),
        (json!({"error": "invalid_client"}), "authority-unavailable"),
        (json!({"error": "canary-evil"}), "authority-unavailable"),
    ] {
        let area = area().await;
        area.idp.reply("/token", Reply::status(400, &reply));
        let mut browser = area.logged_in().await;
        let answer = browser.fetch(&area, AUTHORIZE).await;
        assert_eq!(answer.problem(), problem, "{reply}");
        assert!(!answer.body.contains("evil"), "{reply}");
        let back = browser.navigate(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
        let code = reply["error"].as_str().unwrap();
        let code = if code.contains("evil") { "unknown_error" } else { code };
        assert_eq!(error_of(back.location()).as_deref(), Some(code));
        assert!(area.elevation(&browser).await.is_none());
    }
}

#[tokio::test]
async fn what_is_no_elevated_token_is_not_taken_for_one() {
    type Alter = fn(&mut Value);
    let altered: [(Alter, &str); 4] = [
        (
            |all| all["issued_token_type"] = json!("urn:ietf:params:oauth:token-type:id_token"),
            "server_error",
        ),
        (|all| all["issued_token_type"] = json!(null), "server_error"),
        (|all| all["token_type"] = json!("N_A"), "server_error"),
        (|all| all["scope"] = json!("prod:read prod:everything"), "scope_refused"),
    ];
    for (alter, code) in altered {
        let area = area().await;
        exchanged(&area, alter);
        let mut browser = area.logged_in().await;
        let answer = browser.fetch(&area, AUTHORIZE).await;
        assert_eq!(answer.problem(), "authority-unavailable", "{code}");
        let back = browser.navigate(&area, AUTHORIZE).await;
        assert_eq!(error_of(back.location()).as_deref(), Some(code));
        assert!(area.elevation(&browser).await.is_none(), "{code}");
    }
}

#[tokio::test]
async fn a_navigation_exchanges_and_comes_straight_back() {
    let area = area().await;
    exchanged(&area, |all| all["scope"] = json!("prod:read"));
    let mut browser = area.logged_in().await;
    let target = format!("{AUTHORIZE}?redirectUri=/app");
    let answer = browser.navigate(&area, &target).await;
    assert_eq!(answer.location(), format!("{ORIGIN}/app"), "though in part");
    let again = browser.navigate(&area, &target).await;
    assert_eq!(error_of(again.location()).as_deref(), Some("insufficient_scope"));
    let answer = browser.navigate(&area, &format!("{target}&scope=prod:read")).await;
    assert_eq!(answer.location(), format!("{ORIGIN}/app"));

    let mut nobody = Browser::default();
    let answer = nobody.navigate(&area, AUTHORIZE).await;
    assert!(answer.location().starts_with(&format!("{ORIGIN}/bff/login?rd=")));
}

#[tokio::test]
async fn frames_and_prefetches_exchange_nothing() {
    let area = area().await;
    exchanged(&area, |_| {});
    let mut browser = area.logged_in().await;
    let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"), FETCH[2]];
    let prefetch = [&super::NAVIGATION[..], &[("sec-purpose", "prefetch")]].concat();
    for headers in [&frame[..], &prefetch] {
        let answer = browser.ask(&area, "GET", AUTHORIZE, headers).await;
        assert_eq!(answer.problem(), "mediation-advised");
    }
    let forged = [FETCH[0], FETCH[1], ("sec-fetch-site", "cross-site")];
    assert_eq!(browser.ask(&area, "GET", AUTHORIZE, &forged).await.problem(), "forged");
    assert!(area.redeemed(KIND).is_empty());
}

#[tokio::test]
async fn exchanged_tokens_lie_in_cookies_where_the_authority_wants_that() {
    let area = area_of(|authority| authority.storage = TokenStorage::Cookie).await;
    exchanged(&area, |_| {});
    let mut browser = area.logged_in().await;
    let answer = browser.fetch(&area, AUTHORIZE).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(browser.names().iter().any(|name| name.starts_with("__Secure-bff-at-")));
    let check = browser.check(&area, "/api/production/x", &FETCH).await;
    assert_eq!(check.header("authorization"), Some("Bearer canary-exchanged"));
    area.clock.advance(61);
    assert_eq!(browser.fetch(&area, AUTHORIZE).await.status, StatusCode::OK, "exchanged anew");
    assert_eq!(area.redeemed(KIND).len(), 2);
}

#[tokio::test]
async fn a_bearers_own_token_is_exchanged() {
    let area = Area::with(|policy| {
        policy.bearer = Some(Box::new(super::bearer()));
        policy.authorities[0].obtain = Obtain::TokenExchange;
    })
    .await;
    exchanged(&area, |_| {});
    let token = area.bearer(super::MEDIATE, |_| {});
    let mut caller = Browser::default();
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    let answer = caller.ask(&area, "GET", AUTHORIZE, &headers).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(area.redeemed(KIND)[0].one("subject_token"), Some(&*token));
    let check = caller.check(&area, "/api/production/x", &headers).await;
    assert_eq!(check.header("authorization"), Some("Bearer canary-exchanged"));
}
