//! The browser's side of a session, in Chromium: several tabs of it, its end, and forms that meet it.

use serde_json::{Value, json};
use vestibule_e2e::chromium::journey;
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::stack::{Plan, Stack};

through_each_gateway!(a_form_that_the_browser_sends_without_a_session_never_reaches_the_app);

fn run(stack: &Stack, name: &str) -> Value {
    journey(name, stack.dir.path(), json!({"origin": stack.origin}))
}

fn names(cookies: &Value) -> Vec<&str> {
    cookies.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[test]
fn t086_tabs_stay_in_step_and_the_cookie_is_gone_after_a_logout() {
    let stack = Plan::new(Kind::Traefik).start();
    let found = run(&stack, "together");
    assert_eq!(found["errors"], json!([]), "{found}");
    assert_eq!(found["atFirst"], json!([null, null]), "{found}");
    let logged_out =
        json!(["You are logged out", "You have logged out in this browser.", "Log in"]);
    assert_eq!(found["loggedOut"], logged_out, "{found}");
    assert_eq!(found["back"][0], "You are logged out", "{found}");
    assert_eq!(found["backTitle"], "Orders of alice", "it came back as it was left: {found}");
    assert_eq!(found["persisted"], true, "{found}");
    assert_eq!(found["backAtOwn"][0], "You are logged out", "{found}");

    assert!(names(&found["cookiesBefore"]).contains(&"__Host-bff"), "{found}");
    let left = names(&found["cookiesAfter"]);
    assert!(!left.iter().any(|name| name.starts_with("__Host-")), "{found}");
    let sent = found["sentAfter"].to_string();
    assert!(!sent.contains("__Host-"), "{sent}");

    assert_eq!(found["goesOn"], 200, "{found}");
    assert_eq!(found["another"][0], "Another user is logged in", "{found}");
    assert_eq!(found["afterReload"], "bob", "{found}");
    assert_eq!(found["afterReloadDialog"], Value::Null, "{found}");
    assert_eq!(found["callAfter"], 401, "{found}");
    assert_eq!(found["ended"][1], "Your session has been ended.", "{found}");
    assert_eq!(found["endedInOne"][0], "You are logged out", "{found}");
    assert_eq!(found["returned"], stack.url("/page/three"), "{found}");
    assert_eq!(found["violations"], json!([]), "{found}");
    assert_eq!(found["axe"], json!([]), "{found}");
}

#[test]
fn a_user_is_warned_before_the_idle_timeout_and_activity_moves_it() {
    const IDLE: f64 = 9.0;
    let spec = format!("  session: {{idleTimeout: {IDLE}s}}");
    let stack = Plan { spec, ..Plan::new(Kind::Traefik) }.start();
    let input = json!({"origin": stack.origin, "idle": IDLE});
    let found = journey("idle", stack.dir.path(), input);
    assert_eq!(found["whileUsed"], json!([]), "{found}");
    let warned = found["warnedAfter"].as_f64().unwrap();
    assert!(warned > IDLE * 0.4 && warned < IDLE, "{found}");
    let warning = found["warning"].as_str().unwrap();
    assert!(warning.contains("You will be logged out in "), "{found}");
    assert_eq!(found["renewed"], json!([["renew", found["renewed"][0][1]]]), "{found}");
    assert_eq!(found["renewed"][0][1]["subject"], "alice", "{found}");
    // Not kept alive by looking at it, nor ended before its time.
    let ended = found["endedAfter"].as_f64().unwrap();
    assert!(ended > IDLE * 0.8 && ended < IDLE * 5.0, "{found}");
    assert_eq!(found["ends"], json!([[["end", "timeout"]], [["end", "timeout"]]]), "{found}");
    let warnings = found["warnings"].as_array().unwrap();
    assert!(warnings.len() >= 3, "{found}");
    for warning in warnings {
        assert!((0..=3).contains(&warning[1].as_i64().unwrap()), "{found}");
        assert_eq!(warning[2], true, "using it moves the end: {found}");
    }
    assert_eq!(found["dialogs"], 0, "what the app shows itself has no dialog: {found}");
    assert_eq!(found["axe"], json!([]), "{found}");
}

#[test]
fn the_absolute_timeout_is_warned_of_once_and_a_store_that_is_down_is_no_end() {
    let spec = "  session: {idleTimeout: 20s, absoluteTimeout: 20s}".to_owned();
    let stack = Plan { spec, ..Plan::new(Kind::Traefik) }.start();
    let found = run(&stack, "absolute");
    assert_eq!(found["warning"][0], "Your session is about to end", "{found}");
    assert_eq!(found["warning"][2], "OK", "{found}");
    assert!(found["failures"].as_u64().unwrap() >= 1, "{found}");
    assert_eq!(found["whileDown"], json!({"dialogs": 0, "heard": []}), "{found}");
    assert_eq!(found["dialogsAfter"], 0, "the warning comes once: {found}");
    assert_eq!(found["heard"], json!([["end", "timeout"]]), "{found}");
    assert_eq!(found["axe"], json!([]), "{found}");
}

#[test]
fn a_form_survives_the_login_for_its_user_once_and_without_secrets() {
    let stack = Plan::new(Kind::Nginx).start();
    let found = run(&stack, "forms");
    assert_eq!(found["restoredAtFirst"], false, "{found}");
    let body = |outcome: &Value| outcome["echo"]["body"].as_str().unwrap().to_owned();
    assert_eq!(found["sent"]["status"], 200, "{found}");
    let sent = body(&found["sent"]);
    for part in
        ["id=new", "size=m", "gift=on", "colours=red", "colours=blue", "pin=canary-pin", "do=buy"]
    {
        assert!(sent.contains(part), "{part}: {sent}");
    }
    assert_eq!(found["storedAfterSent"], 0, "{found}");

    assert_eq!(found["returned"], stack.url("/page/form?draft=1"), "{found}");
    assert_eq!(found["restored"], true, "{found}");
    let value = |when: &str, name: &str| -> Vec<String> {
        let pairs = found[when].as_array().unwrap().iter();
        let mine = pairs.filter(|pair| pair[0] == name);
        mine.map(|pair| pair[1].as_str().unwrap().replace('\r', "")).collect()
    };
    for name in ["id", "text", "size", "gift", "colours"] {
        assert_eq!(value("after", name), value("before", name), "{name}: {found}");
    }
    assert_eq!(value("after", "text"), ["Two <b>words</b>\nand a line"]);
    assert_eq!(value("after", "pin"), [""], "a password is not kept: {found}");
    assert_eq!(value("after", "card"), [""], "a card is not kept: {found}");
    assert_ne!(value("after", "token"), value("before", "token"), "the page's own is newer");
    assert_eq!(found["events"], json!(["text", "size", "gift", "colours"]), "{found}");
    assert_eq!(found["storedAfter"], 0, "{found}");
    assert_eq!(found["sentAfter"]["status"], 200, "{found}");
    assert!(body(&found["sentAfter"]).contains("colours=blue"), "{found}");
    assert_eq!(found["onceMore"], false, "{found}");

    assert_eq!(found["ofAnother"], false, "{found}");
    assert_eq!(found["ofAnotherText"], "", "{found}");
    assert_eq!(found["storedOfAnother"], 0, "{found}");
    let stays = json!({"url": "/page/form", "status": 401, "length": 70_000});
    assert_eq!(found["tooLarge"], stays, "{found}");
    assert_eq!(found["tooLargeStored"], 0, "{found}");
    assert_eq!(found["goesOn"], 70_000, "{found}");
    assert_eq!(found["axe"], json!([]), "{found}");
}

fn a_form_that_the_browser_sends_without_a_session_never_reaches_the_app(kind: Kind) {
    let stack = Plan::new(kind).start();
    let found = run(&stack, "native");
    let posted = |echo: &Value| echo["target"] == "/page/orders";
    assert!(!stack.app.seen().iter().any(posted), "{found}");
    if kind == Kind::IngressNginx {
        // `auth-signin` turns the 401 into a redirect, which the browser follows as a page of its own.
        assert_eq!(found["answers"][0], json!(["POST", "/page/orders", 302]), "{found}");
        assert_eq!(found["answers"][1], json!(["GET", "/bff/login", 303]), "{found}");
        assert!(found["url"].as_str().unwrap().starts_with(&stack.provider().issuer), "{found}");
    } else {
        assert_eq!(found["answers"], json!([["POST", "/page/orders", 401]]), "{found}");
    }
}
