//! What every session store must do, as tests that any store can be put to.
//!
//! Included by the unit tests (memory) and by `tests/redis_store` (real servers), so it names only
//! what is beside it in both: `super::store`, `super::index` and `super::StoreKey`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::time::{Instant, sleep, timeout};

use super::index::{IndexEntry, IndexKey, MarkKey};
use super::store::{Acquired, Change, ChangeListener, Owner, SessionStore, Versioned};
use super::{StoreKey, Timestamp};

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
    loads_several_at_once(store, &fresh(), &fresh()).await;
}

/// All about leases but time.
pub async fn leases_let_one_at_a_time_replace_a_record(
    store: &dyn SessionStore,
    fresh: impl Fn() -> StoreKey,
) {
    gives_a_lease_to_one_at_a_time(store, &fresh()).await;
    a_lease_of_nothing_is_gone(store, &fresh()).await;
    a_later_lease_makes_an_earlier_one_worthless(store, &fresh()).await;
    a_completed_record_may_be_completed_again(store, &fresh()).await;
    a_lease_survives_that_use_is_noted(store, &fresh()).await;
    a_released_lease_is_nobodys_until_the_pause_is_over(store, &fresh()).await;
    one_of_many_gets_the_lease(store, &fresh()).await;
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
    assert!(!store.delete(key).await.expect("deleting nothing is no error"));
    store.create(key, b"one".to_vec(), LONG).await.expect("creates");
    assert!(store.delete(key).await.expect("deletes"));
    assert!(!store.delete(key).await.expect("deletes"), "it ended twice");
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

async fn loads_several_at_once(store: &dyn SessionStore, one: &StoreKey, other: &StoreKey) {
    assert_eq!(store.load_many(&[]).await.expect("loads"), []);
    store.create(one, b"one".to_vec(), LONG).await.expect("creates");
    let loaded = store.load_many(&[*other, *one, *other]).await.expect("loads");
    assert_eq!(loaded, [None, Some(Versioned { version: 1, value: b"one".to_vec() }), None]);
}

const A: Owner = Owner([1; 16]);
const B: Owner = Owner([2; 16]);

/// The fence and record of a lease that was given.
async fn leased(store: &dyn SessionStore, key: &StoreKey, owner: Owner) -> (u64, Versioned) {
    match store.acquire(key, owner, LONG).await.expect("asks") {
        Acquired::Mine { fence, record } => (fence, record),
        other => panic!("the lease is not given: {other:?}"),
    }
}

async fn is_held(store: &dyn SessionStore, key: &StoreKey, owner: Owner) -> bool {
    match store.acquire(key, owner, LONG).await.expect("asks") {
        Acquired::Held { remaining } => {
            assert!(remaining <= LONG, "{remaining:?} is longer than any lease");
            true
        }
        _ => false,
    }
}

async fn gives_a_lease_to_one_at_a_time(store: &dyn SessionStore, key: &StoreKey) {
    store.create(key, b"old".to_vec(), LONG).await.expect("creates");
    let old = Versioned { version: 1, value: b"old".to_vec() };
    assert_eq!(leased(store, key, A).await, (1, old.clone()));
    assert!(is_held(store, key, B).await);
    // Its first answer may have been lost: the lease is the same one.
    assert_eq!(leased(store, key, A).await, (1, old));
    assert!(store.renew(key, A, LONG).await.expect("renews"));
    assert!(!store.renew(key, B, LONG).await.expect("renews"), "another renewed the lease");
    assert!(!store.complete(key, A, 0, b"late".to_vec(), LONG).await.expect("runs"));
    assert!(store.complete(key, A, 1, b"new".to_vec(), LONG).await.expect("runs"));
    let new = Versioned { version: 2, value: b"new".to_vec() };
    assert_eq!(store.load(key).await.expect("loads"), Some(new.clone()));
    assert!(!store.renew(key, A, LONG).await.expect("renews"), "a lease given back was renewed");
    assert_eq!(leased(store, key, B).await, (2, new));
    assert!(store.delete_under_lease(key, B, 2).await.expect("deletes"));
    assert_eq!(store.load(key).await.expect("loads"), None);
}

async fn a_lease_of_nothing_is_gone(store: &dyn SessionStore, key: &StoreKey) {
    assert_eq!(store.acquire(key, A, LONG).await.expect("asks"), Acquired::Gone);
    assert!(!store.renew(key, A, LONG).await.expect("renews"));
    assert!(!store.complete(key, A, 0, vec![1], LONG).await.expect("runs"));
    assert!(!store.delete_under_lease(key, A, 0).await.expect("runs"));
    store.release(key, A, LONG).await.expect("releases nothing");
    store.create(key, b"one".to_vec(), LONG).await.expect("creates");
    let (fence, _) = leased(store, key, A).await;
    assert!(store.delete(key).await.expect("deletes"));
    assert_eq!(store.acquire(key, B, LONG).await.expect("asks"), Acquired::Gone);
    let back = store.complete(key, A, fence, b"back".to_vec(), LONG).await.expect("runs");
    assert!(!back, "a refresh brought back a session that had ended");
    assert_eq!(store.load(key).await.expect("loads"), None);
}

async fn a_later_lease_makes_an_earlier_one_worthless(store: &dyn SessionStore, key: &StoreKey) {
    store.create(key, b"old".to_vec(), LONG).await.expect("creates");
    let (first, _) = leased(store, key, A).await;
    store.release(key, A, Duration::from_millis(1)).await.expect("releases");
    let deadline = Instant::now() + Duration::from_secs(2);
    while is_held(store, key, B).await {
        assert!(Instant::now() < deadline, "the pause does not end");
        sleep(Duration::from_millis(5)).await;
    }
    assert!(!store.complete(key, A, first, b"late".to_vec(), LONG).await.expect("runs"));
    assert!(!store.delete_under_lease(key, A, first).await.expect("runs"));
    let old = Versioned { version: 1, value: b"old".to_vec() };
    assert_eq!(store.load(key).await.expect("loads"), Some(old));
}

async fn a_completed_record_may_be_completed_again(store: &dyn SessionStore, key: &StoreKey) {
    store.create(key, b"old".to_vec(), LONG).await.expect("creates");
    let (fence, _) = leased(store, key, A).await;
    for _ in 0..2 {
        assert!(store.complete(key, A, fence, b"new".to_vec(), LONG).await.expect("runs"));
        let value = store.load(key).await.expect("loads").map(|record| record.value);
        assert_eq!(value.as_deref(), Some(b"new".as_slice()));
    }
}

async fn a_lease_survives_that_use_is_noted(store: &dyn SessionStore, key: &StoreKey) {
    store.create(key, b"old".to_vec(), LONG).await.expect("creates");
    let (fence, _) = leased(store, key, A).await;
    assert!(store.replace_if_version(key, 1, b"used".to_vec(), LONG).await.expect("runs"));
    assert!(is_held(store, key, B).await);
    assert!(store.complete(key, A, fence, b"new".to_vec(), LONG).await.expect("runs"));
    let new = Versioned { version: 3, value: b"new".to_vec() };
    assert_eq!(store.load(key).await.expect("loads"), Some(new));
    let late = store.replace_if_version(key, 2, b"used".to_vec(), LONG).await.expect("runs");
    assert!(!late, "noting use took fresh tokens back");
}

async fn a_released_lease_is_nobodys_until_the_pause_is_over(
    store: &dyn SessionStore,
    key: &StoreKey,
) {
    store.create(key, b"old".to_vec(), LONG).await.expect("creates");
    leased(store, key, A).await;
    store.release(key, B, Duration::from_millis(1)).await.expect("is not its to release");
    assert!(is_held(store, key, B).await);
    store.release(key, A, LONG).await.expect("releases");
    assert!(is_held(store, key, A).await && is_held(store, key, B).await);
    assert!(!store.renew(key, A, LONG).await.expect("renews"));
    assert!(store.delete(key).await.expect("ends all the same"));
}

async fn one_of_many_gets_the_lease(store: &dyn SessionStore, key: &StoreKey) {
    store.create(key, b"old".to_vec(), LONG).await.expect("creates");
    let asking = (0..16_u8).map(|asker| store.acquire(key, Owner([asker; 16]), LONG));
    let given = join_all(asking)
        .await
        .into_iter()
        .filter(|answer| matches!(answer.as_ref().expect("asks"), Acquired::Mine { fence: 1, .. }));
    assert_eq!(given.count(), 1);
}

/// A lease ends with its time unless it is renewed; `pass` as in [`records_end_with_their_time`].
pub async fn leases_end_with_their_time(
    store: &dyn SessionStore,
    fresh: impl Fn() -> StoreKey,
    pass: impl AsyncFn(),
) {
    let (short, renewed) = (fresh(), fresh());
    for key in [&short, &renewed] {
        store.create(key, b"old".to_vec(), LONG).await.expect("creates");
        let answer = store.acquire(key, A, Duration::from_secs(1)).await.expect("asks");
        assert!(matches!(answer, Acquired::Mine { .. }));
    }
    assert!(store.renew(&renewed, A, LONG).await.expect("renews"));
    for _ in 0..1000 {
        pass().await;
        if !is_held(store, &short, B).await {
            assert!(is_held(store, &renewed, B).await, "a renewed lease ended");
            assert!(!store.renew(&short, A, LONG).await.expect("renews"));
            return;
        }
    }
    panic!("the lease outlived its time");
}

/// Records are found through indexes; `index` gives one that was never used, `now` is in seconds.
pub async fn indexes_find_records_until_their_time(
    store: &dyn SessionStore,
    fresh: impl Fn() -> StoreKey,
    index: impl Fn() -> IndexKey,
    now: u64,
) {
    let (one, other) = (index(), index());
    assert_eq!(store.indexed(&one, 0, 10).await.expect("looks"), []);
    let entry =
        |index, until: u64| IndexEntry { index, record: fresh(), until: Timestamp(now + until) };
    let entries: Vec<IndexEntry> = (0..5).map(|place| entry(one, 100 + place)).collect();
    store.index(&entries).await.expect("adds");
    store.index(&entries[..2]).await.expect("adds what is there");
    let apart = entry(other, 100);
    store.index(&[apart]).await.expect("adds");
    let mut all: Vec<StoreKey> = entries.iter().map(|entry| entry.record).collect();
    all.sort();
    let mut paged = Vec::new();
    for page in 0..4 {
        let found = store.indexed(&one, page * 2, 2).await.expect("looks");
        assert!(found.len() <= 2);
        paged.extend(found);
    }
    paged.sort();
    assert_eq!(paged, all, "paging left one out or showed one twice");
    assert_eq!(store.indexed(&one, 0, 0).await.expect("looks"), []);
    let ending = async |by: u64, limit| {
        store.indexed_until(&one, Timestamp(now + by), limit).await.expect("looks")
    };
    let in_order: Vec<StoreKey> = entries.iter().map(|entry| entry.record).collect();
    assert_eq!(ending(99, 10).await, []);
    assert_eq!(ending(102, 10).await, in_order[..3]);
    assert_eq!(ending(102, 2).await, in_order[..2], "the first of them first");
    assert_eq!(ending(1_000, 10).await, in_order);
    store.unindex(&entries[1..]).await.expect("removes");
    store.unindex(&entries[1..]).await.expect("removes what is gone");
    assert_eq!(store.indexed(&one, 0, 10).await.expect("looks"), [entries[0].record]);
    assert_eq!(store.indexed(&other, 0, 10).await.expect("looks"), [apart.record]);
}

/// Of several who note the same thing, one is the first.
pub async fn marks_are_made_once(store: &dyn SessionStore, mark: impl Fn() -> MarkKey) {
    let (one, other) = (mark(), mark());
    let noted = join_all((0..8).map(|_| store.mark_once(&one, LONG))).await;
    assert_eq!(noted.into_iter().filter(|first| *first.as_ref().expect("notes")).count(), 1);
    assert!(store.mark_once(&other, LONG).await.expect("notes"), "marks are mixed up");
}

/// What a listener was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Of a change.
    Changed(StoreKey, Change),
    /// That all until then was told.
    UpToDate(Instant),
    /// That something may have been missed.
    Interrupted,
}

