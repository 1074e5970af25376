//! The Redis store against real servers, with outages. Needs `redis-server`, `redis-cli` (and for TLS
//! `openssl`) in `PATH`; without them the tests say so and pass, unless `VESTIBULE_REQUIRE_REAL` is
//! set.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod access;
mod cluster;
mod feed;
mod outages;
mod relay;
mod sentinel;
mod server;
#[path = "../../src/session/store_contract.rs"]
mod store_contract;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use vestibule_authsvc::clock::{Clock as _, SystemClock, Timestamp};
use vestibule_authsvc::random::SystemRandom;
use vestibule_authsvc::session::index::{By, IndexKey, Indexer, MarkKey};
use vestibule_authsvc::session::keyring::Keyring;
use vestibule_authsvc::session::redis::RedisStore;
use vestibule_authsvc::session::store::{Acquired, Owner, SessionStore, StoreError};
use vestibule_authsvc::session::{Purpose, SecretId, StoreKey, index, store};

use server::Server;

const LONG: Duration = Duration::from_hours(1);
/// What an outage may take to be answered, and to be over after the server's return.
const BOUND: Duration = Duration::from_secs(2);

fn fresh() -> StoreKey {
    SecretId::generate(&SystemRandom).store_key(Purpose::Session, "default/shop")
}

/// The answer, which must come within the bound, error or not.
async fn bounded<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(BOUND, call).await.expect("the store answers within two seconds")
}

/// Calls until there is no error, as requests would; panics after the bound.
async fn recovered(store: &RedisStore, key: &StoreKey) -> Option<Vec<u8>> {
    let until_good = async {
        loop {
            match store.load(key).await {
                Ok(record) => return record.map(|record| record.value),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(BOUND, until_good).await.expect("the store is back within two seconds")
}

fn indexer() -> Indexer {
    Indexer::new(&Keyring::ephemeral(&SystemRandom), "shop")
}

fn fresh_index() -> IndexKey {
    indexer().keys("https://issuer", By::Policy)[0]
}

fn fresh_mark() -> MarkKey {
    indexer().mark("logout", "https://issuer", "1").expect("there is a key")
}

/// Everything that any store must do.
async fn holds_the_contract(store: &RedisStore) {
    let pass = async || sleep(Duration::from_millis(10)).await;
    store_contract::keeps_replaces_and_deletes_records(store, fresh).await;
    store_contract::leases_let_one_at_a_time_replace_a_record(store, fresh).await;
    store_contract::records_end_with_their_time(store, fresh, pass).await;
    store_contract::leases_end_with_their_time(store, fresh, pass).await;
    let now = SystemClock.now().0;
    store_contract::indexes_find_records_until_their_time(store, fresh, fresh_index, now).await;
    store_contract::marks_are_made_once(store, fresh_mark).await;
    store_contract::changes_are_told_in_order(store, fresh).await;
}

#[tokio::test]
async fn one_server_holds_the_contract_of_all_stores() {
    let Some(server) = Server::start(&[]).await else { return };
    holds_the_contract(&server.store()).await;
}

#[tokio::test]
async fn a_lease_that_a_failover_gave_to_another_under_the_same_fence_is_over() {
    let Some(server) = Server::start(&[]).await else { return };
    let (store, key, owner) = (server.store(), fresh(), Owner([1; 16]));
    store.create(&key, b"old".to_vec(), LONG).await.expect("creates");
    let Ok(Acquired::Mine { fence, record }) = store.acquire(&key, owner, LONG).await else {
        panic!("nobody else has the lease")
    };
    // The new primary had heard neither of the lease nor of its fence, and counted to the same one.
    let lease = key.lease_text();
    assert_eq!(server.cli(&["-n", "1", "SET", &lease, "another"]).trim(), "OK");
    assert!(!store.complete(&key, owner, fence, vec![1], LONG).await.expect("runs"));
    assert!(!store.delete_under_lease(&key, owner, fence).await.expect("runs"));
    assert_eq!(store.load(&key).await.expect("loads"), Some(record));
    // Given back without a new record, it stands in nobody's way.
    assert_eq!(server.cli(&["-n", "1", "SET", &lease, ""]).trim(), "OK");
    assert!(store.complete(&key, owner, fence, b"new".to_vec(), LONG).await.expect("runs"));
}
