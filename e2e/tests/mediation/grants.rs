//! What the provider grants, asks the user for, refuses and takes back: oidc-provider, without a screen.

use std::time::Duration;

use serde_json::{Value, json};
use vestibule_e2e::browser::{Browser, Page};
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::http::Response;
use vestibule_e2e::process::eventually;
use vestibule_e2e::stack::Stack;

use crate::harness::{
    api_scopes, authorize, claims, elevate, is_advised, scopes, token_at, with_oidc_provider,
};

/// For as long as a token of two seconds may take to be over.
const LIMIT: Duration = Duration::from_secs(20);

fn start(storages: [&'static str; 2]) -> Stack {
    let stack = with_oidc_provider(Kind::Traefik, storages).start();
    stack.provider().set(&json!({"refreshTokens": true}));
    stack
}

fn fetch(browser: &mut Browser, stack: &Stack, path: &str) -> Response {
    browser.fetch(&stack.origin, &stack.url(path))
}

/// Posts to the app's API, as its script does.
fn post(browser: &mut Browser, stack: &Stack, path: &str) -> Response {
    let url = stack.url(path);
    let request = browser.script_request("POST", &stack.origin, &url).header("X-Bff", "1");
    browser.send(&vestibule_e2e::browser::parse(&url), &request)
}

fn permission<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let all = answer["permissions"].as_array().unwrap_or_else(|| panic!("no list: {answer}"));
    let found = all.iter().find(|permission| permission["name"] == name);
    found.unwrap_or_else(|| panic!("no permission {name}: {answer}"))
}

fn is_back(page: &Page, stack: &Stack, query: &str) {
    assert_eq!(page.url.as_str(), stack.url(&format!("/page/back{query}")), "{page}");
}

#[test]
fn a_user_is_asked_for_consent_once_and_may_refuse() {
    let stack = start(["Session", "Session"]);
    stack.provider().set(&json!({"consentFor": ["production:write"]}));
    let mut alice = stack.logged_in("alice");
    let write = authorize(&stack, "/production", "production%3Awrite");

    // Nobody is asked for the other scope.
    elevate(&mut alice, &stack, "/production", "production%3Aread");
    let form = alice.open(&write);
    assert!(form.response.text().contains("Prompt: consent"), "{form}");
    let page = alice.submit(&form, &[("consent", "no")]);
    is_back(&page, &stack, "?mediation_error=access_denied");
    assert!(is_advised(&post(&mut alice, &stack, "/production/orders")));
    assert_eq!(fetch(&mut alice, &stack, "/production/list").status, 200, "what it had stays");

    let form = alice.open(&write);
    let page = alice.submit(&form, &[("consent", "yes")]);
    is_back(&page, &stack, "");
    assert_eq!(post(&mut alice, &stack, "/production/orders").status, 200);
    let token = token_at(&stack.app, "/production/orders");
    assert_eq!(api_scopes(&token), scopes(["production:read", "production:write"]));
    assert_eq!(claims(&token)["aud"], "https://api.example.test");
}

#[test]
fn a_scope_that_is_not_granted_is_told_and_not_asked_for_again() {
    let stack = start(["Session", "Cookie"]);
    stack.provider().set(&json!({"refuse": ["production:write"]}));
    let mut alice = stack.logged_in("alice");
    let both = "production%3Aread%20production%3Awrite";
    elevate(&mut alice, &stack, "/production", both);

    let answer = fetch(&mut alice, &stack, &format!("/production/authorize?scope={both}"));
    assert_eq!(answer.status, 200, "{answer}");
    let answer = answer.json();
    assert_eq!(permission(&answer, "production:read")["granted"], true, "{answer}");
    let write = permission(&answer, "production:write");
    assert_eq!(write["granted"], false, "{answer}");
    assert_eq!(write["reason"], "scope-not-granted", "{answer}");
    assert_eq!(answer["scopes"]["missing"], json!(["production:write"]), "{answer}");

    let refused = post(&mut alice, &stack, "/production/orders");
    assert_eq!(refused.status, 401, "{refused}");
    assert!(!is_advised(&refused), "a navigation would not help: {refused}");
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("insufficient_scope"), "{refused}");
    let alone = fetch(&mut alice, &stack, "/production/authorize?scope=production%3Awrite");
    assert_eq!(alone.status, 401, "{alone}");
    assert!(!is_advised(&alone), "{alone}");
    assert_eq!(fetch(&mut alice, &stack, "/production/list").status, 200);
}

