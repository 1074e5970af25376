//! The demo as a visitor sees it. It and its provider with known passwords are in `vestibule` alone, not
//! in what one deploys.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule_e2e::chromium::journey;
use vestibule_e2e::process::{Process, accepts, free_port, loopback};
use vestibule_e2e::tools::binary;

/// Texts of the demo provider's pages.
const TEXTS: [&str; 2] =
    ["You are logged out of the demo provider.", "<h2 id=\"users\">Demo users</h2>"];

#[test]
fn the_server_has_no_demo_provider_in_it() {
    let read = |name| std::fs::read(binary(name)).unwrap();
    let (demo, server) = (read("vestibule"), read("vestibule-authsvc"));
    for text in TEXTS {
        assert!(contains(&demo, text), "vestibule has other texts now: {text}");
        assert!(!contains(&server, text), "vestibule-authsvc has the demo provider: {text}");
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    // Candidates by their first byte: comparing at every place takes seconds in a debug build.
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == text[0]) {
        if rest[at..].starts_with(text) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// A running demo.
struct Demo {
    origin: String,
    /// Names and passwords of its users, as it prints them.
    users: Vec<[String; 2]>,
    dir: TempDir,
    _process: Process,
}

impl Demo {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let port = free_port();
        let mut command = Command::new(binary("vestibule"));
        command.args(["demo", "--no-open", "--port", &port.to_string()]);
        let mut process = Process::spawn("demo", &mut command, &log(dir.path()));
        let users = process.wait_ready(Duration::from_secs(30), || {
            let users = users(&std::fs::read_to_string(log(dir.path())).unwrap_or_default());
            (users.len() == 2 && accepts(loopback(port))).then_some(users)
        });
        Self { origin: format!("http://localhost:{port}"), users, dir, _process: process }
    }
}

fn log(dir: &Path) -> PathBuf {
    dir.join("demo.log")
}

/// Lines such as "Log in as USER password PASSWORD groups: …".
fn users(log: &str) -> Vec<[String; 2]> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    log.lines()
        .map(words)
        .filter(|words| words.starts_with(&["Log".to_owned(), "in".to_owned()]))
        .filter_map(|words| Some([words.get(3)?.clone(), words.get(5)?.clone()]))
        .collect()
}

#[test]
fn the_demo_shows_the_user_calls_the_api_and_logs_out() {
    let demo = Demo::start();
    let [user, password] = &demo.users[0];
    let found = journey(
        "demo",
        demo.dir.path(),
        json!({"origin": demo.origin, "user": user, "password": password}),
    );
    assert_eq!(found["problems"], json!([]), "{found}");
    assert!(found["before"].as_str().unwrap().starts_with("401"), "{found}");
    assert!(found["greeting"].as_str().unwrap().starts_with("Hello, "), "{found}");
    for good in ["hello", "order", "payments"] {
        let text = found[good].as_str().unwrap();
        assert!(!text.starts_with("401") && !text.starts_with("403"), "{good}: {found}");
    }
    assert!(found["apiSaw"].as_str().unwrap().contains("Bearer"), "{found}");
    assert!(found["after"].as_str().unwrap().starts_with("401"), "{found}");
    assert_eq!(found["stored"], "00", "scripts find nothing: {found}");
    assert_eq!(found["axe"], json!([]), "{found}");
    assert_eq!(found["overflow"], 0, "{found}");
}

/// What a right says that the user does not have, and a tooltip the same.
fn lacks(why: &str) -> Value {
    json!([why, why])
}

