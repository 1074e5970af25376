//! What comes from memory, what is asked of the store, and who hears of what.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::fixture::{Fixture, IDLE, START};
use crate::audit::{EndReason, Ending};
use crate::random::SystemRandom;
use crate::session::service::Loaded;
use crate::session::store::{Acquired, Change, ChangeListener as _, Owner, SessionStore as _};
use crate::session::{Purpose, SecretId, Session};

const LOGOUT: Ending<'_> = Ending { reason: EndReason::Logout, by: "user" };

#[tokio::test]
async fn a_warm_check_asks_the_store_nothing() {
    let fixture = Fixture::warm();
    let id = fixture.create().await;
    assert!(fixture.load(&id).await.is_some());
    let before = fixture.asked();
    for _ in 0..1_000 {
        assert!(fixture.load(&id).await.is_some());
    }
    assert_eq!(fixture.asked(), before);
    fixture.store.fails.store(true, Ordering::SeqCst);
    assert!(fixture.load(&id).await.is_some(), "a store that fails unnoticed");
}

#[tokio::test]
async fn a_cold_check_asks_the_store_once() {
    let fixture = Fixture::warm();
    let id = fixture.create().await;
    let before = fixture.asked();
    assert!(fixture.load(&id).await.is_some());
    assert_eq!(fixture.asked(), before + 1);
}

#[tokio::test]
async fn without_news_every_check_asks_the_store() {
    let fixture = Fixture::cold();
    let id = fixture.create().await;
    let before = fixture.asked();
    for _ in 0..10 {
        assert!(fixture.load(&id).await.is_some());
    }
    assert_eq!(fixture.asked(), before + 10);
}

#[tokio::test]
async fn a_session_that_is_not_there_is_asked_for_each_time() {
    let fixture = Fixture::warm();
    let id = SecretId::generate(&SystemRandom);
    for _ in 0..3 {
        let before = fixture.asked();
        assert!(fixture.load(&id).await.is_none());
        assert_eq!(fixture.asked(), before + 1, "that there is none was remembered");
    }
}

#[tokio::test]
async fn a_logout_is_seen_on_the_replica_that_did_it_and_on_those_that_hear_of_it() {
    let fixture = Fixture::warm();
    let (id, other) = (fixture.create().await, fixture.beside());
    let loaded = fixture.load(&id).await.expect("there is a session");
    assert!(fixture.load_at(&other, &fixture.shop, &id).await.is_some());
    let loaded = Loaded { key: fixture.shop.key(&id), session: Arc::new(loaded) };
    let terms = fixture.shop.terms();
    assert!(fixture.sessions.end_session(terms, &loaded, LOGOUT).await.expect("ends"));
    assert!(fixture.load(&id).await.is_none());
    assert!(fixture.load_at(&other, &fixture.shop, &id).await.is_none());
    assert!(!other.end_session(terms, &loaded, LOGOUT).await.expect("ends"), "it ended twice");
}

#[tokio::test]
async fn a_logout_that_the_store_did_not_answer_leaves_nothing_in_memory() {
    let fixture = Fixture::warm();
    let id = fixture.create().await;
    let session = fixture.load(&id).await.expect("there is a session");
    let loaded = Loaded { key: fixture.shop.key(&id), session: Arc::new(session) };
    fixture.store.fails.store(true, Ordering::SeqCst);
    assert!(fixture.sessions.end_session(fixture.shop.terms(), &loaded, LOGOUT).await.is_err());
    // As if the store had done it, and only its answer was lost.
    fixture.store.fails.store(false, Ordering::SeqCst);
    assert!(fixture.store.inner.take(&loaded.key).await.expect("takes").is_some());
    assert!(fixture.load(&id).await.is_none());
}

