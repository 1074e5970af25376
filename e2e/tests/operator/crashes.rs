//! The operator is killed at every single write of a reconcile.

use serde_json::Value;
use vestibule_e2e::apiserver::Fate;
use vestibule_e2e::process::eventually;

use crate::bench::{Bench, LIMIT, is_live, number};

/// No reconcile writes more often.
const MOST: u32 = 20;

/// Lets nothing through after that many writes, the change being made meanwhile, and kills the
/// operator. Whether it came to that.
fn crash_after(bench: &mut Bench, name: &str, writes: u32, change: impl FnOnce(&Bench)) -> bool {
    let mut seen = 0;
    bench.proxy.judge(move |call| {
        seen += u32::from(call.is_write());
        if call.is_write() && seen == writes { Fate::ForwardThenFreeze } else { Fate::Forward }
    });
    change(bench);
    let ended = eventually(LIMIT, || {
        let frozen = bench.proxy.is_frozen();
        (frozen || bench.is_settled(name)).then_some(frozen)
    });
    // The write that settles it may be the last one.
    let frozen = ended.unwrap() || bench.proxy.is_frozen();
    if frozen {
        bench.crash();
        bench.proxy.clear();
        bench.begin();
    }
    frozen
}

#[test]
fn a_crash_after_any_write_of_a_new_policy_ends_in_the_same_objects_and_opens_nothing() {
    let mut bench = Bench::start();
    let begin = bench.api.now();
    let mut expected: Option<Value> = None;
    // The first one is left alone; the last one is ready before it would be killed.
    let mut writes = 0;
    loop {
        let name = format!("new-{writes}");
        bench.app(&name);
        let crashed = crash_after(&mut bench, &name, writes, |bench| {
            bench.policy(&name);
        });
        bench.settle(&name);
        let made = bench.made_of(&name);
        let expected = expected.get_or_insert_with(|| made.clone());
        assert_eq!(made, *expected, "after a crash at write {writes}");
        assert_eq!(made["middleware"]["name"], "vestibule-shop");
        if !crashed && writes > 0 {
            break;
        }
        writes += 1;
    }
    assert!((7..MOST).contains(&writes), "{writes}");
    let history = bench.history(begin);
    history.assert_wiring_stayed();
    for writes in 0..=writes {
        let name = format!("new-{writes}");
        let live = history.compiled(&name, 0).find(|version| is_live(&version.object)).unwrap();
        let wired = history.wired_at(&name);
        assert!(live.number() > wired, "it was live before it was wired, at write {writes}");
    }
}

#[test]
fn a_crash_after_any_write_of_a_policy_that_becomes_refused_lets_nobody_in() {
    let mut bench = Bench::start();
    let begin = bench.api.now();
    let mut expected: Option<Value> = None;
    let mut broken = Vec::new();
    loop {
        let writes = u32::try_from(broken.len()).unwrap();
        let name = format!("refused-{writes}");
        bench.app(&name);
        bench.policy(&name);
        bench.settle(&name);
        assert!(is_live(&bench.compiled(&name).unwrap()));
        let crashed = crash_after(&mut bench, &name, writes, |bench| {
            broken.push((name.clone(), number(&bench.break_policy(&name))));
        });
        bench.settle(&name);
        let made = bench.made_of(&name);
        let expected = expected.get_or_insert_with(|| made.clone());
        assert_eq!(made, *expected, "after a crash at write {writes}");
        assert_eq!(made["compiled"]["state"], "Refused");
        if !crashed && writes > 0 {
            break;
        }
    }
    // The Secret and the status at least.
    assert!(broken.len() >= 4, "{broken:?}");
    let history = bench.history(begin);
    history.assert_wiring_stayed();
    for (name, broken) in broken {
        for version in history.compiled(&name, broken) {
            assert!(!version.deleted && !is_live(&version.object), "{name}");
        }
    }
}
