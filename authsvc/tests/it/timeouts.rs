//! Sessions that nobody uses are looked for, by every replica, and end with one line each.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::advance;
use vestibule_authsvc::clock::ManualClock;
use vestibule_authsvc::oidc::Providers;
use vestibule_authsvc::policies::{Policies, PolicyEntry};
use vestibule_authsvc::random::SeededRandom;
use vestibule_authsvc::session::keyring::Keyring;
use vestibule_authsvc::session::memory::MemoryStore;
use vestibule_authsvc::session::store::SessionStore;

use crate::audit_lines::AuditLines;
use crate::support::{START, TestApp, compiled};

const SHOP: &str = r#"
origins: ["https://shop.example.com"]
providerRef: {name: corp}
client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
"#;

/// Two replicas on one store.
fn replicas() -> [TestApp; 2] {
    let clock = Arc::new(ManualClock::new(START));
    let store: Arc<dyn SessionStore> = Arc::new(MemoryStore::new(clock.clone()));
    [(); 2].map(|()| TestApp::with_store(&[("shop", SHOP)], clock.clone(), Arc::clone(&store)))
}

fn looking(app: &TestApp, policies: Arc<Policies>) -> JoinHandle<()> {
    let sessions = Arc::clone(&app.app.sessions);
    tokio::spawn(async move { sessions.end_timeouts(&policies).await })
}

/// Lets so many seconds pass for tasks, one after the other.
async fn pass(seconds: u32) {
    for _ in 0..seconds {
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
}

fn ends(lines: &AuditLines) -> Vec<[String; 3]> {
    lines.take(["event", "subject", "reason"])
}

fn one_end() -> Vec<[String; 3]> {
    vec![["session_ended", "u-1", "timeout"].map(str::to_owned)]
}

#[tokio::test(start_paused = true)]
async fn a_session_begun_here_is_ended_within_a_minute_of_its_timeout() {
    let [app, _] = replicas();
    let looking = looking(&app, Arc::clone(&app.app.policies));
    pass(5).await;
    let lines = AuditLines::keep();
    app.session("shop", |_| {}).await;
    pass(120).await;
    assert!(ends(&lines).is_empty(), "it is not over");
    app.clock.advance(app.policy("shop").compiled.session.idle_timeout);
    pass(61).await;
    assert_eq!(ends(&lines), one_end());
    pass(120).await;
    assert!(ends(&lines).is_empty(), "once");
    looking.abort();
}

#[tokio::test(start_paused = true)]
async fn a_session_of_a_replica_that_is_gone_is_ended_within_an_hour() {
    let [app, gone] = replicas();
    let looking = looking(&app, Arc::clone(&app.app.policies));
    pass(5).await;
    gone.session("shop", |_| {}).await;
    let lines = AuditLines::keep();
    app.clock.advance(app.policy("shop").compiled.session.idle_timeout);
    pass(3_600).await;
    assert_eq!(ends(&lines), one_end());
    looking.abort();
}

#[tokio::test(start_paused = true)]
async fn policies_that_load_after_the_start_are_looked_at_first_of_all() {
    let [app, gone] = replicas();
    gone.session("shop", |_| {}).await;
    let lines = AuditLines::keep();
    let random = Arc::new(SeededRandom::default());
    let policies = Arc::new(Policies::new(Providers::new(app.clock.clone(), random.clone())));
    let looking = looking(&app, Arc::clone(&policies));
    pass(90).await;
    app.clock.advance(app.policy("shop").compiled.session.idle_timeout);
    let entry = PolicyEntry::accepted(Arc::new(compiled("shop", SHOP)));
    // The same keys as every replica of these tests has.
    let keyring = Arc::new(Keyring::ephemeral(&*random));
    assert!(policies.install(vec![entry], &keyring).is_empty());
    pass(61).await;
    assert_eq!(ends(&lines), one_end());
    looking.abort();
}
