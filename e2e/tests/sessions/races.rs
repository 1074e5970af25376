//! Checks that race a logout: none passes later than a second after the logout was acknowledged.
//!
//! `VESTIBULE_RACE_ROUNDS` says how many rounds; 10,000 take minutes, with release programs.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use vestibule_e2e::asker::Asker;
use vestibule_e2e::http::Request;
use vestibule_e2e::process::eventually;
use vestibule_e2e::replicas::{Plan, Replicas};

use crate::load::{by_status, distribution, storm};

/// Strict, as it is counted from the moment that a check was sent: a slow machine makes the answer
/// late, not wrong.
const BOUND: Duration = Duration::from_secs(1);
/// Rounds at once.
const ABREAST: usize = 100;
const LIMIT: Duration = Duration::from_mins(1);

fn rounds() -> usize {
    let wanted = std::env::var("VESTIBULE_RACE_ROUNDS").ok();
    wanted.map_or(1000, |text| text.parse().expect("a number"))
}

/// How long after the acknowledged logout the last check was sent, and answered, that passed.
#[derive(Clone, Copy, Debug, Default)]
struct Delay {
    sent: Option<Duration>,
    answered: Option<Duration>,
    /// Checks with no usable answer: the store did not answer in time.
    unavailable: usize,
}

#[test]
fn no_check_passes_later_than_a_second_after_an_acknowledged_logout() {
    let site = Plan::default().start();
    let count = rounds();
    let sessions = Mutex::new(many_sessions(&site, count));
    let delays = Mutex::new(Vec::with_capacity(count));
    let ended = Mutex::new(Vec::with_capacity(count));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for lane in 0..ABREAST.min(count) {
            let (site, sessions, delays, ended) = (&site, &sessions, &delays, &ended);
            scope.spawn(move || {
                let mut askers = [0, 1, 2].map(|replica| site.asker(replica));
                let mut replica = lane;
                loop {
                    let Some(cookie) = sessions.lock().unwrap().pop_front() else { return };
                    let delay = race(site, &cookie, replica % 3, &mut askers);
                    delays.lock().unwrap().push(delay);
                    ended.lock().unwrap().push(cookie);
                    replica += 1;
                }
            });
        }
    });
    report(&delays.into_inner().unwrap(), begun.elapsed());
    // Long after: no cache has kept one.
    let mut askers = [0, 1, 2].map(|replica| site.asker(replica));
    for cookie in ended.into_inner().unwrap() {
        for (replica, asker) in askers.iter_mut().enumerate() {
            let answer = asker.send(&site.check(&cookie)).unwrap();
            assert_eq!(answer.status, 401, "replica {replica}, long after the logout: {answer}");
        }
    }
    assert_eq!(site.names(), Vec::<String>::new());
}

/// So many sessions.
fn many_sessions(site: &Replicas, count: usize) -> VecDeque<String> {
    let begun = Instant::now();
    let (cookies, next) = (Mutex::new(VecDeque::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (cookies, next) = (&cookies, &next);
            scope.spawn(move || {
                loop {
                    // A hundred browsers of each user: the provider gets slow with more.
                    let first = next.fetch_add(100, Ordering::SeqCst);
                    if first >= count {
                        return;
                    }
                    let known = site.log_in(&format!("user-{first}"), first);
                    let others = (first + 1..count.min(first + 100))
                        .map(|number| site.log_in_again(&known, number % 3).cookie);
                    let all: Vec<_> = std::iter::once(known.cookie.clone()).chain(others).collect();
                    cookies.lock().unwrap().extend(all);
                }
            });
        }
    });
    println!("{count} sessions in {:?}", begun.elapsed());
    cookies.into_inner().unwrap()
}

/// One round: all replicas know the session and are asked for it without pause, while it ends at one.
fn race(site: &Replicas, cookie: &str, at: usize, askers: &mut [Asker; 3]) -> Delay {
    let check = site.check(cookie);
    for asker in askers.iter_mut() {
        warm_up(asker, &check);
    }
    let (asked, acknowledged) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (passed, unavailable, when) = std::thread::scope(|scope| {
        let checking: Vec<_> = askers
            .iter_mut()
            .map(|asker| {
                let (check, asked, acknowledged) = (&check, &asked, &acknowledged);
                scope.spawn(move || keep_checking(asker, check, asked, acknowledged))
            })
            .collect();
        let under_way = eventually(LIMIT, || (asked.load(Ordering::SeqCst) >= 3).then_some(()));
        assert!(under_way.is_some(), "no checks are under way");
        let when = log_out(site, at, cookie);
        acknowledged.store(true, Ordering::SeqCst);
        let mut passed = Vec::new();
        let mut unavailable = 0;
        for thread in checking {
            let (some, without) = thread.join().unwrap();
            passed.extend(some);
            unavailable += without;
        }
        (passed, unavailable, when)
    });
    let after = |moment: Instant| moment.checked_duration_since(when);
    Delay {
        sent: passed.iter().filter_map(|(sent, _)| after(*sent)).max(),
        answered: passed.iter().filter_map(|(_, answered)| after(*answered)).max(),
        unavailable,
    }
}