/// Remembers what it is told.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<(Instant, Told)>>);

impl Recorder {
    /// What was told until now, each with when that was.
    pub fn told(&self) -> Vec<(Instant, Told)> {
        self.0.lock().expect("nobody panics").clone()
    }

    /// The changes that were told until now.
    pub fn changes(&self) -> Vec<(StoreKey, Change)> {
        let change = |(_, told)| match told {
            Told::Changed(key, change) => Some((key, change)),
            _ => None,
        };
        self.told().into_iter().filter_map(change).collect()
    }

    /// Waits until all that happened before this moment was told.
    pub async fn caught_up(&self) {
        let since = Instant::now();
        self.until("all is told", |told| {
            told.iter().any(|(_, told)| matches!(told, Told::UpToDate(as_of) if *as_of >= since))
        })
        .await;
    }

    /// Waits, five seconds at most.
    pub async fn until(&self, what: &str, is_so: impl Fn(&[(Instant, Told)]) -> bool) {
        let waiting = async {
            while !is_so(&self.told()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = timeout(Duration::from_secs(5), waiting).await;
        assert!(waited.is_ok(), "it never was so that {what}: {:?}", self.told());
    }

    fn note(&self, told: Told) {
        self.0.lock().expect("nobody panics").push((Instant::now(), told));
    }
}

impl ChangeListener for Recorder {
    fn changed(&self, key: &StoreKey, change: Change) {
        self.note(Told::Changed(*key, change));
    }

    fn up_to_date(&self, as_of: Instant) {
        self.note(Told::UpToDate(as_of));
    }

    fn interrupted(&self) {
        self.note(Told::Interrupted);
    }
}

/// Does something while changes are told to a listener.
pub async fn while_told<T>(telling: BoxFuture<'_, ()>, work: impl Future<Output = T>) -> T {
    tokio::select! {
        () = telling => panic!("it stopped telling"),
        done = work => done,
    }
}

/// Ends and replacements are told in their order, and nothing else is.
pub async fn changes_are_told_in_order(store: &dyn SessionStore, fresh: impl Fn() -> StoreKey) {
    let heard = Arc::new(Recorder::default());
    let telling = store.tell_changes(Arc::clone(&heard) as Arc<dyn ChangeListener>);
    let (one, other, gone) = (fresh(), fresh(), fresh());
    let work = async {
        heard.caught_up().await;
        for key in [&one, &other] {
            store.create(key, b"old".to_vec(), LONG).await.expect("creates");
            assert!(store.replace_if_version(key, 1, b"used".to_vec(), LONG).await.expect("runs"));
        }
        let (fence, _) = leased(store, &one, A).await;
        assert!(store.renew(&one, A, LONG).await.expect("renews"));
        assert!(store.complete(&one, A, fence, b"new".to_vec(), LONG).await.expect("runs"));
        assert!(store.delete(&one).await.expect("deletes"));
        assert!(!store.delete(&gone).await.expect("deletes"));
        let (fence, _) = leased(store, &other, B).await;
        assert!(store.delete_under_lease(&other, B, fence).await.expect("deletes"));
        heard.caught_up().await;
    };
    while_told(telling, work).await;
    let mut changes = heard.changes();
    // A cluster's nodes tell each other, so that some may be heard twice; none comes out of order.
    let mut seen = Vec::new();
    changes.retain(|change| {
        !seen.contains(change) && {
            seen.push(*change);
            true
        }
    });
    let expected = [
        (one, Change::Replaced),
        (one, Change::Ended),
        (gone, Change::Ended),
        (other, Change::Ended),
    ];
    assert_eq!(changes.len(), expected.len(), "{changes:?}");
    assert!(expected.iter().all(|change| changes.contains(change)), "{changes:?}");
    assert_eq!(
        changes.iter().filter(|(key, _)| *key == one).collect::<Vec<_>>(),
        [&expected[0], &expected[1],]
    );
    assert_eq!(heard.told()[0].1, Told::Interrupted, "it does not begin with nothing");
    let told = heard.told();
    let moments = told.iter().filter_map(|(at, told)| match told {
        Told::UpToDate(as_of) => Some((*at, *as_of)),
        _ => None,
    });
    assert!(moments.into_iter().all(|(at, as_of)| as_of <= at), "it told the future");
}
