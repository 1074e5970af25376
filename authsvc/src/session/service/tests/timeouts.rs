//! Sessions that time out while nobody uses them are looked for, and ended once.

use super::fixture::{ABSOLUTE, Fixture, IDLE, ISSUER};
use crate::session::index::By;
use crate::session::service::terms::KEPT_AFTER_ITS_END;
use crate::session::service::{Sessions, Terms};
use crate::session::store::SessionStore as _;

/// Looks once; `true`: there may be others.
async fn look(fixture: &Fixture, at: &Sessions) -> bool {
    at.end_those_over(fixture.shop.terms()).await.expect("looks")
}

#[tokio::test]
async fn a_session_that_nobody_used_is_ended_by_whoever_looks_first() {
    let fixture = Fixture::warm();
    let (id, other) = (fixture.create().await, fixture.beside());
    fixture.clock.advance(IDLE - 1);
    assert!(look(&fixture, &fixture.sessions).await, "one is left");
    assert!(fixture.load(&id).await.is_some(), "it was not over");
    fixture.clock.advance(IDLE);
    let key = fixture.shop.key(&id);
    assert!(
        fixture.store.load(&key).await.expect("loads").is_some(),
        "it can be told whose it was"
    );
    assert!(!look(&fixture, &other).await);
    assert!(fixture.store.load(&key).await.expect("loads").is_none());
    assert!(!look(&fixture, &fixture.sessions).await);
}

#[tokio::test]
async fn more_sessions_than_one_look_holds_are_all_ended() {
    let fixture = Fixture::cold();
    for _ in 0..250 {
        fixture.create().await;
    }
    fixture.clock.advance(IDLE);
    assert!(!look(&fixture, &fixture.sessions).await);
    for by in [By::End, By::Policy] {
        let index = fixture.shop.indexer.keys(ISSUER, by)[0];
        assert_eq!(fixture.store.indexed(&index, 0, 1).await.expect("looks"), [], "{by:?}");
    }
}

#[tokio::test]
async fn a_session_whose_policy_grants_more_time_by_now_is_left() {
    let fixture = Fixture::cold();
    let id = fixture.create().await;
    fixture.clock.advance(IDLE);
    let longer = Terms { idle_timeout: ABSOLUTE, ..fixture.shop.terms() };
    assert!(fixture.sessions.end_those_over(longer).await.expect("looks"), "it is still there");
    let key = fixture.shop.key(&id);
    assert!(fixture.store.load(&key).await.expect("loads").is_some());
    fixture.clock.advance(ABSOLUTE);
    assert!(!fixture.sessions.end_those_over(longer).await.expect("looks"));
    assert!(fixture.store.load(&key).await.expect("loads").is_none());
}

#[tokio::test]
async fn a_record_that_nobody_looks_for_is_dropped_by_the_store() {
    let fixture = Fixture::cold();
    let id = fixture.create().await;
    fixture.clock.advance(IDLE + KEPT_AFTER_ITS_END);
    let key = fixture.shop.key(&id);
    assert!(fixture.store.load(&key).await.expect("loads").is_none());
    assert!(!look(&fixture, &fixture.sessions).await);
}

#[tokio::test]
async fn a_session_kept_after_its_end_is_no_session() {
    for fixture in Fixture::both() {
        let id = fixture.create().await;
        fixture.clock.advance(IDLE);
        assert!(fixture.load(&id).await.is_none());
    }
}
