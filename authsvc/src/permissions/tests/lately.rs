//! What was answered lately: for how long it counts, how much is kept, and who shares a request.

use std::collections::HashMap;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vestibule_policy::template::Object;

use super::super::cache::{Cache, Flight, Known, MAX_BYTES, MAX_ENTRIES};
use super::super::questions::Asked;
use super::*;

const BOUND: Duration = Duration::from_secs(10);

async fn count(fga: &Fga) -> usize {
    fga.server.received_requests().await.unwrap().len()
}

/// Lets this much time pass. The clock stands only meanwhile: a server is real, and would be late.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn an_answer_never_outlives_its_bound_after_a_change() {
    let fga = Fga::start().await;
    let points = fga.points(|config| config.server.cache_for = BOUND);
    let check = [viewer_of("1", None)];
    fga.write("user:alice", "viewer", "document:1");
    assert_eq!(ask(&points, &check, "alice").await, Ok(vec![true]));
    fga.forget();
    // Asking does not make it younger.
    for _ in 0..9 {
        pass(Duration::from_secs(1)).await;
        assert_eq!(ask(&points, &check, "alice").await, Ok(vec![true]));
    }
    assert_eq!(count(&fga).await, 1);
    pass(Duration::from_secs(1)).await;
    assert_eq!(ask(&points, &check, "alice").await, Ok(vec![false]));
    assert_eq!(count(&fga).await, 2);

    // A refusal counts for as long, and no longer.
    fga.write("user:alice", "viewer", "document:1");
    assert_eq!(ask(&points, &check, "alice").await, Ok(vec![false]));
    assert_eq!(count(&fga).await, 2);
    pass(BOUND).await;
    assert_eq!(ask(&points, &check, "alice").await, Ok(vec![true]));
}

#[tokio::test]
async fn an_answer_is_that_of_its_whole_question() {
    let fga = Fga::start().await;
    let points = fga.points(|config| config.server.cache_for = BOUND);
    fga.write("user:alice", "viewer", "document:1");
    assert_eq!(ask(&points, &[viewer_of("1", None)], "alice").await, Ok(vec![true]));
    assert_eq!(ask(&points, &[viewer_of("1", None)], "bob").await, Ok(vec![false]));
    assert_eq!(ask(&points, &[viewer_of("2", None)], "alice").await, Ok(vec![false]));
    let object = Template::parse("folder", "1", None).unwrap();
    let folder = CompiledCheck::OpenFga { relation: "viewer".to_owned(), object };
    assert_eq!(ask(&points, &[folder], "alice").await, Ok(vec![false]));
    let object = Template::parse("document", "1", None).unwrap();
    let editor = CompiledCheck::OpenFga { relation: "editor".to_owned(), object };
    assert_eq!(ask(&points, &[editor], "alice").await, Ok(vec![false]));
    assert_eq!(count(&fga).await, 5);
    // Of several only those are asked that are not known.
    let checks = [viewer_of("1", None), viewer_of("3", None), viewer_of("2", None)];
    assert_eq!(ask(&points, &checks, "alice").await, Ok(vec![true, false, false]));
    assert_eq!(fga.requests().await.last().unwrap().len(), 1);
}

#[tokio::test]
async fn who_wants_to_know_every_write_is_never_answered_from_memory() {
    let fga = Fga::start().await;
    let consistent = fga.points(|config| {
        config.server.cache_for = BOUND;
        config.consistency = Consistency::HigherConsistency;
    });
    let uncached = fga.points(|_| {});
    let check = [viewer_of("1", None)];
    for points in [consistent, uncached] {
        fga.write("user:alice", "viewer", "document:1");
        assert_eq!(ask(&points, &check, "alice").await, Ok(vec![true]));
        fga.forget();
        assert_eq!(ask(&points, &check, "alice").await, Ok(vec![false]));
    }
    assert_eq!(count(&fga).await, 4);
}

