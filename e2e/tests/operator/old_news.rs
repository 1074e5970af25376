//! A list that is older than what the operator has already acted on.

use serde_json::Value;
use vestibule_e2e::apiserver::{Call, Fate};
use vestibule_e2e::process::eventually;

use crate::bench::{Bench, LIMIT, door_is_open, envelope, is_live, number, policy_path};

pub const POLICIES: &str = "/apis/vestibule.dev/v1alpha1/bffpolicies";

/// Starts the operator with an old list of policies and no watch of them, and waits until it has
/// looked at that policy.
pub fn start_with_old_list(bench: &mut Bench, old: &Value, name: &str) {
    let list = old.clone();
    bench.proxy.judge(move |call| {
        if call.lists("bffpolicies") {
            return Fate::object(&list);
        }
        if call.watches("bffpolicies") { Fate::Hold } else { Fate::Forward }
    });
    let _ = bench.proxy.take_calls();
    bench.launch();
    let id = bench.compiled(name).unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
    let looked = eventually(LIMIT, || {
        let calls = bench.proxy.calls();
        let mine = |target: &str| target.split('?').next().unwrap_or_default().ends_with(&id);
        let at = calls.iter().position(|call| call.method == "GET" && mine(&call.target))?;
        // What it does with what it has read comes within a second.
        (calls[at].at.elapsed().as_secs() >= 2).then_some(())
    });
    assert!(looked.is_some(), "{}", bench.tail());
}

#[test]
fn an_old_list_does_not_undo_a_stricter_policy() {
    let mut bench = Bench::start();
    let begin = bench.api.now();
    bench.app("old");
    bench.policy("old");
    bench.settle("old");
    assert!(door_is_open(&bench.compiled("old").unwrap()));
    let list = bench.api.object(POLICIES);
    let stricter = number(&bench.close_the_door("old"));
    bench.settle("old");
    let made = bench.made_of("old");
    bench.crash();
    let strict_since = number(&bench.compiled("old").unwrap());
    start_with_old_list(&mut bench, &list, "old");
    assert!(!door_is_open(&bench.compiled("old").unwrap()));
    bench.proxy.clear();
    // It goes on with what is new, from the old version on.
    bench.break_policy("old");
    bench.settle("old");
    assert!(!is_live(&bench.compiled("old").unwrap()));
    for version in bench.history(strict_since).compiled("old", strict_since) {
        assert!(!door_is_open(&version.object), "it was open again after {stricter}");
    }
    bench.history(begin).assert_wiring_stayed();
    assert_eq!(made["compiled"]["generation"], 2);
}

#[test]
fn an_old_list_in_the_middle_does_not_undo_a_stricter_policy() {
    let bench = Bench::start();
    bench.app("middle");
    bench.policy("middle");
    bench.settle("middle");
    let list = bench.api.object(POLICIES);
    let stricter = bench.close_the_door("middle");
    bench.settle("middle");
    let since = number(&bench.compiled("middle").unwrap());
    let _ = bench.proxy.take_calls();
    let mut expired = false;
    bench.proxy.judge(move |call| {
        if call.lists("bffpolicies") {
            return Fate::object(&list);
        }
        if !call.watches("bffpolicies") {
            return Fate::Forward;
        }
        let first = !std::mem::replace(&mut expired, true);
        if first { Fate::expired_watch() } else { Fate::Hold }
    });
    bench.proxy.cut_watches("bffpolicies");
    // What is older than what was handed over is asked for again.
    let asked = eventually(LIMIT, || {
        let calls = bench.proxy.calls();
        let policy = policy_path("middle");
        let asks = |call: &Call| call.method == "GET" && call.target.starts_with(&policy);
        calls.iter().any(asks).then_some(())
    });
    assert!(asked.is_some(), "{}", bench.tail());
    bench.proxy.clear();
    bench.break_policy("middle");
    bench.settle("middle");
    for version in bench.history(since).compiled("middle", since) {
        assert!(!door_is_open(&version.object), "it was open again after {stricter}");
    }
    assert!(!is_live(&bench.compiled("middle").unwrap()));
}

#[test]
fn an_old_list_does_not_bring_the_former_object_of_a_name_back() {
    let mut bench = Bench::start();
    bench.app("former");
    bench.policy("former");
    bench.settle("former");
    let list = bench.api.object(POLICIES);
    bench.api.delete(&policy_path("former"));
    let gone = eventually(LIMIT, || {
        let secret = bench.compiled("former").unwrap();
        (envelope(&secret)["state"] == "Tombstone").then_some(())
    });
    assert!(gone.is_some());
    bench.policy("former");
    bench.close_the_door("former");
    bench.settle("former");
    bench.crash();
    let since = number(&bench.compiled("former").unwrap());
    start_with_old_list(&mut bench, &list, "former");
    bench.proxy.clear();
    bench.settle("former");
    for version in bench.history(since).compiled("former", since) {
        assert!(!door_is_open(&version.object), "the former object was enforced");
    }
    assert!(is_live(&bench.compiled("former").unwrap()));
}
