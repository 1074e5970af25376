//! A real browser through each gateway.

use serde_json::{Value, json};
use vestibule_e2e::chromium::journey;
use vestibule_e2e::echo::{Echo, Echoed as _};
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::stack::Plan;

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
