//! A session that ended stays ended, though the store brings it back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::fixture::{ABSOLUTE, Fixture, IDLE, Policy, START, session};
use crate::audit::{EndReason, Ending};
use crate::session::service::{Loaded, Sessions, Terms};
use crate::session::store::{ChangeListener as _, SessionStore as _};
use crate::session::{SecretId, StoreKey};

const LOGOUT: Ending<'_> = Ending { reason: EndReason::Logout, by: "user" };
const HOUR: Duration = Duration::from_hours(1);

/// Ends the session, and gives its record as it was.
async fn end(fixture: &Fixture, id: &SecretId) -> (StoreKey, Vec<u8>) {
    let key = fixture.shop.key(id);
    let record = fixture.store.load(&key).await.expect("loads").expect("there is a record");
    let loaded = Loaded { key, session: Arc::new(session(START)) };
    let terms = fixture.shop.terms();
    assert!(fixture.sessions.end_session(terms, &loaded, LOGOUT).await.expect("ends"));
    (key, record.value)
}

/// As a failover to a copy that had not heard of the end.
async fn bring_back(fixture: &Fixture, key: &StoreKey, record: Vec<u8>) {
    fixture.store.inner.create(key, record, HOUR).await.expect("creates");
}

#[tokio::test]
async fn r50_an_ended_session_that_is_back_in_the_store_is_refused_and_deleted_again() {
    for fixture in Fixture::both() {
        let (id, other) = (fixture.create().await, fixture.beside());
        let (key, record) = end(&fixture, &id).await;
        for replica in [&fixture.sessions, &other] {
            bring_back(&fixture, &key, record.clone()).await;
            assert!(fixture.load_at(replica, &fixture.shop, &id).await.is_none());
            assert!(fixture.store.load(&key).await.expect("loads").is_none(), "it stays");
        }
    }
}

#[tokio::test]
async fn r50_an_ended_session_is_none_though_the_store_does_not_answer() {
    let fixture = Fixture::warm();
    let id = fixture.create().await;
    end(&fixture, &id).await;
    fixture.store.fails.store(true, Ordering::SeqCst);
    assert!(fixture.load(&id).await.is_none());
}

#[tokio::test]
async fn an_ended_session_is_found_by_nobody() {
    let fixture = Fixture::warm();
    let id = fixture.create().await;
    let index =
        super::super::index_entries(fixture.shop.terms(), &fixture.shop.key(&id), &session(START));
    let (key, record) = end(&fixture, &id).await;
    bring_back(&fixture, &key, record).await;
    fixture.store.inner.index(&index).await.expect("indexes");
    assert!(found(&fixture.sessions, &fixture.shop).await.is_empty());
}

#[tokio::test]
async fn a_session_that_may_live_longer_than_at_its_login_is_found_for_as_long() {
    let fixture = Fixture::cold();
    let key = fixture.shop.key(&fixture.create().await);
    let longer = || Terms { absolute_timeout: 10 * ABSOLUTE, ..fixture.shop.terms() };
    for _ in 0..(4 * ABSOLUTE / IDLE) {
        fixture.clock.advance(IDLE / 2);
        let loaded = fixture.sessions.load_session(longer(), &key).await.expect("loads");
        assert!(loaded.is_some());
    }
    let by = crate::session::index::By::ProviderSession("canary-sid");
    let issuer = super::fixture::ISSUER;
    let page = fixture.sessions.find_sessions(longer(), issuer, by, 0, 10).await.expect("finds");
    assert_eq!(page.sessions.len(), 1, "no logout of the provider would find it");
}

async fn found(sessions: &Sessions, policy: &Policy) -> Vec<StoreKey> {
    let by = crate::session::index::By::Subject("canary-subject");
    let issuer = super::fixture::ISSUER;
    let page = sessions.find_sessions(policy.terms(), issuer, by, 0, 10).await.expect("finds");
    page.sessions.into_iter().map(|loaded| loaded.key).collect()
}

#[tokio::test]
async fn after_an_interruption_what_ended_is_deleted_again_without_being_asked_for() {
    let fixture = Fixture::warm();
    let other = fixture.beside();
    let following = {
        let other = Arc::clone(&other);
        tokio::spawn(async move { other.follow().await })
    };
    let (ended, kept) = (fixture.create().await, fixture.create().await);
    let (key, record) = end(&fixture, &ended).await;
    bring_back(&fixture, &key, record).await;
    other.cache.interrupted();
    other.cache.up_to_date(Instant::now());
    let gone = async {
        while fixture.store.inner.load(&key).await.expect("loads").is_some() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.expect("it is deleted again");
    assert!(fixture.load(&kept).await.is_some(), "another session ended");
    following.abort();
}
