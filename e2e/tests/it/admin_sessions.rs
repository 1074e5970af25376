//! An admin of a standalone service, with the real command: what it lists is there, what it ends is
//! gone at the gateway, and who did it is in the audit log.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::stack::{Plan, Stack};
use vestibule_e2e::tools::binary;

const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn sessions(stack: &Stack, token: &Path, arguments: &[&str]) -> Output {
    let server = format!("http://{}", stack.authsvc.admin);
    let mut command = Command::new(binary("vestibule"));
    command.arg("sessions").args(arguments).args(["--server", &server, "--token-file"]);
    command.arg(token).stdin(Stdio::null()).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_admin_lists_and_ends_the_sessions_of_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let mut plan = Plan::new(Kind::Nginx);
    plan.arguments = vec!["--admin-token-file".to_owned(), token.display().to_string()];
    let stack = plan.start();
    let mut alice = [stack.logged_in("alice"), stack.logged_in("alice")];
    let mut bob = stack.logged_in("bob");

    let all = json(&sessions(&stack, &token, &["list", "-o", "json"]));
    assert_eq!(all["sessions"].as_array().unwrap().len(), 3, "{all}");
    let table = sessions(&stack, &token, &["list", "--user=bob"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("default/shop") && table.contains("bob"), "{table}");
    assert!(!table.contains("alice"), "{table}");
    for browser in &alice {
        let cookie = browser.cookie("__Host-bff").unwrap();
        assert!(!all.to_string().contains(cookie), "a cookie is shown");
    }

    // Nobody says yes.
    let asked = sessions(&stack, &token, &["end", "--user=alice"]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("End these 2 sessions?"));
    let ended = sessions(&stack, &token, &["end", "--user=alice", "--yes", "-o", "json"]);
    assert_eq!(json(&ended)["ended"], 2);
    for browser in &mut alice {
        assert_eq!(browser.fetch(&stack.origin, &stack.url("/api")).status, 401);
    }
    assert_eq!(bob.fetch(&stack.origin, &stack.url("/api")).status, 200);
    assert!(stack.authsvc.logs("the admin token", Duration::from_secs(5)));
    let log = stack.authsvc.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("session_ended")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines.iter().all(|line| line.contains("vestibule::audit") && line.contains("alice")));
    assert!(!log.contains(TOKEN));

    std::fs::write(&token, TOKEN.replace('0', "1")).unwrap();
    let stale = dir.path().join("stale");
    std::fs::write(&stale, TOKEN).unwrap();
    let refused = sessions(&stack, &stale, &["list"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("401"));
}
