//! A session in use is checked without its store.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::timeout;
use vestibule_authsvc::audit::{EndReason, Ending};
use vestibule_authsvc::clock::ManualClock;
use vestibule_authsvc::session::SecretId;

use crate::check_access::SHOP;
use crate::cuttable::cuttable;
use crate::support::{Ask, DIALECTS, START, TestApp};

#[tokio::test]
async fn a_warm_check_asks_the_store_nothing_until_the_session_ends() {
    let clock = Arc::new(ManualClock::new(START));
    let store = Arc::new(cuttable(clock.clone()));
    let app = TestApp::with_store(&[("shop", SHOP)], clock, store.clone());
    let sessions = Arc::clone(&app.app.sessions);
    let following = tokio::spawn(async move { sessions.follow().await });
    let warm = async {
        while !app.app.sessions.answers_from_memory() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), warm).await.unwrap();

    let cookie = app.session("shop", |_| {}).await;
    let ask = Ask::get("/api").with(&[("cookie", &cookie)]);
    assert_eq!(ask.ask(&app, "nginx").await.status, StatusCode::OK);
    store.cut_after(0);
    for dialect in DIALECTS {
        for _ in 0..10 {
            assert_eq!(ask.ask(&app, dialect).await.status, StatusCode::OK);
        }
    }
    store.mend();
    let policy = app.policy("shop");
    let id = SecretId::parse(cookie.split_once('=').unwrap().1).unwrap();
    let loaded = app.app.sessions.load(&policy, &id).await.unwrap().unwrap();
    let ending = Ending { reason: EndReason::Logout, by: "user" };
    assert!(app.app.sessions.end(&policy, &loaded, ending).await.unwrap());
    store.cut_after(0);
    // It is known to be over, and needs no store for that.
    assert_eq!(ask.ask(&app, "traefik").await.status, StatusCode::UNAUTHORIZED);
    following.abort();
}
