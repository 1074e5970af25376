//! The endpoint as a fetch: who gets which answer, in which shape.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use vestibule_policy::expression::Expression;
use vestibule_policy::model::{
    CompiledCheck, CompiledDecisionPoint, CompiledOpenFga, CompiledPermission, Consistency,
};
use vestibule_policy::origin::Origin;

use super::{AUTHORIZE, Area, BASE, Browser, FETCH, error_of};
use crate::site::ORIGIN;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn permission(name: &str, scopes: &[&str], check: Option<CompiledCheck>) -> CompiledPermission {
    let (name, scopes) = (name.to_owned(), super::owned(scopes));
    CompiledPermission { name, description: None, scopes, check }
}

/// One that a claim decides.
fn by_claims(name: &str, scopes: &[&str], expression: &str) -> CompiledPermission {
    let expression = Expression::parse(expression).unwrap();
    permission(name, scopes, Some(CompiledCheck::Expression(expression)))
}

#[tokio::test]
async fn without_a_session_it_is_401_with_the_login() {
    let area = Area::new().await;
    for mut browser in [Browser::default(), area.logged_in().await] {
        browser.jar.values_mut().for_each(|value| *value = "A".repeat(43));
        let answer = browser.fetch(&area, AUTHORIZE).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.problem(), "unauthenticated");
        assert_eq!(answer.json()["loginUrl"], format!("{ORIGIN}/bff/login"));
        assert_eq!(answer.header("www-authenticate"), None, "no token would do");
        assert!(answer.set_cookies().is_empty());
    }
}

#[tokio::test]
async fn scopes_that_were_granted_in_part_are_shown_so() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, AUTHORIZE).await;
    let tokens = area.tokens(&sent, |_| {}, |all| all["scope"] = json!("openid prod:read"));
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(error_of(back.location()), None);
    let answer = browser.fetch(&area, AUTHORIZE).await;
    let missing = || Some("scope-not-granted".to_owned());
    assert_eq!(
        answer.permissions(),
        [
            ("prod:read".to_owned(), None),
            ("prod:write".to_owned(), missing()),
            ("prod:admin".to_owned(), missing()),
        ]
    );
    let scopes = json!({"granted": ["prod:read"], "missing": ["prod:write", "prod:admin"]});
    assert_eq!(answer.json()["scopes"], scopes);

    // Of those that were refused alone nothing can be shown, and nothing would help.
    let answer = browser.fetch(&area, &format!("{AUTHORIZE}?scope=prod:admin+prod:write")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.problem(), "insufficient-scope");
    assert_eq!(
        answer.header("www-authenticate").unwrap(),
        "Bearer error=\"insufficient_scope\", scope=\"prod:write prod:admin\""
    );
    assert_eq!(keys(&answer.json()), ["detail", "scope", "status", "title", "type"]);
}

#[tokio::test]
async fn where_nothing_was_granted_nothing_would_help() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, AUTHORIZE).await;
    let tokens = area.tokens(&sent, |_| {}, |all| all["scope"] = json!("openid"));
    area.grant(&mut browser, &sent, &tokens).await;
    for target in [AUTHORIZE, &format!("{AUTHORIZE}?scope=prod:read")] {
        let answer = browser.fetch(&area, target).await;
        assert_eq!(answer.problem(), "insufficient-scope", "{target}");
    }
}

#[tokio::test]
async fn what_was_asked_for_once_is_not_advised_again_after_other_scopes_were_asked_for() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let admin = format!("{AUTHORIZE}?scope=prod:admin");
    let sent = browser.leave(&area, &admin).await;
    let tokens = area.tokens(&sent, |_| {}, |all| all["scope"] = json!("openid"));
    area.grant(&mut browser, &sent, &tokens).await;
    area.elevate(&mut browser, &format!("{AUTHORIZE}?scope=prod:read")).await;
    assert_eq!(browser.fetch(&area, &admin).await.problem(), "insufficient-scope");
}

#[tokio::test]
async fn a_provider_that_says_no_scope_has_granted_what_was_asked_for() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, &format!("{AUTHORIZE}?scope=prod:read")).await;
    let tokens = area.tokens(
        &sent,
        |_| {},
        |all| {
            all.as_object_mut().unwrap().retain(|name, _| name != "scope" && name != "expires_in");
        },
    );
    area.grant(&mut browser, &sent, &tokens).await;
    let answer = browser.fetch(&area, &format!("{AUTHORIZE}?scope=prod:read")).await;
    assert_eq!(answer.permissions(), [("prod:read".to_owned(), None)]);
    let json = answer.json();
    assert_eq!(keys(&json), ["base", "permissions", "scopes"], "when it ends nobody said");
}

