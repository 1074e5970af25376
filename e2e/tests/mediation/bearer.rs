//! Apps that log in by a library of their own, unchanged from npm, and bring a token that says
//! `endpoint:mediate` alone.

use std::path::PathBuf;

use serde_json::{Value, json};
use vestibule_e2e::chromium::journey;
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::keycloak::Keycloak;
use vestibule_e2e::stack::{Plan, Stack};
use vestibule_e2e::tools::e2e_dir;

use crate::harness::{
    AUDIENCE, api_scopes, assert_no_token_is_shown, base_cookies, claims, scopes, token_at,
    tokens_at, with_keycloak, with_oidc_provider,
};

#[test]
fn an_app_with_keycloak_js_mediates_through_nginx() {
    with_keycloak_js(Kind::Nginx, "bob-of-nginx");
}

#[test]
fn an_app_with_keycloak_js_mediates_through_traefik() {
    with_keycloak_js(Kind::Traefik, "bob-of-traefik");
}

fn with_keycloak_js(kind: Kind, user: &str) {
    let keycloak = Keycloak::shared();
    let stranger = format!("not-{user}");
    for name in [user, &stranger] {
        keycloak.add_user(name, None);
    }
    // What the policy says of storage does not matter: there is no session.
    let discreet = Some(app("keycloak-js", "keycloak-js/lib/keycloak.js"));
    let stack = Plan { discreet, ..with_keycloak(kind, ["Session", "Session"]) }.start();
    let (url, realm) = keycloak.issuer.split_once("/realms/").unwrap();
    let settings = json!({"url": url, "realm": realm, "clientId": "spa"});
    let input = json!({
        "origin": stack.origin, "settings": settings,
        "keycloak": true, "user": user, "stranger": stranger,
    });
    mediates(&stack, input, kind);
}

#[test]
fn an_app_with_auth0_spa_js_mediates() {
    let kind = Kind::Traefik;
    let plan = with_oidc_provider(kind, ["Session", "Session"]);
    let library = "@auth0/auth0-spa-js/dist/auth0-spa-js.production.esm.js";
    let discreet = Some(app("auth0-spa-js", library));
    let stack = Plan { auth0: true, discreet, ..plan }.start();
    stack.provider().set(&json!({"keepIssued": true}));
    let settings = json!({
        "domain": stack.provider().issuer.trim_end_matches('/'),
        "clientId": "spa",
        "authorizationParams": {
            "redirect_uri": stack.url("/public/app"),
            "audience": AUDIENCE,
            "scope": "openid endpoint:mediate",
        },
    });
    let input = json!({
        "origin": stack.origin, "settings": settings,
        "keycloak": false, "user": "alice", "stranger": "bob",
    });
    mediates(&stack, input, kind);
}

/// The files of an app: its page of that name, and the library as npm has it.
fn app(page: &str, library: &str) -> Vec<(String, PathBuf)> {
    let node = e2e_dir().join("node");
    let (_, name) = library.rsplit_once('/').unwrap();
    vec![
        ("/public/app".to_owned(), node.join(format!("pages/{page}.html"))),
        (format!("/public/{name}"), node.join("node_modules").join(library)),
    ]
}

/// Runs the journey and looks at what came of it.
fn mediates(stack: &Stack, input: Value, kind: Kind) {
    let found = journey("bearer", stack.dir.path(), input);
    let status = |key: &str| found[key]["status"].as_u64().unwrap();
    let challenge = |key: &str| found[key]["challenge"].as_str().unwrap().to_owned();
    let bearer = found["bearer"].as_str().unwrap();
    assert_eq!(api_scopes(bearer), scopes(["endpoint:mediate"]));

    // Who brings nothing learns where to ask, and who brings this alone what to do.
    assert_eq!(status("anonymous"), 401, "{}", found["anonymous"]);
    let metadata = stack.url("/.well-known/oauth-protected-resource/production");
    assert!(challenge("anonymous").contains(&metadata), "{}", found["anonymous"]);
    for key in ["before", "advice", "otherBase", "strangerGets", "strangerAsks"] {
        assert_eq!(status(key), 401, "{key}: {}", found[key]);
        assert!(challenge(key).contains("Mediation Advised"), "{key}: {}", found[key]);
    }

    // No page is shown but the app's own.
    for shown in found["silent"]["shown"].as_array().unwrap() {
        assert!(shown.as_str().unwrap().starts_with(&stack.url("/public/app")), "{shown}");
    }
    let asked = found["silent"]["asked"].as_array().unwrap();
    let first = asked[0].as_str().unwrap();
    assert!(first.starts_with(&stack.url("/production/authorize?")), "{asked:?}");

    assert_eq!(status("permissions"), 200, "{}", found["permissions"]);
    let permissions = &found["permissions"]["json"]["permissions"];
    assert_eq!(permissions[0]["name"], "production:read", "{permissions}");
    assert_eq!(permissions[0]["granted"], true, "{permissions}");
    assert_eq!(found["byClient"], true, "client.js with a token");
    assert_eq!(status("list"), 200, "{}", found["list"]);
    assert_eq!(tokens_at(&stack.app, "/production/list").len(), 1, "nothing else passed");
    let token = token_at(&stack.app, "/production/list");
    assert_eq!(api_scopes(&token), scopes(["production:read"]));
    assert_eq!(claims(&token)["sub"], claims(bearer)["sub"]);

    assert_eq!(status("cookiesAlone"), 401, "{}", found["cookiesAlone"]);
    assert_eq!(status("forged"), 401, "{}", found["forged"]);
    assert!(challenge("forged").contains("error=\"invalid_token\""), "{}", found["forged"]);

    // Sealed cookies of the base are all that the browser holds of it, and there is no session.
    let cookies = base_cookies(&found["cookies"]);
    assert!(!cookies.is_empty(), "{}", found["cookies"]);
    for cookie in cookies {
        assert_eq!(cookie["path"], "/production", "{cookie}");
        assert_eq!(cookie["httpOnly"], true, "{cookie}");
    }
    let all = found["cookies"].as_array().unwrap();
    assert!(!all.iter().any(|cookie| cookie["name"] == "__Host-bff"), "{all:?}");
    assert!(!found["scriptsSee"].as_str().unwrap().contains("bff"), "{kind:?}: {found}");
    assert_no_token_is_shown(stack, &found, &issued_to_us(stack));
}

/// What oidc-provider gave Vestibule's clients; none where the users are Keycloak's.
fn issued_to_us(stack: &Stack) -> Vec<String> {
    if !stack.policies.contains(AUDIENCE) {
        return Vec::new();
    }
    // The app's own tokens, of the client `spa`, come from the provider and not from us; but we never
    // show them either.
    let kinds = ["access_token", "refresh_token", "id_token"];
    kinds.iter().flat_map(|kind| stack.provider().issued(kind)).collect()
}