#[test]
fn the_demo_shows_what_the_user_may_do_and_gets_each_token_when_it_is_needed() {
    let demo = Demo::start();
    let input = json!({"origin": demo.origin, "users": demo.users});
    let found = journey("mediation-demo", demo.dir.path(), input);
    assert_eq!(found["problems"], json!([]), "{found}");

    let none = lacks("No token for this area yet");
    let at_first =
        json!({"count-stock": none, "see-orders": none, "see-plan": none, "release-orders": none});
    assert_eq!(found["atFirst"], at_first, "{found}");
    let url = format!(
        "{origin}/api/warehouse/authorize?scope=stock%3Aread&redirectUri={back}",
        origin = demo.origin,
        back = demo.origin.replace(':', "%3A").replace('/', "%2F") + "%2Fproduction",
    );
    let advice = json!({"base": "/api/warehouse", "scopes": ["stock:read"], "authorizeUrl": url});
    assert_eq!(found["advice"], json!([advice, advice, null]), "{found}");
    assert_eq!(found["silentPages"], 0, "the provider showed a page: {found}");
    assert_eq!(found["afterWarehouse"]["count-stock"], Value::Null, "{found}");
    assert_eq!(found["afterWarehouse"]["see-orders"], none, "{found}");
    let scope = |call: &str| found[call]["scope"].as_str().unwrap_or_default().to_owned();
    assert_eq!(scope("stock"), "openid stock:read", "{found}");

    assert_eq!(found["back"], json!(["not_elevated", 0]), "{found}");
    assert_eq!(found["denied"]["auto"], "access_denied", "{found}");
    assert_eq!(found["denied"]["url"], format!("{}/production", demo.origin), "{found}");
    let denied = found["denied"]["outcome"].as_str().unwrap();
    assert_eq!(denied, "You did not allow it, so there is no token.", "{found}");
    assert_eq!(found["denied"]["rights"]["see-orders"], none, "{found}");
    assert_eq!(found["afterReload"]["again"], 0, "it went to the provider by itself: {found}");

    assert_eq!(found["afterConsent"]["see-orders"], Value::Null, "{found}");
    assert_eq!(found["afterConsent"]["see-plan"], Value::Null, "{found}");
    assert_eq!(scope("orders"), "openid orders:read", "{found}");
    assert_eq!(scope("plan"), "openid orders:read", "{found}");

    assert_eq!(found["afterStepUp"]["release-orders"], Value::Null, "{found}");
    assert_eq!(found["release"]["outcome"], "Order 7001 is released.", "{found}");
    assert_eq!(found["release"]["acr"], "gold", "{found}");
    for call in ["release", "releaseAgain"] {
        assert_eq!(scope(call), "openid orders:release", "{call}: {found}");
    }
    assert_eq!(scope("stockAgain"), "openid stock:read", "{found}");

    assert_eq!(found["readable"], "", "{found}");
    let nothing = found["nothing"].as_str().unwrap();
    for empty in ["document.cookie", "localStorage", "sessionStorage"] {
        assert!(nothing.contains(&format!("{empty} is empty")), "{found}");
    }
    // The attempt that "Back" left behind has one of ten minutes.
    let ours = |cookies: &Value| {
        let names = cookies.as_array().unwrap().iter().filter_map(Value::as_str);
        let ours = names.filter(|name| name.starts_with("__"));
        let lasting = ours.filter(|name| !name.starts_with("__Host-bff-login-"));
        lasting.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ours(&found["cookies"]), ["__Host-bff"], "{found}");
    assert_eq!(ours(&found["cookiesAfter"]), [""; 0], "{found}");
    assert_eq!(found["afterLogout"], json!([401, 401, 401]), "{found}");

    assert_eq!(found["nextTime"], at_first, "{found}");
    assert_eq!(found["silentAfterConsent"], 0, "it asked again: {found}");
    assert_eq!(found["afterNextTime"]["see-orders"], Value::Null, "{found}");

    assert_eq!(found["guest"]["see-orders"], Value::Null, "{found}");
    assert_eq!(found["guest"]["see-plan"], lacks("Only for staff"), "{found}");
    let refused = lacks("The provider did not grant this to you");
    assert_eq!(found["guestRelease"]["release-orders"], refused, "{found}");
    let text = "The provider grants you none of this area’s scopes.";
    assert_eq!(found["refused"], text, "{found}");
    assert_eq!(found["axe"], json!([]), "{found}");
    assert_eq!(found["overflow"], 0, "{found}");
}