#[tokio::test]
async fn a_token_that_is_over_is_renewed_without_the_browser_or_else_advised() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    area.clock.advance(61);
    let renewed = json!({
        "access_token": area.hide("canary-renewed"), "token_type": "Bearer", "expires_in": 60,
        "refresh_token": area.hide("canary-renewed-refresh"),
    });
    area.idp.reply("/token", crate::idp::Reply::json(&renewed));
    let answer = browser.fetch(&area, AUTHORIZE).await;
    assert_eq!(answer.json()["expiresAt"], "2027-01-15T08:02:01Z");

    area.clock.advance(61);
    area.idp.reply("/token", crate::idp::Reply::status(400, &json!({"error": "invalid_grant"})));
    for _ in 0..2 {
        let answer = browser.fetch(&area, AUTHORIZE).await;
        assert_eq!(answer.problem(), "mediation-advised", "it was revoked");
    }
    assert_eq!(area.redeemed("refresh_token").len(), 2, "and is not tried again");
    assert!(area.session(&browser).await.is_some(), "the session lives");
}

#[tokio::test]
async fn without_a_refresh_token_the_end_is_advised() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, AUTHORIZE).await;
    let without = |all: &mut Value| {
        all.as_object_mut().unwrap().remove("refresh_token");
    };
    let tokens = area.tokens(&sent, |_| {}, without);
    area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(browser.fetch(&area, AUTHORIZE).await.status, StatusCode::OK);
    area.clock.advance(60);
    let answer = browser.fetch(&area, AUTHORIZE).await;
    assert_eq!(answer.problem(), "mediation-advised");
    assert!(answer.json()["authorizeUrl"].as_str().unwrap().starts_with(ORIGIN));
}

#[tokio::test]
async fn only_permissions_whose_scopes_were_all_asked_for_are_shown() {
    let area = Area::of(|authority| {
        authority.permissions = vec![
            permission("see", &["prod:read"], None),
            permission("change", &["prod:read", "prod:write"], None),
            permission("smile", &[], None),
        ];
    })
    .await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    for (scope, expected) in [
        ("prod:read", &["see", "smile"][..]),
        ("prod:write", &["smile"]),
        ("prod:write prod:read", &["see", "change", "smile"]),
    ] {
        let target = format!("{AUTHORIZE}?scope={}", scope.replace(' ', "%20"));
        let answer = browser.fetch(&area, &target).await;
        let names: Vec<_> = answer.permissions().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected, "{scope}");
    }
}

