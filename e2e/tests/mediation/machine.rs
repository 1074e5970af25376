//! Callers without a browser: they find the authorization server by themselves, pass with a token of their
//! own, or have theirs exchanged at Keycloak.

use serde_json::Value;
use vestibule_e2e::browser::{Browser, parse};
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::http::{Request, Response};
use vestibule_e2e::keycloak::Keycloak;
use vestibule_e2e::provider::CLIENT_SECRET;
use vestibule_e2e::stack::Stack;

use crate::harness::{api_scopes, claims, is_advised, scopes, token_at, with_keycloak};

/// What such a client gets; `cookies` are what it keeps.
fn ask(stack: &Stack, method: &str, path: &str, bearer: Option<&str>, cookies: &str) -> Response {
    let mut request = Request::new(method, path, stack.host()).header("Accept", "application/json");
    if let Some(token) = bearer {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    if !cookies.is_empty() {
        request = request.header("Cookie", cookies);
    }
    request.send(stack.address())
}

fn challenge(answer: &Response) -> &str {
    answer.header("www-authenticate").unwrap_or_else(|| panic!("no challenge: {answer}"))
}

/// The value of a parameter of a challenge.
fn parameter<'a>(answer: &'a Response, name: &str) -> &'a str {
    let (_, rest) = challenge(answer)
        .split_once(&format!("{name}=\""))
        .unwrap_or_else(|| panic!("no {name}: {answer}"));
    rest.split('"').next().unwrap()
}

#[test]
fn a_machine_finds_the_authorization_server_and_passes_through_nginx() {
    a_machine_passes(Kind::Nginx);
}

#[test]
fn a_machine_finds_the_authorization_server_and_passes_through_traefik() {
    a_machine_passes(Kind::Traefik);
}

fn a_machine_passes(kind: Kind) {
    let stack = with_keycloak(kind, ["Session", "Session"]).start();

    // From the refusal to the resource's metadata, to the provider's, to a token (RFC 9728, section 5).
    let refused = ask(&stack, "GET", "/production/list", None, "");
    assert_eq!(refused.status, 401, "{refused}");
    let metadata = parameter(&refused, "resource_metadata");
    assert_eq!(metadata, stack.url("/.well-known/oauth-protected-resource/production"));
    let metadata = ask(&stack, "GET", parse(metadata).path(), None, "");
    assert_eq!(metadata.status, 200, "{metadata}");
    let metadata = metadata.json();
    assert_eq!(metadata["resource"], stack.url("/production"), "{metadata}");
    let issuer = metadata["authorization_servers"][0].as_str().unwrap();
    let url = format!("{issuer}/.well-known/openid-configuration");
    let discovery = Browser::default().navigate(&url).response.json();
    assert_eq!(discovery["issuer"], issuer, "{discovery}");
    let offered: Vec<_> = metadata["scopes_supported"].as_array().unwrap().iter().collect();
    assert!(offered.contains(&&Value::from("production:read")), "{metadata}");

    let token = machine_token("production:read");
    let passed = ask(&stack, "GET", "/production/list", Some(&token), "");
    assert_eq!(passed.status, 200, "{passed}\n{}", stack.authsvc.log());
    assert_eq!(token_at(&stack.app, "/production/list"), token, "untouched");

    // It may not do what it has no scope for, and no navigation would help it.
    let unscoped = machine_token("openid");
    for (method, path, token) in [
        ("POST", "/production/orders", &token),
        ("GET", "/warehouse/list", &token),
        ("GET", "/production/list", &unscoped),
    ] {
        let refused = ask(&stack, method, path, Some(token), "");
        assert_eq!(refused.status, 401, "{path}: {refused}");
        assert_eq!(parameter(&refused, "error"), "insufficient_scope", "{path}: {refused}");
        assert!(!is_advised(&refused), "{path}: {refused}");
    }
    // Elsewhere a bearer token counts for nothing.
    let refused = ask(&stack, "GET", "/api/list", Some(&token), "");
    assert_eq!(refused.status, 401, "{refused}");
}

