//! What every session store must do, as tests that any store can be put to.
//!
//! Included by the unit tests (memory) and by `tests/redis_store.rs` (a real server), so it names
//! only what is beside it in both: `super::store` and `super::StoreKey`.

use std::time::Duration;

use futures_util::future::join_all;

use super::StoreKey;
use super::store::{SessionStore, Versioned};

const LONG: Duration = Duration::from_hours(1);

/// Everything but time; `fresh` gives a key that was never used.
pub async fn keeps_replaces_and_deletes_records(
    store: &dyn SessionStore,
    fresh: impl Fn() -> StoreKey,
) {
    creates_once_and_loads_bytes_as_they_were(store, &fresh()).await;
    replaces_only_the_version_that_was_read(store, &fresh()).await;
    lets_one_of_several_replacers_win(store, &fresh()).await;
    deletes_without_asking_what_is_there(store, &fresh()).await;
    gives_a_record_to_one_of_several_takers(store, &fresh()).await;
    keeps_keys_apart(store, &fresh(), &fresh()).await;
}

/// A record ends with its time to live, and a replacement's time counts from the replacement.
/// `pass` lets a little time pass: two seconds in at most `TURNS` turns.
pub async fn records_end_with_their_time(
    store: &dyn SessionStore,
    fresh: impl Fn() -> StoreKey,
    pass: impl AsyncFn(),
) {
    const TURNS: usize = 1000;
    let (short, prolonged) = (fresh(), fresh());
    let second = Duration::from_secs(1);
    store.create(&short, b"short".to_vec(), second).await.expect("creates");
    store.create(&prolonged, b"long".to_vec(), second).await.expect("creates");
    assert!(store.replace_if_version(&prolonged, 1, b"longer".to_vec(), LONG).await.expect("runs"));
    for _ in 0..TURNS {
        pass().await;
        if store.load(&short).await.expect("loads").is_none() {
            let kept = store.load(&prolonged).await.expect("loads").map(|record| record.value);
            assert_eq!(kept.as_deref(), Some(b"longer".as_slice()));
            assert!(!store.replace_if_version(&short, 1, vec![1], LONG).await.expect("runs"));
            assert_eq!(store.take(&short).await.expect("runs"), None);
            return;
        }
    }
    panic!("the record outlived its time");
}

async fn creates_once_and_loads_bytes_as_they_were(store: &dyn SessionStore, key: &StoreKey) {
    assert_eq!(store.load(key).await.expect("loads"), None);
    let value: Vec<u8> = (0..=255).chain([0, 13, 10, 0]).collect();
    store.create(key, value.clone(), LONG).await.expect("creates");
    assert!(store.create(key, b"other".to_vec(), LONG).await.is_err(), "a record was overwritten");
    let loaded = store.load(key).await.expect("loads");
    assert_eq!(loaded, Some(Versioned { version: 1, value }));
}

async fn replaces_only_the_version_that_was_read(store: &dyn SessionStore, key: &StoreKey) {
    let replace = async |version, value: &[u8]| {
        store.replace_if_version(key, version, value.to_vec(), LONG).await
    };
    assert!(!replace(1, b"none").await.expect("runs"), "replaced what is not there");
    assert!(!replace(0, b"none").await.expect("runs"), "replaced what is not there");
    assert_eq!(store.load(key).await.expect("loads"), None);
    store.create(key, b"one".to_vec(), LONG).await.expect("creates");
    assert!(replace(1, b"two").await.expect("runs"));
    assert!(!replace(1, b"late").await.expect("runs"), "an old version replaced a new one");
    assert!(!replace(3, b"early").await.expect("runs"), "a version to come was replaced");
    let loaded = store.load(key).await.expect("loads");
    assert_eq!(loaded, Some(Versioned { version: 2, value: b"two".to_vec() }));
}

async fn lets_one_of_several_replacers_win(store: &dyn SessionStore, key: &StoreKey) {
    store.create(key, b"one".to_vec(), LONG).await.expect("creates");
    let racers = (0..8_u8).map(|racer| store.replace_if_version(key, 1, vec![racer], LONG));
    let won = join_all(racers).await.into_iter().filter(|won| *won.as_ref().expect("runs"));
    assert_eq!(won.count(), 1);
}

async fn deletes_without_asking_what_is_there(store: &dyn SessionStore, key: &StoreKey) {
    store.delete(key).await.expect("deleting nothing is no error");
    store.create(key, b"one".to_vec(), LONG).await.expect("creates");
    store.delete(key).await.expect("deletes");
    assert_eq!(store.load(key).await.expect("loads"), None);
    store.create(key, b"two".to_vec(), LONG).await.expect("creates anew");
}

async fn gives_a_record_to_one_of_several_takers(store: &dyn SessionStore, key: &StoreKey) {
    store.create(key, b"once".to_vec(), LONG).await.expect("creates");
    let taken = join_all((0..8).map(|_| store.take(key))).await;
    let got: Vec<_> = taken.into_iter().filter_map(|taken| taken.expect("takes")).collect();
    assert_eq!(got, [b"once".to_vec()]);
}

async fn keeps_keys_apart(store: &dyn SessionStore, one: &StoreKey, other: &StoreKey) {
    store.create(one, b"one".to_vec(), LONG).await.expect("creates");
    assert_eq!(store.load(other).await.expect("loads"), None);
    store.delete(other).await.expect("deletes");
    assert!(store.load(one).await.expect("loads").is_some());
}