#[tokio::test]
async fn many_who_ask_the_same_at_once_cause_one_request() {
    let server = MockServer::start().await;
    let yes = json!({"result": {"0": {"allowed": true}}});
    let yes = ResponseTemplate::new(200).set_body_json(yes).set_delay(Duration::from_millis(300));
    Mock::given(any()).respond_with(yes).mount(&server).await;
    let points = open_fga(&server.uri(), |config| config.server.cache_for = BOUND);
    // The first one leaves before there is an answer.
    let first = points.clone();
    let first = tokio::spawn(async move { ask(&first, &[viewer_of("1", None)], "alice").await });
    while server.received_requests().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.abort();
    let mut others = JoinSet::new();
    for _ in 0..50 {
        let points = points.clone();
        others.spawn(async move { ask(&points, &[viewer_of("1", None)], "alice").await });
    }
    while let Some(answer) = others.join_next().await {
        assert_eq!(answer.unwrap(), Ok(vec![true]));
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

fn asked(subject: &str) -> Arc<Asked> {
    let object = Object { object_type: "document".to_owned(), id: "1".to_owned() };
    Arc::new(Asked { subject: subject.to_owned(), relation: "viewer".to_owned(), object })
}

fn flight(begun: Instant) -> (watch::Sender<Option<super::super::cache::Landed>>, Flight) {
    let (sender, landed) = watch::channel(None);
    (sender, Flight { begun, landed })
}

fn land(cache: &mut Cache, one: &Arc<Asked>, begun: Instant, now: Instant) {
    let (_sender, flight) = flight(begun);
    let all = std::slice::from_ref(one);
    cache.depart(all, &flight);
    let landed = Ok(Arc::new(HashMap::from([(Arc::clone(one), true)])));
    cache.land(all, &flight, &landed, now);
}

fn is_known(cache: &Cache, one: &Arc<Asked>, now: Instant) -> bool {
    matches!(cache.look(one, now), Known::Answer(true))
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_as_old_as_the_request_for_it() {
    let mut cache = Cache::new(BOUND);
    let (one, begun) = (asked("alice"), Instant::now());
    let seconds = Duration::from_secs;
    land(&mut cache, &one, begun, begun + seconds(9));
    assert!(is_known(&cache, &one, begun + seconds(9)));
    assert!(!is_known(&cache, &one, begun + seconds(10)));
    // One that took longer than it counts is not kept.
    let mut cache = Cache::new(BOUND);
    land(&mut cache, &one, begun, begun + seconds(10));
    assert_eq!(cache.size(), (0, 0));
    // A later answer is not replaced by one that was asked for earlier.
    land(&mut cache, &one, begun + seconds(5), begun + seconds(6));
    land(&mut cache, &one, begun, begun + seconds(7));
    assert!(is_known(&cache, &one, begun + seconds(14)));
}

#[tokio::test(start_paused = true)]
async fn a_request_of_long_ago_or_that_broke_off_is_not_waited_for() {
    let mut cache = Cache::new(BOUND);
    let (one, begun) = (asked("alice"), Instant::now());
    let (sender, waiting) = flight(begun);
    cache.depart(std::slice::from_ref(&one), &waiting);
    let is_asked = |cache: &Cache, now| matches!(cache.look(&one, now), Known::Asking(_));
    assert!(is_asked(&cache, begun + Duration::from_secs(9)));
    assert!(!is_asked(&cache, begun + BOUND));
    drop(sender);
    assert!(!is_asked(&cache, begun));
    assert!(waiting.wait().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_answers_has_bounds() {
    let mut cache = Cache::new(BOUND);
    let now = Instant::now();
    for index in 0..3 * MAX_ENTRIES {
        land(&mut cache, &asked(&index.to_string()), now, now);
        let (entries, bytes) = cache.size();
        assert!(entries <= MAX_ENTRIES && bytes <= MAX_BYTES, "{entries} {bytes}");
    }
    assert!(is_known(&cache, &asked(&(3 * MAX_ENTRIES - 1).to_string()), now));
    assert!(!is_known(&cache, &asked("0"), now), "the oldest go first");
    let long = "a".repeat(250);
    for index in 0..3 * MAX_ENTRIES {
        land(&mut cache, &asked(&format!("{index}{long}")), now, now);
        assert!(cache.size().1 <= MAX_BYTES);
    }
    // The same one again and again needs no more.
    for _ in 0..3 * MAX_ENTRIES {
        land(&mut cache, &asked("again"), now, now);
    }
    assert!(cache.size().0 <= MAX_ENTRIES && cache.size().1 <= MAX_BYTES);
    land(&mut cache, &asked("later"), now + BOUND, now + BOUND);
    assert_eq!(cache.size().0, 1, "what is over is dropped");
}