#[tokio::test]
async fn what_a_refresh_replaced_is_read_again() {
    let fixture = Fixture::warm();
    let id = fixture.create().await;
    let key = fixture.shop.key(&id);
    assert!(fixture.load(&id).await.is_some());
    let (owner, minute) = (Owner([1; 16]), Duration::from_mins(1));
    let acquired = fixture.store.acquire(&key, owner, minute).await.expect("runs");
    let Acquired::Mine { fence, .. } = acquired else { panic!("nobody has the lease") };
    let refreshed = Session { subject: "refreshed".to_owned(), ..super::session(START) };
    let sealer = &fixture.shop.session_sealer;
    let sealed = fixture.sessions.seal(sealer, &key, &refreshed).expect("seals");
    assert!(fixture.store.complete(&key, owner, fence, sealed, minute).await.expect("runs"));
    assert_eq!(fixture.load(&id).await.expect("there is a session").subject, "refreshed");
}

#[tokio::test]
async fn a_session_that_another_replica_kept_in_use_is_not_over_here() {
    let fixture = Fixture::warm();
    let (id, other) = (fixture.create().await, fixture.beside());
    assert!(fixture.load(&id).await.is_some());
    for _ in 0..3 {
        fixture.clock.advance(IDLE / 2);
        assert!(fixture.load_at(&other, &fixture.shop, &id).await.is_some());
    }
    // What is in memory here looks over for long.
    let loaded = fixture.load(&id).await.expect("the session is in use");
    assert_eq!(loaded.touched_at, START.plus(3 * (IDLE / 2)));
}

#[tokio::test]
async fn a_use_that_another_replica_noted_first_is_read_and_not_noted_again() {
    let fixture = Fixture::warm();
    let (id, other) = (fixture.create().await, fixture.beside());
    assert!(fixture.load(&id).await.is_some());
    fixture.clock.advance(IDLE / 10);
    assert!(fixture.load_at(&other, &fixture.shop, &id).await.is_some());
    let tried = fixture.replaced();
    let loaded = fixture.load(&id).await.expect("there is a session");
    assert_eq!(loaded.touched_at, START.plus(IDLE / 10));
    assert_eq!(fixture.replaced(), tried + 1, "one try with the old version, no other");
    assert!(fixture.load(&id).await.is_some());
    assert_eq!(fixture.replaced(), tried + 1);
}

#[tokio::test]
async fn a_use_that_cannot_be_noted_is_not_tried_by_every_check() {
    let fixture = Fixture::warm();
    let id = fixture.create().await;
    assert!(fixture.load(&id).await.is_some());
    fixture.clock.advance(IDLE / 10);
    fixture.store.fails_to_write.store(true, Ordering::SeqCst);
    let asked = fixture.asked();
    for _ in 0..100 {
        assert!(fixture.load(&id).await.is_some());
    }
    assert_eq!(fixture.asked(), asked + 1);
}

#[tokio::test]
async fn another_version_of_the_policy_finds_nothing_in_memory() {
    let fixture = Fixture::warm();
    let id = fixture.create().await;
    assert!(fixture.load(&id).await.is_some());
    let before = fixture.asked();
    let key = fixture.shop.key(&id);
    assert!(fixture.sessions.cache.get(&key, fixture.desk.session_sealer.id()).is_none());
    assert!(fixture.load_at(&fixture.sessions, &fixture.desk, &id).await.is_none());
    assert_eq!(fixture.asked(), before + 1);
}

#[tokio::test]
async fn news_wakes_who_asked_for_it_before_and_nobody_else() {
    let fixture = Fixture::warm();
    let [key, other] =
        [(); 2].map(|()| SecretId::generate(&SystemRandom).store_key(Purpose::Session, "shop"));
    let (mut news, mut elsewhere) = (fixture.sessions.news(&key), fixture.sessions.news(&other));
    fixture.store.delete(&key).await.expect("deletes");
    let second = Duration::from_secs(1);
    timeout(second, news.heard()).await.expect("news that came before the wait");
    let at_once = Duration::ZERO;
    assert!(timeout(at_once, news.heard()).await.is_err(), "the same news twice");
    assert!(timeout(at_once, elsewhere.heard()).await.is_err(), "news of another key");
    fixture.sessions.cache.changed(&other, Change::Replaced);
    timeout(second, elsewhere.heard()).await.expect("news");
    // What may have been missed wakes everybody.
    fixture.sessions.cache.interrupted();
    fixture.sessions.cache.up_to_date(Instant::now());
    for news in [&mut news, &mut elsewhere] {
        timeout(second, news.heard()).await.expect("news may have been missed");
    }
}
