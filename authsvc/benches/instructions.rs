//! Instructions of a check, counted by valgrind: of a plain one, and of one that gets an elevated token.
//!
//! Without arguments it runs itself under valgrind, with two numbers of checks for each kind: their
//! difference leaves out what it costs to start. Counts do not depend on what else runs. The whole of a
//! check in process is counted: router, dialect, session from memory, decision, headers.

#![expect(clippy::unwrap_used, reason = "a measurement whose parts fail ends, with the reason")]
#![expect(clippy::expect_used, reason = "the same")]
#![expect(dead_code, reason = "the tests of the check use more of what is shared")]

use std::process::Command;
use std::sync::Arc;

use vestibule_authsvc::session::{Grant, SecretId, Session};
use vestibule_authsvc::token::Token;

#[path = "../tests/support/mod.rs"]
mod support;

use support::{Ask, TestApp};

const FEW: u64 = 1_000;
const MANY: u64 = 3_000;
const KINDS: [&str; 2] = ["plain", "elevated"];

const SHOP: &str = r#"
origins: ["https://shop.example.com"]
providerRef: {name: corp}
client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
routes:
  - {path: /, upstream: {authorization: AccessToken, headers: [{name: X-User, value: claims.sub}]}}
authorities:
  - {base: /production, scopes: [{name: "production:read"}]}
"#;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, count] = arguments.as_slice()
        && KINDS.contains(&kind.as_str())
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(checks(kind, count.parse().unwrap()));
    }
    let counts = KINDS.map(|kind| (counted(kind, MANY) - counted(kind, FEW)) / (MANY - FEW));
    println!("| warm check | instructions |\n|---|---|");
    for (kind, count) in KINDS.iter().zip(counts) {
        println!("| {kind} | {count} |");
    }
    let [plain, elevated] = counts.map(|count| f64::from(u32::try_from(count).unwrap()));
    println!("\nelevated to plain: {:.3}", elevated / plain);
    assert!(elevated <= 1.2 * plain, "a warm elevated check costs more than 1.2 of a plain one");
}

/// All instructions of a run with so many checks.
fn counted(kind: &str, count: u64) -> u64 {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args([kind, &count.to_string()])
        .output()
        .expect("valgrind is installed");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    collected.expect("valgrind tells what it counted").1.trim().parse().unwrap()
}

async fn checks(kind: &str, count: u64) {
    let app = TestApp::new(&[("shop", SHOP)]);
    let sessions = Arc::clone(&app.app.sessions);
    let following = tokio::spawn(async move { sessions.follow().await });
    let cookie = app.session("shop", |_| {}).await;
    let policy = app.policy("shop");
    let id = SecretId::parse(cookie.split_once('=').unwrap().1).unwrap();
    let loaded = app.app.sessions.load(&policy, &id).await.unwrap().unwrap();
    let scopes = vec!["production:read".to_owned()];
    let elevated = Session {
        access_token: Token::new("canary-elevated-tok"),
        grant: Some(Grant { asked: scopes.clone(), granted: scopes }),
        ..(*loaded.session).clone()
    };
    let authority = Arc::clone(&policy.authorities()[0]);
    app.app.sessions.elevate(&policy, &authority, &loaded, elevated).await.unwrap().unwrap();
    let target = if kind == "plain" { "/inventory/items" } else { "/production/items" };
    let ask = Ask::get(target).with(&[("cookie", &cookie), ("sec-fetch-site", "same-origin")]);
    for round in 0..count {
        if round % 100 == 0 {
            // News must not be silent for too long: valgrind is slow.
            while !app.app.sessions.answers_from_memory() {
                tokio::task::yield_now().await;
            }
        }
        let answer = ask.ask(&app, "nginx").await;
        assert_eq!(answer.status, http::StatusCode::OK, "{kind}");
        let expected = if kind == "plain" { support::ACCESS_TOKEN } else { "canary-elevated-tok" };
        assert_eq!(answer.header("authorization"), Some(format!("Bearer {expected}").as_str()));
    }
    following.abort();
}