/// Checks until the session passes: the machine may be too busy for the store to answer in time.
fn warm_up(asker: &mut Asker, check: &Request) {
    let warm = eventually(LIMIT, || {
        let answer = asker.send(check).expect("an answer");
        assert!([200, 503].contains(&answer.status), "before the logout: {answer}");
        (answer.status == 200).then_some(())
    });
    assert!(warm.is_some(), "the session does not pass before its logout");
}

/// Logs out, again where the store did not answer in time. When it was acknowledged.
fn log_out(site: &Replicas, at: usize, cookie: &str) -> Instant {
    let out = eventually(LIMIT, || {
        let answer = site.log_out(at, cookie);
        assert!([200, 503].contains(&answer.status), "{answer}");
        (answer.status == 200).then(Instant::now)
    });
    out.expect("the logout is not acknowledged")
}

/// Checks until the session was refused several times after its logout. When those were sent and
/// answered that passed; and how many got no decision.
fn keep_checking(
    asker: &mut Asker,
    check: &Request,
    asked: &AtomicUsize,
    acknowledged: &AtomicBool,
) -> (Vec<(Instant, Instant)>, usize) {
    let (mut passed, mut unavailable, mut refused, mut out) = (Vec::new(), 0, 0_u8, false);
    let begun = Instant::now();
    while refused < 3 {
        let known = acknowledged.load(Ordering::SeqCst);
        let sent = Instant::now();
        let answer = asker.send(check).expect("an answer");
        asked.fetch_add(1, Ordering::SeqCst);
        match answer.status {
            200 => {
                assert!(!out, "a replica that refused the session lets it pass again");
                passed.push((sent, Instant::now()));
            }
            401 => {
                out = true;
                refused += u8::from(known);
            }
            503 => unavailable += 1,
            _ => panic!("{answer}"),
        }
        assert!(begun.elapsed() < LIMIT, "checks still pass after {LIMIT:?}");
    }
    (passed, unavailable)
}

fn report(delays: &[Delay], took: Duration) {
    let late: Vec<_> = delays.iter().filter_map(|delay| delay.sent).collect();
    let beyond = late.iter().filter(|delay| **delay > BOUND).count();
    println!(
        "{} rounds, {ABREAST} abreast, in {took:?}; in {} of them no check passed that was sent after \
         the acknowledgement",
        delays.len(),
        delays.len() - late.len(),
    );
    println!("in the others, the last one was sent after it by: {}", distribution(late));
    let answered = delays.iter().filter_map(|delay| delay.answered).collect();
    println!("the last answer that let through came after it by: {}", distribution(answered));
    let unavailable: usize = delays.iter().map(|delay| delay.unavailable).sum();
    println!("checks answered 503 meanwhile: {unavailable}");
    assert_eq!(beyond, 0, "checks passed that were sent more than {BOUND:?} after the logout");
}

#[test]
fn a_logout_during_a_refresh_stays_a_logout() {
    let site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    site.provider.set(&json!({"delay": {"/token": 3000}}));
    let answers = std::thread::scope(|scope| {
        let storm = scope.spawn(|| storm(&site, &alice.cookie, &[0, 1, 2], 30));
        let asked = eventually(LIMIT, || (site.provider.count("/token") == 1).then_some(()));
        assert!(asked.is_some(), "no refresh is under way");
        let answer = site.log_out(1, &alice.cookie);
        assert_eq!(answer.status, 200, "{answer}");
        storm.join().unwrap()
    });
    assert_eq!(by_status(&answers).keys().copied().collect::<Vec<_>>(), [401], "no check passes");
    let answers = storm(&site, &alice.cookie, &[0, 1, 2], 9);
    assert_eq!(by_status(&answers).keys().copied().collect::<Vec<_>>(), [401]);
    assert_eq!(site.names(), Vec::<String>::new(), "the refresh has brought the session back");
    assert_eq!(site.audit("session_ended").len(), 1, "{:?}", site.audit("session_ended"));
}
