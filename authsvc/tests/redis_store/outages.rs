//! One server that is down, hangs, forgets its data, is full, or loses an answer.

use super::relay::Relay;
use super::server::url_at;
use super::store::{Acquired, Owner};
use super::*;

#[tokio::test]
async fn a_store_that_is_down_at_the_start_is_used_once_it_is_up() {
    let Some(mut server) = Server::start(&[]).await else { return };
    server.stop();
    let (store, key) = (server.store(), fresh());
    for _ in 0..3 {
        let error = bounded(store.load(&key)).await.expect_err("there is no server");
        assert!(!error.to_string().contains("hunter2"), "{error} shows the password");
    }
    server.start_again().await;
    assert_eq!(recovered(&store, &key).await, None);
    bounded(store.create(&key, b"up".to_vec(), LONG)).await.expect("creates");
}

#[tokio::test]
async fn an_outage_is_an_error_within_two_seconds_and_over_two_seconds_after_it() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let (store, key) = (server.store(), fresh());
    bounded(store.create(&key, b"before".to_vec(), LONG)).await.expect("creates");
    server.stop();
    for _ in 0..3 {
        bounded(store.load(&key)).await.expect_err("there is no server");
        bounded(store.take(&key)).await.expect_err("there is no server");
        bounded(store.replace_if_version(&key, 1, vec![1], LONG)).await.expect_err("no server");
    }
    server.start_again().await;
    assert_eq!(recovered(&store, &key).await, None, "it kept nothing on disk");
}

#[tokio::test]
async fn a_connection_that_died_unused_is_noticed_by_no_caller() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let (store, key) = (server.store(), fresh());
    for _ in 0..3 {
        bounded(store.create(&key, b"kept".to_vec(), LONG)).await.expect("creates");
        server.stop();
        server.start_again().await;
    }
    assert!(bounded(store.load(&key)).await.expect("loads").is_none());
}

#[tokio::test]
async fn a_server_that_hangs_is_an_error_and_its_records_are_there_afterwards() {
    let Some(server) = Server::start(&[]).await else { return };
    let (store, key) = (server.store(), fresh());
    bounded(store.create(&key, b"kept".to_vec(), LONG)).await.expect("creates");
    server.signal("-STOP");
    for _ in 0..3 {
        bounded(store.load(&key)).await.expect_err("the server hangs");
    }
    server.signal("-CONT");
    assert_eq!(recovered(&store, &key).await.as_deref(), Some(b"kept".as_slice()));
}

#[tokio::test]
async fn a_wrong_password_is_an_error_that_does_not_show_it() {
    let Some(server) = Server::start(&[]).await else { return };
    let url = server.url().replace("hunter2", "hunter3");
    let store = RedisStore::new(&url, Arc::new(SystemClock)).expect("the URL is good");
    let error = bounded(store.load(&fresh())).await.expect_err("the password is wrong");
    assert!(!error.to_string().contains("hunter"), "{error} shows the password");
}

#[tokio::test]
async fn a_server_without_room_is_an_error_and_still_reads_and_ends_sessions() {
    let Some(server) = Server::start(&["--maxmemory", "4mb"]).await else { return };
    let (store, key) = (server.store(), fresh());
    bounded(store.create(&key, b"kept".to_vec(), LONG)).await.expect("creates");
    let mut refused = None;
    for _ in 0..100 {
        refused = bounded(store.create(&fresh(), vec![7; 100_000], LONG)).await.err();
        if refused.is_some() {
            break;
        }
    }
    let error = refused.expect("the server is full").to_string();
    assert!(error.contains("OOM"), "{error} does not say what is wrong");
    assert!(bounded(store.load(&key)).await.expect("loads").is_some());
    let leased = bounded(store.acquire(&key, Owner([1; 16]), LONG)).await;
    assert!(leased.is_err(), "a lease takes room");
    assert!(bounded(store.delete(&key)).await.expect("ends"));
}

/// The record of an answer that must be as if it had not been lost.
async fn losing<T>(
    relay: &Relay,
    bytes: &str,
    call: impl Future<Output = Result<T, StoreError>>,
) -> T {
    let before = relay.cuts();
    relay.lose_answer_to(bytes);
    let answer = bounded(call).await.expect("it is sent again");
    assert_eq!(relay.cuts(), before + 1, "no answer to {bytes} was lost");
    answer
}

#[tokio::test]
async fn what_is_sent_twice_because_an_answer_was_lost_gives_the_answer_that_was_lost() {
    let Some(server) = Server::start(&[]).await else { return };
    let relay = Relay::to(server.port).await;
    let store = RedisStore::new(&url_at(relay.port), Arc::new(SystemClock)).expect("good");
    let (key, owner) = (fresh(), Owner([1; 16]));
    bounded(store.load(&key)).await.expect("connects");
    losing(&relay, "SET", store.create(&key, b"one".to_vec(), LONG)).await;
    assert!(bounded(store.create(&key, b"two".to_vec(), LONG)).await.is_err());
    let mark = fresh_mark();
    assert!(losing(&relay, "SET", store.mark_once(&mark, LONG)).await, "called a replay");
    assert!(!bounded(store.mark_once(&mark, LONG)).await.expect("notes"));
    let Acquired::Mine { fence, record } =
        losing(&relay, "EVAL", store.acquire(&key, owner, LONG)).await
    else {
        panic!("its own lease is held against it")
    };
    assert_eq!(record.value, b"one");
    assert!(losing(&relay, "EVAL", store.renew(&key, owner, LONG)).await);
    let done = store.complete(&key, owner, fence, b"new".to_vec(), LONG);
    assert!(losing(&relay, "EVAL", done).await, "fresh tokens were taken for refused");
    assert_eq!(
        bounded(store.load(&key)).await.expect("loads").map(|record| record.value).as_deref(),
        Some(b"new".as_slice())
    );
    assert!(losing(&relay, "EVAL", store.delete(&key)).await, "nobody ended it");
    assert!(!bounded(store.delete(&key)).await.expect("deletes"), "it ended twice");
    let other = fresh();
    bounded(store.create(&other, b"one".to_vec(), LONG)).await.expect("creates");
    let Acquired::Mine { fence, .. } =
        bounded(store.acquire(&other, owner, LONG)).await.expect("asks")
    else {
        panic!("the lease is not given")
    };
    let ending = store.delete_under_lease(&other, owner, fence);
    assert!(losing(&relay, "EVAL", ending).await, "nobody ended it");
}

#[tokio::test]
async fn a_replica_that_may_not_write_is_an_error_until_it_may() {
    let Some(server) = Server::start(&[]).await else { return };
    let (store, key) = (server.store(), fresh());
    bounded(store.create(&key, b"kept".to_vec(), LONG)).await.expect("creates");
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let error = bounded(store.delete(&key)).await.expect_err("it may not write");
    assert!(error.to_string().contains("READONLY"), "{error}");
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    let until_deleted = async { while store.delete(&key).await.is_err() {} };
    timeout(BOUND, until_deleted).await.expect("it may write again");
    assert_eq!(bounded(store.load(&key)).await.expect("loads"), None);
}
