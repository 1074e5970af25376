//! A real browser through each gateway, and the demo as a visitor sees it.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule_e2e::chromium::journey;
use vestibule_e2e::echo::{Echo, Echoed as _};
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::process::{Process, accepts, free_port, loopback};
use vestibule_e2e::stack::Plan;
use vestibule_e2e::tools::binary;

through_each_gateway!(a_user_logs_in_calls_the_api_and_logs_out_in_chromium);

fn a_user_logs_in_calls_the_api_and_logs_out_in_chromium(kind: Kind) {
    let stack = Plan::new(kind).start();
    let elsewhere = Echo::start();
    let found = journey(
        "gateway",
        stack.dir.path(),
        // Another host of the same machine is another site.
        json!({"origin": stack.origin, "elsewhere": format!("http://{}/page", elsewhere.address)}),
    );
    let with = &found["withScripts"];
    assert_eq!(with["anonymous"], 401, "{found}");
    assert_eq!(with["anonymousSession"], Value::Null, "{found}");
    assert_eq!(with["provider"], stack.provider().issuer, "{found}");
    assert_eq!(
        with["returned"].as_str().unwrap().split('#').next().unwrap(),
        stack.url("/page/deep?x=1&y=a%20b")
    );
    assert_eq!(with["api"].values("x-user"), ["alice"], "{found}");
    assert!(with["api"].values("authorization")[0].starts_with("Bearer "), "{found}");
    assert_eq!(with["session"]["subject"], "alice", "{found}");
    assert_eq!(with["post"]["status"], 200, "{found}");
    assert_eq!(with["post"]["echo"]["method"], "POST", "{found}");
    assert!(!with["scriptsSee"].as_str().unwrap().contains("bff"), "{found}");
    assert_eq!(with["cookie"]["httpOnly"], true, "{found}");
    assert_eq!(with["cookie"]["secure"], true, "{found}");
    assert_eq!(with["cookie"]["sameSite"], "Lax", "{found}");
    let evil = |echo: &Value| echo["target"] == "/api/evil";
    assert!(!stack.app.seen().iter().any(evil), "another site's request reached the app");
    assert_eq!(with["after"], 401, "{found}");
    let left = with["leftCookies"].as_array().unwrap();
    assert!(!left.iter().any(|name| name.as_str().unwrap().starts_with("__Host-")), "{found}");
    assert_eq!(with["axe"], json!([]), "{found}");

    let without = &found["withoutScripts"];
    assert_eq!(without["returned"], stack.url("/page/deep?x=1"), "{found}");
    assert_eq!(without["restarted"], "Log in", "{found}");
    assert!(!without["links"].as_array().unwrap().is_empty(), "{found}");
}

#[test]
fn ten_tabs_log_in_at_once() {
    let stack = Plan::new(Kind::Traefik).start();
    let found = journey("tabs", stack.dir.path(), json!({"origin": stack.origin}));
    let urls: Vec<_> = (0..10).map(|n| stack.url(&format!("/page/{n}?tab={n}"))).collect();
    assert_eq!(found["urls"], json!(urls), "{found}");
    assert_eq!(found["titles"], json!(vec!["The shop"; 10]), "{found}");
}

#[test]
fn a_strict_cookie_works_in_chromium() {
    let spec = "  session: {cookie: {sameSite: Strict}}".to_owned();
    let stack = Plan { spec, ..Plan::new(Kind::Nginx) }.start();
    let found = journey("strict", stack.dir.path(), json!({"origin": stack.origin}));
    assert_eq!(found["url"], stack.url("/page/deep?x=1"), "{found}");
    assert_eq!(found["status"], 200, "{found}");
    assert_eq!(found["cookie"]["sameSite"], "Strict", "{found}");
}

#[test]
fn the_demo_shows_the_user_calls_the_api_and_logs_out() {
    let dir = TempDir::new().unwrap();
    let port = free_port();
    let mut command = Command::new(binary("vestibule"));
    command.args(["demo", "--no-open", "--port", &port.to_string()]);
    let mut demo = Process::spawn("demo", &mut command, &dir.path().join("demo.log"));
    let line = demo.wait_ready(Duration::from_secs(30), || {
        let log = demo_log(dir.path());
        let line = log.lines().find(|line| line.contains("Log in as"))?.to_owned();
        accepts(loopback(port)).then_some(line)
    });
    // "Log in as USER password PASSWORD groups: …"
    let words: Vec<_> = line.split_whitespace().collect();
    let found = journey(
        "demo",
        dir.path(),
        json!({
            "origin": format!("http://localhost:{port}"),
            "user": words[3],
            "password": words[5],
        }),
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

fn demo_log(dir: &std::path::Path) -> String {
    std::fs::read_to_string(dir.join("demo.log")).unwrap_or_default()
}
