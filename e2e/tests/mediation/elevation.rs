//! A user of Keycloak in Chromium, through both gateways and with both storages.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vestibule_e2e::browser::parse;
use vestibule_e2e::chromium::journey;
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::keycloak::Keycloak;
use vestibule_e2e::stack::Stack;

use crate::harness::{
    LIFESPAN, api_scopes, assert_no_token_is_shown, base_cookies, claims, scopes, token_at,
    tokens_at, with_keycloak,
};

#[test]
fn a_page_gets_what_it_needs_when_it_needs_it_through_nginx() {
    elevates(Kind::Nginx, ["Cookie", "Session"], "alice-of-nginx");
}

#[test]
fn a_page_gets_what_it_needs_when_it_needs_it_through_traefik() {
    elevates(Kind::Traefik, ["Session", "Cookie"], "alice-of-traefik");
}

fn elevates(kind: Kind, storages: [&'static str; 2], user: &str) {
    let secret = format!("second-factor-of-{user}");
    Keycloak::shared().add_user(user, Some(&secret));
    let stack = with_keycloak(kind, storages).start();
    let found = journey(
        "elevation",
        stack.dir.path(),
        json!({
            "origin": stack.origin,
            "issuer": Keycloak::shared().issuer,
            "user": user,
            "secret": secret,
            "lifespan": LIFESPAN,
        }),
    );
    a_silent_elevation_shows_no_page(&stack, &found, kind);
    it_is_for_that_base_and_scope_alone(&stack, &found);
    it_is_renewed_while_keycloak_agrees(&stack, &found, storages[1]);
    a_second_factor_is_asked_for_once(&stack, &found);
    a_logout_leaves_nothing(&found);
    assert_no_token_is_shown(&stack, &found, &[]);
}

/// The keys of the findings that must be allowed, or advice.
fn allowed(found: &Value, key: &str) {
    assert_eq!(found[key]["status"], 200, "{key}: {}", found[key]);
}

fn advised(found: &Value, key: &str) {
    let answer = &found[key];
    assert_eq!(answer["status"], 401, "{key}: {answer}");
    let challenge = answer["challenge"].as_str().unwrap();
    assert!(challenge.contains("error=\"insufficient_scope\""), "{key}: {answer}");
    assert!(challenge.contains("error_description=\"Mediation Advised\""), "{key}: {answer}");
}

fn paths(stack: &Stack, urls: &Value) -> Vec<String> {
    let urls = urls.as_array().unwrap().iter().map(|url| url.as_str().unwrap());
    urls.map(|url| url.strip_prefix(&stack.origin).unwrap_or(url).to_owned()).collect()
}

fn a_silent_elevation_shows_no_page(stack: &Stack, found: &Value, kind: Kind) {
    advised(found, "before");
    assert!(found["before"]["challenge"].as_str().unwrap().contains("production:read"), "{found}");
    if kind.is_traefik() {
        assert_eq!(found["before"]["json"]["title"], "Mediation Advised", "{}", found["before"]);
    }
    advised(found, "advice");
    let advice = &found["advice"]["json"];
    assert_eq!(advice["title"], "Mediation Advised", "{advice}");
    assert_eq!(advice["base"], "/production", "{advice}");
    let url = advice["authorizeUrl"].as_str().unwrap();
    assert!(url.starts_with(&stack.url("/production/authorize?")), "{url}");

    // The browser went to the provider and back, and the user saw the page that they were on.
    assert_eq!(paths(stack, &found["silent"]["shown"]), ["/page/home?read"]);
    let asked = paths(stack, &found["silent"]["asked"]);
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(asked[0].starts_with("/production/authorize?"), "{asked:?}");
    assert!(asked[1].starts_with(&Keycloak::shared().issuer), "{asked:?}");
    if kind.is_traefik() {
        let asked: BTreeMap<_, _> = parse(&asked[1]).query_pairs().into_owned().collect();
        assert_eq!(asked["prompt"], "none", "{asked:?}");
        assert_eq!(asked["scope"], "openid production:read", "{asked:?}");
    }
    assert!(asked[2].starts_with("/bff/callback?"), "{asked:?}");
    assert_eq!(asked[3], "/page/home?read");
    assert_eq!(paths(stack, &found["silentlyMore"]["shown"]), ["/page/home?write"]);

    allowed(found, "permissions");
    let answer = &found["permissions"]["json"];
    assert_eq!(answer["base"], "/production", "{answer}");
    assert_eq!(answer["scopes"]["granted"], json!(["production:read"]), "{answer}");
    let permission = &answer["permissions"][0];
    assert_eq!(permission["name"], "production:read", "{answer}");
    assert_eq!(permission["granted"], true, "{answer}");
    assert_eq!(answer["permissions"].as_array().unwrap().len(), 1, "{answer}");
    assert!(answer["expiresAt"].is_string(), "{answer}");
    allowed(found, "list");
}

fn it_is_for_that_base_and_scope_alone(stack: &Stack, found: &Value) {
    let list = token_at(&stack.app, "/production/list");
    assert_eq!(api_scopes(&list), scopes(["production:read"]), "{}", claims(&list));
    advised(found, "otherBase");
    advised(found, "otherScope");
    allowed(found, "plain");
    assert_eq!(api_scopes(&token_at(&stack.app, "/api/list")), scopes([]));

    // What was granted before is kept.
    allowed(found, "order");
    let order = token_at(&stack.app, "/production/orders");
    assert_eq!(api_scopes(&order), scopes(["production:read", "production:write"]));
    let stock = token_at(&stack.app, "/warehouse/list");
    assert_eq!(api_scopes(&stock), scopes(["warehouse:read"]));
    for token in [&list, &order, &stock] {
        assert_eq!(claims(token)["sub"], claims(&token_at(&stack.app, "/api/list"))["sub"]);
    }
}

fn it_is_renewed_while_keycloak_agrees(stack: &Stack, found: &Value, storage: &str) {
    allowed(found, "stock");
    if storage == "Cookie" {
        // A check cannot set cookies; the endpoint can, and no page is needed.
        advised(found, "stockLater");
    } else {
        allowed(found, "stockLater");
    }
    allowed(found, "renewed");
    allowed(found, "stockRenewed");
    let tokens = tokens_at(&stack.app, "/warehouse/list");
    assert_ne!(tokens.first(), tokens.last(), "renewed");

    // Revoked: advice on the next expiry, though the session here lives. A login then helps.
    advised(found, "ended");
    advised(found, "endedAdvice");
    assert_eq!(found["session"], 200, "{}", stack.authsvc.log());
    let shown = paths(stack, &found["interactive"]["shown"]);
    assert_eq!(shown.len(), 2, "a form, and back: {shown:?}");
    assert!(shown[0].starts_with(&Keycloak::shared().issuer), "{shown:?}");
    assert_eq!(shown[1], "/page/home?stock");
    allowed(found, "stockAgain");
}

fn a_second_factor_is_asked_for_once(stack: &Stack, found: &Value) {
    advised(found, "vaultBefore");
    advised(found, "vaultAdvice");
    let shown = paths(stack, &found["secondFactor"]["shown"]);
    assert_eq!(shown.len(), 2, "the form of the second factor, and back: {shown:?}");
    assert!(shown[0].starts_with(&Keycloak::shared().issuer), "{shown:?}");
    allowed(found, "vault");
    allowed(found, "vaultPermissions");
    let token = token_at(&stack.app, "/vault/gold");
    assert_eq!(claims(&token)["acr"], "gold");
    assert_eq!(api_scopes(&token), scopes(["vault:open"]));
    // Asked once more, nobody needs to ask Keycloak.
    let again = paths(stack, &found["vaultAgain"]["asked"]);
    assert_eq!(again.len(), 2, "{again:?}");
    assert!(again[0].starts_with("/vault/authorize?"), "{again:?}");
    assert_eq!(again[1], "/page/home?open");
}

fn a_logout_leaves_nothing(found: &Value) {
    let before = base_cookies(&found["cookiesBefore"]);
    assert!(!before.is_empty(), "one of the bases keeps its tokens in cookies");
    for cookie in before {
        assert_eq!(cookie["httpOnly"], true, "{cookie}");
        assert_eq!(cookie["secure"], true, "{cookie}");
        assert_eq!(cookie["sameSite"], "Lax", "{cookie}");
        let path = cookie["path"].as_str().unwrap();
        assert!(["/production", "/warehouse"].contains(&path), "{cookie}");
    }
    assert!(!found["scriptsSee"].as_str().unwrap().contains("bff"), "{found}");
    allowed(found, "logout");
    let after = base_cookies(&found["cookies"]);
    assert!(after.is_empty(), "{after:?}");
    assert_eq!(found["after"]["status"], 401, "{}", found["after"]);
}