fn machine_token(scope: &str) -> String {
    let answer = Keycloak::shared().token(&[
        ("grant_type", "client_credentials"),
        ("client_id", "machine"),
        ("client_secret", CLIENT_SECRET),
        ("scope", scope),
    ]);
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// A token that says `endpoint:mediate` alone, for a user whose password the client knows.
fn mediating_token(user: &str) -> String {
    let answer = Keycloak::shared().token(&[
        ("grant_type", "password"),
        ("client_id", "spa"),
        ("username", user),
        ("password", user),
        ("scope", "openid"),
    ]);
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// The cookies that an answer sets, as a client sends them.
fn cookies_of(answer: &Response) -> String {
    let pairs = answer.headers_named("set-cookie").filter_map(|line| line.split(';').next());
    pairs.collect::<Vec<_>>().join("; ")
}

#[test]
fn an_agent_has_its_token_exchanged_without_a_navigation() {
    Keycloak::shared().add_user("agent", None);
    let stack = with_keycloak(Kind::Nginx, ["Session", "Session"]).start();
    let bearer = mediating_token("agent");
    let advised = ask(&stack, "GET", "/exchange/list", Some(&bearer), "");
    assert!(is_advised(&advised), "{advised}");

    let path = "/exchange/authorize?scope=exchange%3Aread";
    let answer = ask(&stack, "GET", path, Some(&bearer), "");
    assert_eq!(answer.status, 200, "{answer}\n{}", stack.authsvc.log());
    assert_eq!(answer.json()["permissions"][0]["granted"], true, "{answer}");
    let cookies = cookies_of(&answer);
    assert!(cookies.starts_with("__Secure-bff-at-"), "{answer}");
    let passed = ask(&stack, "GET", "/exchange/list", Some(&bearer), &cookies);
    assert_eq!(passed.status, 200, "{passed}\n{}", stack.authsvc.log());
    let token = token_at(&stack.app, "/exchange/list");
    assert_eq!(claims(&token)["azp"], "shop");
    assert_eq!(claims(&token)["sub"], claims(&bearer)["sub"]);
    assert_eq!(api_scopes(&token), scopes(["exchange:read"]));

    // Without its bearer the cookies are nothing.
    assert_eq!(ask(&stack, "GET", "/exchange/list", None, &cookies).status, 401);

    // Keycloak refuses to exchange a token of a session that has ended.
    Keycloak::shared().end_sessions_of("agent");
    let refused = ask(&stack, "GET", path, Some(&bearer), "");
    assert_eq!(refused.status, 401, "{refused}\n{}", stack.authsvc.log());
    assert_eq!(cookies_of(&refused), "", "{refused}");
}

#[test]
fn a_user_with_a_session_has_its_token_exchanged_without_a_navigation() {
    Keycloak::shared().add_user("carol", None);
    let stack = with_keycloak(Kind::Traefik, ["Session", "Session"]).start();
    let mut carol = stack.browser();
    let form = carol.open(&stack.url("/page/home"));
    let page = carol.submit(&form, &[("username", "carol"), ("password", "carol")]);
    assert_eq!(page.response.status, 200, "{page}");

    let list = stack.url("/exchange/list");
    let advised = carol.fetch(&stack.origin, &list);
    assert!(is_advised(&advised), "{advised}");
    let url = stack.url("/exchange/authorize?scope=exchange%3Aread");
    let answer = carol.fetch(&stack.origin, &url);
    assert_eq!(answer.status, 200, "{answer}\n{}", stack.authsvc.log());
    assert_eq!(carol.fetch(&stack.origin, &list).status, 200);
    let token = token_at(&stack.app, "/exchange/list");
    assert_eq!(api_scopes(&token), scopes(["exchange:read"]));
    let session = carol.fetch(&stack.origin, &stack.url("/api/list"));
    assert_eq!(session.status, 200, "{session}");
    assert_eq!(api_scopes(&token_at(&stack.app, "/api/list")), scopes([]));
}
