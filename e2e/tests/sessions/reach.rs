//! What one replica ends or changes is known to the others, also to those that lost the store; and
//! what all know costs the store nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vestibule_e2e::fault_relay::FaultRelay;
use vestibule_e2e::process::eventually;
use vestibule_e2e::replicas::{Plan, Replicas};

/// As in `races.rs`.
const BOUND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_mins(1);

fn no_longer_passes(site: &Replicas, fault: fn(&FaultRelay), name: &str) {
    let alice = site.log_in("alice", 0);
    let check = site.check(&alice.cookie);
    let mut asker = site.asker(1);
    // Until it answers from memory.
    let warm = eventually(LIMIT, || {
        let before = reads(site);
        assert_eq!(asker.send(&check).unwrap().status, 200, "{name}");
        (reads(site) == before).then_some(())
    });
    assert!(warm.is_some(), "{name}: the cache stays cold");
    fault(site.link(1));
    let begun = Instant::now();
    let answer = site.log_out(0, &alice.cookie);
    assert_eq!(answer.status, 200, "{answer}");
    let acknowledged = Instant::now();
    let (mut last, mut seen) = (Duration::ZERO, BTreeMap::<u16, usize>::new());
    while acknowledged.elapsed() < 3 * BOUND {
        let sent = acknowledged.elapsed();
        let status = asker.send(&check).unwrap().status;
        *seen.entry(status).or_default() += 1;
        match status {
            200 => last = sent,
            401 | 503 => {}
            status => panic!("{name}: {status}"),
        }
    }
    let took = acknowledged - begun;
    println!("{name}: the logout took {took:?}, checks got {seen:?}");
    println!("{name}: the last check that passed was sent {last:?} after the logout");
    assert!(last <= BOUND, "{name}: a check passed that was sent {last:?} after the logout");
    site.link(1).mend();
    // From the first answer of the store on it is known: never does the session come back.
    let refused = eventually(LIMIT, || match asker.send(&check).unwrap().status {
        401 => Some(()),
        503 => None,
        status => panic!("{name}, after the store is back: {status}"),
    });
    assert!(refused.is_some(), "{name}: the store does not come back");
    let bob = site.log_in("bob", 2);
    assert_eq!(site.status(1, &bob.cookie), 200, "{name}");
}

#[test]
fn a_logout_reaches_a_replica_that_lost_the_store_within_a_second() {
    let site = Plan::default().start();
    no_longer_passes(&site, FaultRelay::cut, "the connection is cut");
    no_longer_passes(&site, FaultRelay::hold, "the connection is silent");
    no_longer_passes(&site, FaultRelay::reset, "the connection is made anew");
}

#[test]
fn a_warm_check_asks_the_store_nothing() {
    let site = Plan::default().start();
    let alice = site.log_in("alice", 0);
    let check = site.check(&alice.cookie);
    let mut askers = [0, 1, 2].map(|replica| site.asker(replica));
    let mut round = || {
        for asker in &mut askers {
            assert_eq!(asker.send(&check).unwrap().status, 200);
        }
    };
    round();
    let before = reads(&site);
    assert!(before >= 3, "every replica has read the session once, {before} reads are counted");
    for _ in 0..200 {
        round();
    }
    let asked = reads(&site) - before;
    println!("600 warm checks read the store {asked} times");
    // A busy machine may keep a replica from hearing of the store for half a second.
    assert!(asked <= 100, "{asked} reads for 600 checks");
}

/// How many records were read from the store.
fn reads(site: &Replicas) -> u64 {
    let stats = site.redis().cli(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_get:calls="));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn r50_t005_a_logout_at_one_replica_is_one_at_all() {
    let site = Plan::default().start();
    for replica in 0..3 {
        let alice = site.log_in("alice", replica);
        let other = site.log_in("bob", replica);
        for asked in 0..3 {
            assert_eq!(site.status(asked, &alice.cookie), 200);
        }
        assert_eq!(site.log_out(replica, &alice.cookie).status, 200);
        // Nine new connections in there: five times the bound.
        let out = eventually(5 * BOUND, || {
            (0..3).all(|asked| site.status(asked, &alice.cookie) == 401).then_some(())
        });
        assert!(out.is_some(), "a logout at {replica} has not reached all replicas");
        assert_eq!(site.status(replica + 1, &other.cookie), 200, "bob is another session");
    }
}
