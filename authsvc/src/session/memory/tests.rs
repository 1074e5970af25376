//! The memory store keeps what every store does, and its own bounds.

use super::super::index::{By, Indexer};
use super::super::keyring::Keyring;
use super::super::{Purpose, SecretId, store_contract};
use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::random::SystemRandom;

fn fresh() -> StoreKey {
    SecretId::generate(&SystemRandom).store_key(Purpose::Session, "default/shop")
}

fn store(capacity: usize) -> (MemoryStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp(1_000)));
    (MemoryStore::with_capacity(clock.clone(), capacity), clock)
}

#[tokio::test]
async fn keeps_replaces_and_deletes_records() {
    store_contract::keeps_replaces_and_deletes_records(&store(100).0, fresh).await;
}

#[tokio::test]
async fn records_end_with_their_time() {
    let (store, clock) = store(100);
    store_contract::records_end_with_their_time(&store, fresh, async || clock.advance(1)).await;
}

#[tokio::test]
async fn leases_let_one_at_a_time_replace_a_record() {
    let store = MemoryStore::new(Arc::new(SystemClock));
    store_contract::leases_let_one_at_a_time_replace_a_record(&store, fresh).await;
}

#[tokio::test]
async fn leases_end_with_their_time() {
    let (store, clock) = store(100);
    store_contract::leases_end_with_their_time(&store, fresh, async || clock.advance(1)).await;
}

fn indexer() -> Indexer {
    Indexer::new(&Keyring::ephemeral(&SystemRandom), "shop")
}

fn index() -> IndexKey {
    indexer().keys("https://issuer", By::Policy)[0]
}

#[tokio::test]
async fn indexes_find_records_until_their_time() {
    let (store, clock) = store(100);
    let now = clock.now().0;
    store_contract::indexes_find_records_until_their_time(&store, fresh, index, now).await;
    clock.advance(200);
    let records = store.current().0;
    assert!(records.indexes.is_empty() && records.index_ends.is_empty());
}

#[tokio::test]
async fn marks_are_made_once() {
    let mark = || indexer().mark("logout", "https://issuer", "1").expect("there is a key");
    store_contract::marks_are_made_once(&store(100).0, mark).await;
}

#[tokio::test]
async fn changes_are_told_in_order() {
    let (store, _) = store(100);
    store_contract::changes_are_told_in_order(&store, fresh).await;
    assert!(store.listeners().by_number.is_empty(), "a listener that left is still told");
}

#[tokio::test]
async fn a_full_store_refuses_until_a_record_has_ended() {
    let (store, clock) = store(2);
    let ttl = Duration::from_millis(9_001);
    store.create(&fresh(), vec![1], ttl).await.expect("creates");
    store.create(&fresh(), vec![2], ttl).await.expect("creates");
    let error = store.create(&fresh(), vec![3], ttl).await.expect_err("the store is full");
    assert!(error.to_string().contains("full (2 records)"), "{error}");
    clock.advance(9);
    assert!(store.create(&fresh(), vec![3], ttl).await.is_err(), "a record was dropped early");
    clock.advance(1);
    store.create(&fresh(), vec![3], ttl).await.expect("there is room again");
    assert_eq!(store.dump().last(), Some(&3));
}

#[tokio::test]
async fn nothing_is_left_of_records_that_ended_were_replaced_or_deleted() {
    let (store, clock) = store(10);
    let [ended, replaced, taken] = [fresh(), fresh(), fresh()];
    for key in [&ended, &replaced, &taken] {
        store.create(key, vec![1], Duration::from_secs(5)).await.expect("creates");
    }
    let longer = Duration::from_secs(7);
    assert!(store.replace_if_version(&replaced, 1, vec![2], longer).await.expect("runs"));
    store.take(&taken).await.expect("takes");
    let count = |store: &MemoryStore| {
        let records = store.current().0;
        assert_eq!(records.by_key.len(), records.by_end.len());
        records.by_key.len()
    };
    assert_eq!(count(&store), 2);
    clock.advance(5);
    assert_eq!(count(&store), 1);
    clock.advance(2);
    assert_eq!(count(&store), 0);
}
