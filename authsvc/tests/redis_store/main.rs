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
use vestibule_authsvc::session::store::{SessionStore, StoreError};
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
