//! What other replicas change is heard, and what may have been missed is never taken for heard.

use std::collections::HashSet;
use std::sync::Mutex;

use super::relay::Relay;
use super::server::url_at;
use super::store::{Change, ChangeListener};
use super::store_contract::{Recorder, Told, while_told};
use super::*;

/// Silence ends trust within this; the store says 500 ms, tests allow for a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_millis(2500);

fn interruptions(told: &[(Instant, Told)]) -> usize {
    told.iter().filter(|(_, told)| *told == Told::Interrupted).count()
}

/// Waits until it says that something may have been missed, after `broken`. Nothing later than that
/// moment may have been called up to date.
async fn notices(heard: &Recorder, broken: Instant) {
    let before = interruptions(&heard.told());
    heard.until("the interruption is noticed", |told| interruptions(told) > before).await;
    assert!(broken.elapsed() < NOTICED_WITHIN, "it took {:?}", broken.elapsed());
    let told = heard.told();
    let later = told.iter().filter(|(_, told)| matches!(told, Told::UpToDate(at) if *at > broken));
    assert_eq!(later.count(), 0, "it was up to date without a server");
}

#[tokio::test]
async fn a_change_by_another_replica_is_heard_at_once() {
    let Some(server) = Server::start(&[]).await else { return };
    let (ours, theirs) = (server.store(), server.store());
    let heard = Arc::new(Recorder::default());
    let work = async {
        heard.caught_up().await;
        for _ in 0..20 {
            let key = fresh();
            let ended = Instant::now();
            theirs.delete(&key).await.expect("deletes");
            heard
                .until("it is heard", |told| {
                    told.iter().any(|(_, told)| *told == Told::Changed(key, Change::Ended))
                })
                .await;
            assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
        }
        assert_eq!(interruptions(&heard.told()), 2, "at first, and when it listened");
    };
    while_told(ours.tell_changes(heard.clone()), work).await;
}

#[tokio::test]
async fn a_server_that_falls_silent_or_ends_is_noticed_and_heard_again_afterwards() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let store = server.store();
    let heard = Arc::new(Recorder::default());
    let telling = store.tell_changes(heard.clone());
    let work = async {
        heard.caught_up().await;
        server.signal("-STOP");
        notices(&heard, Instant::now()).await;
        server.signal("-CONT");
        heard.caught_up().await;
        let stopped = Instant::now();
        server.stop();
        notices(&heard, stopped).await;
        server.start_again().await;
        heard.caught_up().await;
        // Nobody may trust what was read before the new subscription.
        let told: Vec<Told> = heard.told().into_iter().map(|(_, told)| told).collect();
        let last = told.iter().rposition(|told| *told == Told::Interrupted);
        let first_after = last.and_then(|last| told.get(last + 1));
        assert!(matches!(first_after, Some(Told::UpToDate(_))), "{first_after:?}");
    };
    while_told(telling, work).await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_arrives_any_more_is_noticed() {
    let Some(server) = Server::start(&[]).await else { return };
    let relay = Relay::to(server.port).await;
    let store = RedisStore::new(&url_at(relay.port), Arc::new(SystemClock)).expect("good");
    let heard = Arc::new(Recorder::default());
    let work = async {
        heard.caught_up().await;
        relay.fall_silent();
        notices(&heard, Instant::now()).await;
    };
    while_told(store.tell_changes(heard.clone()), work).await;
}

/// Counts subscribers when it is told that something may have been missed.
struct Counting {
    server: Server,
    subscribers: Mutex<Vec<String>>,
    heard: Recorder,
}

impl ChangeListener for Counting {
    fn changed(&self, key: &StoreKey, change: Change) {
        self.heard.changed(key, change);
    }

    fn up_to_date(&self, as_of: Instant) {
        self.heard.up_to_date(as_of);
    }

    fn interrupted(&self) {
        let answer = self.server.cli(&["PUBSUB", "NUMSUB", "vestibule:changes"]);
        self.subscribers.lock().expect("nobody panics").push(answer);
        self.heard.interrupted();
    }
}

/// Checks each claim to be up to date against what was acknowledged before that moment.
#[derive(Default)]
struct Auditor {
    acknowledged: Mutex<Vec<(Instant, StoreKey)>>,
    heard: Mutex<HashSet<StoreKey>>,
    claims: Mutex<usize>,
}

impl ChangeListener for Auditor {
    fn changed(&self, key: &StoreKey, _change: Change) {
        self.heard.lock().expect("nobody panics").insert(*key);
    }

    fn up_to_date(&self, as_of: Instant) {
        let heard = self.heard.lock().expect("nobody panics");
        let mut acknowledged = self.acknowledged.lock().expect("nobody panics");
        acknowledged.retain(|(at, key)| {
            assert!(*at >= as_of || heard.contains(key), "a change was missed");
            *at >= as_of
        });
        *self.claims.lock().expect("nobody panics") += 1;
    }

    fn interrupted(&self) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acknowledged_before_a_claim_to_be_up_to_date_is_missing() {
    let Some(server) = Server::start(&[]).await else { return };
    let (ours, theirs) = (server.store(), Arc::new(server.store()));
    let auditor = Arc::new(Auditor::default());
    let claims = || *auditor.claims.lock().expect("nobody panics");
    let work = async {
        while claims() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        // More at a time than a task may do at once.
        for _ in 0..20 {
            let ending = (0..500).map(|_| async {
                let key = fresh();
                theirs.delete(&key).await.expect("deletes");
                auditor.acknowledged.lock().expect("nobody panics").push((Instant::now(), key));
            });
            futures_util::future::join_all(ending).await;
        }
        let enough = claims() + 2;
        while claims() < enough {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(auditor.heard.lock().expect("nobody panics").len(), 10_000);
    };
    while_told(ours.tell_changes(auditor.clone()), work).await;
}

#[tokio::test]
async fn what_was_read_before_it_listened_is_called_worthless_once_it_listens() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = server.store();
    let counting = Counting { server, subscribers: Mutex::default(), heard: Recorder::default() };
    let counting = Arc::new(counting);
    while_told(store.tell_changes(counting.clone()), counting.heard.caught_up()).await;
    let subscribers = counting.subscribers.lock().expect("nobody panics");
    let last = subscribers.last().expect("it begins with nothing");
    assert!(last.trim().ends_with('1'), "a change could be missed after it: {last}");
}
