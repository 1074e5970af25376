//! A primary that sentinels name: failover, and what it may lose.

use prometheus_client::metrics::counter::Counter;

use super::access::user_of_all_and;
use super::server::until;
use super::store::ChangeListener;
use super::store_contract::{Recorder, Told};
use super::*;

/// One primary, one replica, three sentinels.
struct Watched {
    primary: Server,
    replica: Server,
    sentinels: Vec<Server>,
}

impl Watched {
    async fn start() -> Option<Self> {
        let user = user_of_all_and(&["role", "wait"]);
        let user: Vec<&str> = user.iter().map(String::as_str).collect();
        let primary =
            Server::start(&[&["--masterauth", server::PASSWORD], &user[..]].concat()).await?;
        let replica = primary.replica_with(&user).await?;
        until("the replica has a copy", || replica.cli(&["ROLE"]).contains("connected")).await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(primary.watched().await?);
        }
        for sentinel in &sentinels {
            until("the sentinels know each other and the replica", || {
                let known = sentinel.cli(&["SENTINEL", "MASTER", "shop"]);
                let mut words = known.lines();
                let mut number = |name| {
                    let found = words.by_ref().any(|word| word == name);
                    found.then(|| words.next()).flatten().map(str::to_owned)
                };
                let counts = [number("num-slaves"), number("num-other-sentinels")];
                counts == [Some("1".to_owned()), Some("2".to_owned())]
            })
            .await;
        }
        Some(Self { primary, replica, sentinels })
    }

    fn url(&self) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
        format!(
            "redis-sentinel://vestibule:hunter4@{}/1?master=shop&sentinelPassword=hunter5",
            hosts.join(",")
        )
    }

    fn store(&self) -> RedisStore {
        RedisStore::new(&self.url(), Arc::new(SystemClock)).expect("the URL is good")
    }

    async fn promoted(&self) {
        until("the replica is the primary", || self.replica.cli(&["ROLE"]).starts_with("master"))
            .await;
    }
}

#[tokio::test]
async fn a_primary_named_by_sentinels_holds_the_contract_of_all_stores() {
    let Some(watched) = Watched::start().await else { return };
    let unconfirmed = Counter::default();
    let store = watched.store().waiting_for(None, unconfirmed.clone());
    holds_the_contract(&store).await;
    assert_eq!(unconfirmed.get(), 0, "the replica is there");
    let wrong = watched.url().replace("master=shop", "master=other");
    let store = RedisStore::new(&wrong, Arc::new(SystemClock)).expect("the URL is good");
    let error = bounded(store.load(&fresh())).await.expect_err("there is no such master");
    assert!(error.to_string().contains("no such master"), "{error}");
    let wrong = watched.url().replace("hunter", "shooter");
    let store = RedisStore::new(&wrong, Arc::new(SystemClock)).expect("the URL is good");
    let error = bounded(store.load(&fresh())).await.expect_err("the password is wrong");
    assert!(!error.to_string().contains("shooter"), "{error} shows the password");
}

/// Breaks the primary: all calls are answered in time, the replica is used soon after it was
/// promoted, changes are heard again, and no acknowledged end is undone.
async fn survives(watched: &Watched, broken: impl FnOnce()) {
    let store = Arc::new(watched.store());
    let heard = Arc::new(Recorder::default());
    let listener = Arc::clone(&heard) as Arc<dyn ChangeListener>;
    let telling = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.tell_changes(listener).await })
    };
    heard.caught_up().await;
    let keys: Vec<StoreKey> = (0..100).map(|_| fresh()).collect();
    for key in &keys {
        bounded(store.create(key, b"kept".to_vec(), LONG)).await.expect("creates");
    }
    let (ended, kept) = keys.split_at(50);
    for key in ended {
        assert!(bounded(store.delete(key)).await.expect("deletes"));
    }
    broken();
    // Traffic all the while; none waits longer than its bound.
    let traffic = async {
        loop {
            let _ = bounded(store.load(&kept[0])).await;
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = traffic => {}
        () = watched.promoted() => {}
    }
    let promoted = Instant::now();
    while bounded(store.create(&fresh(), vec![1], LONG)).await.is_err() {
        assert!(promoted.elapsed() < BOUND * 2, "the new primary is not used");
    }
    println!("used {:?} after the promotion was seen", promoted.elapsed());
    for key in ended {
        let back = bounded(store.load(key)).await.expect("loads");
        assert_eq!(back, None, "an acknowledged end was undone");
    }
    let left = bounded(store.load_many(kept)).await.expect("loads");
    let lost = left.iter().filter(|record| record.is_none()).count();
    println!("{lost} of {} records lost", kept.len());
    heard.caught_up().await;
    let key = fresh();
    bounded(store.delete(&key)).await.expect("deletes");
    heard
        .until("changes at the new primary are heard", |told| {
            told.iter()
                .any(|(_, told)| matches!(told, Told::Changed(changed, _) if *changed == key))
        })
        .await;
    telling.abort();
}