#[test]
fn a_grant_that_is_taken_back_is_mediated_again_without_a_page() {
    for storage in ["Session", "Cookie"] {
        let stack = start([storage, "Session"]);
        let mut alice = stack.logged_in("alice");
        stack.provider().set(&json!({"accessTokenTtl": 2}));
        elevate(&mut alice, &stack, "/production", "production%3Aread");
        assert_eq!(fetch(&mut alice, &stack, "/production/list").status, 200, "{storage}");
        stack.provider().revoke_all_of("alice");
        let advised = eventually(LIMIT, || {
            let answer = fetch(&mut alice, &stack, "/production/list");
            is_advised(&answer).then_some(())
        });
        assert!(advised.is_some(), "{storage}: {}", stack.authsvc.log());
        // The endpoint says the same: a refresh is refused as well.
        let path = "/production/authorize?scope=production%3Aread";
        let answer = fetch(&mut alice, &stack, path);
        assert!(is_advised(&answer), "{storage}: {answer}");
        stack.provider().set(&json!({"accessTokenTtl": 3600}));
        elevate(&mut alice, &stack, "/production", "production%3Aread");
        assert_eq!(fetch(&mut alice, &stack, "/production/list").status, 200, "{storage}");
        assert_eq!(fetch(&mut alice, &stack, "/bff/session").status, 200, "{storage}");
    }
}

#[test]
fn a_token_is_exchanged_within_the_fetch_and_a_refusal_is_told() {
    let stack = start(["Session", "Session"]);
    let mut alice = stack.logged_in("alice");
    let path = "/exchange/authorize?scope=exchange%3Aread";
    for (error, status) in [("access_denied", 401), ("invalid_target", 503)] {
        stack.provider().set(&json!({"refuseExchange": error}));
        let answer = fetch(&mut alice, &stack, path);
        assert_eq!(answer.status, status, "{error}: {answer}");
        assert!(fetch(&mut alice, &stack, "/exchange/list").status == 401, "{error}");
    }
    stack.provider().set(&json!({"refuseExchange": null}));
    let answer = fetch(&mut alice, &stack, path);
    assert_eq!(answer.status, 200, "{answer}\n{}", stack.authsvc.log());
    assert_eq!(permission(&answer.json(), "exchange:read")["granted"], true);
    assert_eq!(fetch(&mut alice, &stack, "/exchange/list").status, 200);
    let token = token_at(&stack.app, "/exchange/list");
    assert_eq!(api_scopes(&token), scopes(["exchange:read"]));
    assert_eq!(claims(&token)["sub"], "alice");

    // As a navigation it is done on the way, and nobody sees the provider.
    let mut bob = stack.logged_in("bob");
    let before = bob.history.len();
    elevate(&mut bob, &stack, "/exchange", "exchange%3Aread");
    let provider = &stack.provider().issuer;
    assert!(!bob.history[before..].iter().any(|url| url.starts_with(provider.as_str())));
    assert_eq!(fetch(&mut bob, &stack, "/exchange/list").status, 200);
}

#[test]
fn a_stronger_login_for_one_base_leaves_the_session_as_it_was() {
    let stack = start(["Session", "Session"]);
    let mut alice = stack.logged_in("alice");
    let before = alice.cookie("__Host-bff").unwrap().to_owned();
    assert!(is_advised(&fetch(&mut alice, &stack, "/vault/gold")));
    let form = alice.open(&authorize(&stack, "/vault", "vault%3Aopen"));
    assert!(form.response.text().contains("Prompt: login"), "{form}");
    let page = alice.submit(&form, &[("login", "alice"), ("password", "any")]);
    is_back(&page, &stack, "");
    assert_eq!(fetch(&mut alice, &stack, "/vault/gold").status, 200);
    assert_eq!(alice.cookie("__Host-bff").unwrap(), before);

    // Who logs in as somebody else there gets nothing for this session.
    let mut bob = stack.logged_in("bob");
    let form = bob.open(&authorize(&stack, "/vault", "vault%3Aopen"));
    let leaving = bob.submit(&form, &[("login", "alice"), ("password", "any")]);
    // The provider first ends bob's session there.
    let page = bob.submit(&leaving, &[]);
    is_back(&page, &stack, "?mediation_error=other_user");
    assert!(is_advised(&fetch(&mut bob, &stack, "/vault/gold")));
    assert_eq!(fetch(&mut bob, &stack, "/bff/session").json()["subject"], "bob");
}
