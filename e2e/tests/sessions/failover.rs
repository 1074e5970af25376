//! The primary of the store ends, and Sentinel makes another one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use vestibule_e2e::process::eventually;
use vestibule_e2e::redis::Redis;
use vestibule_e2e::replicas::{LoggedIn, Plan, Replicas};

use crate::load::{Sample, samples_by_status, under_load};

const LIMIT: Duration = Duration::from_mins(1);
/// Five times the two seconds that are asked for: these machines are shared.
const RECOVERY: Duration = Duration::from_secs(10);

fn start() -> Replicas {
    Plan { sentinel: true, ..Plan::default() }.start()
}

fn kill_primary(site: &Replicas) -> SocketAddr {
    let primary = &site.sentinel().servers[0];
    primary.crash();
    primary.address
}

/// How many sessions a server of the store has.
fn records(server: &Redis) -> usize {
    server.cli(&["--scan", "--pattern", "vestibule:session:*"]).lines().count()
}

fn all_pass(site: &Replicas, sessions: &[LoggedIn]) -> bool {
    sessions
        .iter()
        .all(|session| (0..3).all(|replica| site.status(replica, &session.cookie) == 200))
}

#[test]
fn a_failover_under_load_is_503_for_a_while_and_costs_no_replicated_session() {
    let site = start();
    let sessions: Vec<_> = (0..20).map(|n| site.log_in(&format!("user-{n}"), n)).collect();
    assert!(all_pass(&site, &sessions));
    let cookies: Vec<_> = sessions.iter().map(|session| session.cookie.clone()).collect();
    // The last ones may not have reached a replica of the store: it replicates asynchronously.
    let last: Vec<_> = (0..5).map(|n| site.log_in(&format!("last-{n}"), n)).collect();
    let ((killed, promoted), samples) = under_load(&site, &cookies, || {
        let killed = Instant::now();
        let old = kill_primary(&site);
        let _ = site.sentinel().promoted_after(old);
        let promoted = Instant::now();
        let back = eventually(LIMIT, || all_pass(&site, &sessions).then_some(()));
        assert!(back.is_some(), "sessions do not come back");
        (killed, promoted)
    });
    let counts = samples_by_status(&samples);
    let unanswered = samples.iter().filter(|s| s.status != 200).map(|s| s.answered).max();
    let after = |moment: Option<Instant>| moment.and_then(|at| at.checked_duration_since(promoted));
    println!("checks by status: {counts:?}; promoted {:?} after the kill", promoted - killed);
    // `None`: every check passed from the promotion on.
    println!("the last 503 came after the promotion by {:?}", after(unanswered));
    for replica in 0..3 {
        let of = |s: &&Sample| s.replica == replica && s.status != 200;
        let last = samples.iter().filter(of).map(|s| s.answered).max();
        println!("  replica {replica}: {:?}", after(last));
    }
    assert!(counts.keys().all(|status| [200, 503].contains(status)), "{counts:?}");
    assert!(after(unanswered).unwrap_or_default() <= RECOVERY, "{:?}", after(unanswered));
    let lost = last.iter().filter(|session| site.status(0, &session.cookie) == 401).count();
    println!("sessions lost: {lost} of the 5 that began last, 0 of the 20 before");
    // Logins work again, and every replica knows them.
    assert!(all_pass(&site, &[site.log_in("later", 1)]));
    let (alice, gone) = (site.log_in("alice", 2), &sessions[0]);
    assert_eq!(site.log_out(1, &gone.cookie).status, 200);
    let known = eventually(Duration::from_secs(5), || {
        (0..3).all(|replica| site.status(replica, &gone.cookie) == 401).then_some(())
    });
    assert!(known.is_some(), "a logout after the failover does not reach all replicas");
    assert!(all_pass(&site, &[alice]));
}

