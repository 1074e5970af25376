//! An app with `FusionAuth`'s React SDK, unchanged from npm, in Chromium.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule_e2e::chromium::journey;
use vestibule_e2e::echo::{Echo, Echoed as _};
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::stack::{Plan, Stack};
use vestibule_e2e::tools::e2e_dir;

/// Longer than the SDK's 24 s before the end, at which it refreshes.
const SPEC: &str = "  session: {idleTimeout: 30s, absoluteTimeout: 10m, claims: [name, email]}
  hostedBackend: {flavor: FusionAuth}";

const ROUTES: &str = "
    - {path: /, pathType: Exact, access: Public}
    - {path: /fusionauth.js, access: Public}
    - {path: /api, upstream: {authorization: AccessToken}}
";

#[test]
fn fusionauths_react_sdk_logs_in_shows_the_user_refreshes_and_logs_out_through_nginx() {
    runs_through(Kind::Nginx);
}

#[test]
fn fusionauths_react_sdk_logs_in_shows_the_user_refreshes_and_logs_out_through_traefik() {
    runs_through(Kind::Traefik);
}

fn runs_through(kind: Kind) {
    let dir = TempDir::new().unwrap();
    let script = dir.path().join("fusionauth.js");
    let page = e2e_dir().join("node/pages/fusionauth.html");
    bundle(&e2e_dir().join("node/pages/fusionauth.jsx"), &script);
    let files = vec![("/".to_owned(), page), ("/fusionauth.js".to_owned(), script)];
    let stack = Plan {
        spec: SPEC.to_owned(),
        routes: ROUTES.to_owned(),
        hosted_backend: Some("app"),
        discreet: Some(files),
        ..Plan::new(kind)
    }
    .start();
    let elsewhere = Echo::start();
    let input = json!({
        "origin": stack.origin, "elsewhere": format!("http://{}/page", elsewhere.address),
    });
    let found = journey("fusionauth", stack.dir.path(), input);
    let rest = without_answers(&found);
    assert_eq!(found["errors"], json!([]), "{rest}");
    assert_eq!(found["before"], json!({"end": null, "call": 401}), "{rest}");
    assert!(found["asked"].as_str().unwrap().starts_with(&stack.provider().issuer), "{rest}");
    let returned = format!("{}/?state=orders%20of%201%20%26%202", stack.origin);
    assert_eq!(found["returned"], returned, "{rest}");
    assert_eq!(found["redirected"], json!(["orders of 1 & 2"]), "{rest}");
    assert_eq!(found["user"], "Alice Example", "{rest}");
    let claims = json!({"sub": "alice", "name": "Alice Example", "email": "alice@example.test"});
    assert_eq!(found["claims"], claims, "{rest}");
    assert_eq!(found["call"], 200, "{rest}");

    let sees = found["scriptsSee"].as_str().unwrap();
    let names: Vec<_> = sees.split("; ").map(|pair| pair.split('=').next().unwrap()).collect();
    assert!(names.contains(&"app.at_exp"), "{sees}");
    assert!(names.iter().all(|name| ["app", "app.at_exp"].contains(name)), "{sees}");
    assert_eq!(found["cookie"]["secure"], true, "{rest}");
    assert_eq!(found["cookie"]["sameSite"], "Lax", "{rest}");
    assert_eq!(found["cookie"]["path"], "/", "{rest}");

    let at = |index: usize| found["ends"][index].as_u64().unwrap();
    assert!(at(1) > at(0) && at(1) < at(0) + 30, "{rest}");
    assert_eq!(found["refreshed"]["refreshed"], json!([200]), "{rest}");
    assert_eq!(found["refreshed"]["failed"], json!([]), "{rest}");
    assert_eq!(found["afterReload"], "Alice Example", "{rest}");
    assert_eq!(found["crossSite"], "Log out?", "{rest}");
    assert_eq!(found["callAfterCrossSite"], 200, "{rest}");
    assert_eq!(found["after"], json!({"end": null, "call": 401}), "{rest}");
    let left = found["leftCookies"].as_array().unwrap();
    let ours = |name: &Value| name.as_str().unwrap().starts_with("__Host-");
    assert!(!left.iter().any(ours), "{rest}");
    assert_eq!(found["registered"]["user"], "Bob Example", "{rest}");
    assert_eq!(found["registered"]["redirected"], json!(["new"]), "{rest}");
    no_token_is_shown(&stack, &found);
}

fn bundle(entry: &Path, output: &Path) {
    let made = Command::new("node")
        .arg(e2e_dir().join("node/bundle.mjs"))
        .args([entry, output])
        .output()
        .expect("node runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// For messages: the answers are many.
fn without_answers(found: &Value) -> Value {
    let mut rest = found.clone();
    rest["answers"] = Value::Null;
    rest
}

/// Every token that reached the app, and whatever looks like one, in all that the browser got. Only the
/// answer to the logout has one: the ID token, for the provider.
fn no_token_is_shown(stack: &Stack, found: &Value) {
    let seen = stack.app.seen();
    let sent = seen.iter().flat_map(|seen| seen.values("authorization"));
    let tokens: Vec<_> =
        sent.filter_map(|value| value.strip_prefix("Bearer ").map(str::to_owned)).collect();
    assert!(!tokens.is_empty(), "the API got one");
    let answers = found["answers"].as_array().unwrap();
    assert!(answers.len() > 15, "{} answers are no journey", answers.len());
    for answer in answers {
        let text = answer.to_string();
        assert!(!tokens.iter().any(|token| text.contains(token)), "{answer}");
        let logout = answer["url"].as_str().unwrap().contains("/app/logout/");
        assert!(logout || !text.contains("eyJ"), "{answer}");
    }
    for cookie in found["cookies"].as_array().unwrap() {
        let name = cookie["name"].as_str().unwrap();
        assert!(!["app.at", "app.rt", "app.idt"].contains(&name), "{cookie}");
    }
}
