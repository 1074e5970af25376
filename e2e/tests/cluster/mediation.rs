//! Elevated tokens on the real cluster: the endpoints of authorities are reached through both gateways,
//! and the app gets the token of its base and not the session's.
#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use vestibule_e2e::app::{App, LIMIT};
use vestibule_e2e::browser::Browser;
use vestibule_e2e::echo::Echoed as _;
use vestibule_e2e::http::Response;
use vestibule_e2e::installation::{Guise, Installation};
use vestibule_e2e::process::eventually;

const AUTHORIZE: &str = "/production/authorize?scope=production%3Aread&redirectUri=/page/back";
const METADATA: &str = "/.well-known/oauth-protected-resource/production";

/// The resource makes the provider give tokens that say their scopes.
fn spec(storage: &str) -> String {
    format!(
        r#"  routes:
    - {{path: /production, require: {{scopes: ["production:read"]}}}}
    - path: /
      upstream: {{authorization: AccessToken, headers: [{{name: X-User, value: claims.sub}}]}}
  hostedBackend: {{flavor: FusionAuth}}
  bearer: {{audiences: ["https://api.example.test"]}}
  authorities:
    - base: /production
      scopes: [{{name: "production:read", description: See orders}}]
      resources: ["https://api.example.test"]
      storage: {storage}"#
    )
}

#[test]
fn an_elevated_token_reaches_its_base_behind_traefiks_own_provider() {
    behind_an_ingress("mediation-traefik", Guise::Traefik, "Session");
}

#[test]
fn an_elevated_token_reaches_its_base_behind_ingress_nginxs_annotations() {
    behind_an_ingress("mediation-nginx", Guise::NginxAnnotations, "Cookie");
}

#[test]
fn an_elevated_token_reaches_its_base_behind_an_ingressroute() {
    let on = Installation::shared();
    let app = App::deploy(&on, "mediation-route", Guise::Traefik);
    let annotation = "vestibule.dev/policy: shop";
    for entry_point in ["web", "websecure"] {
        on.apply(&app.ingress_route(entry_point, annotation, &["vestibule-shop"]));
    }
    let spec = format!("  origins: ['{}']\n{}", app.origin(), spec("Session"));
    on.apply(&app.policy_of("shop", &spec));
    elevates(&on, &app);
}

fn behind_an_ingress(namespace: &str, guise: Guise, storage: &str) {
    let on = Installation::shared();
    let app = App::deploy(&on, namespace, guise);
    on.apply(&app.policy_of("shop", &spec(storage)));
    // A path of the app above the endpoint: its rule must not be the longer one.
    let further = "paths: [{path: /production, pathType: Prefix, \
                   backend: {service: {name: echo, port: {number: 80}}}}, ";
    on.apply(&app.ingress("").replace("paths: [", further));
    elevates(&on, &app);
}

fn elevates(on: &Installation, app: &App) {
    app.wait_until_protected(on);
    the_endpoints_are_reached(on, app);

    let mut browser = app.logged_in(on, "alice");
    let list = fetch(&mut browser, app, "/production/list");
    assert!(is_advised(&list), "{list}");
    let advice = fetch(&mut browser, app, AUTHORIZE);
    assert!(is_advised(&advice), "{advice}");
    assert_eq!(advice.json()["title"], "Mediation Advised", "{advice}");
    let url = advice.json()["authorizeUrl"].as_str().unwrap().to_owned();
    assert_eq!(url, app.url(AUTHORIZE));

    let back = browser.open(&url);
    assert_eq!(back.url.as_str(), app.url("/page/back"), "{back}");
    assert_eq!(back.response.status, 200, "{back}");
    let permissions = fetch(&mut browser, app, AUTHORIZE);
    assert_eq!(permissions.status, 200, "{permissions}");
    let permission = &permissions.json()["permissions"][0];
    assert_eq!(permission["name"], "production:read", "{permissions}");
    assert_eq!(permission["granted"], true, "{permissions}");

    let list = fetch(&mut browser, app, "/production/list");
    assert_eq!(list.status, 200, "{list}");
    let elevated = token(&list);
    let claims: Value = {
        let payload = elevated.split('.').nth(1).unwrap_or_else(|| panic!("no JWT: {list}"));
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    };
    assert_eq!(claims["scope"], "production:read", "{claims}");
    assert_eq!(claims["sub"], "alice", "{claims}");
    let cookies = list.json().values("cookie").concat();
    assert!(!cookies.contains("bff"), "the app sees {cookies}");

    // The session's own token goes everywhere else, and nowhere below the base.
    let plain = fetch(&mut browser, app, "/api");
    assert_eq!(plain.status, 200, "{plain}");
    assert_ne!(token(&plain), elevated);
    // Another user's browser gets nothing of it.
    let mut other = app.logged_in(on, "bob");
    let list = fetch(&mut other, app, "/production/list");
    assert!(is_advised(&list), "{list}");
}

/// Both of them, by authsvc and without a check; what is beside them stays behind it.
fn the_endpoints_are_reached(on: &Installation, app: &App) {
    let metadata = eventually(LIMIT, || {
        let answer = app.ask(on, METADATA);
        (answer.status == 200).then_some(answer)
    });
    let metadata = metadata.unwrap_or_else(|| panic!("{}", app.ask(on, METADATA)));
    assert_eq!(metadata.json()["resource"], app.url("/production"), "{metadata}");
    let anonymous = app.ask(on, AUTHORIZE);
    assert_eq!(anonymous.status, 401, "{anonymous}");
    let challenge = anonymous.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains(&app.url(METADATA)), "{anonymous}");
    // Answered by authsvc too: the check refuses its own paths with 403.
    let me = app.ask(on, "/app/me");
    assert_eq!(me.status, 401, "{me}");
    for path in ["/production", "/production/authorized", "/.well-known/other"] {
        let answer = app.ask(on, path);
        assert_eq!(answer.status, 401, "{path}: {answer}");
    }
}

fn fetch(browser: &mut Browser, app: &App, path: &str) -> Response {
    browser.fetch(&app.origin(), &app.url(path))
}

fn is_advised(answer: &Response) -> bool {
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    answer.status == 401 && challenge.contains("error_description=\"Mediation Advised\"")
}

/// The one bearer token that reached the app.
fn token(answer: &Response) -> String {
    let values = answer.json().values("authorization");
    assert_eq!(values.len(), 1, "{answer}");
    values[0].strip_prefix("Bearer ").unwrap().to_owned()
}