#[test]
fn r50_a_logout_acknowledged_just_before_a_failover_stays_one() {
    let site = start();
    let sessions: Vec<_> = (0..20).map(|n| site.log_in(&format!("user-{n}"), n)).collect();
    assert!(all_pass(&site, &sessions));
    let (out, others) = sessions.split_at(10);
    for (number, session) in out.iter().enumerate() {
        assert_eq!(site.log_out(number % 3, &session.cookie).status, 200);
    }
    let old = kill_primary(&site);
    stays_out_after_failover(&site, old, out, others);
}

/// The worst case: the deletion never reached the server that becomes primary.
#[test]
fn r50_a_logout_that_was_never_replicated_is_not_undone_by_a_failover() {
    let site = start();
    let sessions: Vec<_> = (0..6).map(|n| site.log_in(&format!("user-{n}"), n)).collect();
    assert!(all_pass(&site, &sessions));
    let (out, others) = sessions.split_at(3);
    site.sentinel().stop_replication();
    for (number, session) in out.iter().enumerate() {
        assert_eq!(site.log_out(number % 3, &session.cookie).status, 200);
    }
    for replica in &site.sentinel().servers[1..] {
        assert_eq!(records(replica), sessions.len(), "a replica of the store has heard of it");
    }
    let old = kill_primary(&site);
    stays_out_after_failover(&site, old, out, others);
}

/// A primary that hangs and wakes up later believes that it is one still, until a Sentinel tells it.
#[test]
fn a_primary_that_hangs_and_comes_back_undoes_no_logout_and_ends_no_session() {
    let site = start();
    let sessions: Vec<_> = (0..12).map(|n| site.log_in(&format!("user-{n}"), n)).collect();
    assert!(all_pass(&site, &sessions));
    let (out, others) = sessions.split_at(6);
    let cookies: Vec<_> = others.iter().map(|session| session.cookie.clone()).collect();
    let hung = &site.sentinel().servers[0];
    let (later, samples) = under_load(&site, &cookies, || {
        hung.freeze();
        let new = site.sentinel().promoted_after(hung.address);
        let back = eventually(LIMIT, || all_pass(&site, others).then_some(()));
        assert!(back.is_some(), "sessions do not come back");
        let later = site.log_in("later", 1);
        for (number, session) in out.iter().enumerate() {
            assert_eq!(site.log_out(number % 3, &session.cookie).status, 200);
        }
        hung.thaw();
        let demoted = eventually(LIMIT, || hung.cli(&["ROLE"]).starts_with("slave").then_some(()));
        assert!(demoted.is_some(), "the old primary is one still");
        let same = eventually(LIMIT, || (records(hung) == records(new)).then_some(()));
        assert!(same.is_some(), "{} and {} sessions", records(hung), records(new));
        later
    });
    let counts = samples_by_status(&samples);
    println!("checks by status, while the primary hung and came back: {counts:?}");
    assert!(counts.keys().all(|status| [200, 503].contains(status)), "{counts:?}");
    assert!(all_pass(&site, others) && all_pass(&site, &[later]));
    for session in out {
        for replica in 0..3 {
            assert_eq!(site.status(replica, &session.cookie), 401, "a logout was undone");
        }
    }
}

fn stays_out_after_failover(
    site: &Replicas,
    old: SocketAddr,
    out: &[LoggedIn],
    others: &[LoggedIn],
) {
    let begun = Instant::now();
    // Whenever anything is asked, those who logged out stay out: 503 is the only other answer.
    let back = eventually(LIMIT, || {
        for session in out {
            for replica in 0..3 {
                assert_ne!(site.status(replica, &session.cookie), 200, "a logout was undone");
            }
        }
        all_pass(site, others).then_some(())
    });
    assert!(back.is_some(), "the other sessions do not come back");
    println!("all others pass again {:?} after the kill", begun.elapsed());
    let new = site.sentinel().promoted_after(old);
    // The records that came back with an older state of the store are deleted again.
    let rest = eventually(LIMIT, || (records(new) == others.len()).then_some(()));
    assert!(rest.is_some(), "{} sessions are in the store", records(new));
    for session in out {
        for replica in 0..3 {
            assert_eq!(site.status(replica, &session.cookie), 401);
        }
    }
}
