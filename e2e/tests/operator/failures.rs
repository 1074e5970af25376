//! Calls that fail, and watches that break.

use std::time::{Duration, Instant};

use serde_json::Value;
use vestibule_e2e::apiserver::{Call, Fate};
use vestibule_e2e::process::eventually;

use crate::bench::{Bench, LIMIT, door_is_open, envelope, is_live, policy_path};

/// What an app becomes where nothing fails.
fn undisturbed(bench: &Bench, name: &str) -> Value {
    bench.app(name);
    bench.policy(name);
    bench.settle(name);
    bench.made_of(name)
}

/// Fails so many writes.
fn failing(times: u32, fate: Fate) -> impl FnMut(&Call) -> Fate + Send {
    let mut left = times;
    move |call| {
        if left == 0 || !call.is_write() {
            return Fate::Forward;
        }
        left -= 1;
        fate.clone()
    }
}

#[test]
fn conflicts_end_in_the_same_objects() {
    let bench = Bench::start();
    let expected = undisturbed(&bench, "conflict-calm");
    bench.app("conflict");
    bench.proxy.judge(failing(6, Fate::failure(409, "Conflict", None)));
    bench.policy("conflict");
    bench.settle("conflict");
    assert_eq!(bench.made_of("conflict"), expected);
    assert_eq!(bench.proxy.faults(), 6);
}

#[test]
fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    let bench = Bench::start();
    let expected = undisturbed(&bench, "busy-calm");
    bench.app("busy");
    bench.proxy.judge(failing(1, Fate::failure(429, "TooManyRequests", Some(3))));
    let _ = bench.proxy.take_calls();
    bench.policy("busy");
    bench.settle("busy");
    assert_eq!(bench.made_of("busy"), expected);
    let calls = bench.proxy.take_calls();
    let of_wiring = |call: &&Call| call.is_write() && !call.target.contains("/status");
    let writes: Vec<Instant> = calls.iter().filter(of_wiring).map(|call| call.at).collect();
    let waited = writes[1] - writes[0];
    assert!(waited >= Duration::from_secs(3), "it was asked again after {waited:?}");
}

#[test]
fn a_burst_of_errors_of_the_server_ends_in_the_same_objects() {
    let bench = Bench::start();
    let expected = undisturbed(&bench, "burst-calm");
    bench.app("burst");
    // Reads, writes, watches and the Lease alike.
    let mut left = 40;
    bench.proxy.judge(move |_| {
        if left == 0 {
            return Fate::Forward;
        }
        left -= 1;
        if left % 4 == 0 { Fate::Cut } else { Fate::failure(500, "InternalError", None) }
    });
    for plural in ["bffpolicies", "ingresses", "secrets", "middlewares"] {
        bench.proxy.cut_watches(plural);
    }
    bench.policy("burst");
    bench.settle("burst");
    assert_eq!(bench.made_of("burst"), expected);
    assert_eq!(bench.proxy.faults(), 40);
}

#[test]
fn an_edit_made_while_a_watch_is_broken_is_seen() {
    let bench = Bench::start();
    undisturbed(&bench, "dropped");
    bench.proxy.judge(|call| {
        let of_policies = call.watches("bffpolicies") || call.lists("bffpolicies");
        if of_policies { Fate::Hold } else { Fate::Forward }
    });
    bench.proxy.cut_watches("bffpolicies");
    bench.close_the_door("dropped");
    assert!(door_is_open(&bench.compiled("dropped").unwrap()), "it cannot know yet");
    bench.proxy.clear();
    bench.settle("dropped");
    assert!(!door_is_open(&bench.compiled("dropped").unwrap()));
    assert!(is_live(&bench.compiled("dropped").unwrap()));
}

#[test]
fn an_object_deleted_while_a_watch_was_too_old_is_seen_to_be_gone() {
    let bench = Bench::start();
    let since = bench.api.now();
    undisturbed(&bench, "expired");
    // As an event of the watch, and as its answer.
    let mut fates = vec![Fate::failure(410, "Expired", None), Fate::expired_watch()];
    bench.proxy.judge(move |call| match fates.last() {
        Some(_) if call.watches("bffpolicies") => fates.pop().unwrap(),
        _ => Fate::Forward,
    });
    bench.proxy.cut_watches("bffpolicies");
    bench.api.delete(&policy_path("expired"));
    let tombstone = eventually(LIMIT, || {
        let secret = bench.compiled("expired").unwrap();
        (!is_live(&secret)).then_some(())
    });
    assert!(tombstone.is_some(), "{}", bench.tail());
    assert_eq!(bench.proxy.faults(), 2);
    bench.history(since).assert_wiring_stayed();
    assert_eq!(envelope(&bench.compiled("expired").unwrap())["state"], "Tombstone");
}