#[tokio::test]
async fn a_primary_that_dies_is_replaced_and_no_acknowledged_end_is_undone() {
    let Some(watched) = Watched::start().await else { return };
    survives(&watched, || watched.primary.signal("-KILL")).await;
}

#[tokio::test]
async fn a_primary_that_hangs_is_replaced_and_not_used_again_when_it_wakes() {
    let Some(watched) = Watched::start().await else { return };
    survives(&watched, || watched.primary.signal("-STOP")).await;
    let store = watched.store();
    watched.primary.signal("-CONT");
    until("the old primary is a replica", || watched.primary.cli(&["ROLE"]).starts_with("slave"))
        .await;
    for _ in 0..20 {
        let key = fresh();
        bounded(store.create(&key, b"new".to_vec(), LONG)).await.expect("creates");
        assert!(bounded(store.delete(&key)).await.expect("deletes"));
    }
}

#[tokio::test]
async fn an_end_that_no_replica_has_in_time_is_acknowledged_and_counted() {
    let Some(watched) = Watched::start().await else { return };
    let unconfirmed = Counter::default();
    let store = watched.store().waiting_for(Some(1), unconfirmed.clone());
    let key = fresh();
    bounded(store.create(&key, b"one".to_vec(), LONG)).await.expect("creates");
    watched.replica.signal("-STOP");
    let asked = Instant::now();
    assert!(bounded(store.delete(&key)).await.expect("deletes"));
    assert_eq!(unconfirmed.get(), 1);
    assert!(asked.elapsed() >= Duration::from_millis(200), "it did not wait");
    // Many wait at a time, and nobody else for them.
    let keys: Vec<StoreKey> = (0..40).map(|_| fresh()).collect();
    let ending = futures_util::future::join_all(keys.iter().map(|key| bounded(store.delete(key))));
    let loading = async {
        for _ in 0..50 {
            let asked = Instant::now();
            store.load(&key).await.expect("loads");
            assert!(asked.elapsed() < Duration::from_millis(150), "{:?}", asked.elapsed());
        }
    };
    let (ended, ()) = tokio::join!(ending, loading);
    assert!(ended.iter().all(Result::is_ok));
    watched.replica.signal("-CONT");
    let before = unconfirmed.get();
    until("the replica is there again", || watched.replica.cli(&["ROLE"]).contains("connected"))
        .await;
    let confirmed = async {
        loop {
            let before = unconfirmed.get();
            bounded(store.delete(&key)).await.expect("deletes");
            if unconfirmed.get() == before {
                return;
            }
        }
    };
    timeout(Duration::from_secs(10), confirmed).await.expect("ends are confirmed again");
    assert!(before > 1);
}

#[tokio::test]
async fn a_sentinel_that_hangs_or_is_gone_holds_nobody_up() {
    let Some(mut watched) = Watched::start().await else { return };
    watched.sentinels[0].signal("-STOP");
    let store = watched.store();
    bounded(store.load(&fresh())).await.expect("the others say where the primary is");
    watched.sentinels[1].stop();
    let store = watched.store();
    bounded(store.load(&fresh())).await.expect("one is enough to say where the primary is");
}