#[tokio::test]
async fn a_check_beside_the_scopes_may_deny_and_is_counted() {
    let area = Area::of(|authority| {
        authority.permissions = vec![
            by_claims("sell", &["prod:read"], "claims.role == 'clerk'"),
            by_claims("sign", &["prod:read"], "claims.role == 'director'"),
            by_claims("odd", &["prod:read"], "claims.nothing == 'x'"),
            by_claims("fire", &["prod:admin"], "claims.role == 'clerk'"),
        ];
    })
    .await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, AUTHORIZE).await;
    let tokens = area.tokens(&sent, |_| {}, |all| all["scope"] = json!("openid prod:read"));
    area.grant(&mut browser, &sent, &tokens).await;
    let answer = browser.fetch(&area, AUTHORIZE).await;
    let found: BTreeMap<_, _> = answer.permissions().into_iter().collect();
    let reason = |name: &str| found[name].as_deref();
    assert_eq!(reason("sell"), None);
    assert_eq!(reason("sign"), Some("denied"));
    assert_eq!(reason("odd"), Some("denied"), "what cannot be said is no yes");
    assert_eq!(reason("fire"), Some("scope-not-granted"), "nobody is asked about that");
    let text = area.app.metrics.render();
    for (outcome, count) in [("granted", 1), ("denied", 2)] {
        let line = format!("{{source=\"expression\",outcome=\"{outcome}\"}} {count}");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_decision_point_that_is_down_is_503_and_never_a_guess() {
    let area = Area::with(|policy| {
        let server = CompiledDecisionPoint {
            url: "http://127.0.0.1:1".to_owned(),
            token: None,
            ca_bundle: None,
            timeout: Duration::from_secs(1),
            cache_for: Duration::ZERO,
            allow_insecure: true,
        };
        policy.open_fga = Some(Box::new(CompiledOpenFga {
            server,
            store_id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
            model_id: None,
            user_type: "user".to_owned(),
            consistency: Consistency::MinimizeLatency,
        }));
        let object = vestibule_policy::template::Template::parse("document", "1", None);
        let object = object.unwrap_or_else(|_| panic!("it is a template"));
        let check = CompiledCheck::OpenFga { relation: "viewer".to_owned(), object };
        policy.authorities[0].permissions =
            vec![permission("see", &["prod:read"], Some(check)), permission("x", &[], None)];
    })
    .await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    let answer = browser.fetch(&area, AUTHORIZE).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.problem(), "authority-unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(!answer.body.contains("granted"));
    let line = "{source=\"openfga\",outcome=\"unavailable\"} 1";
    assert!(area.app.metrics.render().contains(line));
}

#[tokio::test]
async fn t097_a_fetch_that_another_site_caused_is_refused() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    for site in ["cross-site", "same-site", "none"] {
        let headers = [("sec-fetch-site", site), FETCH[0], FETCH[1]];
        let answer = browser.ask(&area, "GET", AUTHORIZE, &headers).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{site}");
        assert_eq!(answer.problem(), "forged", "{site}");
        assert!(!answer.body.contains(BASE));
    }
    let foreign = [&FETCH[..2], &[("origin", "https://evil.example")]].concat();
    let answer = browser.ask(&area, "GET", AUTHORIZE, &foreign).await;
    assert_eq!(answer.problem(), "forged");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn scripts_of_allowed_origins_are_answered_and_may_ask_first() {
    let other = "https://admin.example.com";
    let area = Area::with(|policy| {
        policy.cors_origins = vec![Origin::parse(other).unwrap()];
        policy.bearer = Some(Box::new(super::bearer()));
    })
    .await;
    let mut browser = area.logged_in().await;
    let asks = [("origin", other), ("access-control-request-method", "GET")];
    let answer = browser.ask(&area, "OPTIONS", AUTHORIZE, &asks).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-origin"), Some(other));
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("content-type, x-bff, authorization")
    );
    let headers = [FETCH[0], FETCH[1], ("sec-fetch-site", "cross-site"), ("origin", other)];
    let with_header = [&headers[..], &[("x-bff", "1")]].concat();
    let answer = browser.ask(&area, "GET", AUTHORIZE, &with_header).await;
    assert_eq!(answer.problem(), "mediation-advised");
    assert_eq!(answer.header("access-control-allow-origin"), Some(other));
    let answer = browser.ask(&area, "GET", AUTHORIZE, &headers).await;
    assert_eq!(answer.problem(), "forged", "without the custom header");
}

#[tokio::test]
async fn t097_r56_other_methods_are_refused_and_a_preflight_carries_no_identity() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    for method in ["HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "get", "QUERY"] {
        let answer = browser.ask(&area, method, AUTHORIZE, &FETCH).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert!(answer.body.is_empty(), "{method}");
        let answer = browser.ask(&area, method, AUTHORIZE, &super::NAVIGATION).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert!(answer.set_cookies().is_empty(), "{method}");
    }
    let asks = [("origin", ORIGIN), ("access-control-request-method", "GET")];
    let answer = browser.ask(&area, "OPTIONS", AUTHORIZE, &asks).await;
    assert_eq!(answer.problem(), "origin-not-allowed");
    let plain = browser.ask(&area, "OPTIONS", AUTHORIZE, &FETCH).await;
    assert_eq!(plain.status, StatusCode::FORBIDDEN);
    assert!(!plain.body.contains("prod:"));
}

#[tokio::test]
async fn only_the_exact_path_of_an_authority_is_its_endpoint() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    for target in [
        "/api/production/authorize/",
        "/api/production/Authorize",
        "/api/production//authorize",
        "/api/production/%61uthorize",
        "/api/production/x/../authorize",
        "/api/production/authorize;x",
        "/api/authorize",
        "/authorize",
        "/api/productionauthorize",
        "/bff/authorize",
        "/bff/api/production/authorize",
    ] {
        for headers in [&FETCH, &super::NAVIGATION] {
            let answer = browser.ask(&area, "GET", target, headers).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{target}");
        }
    }
    let answer = browser.fetch(&area, &format!("{AUTHORIZE}?")).await;
    assert_eq!(answer.problem(), "mediation-advised");
}
