//! A refresh whose replica, store or provider fails half way.

use std::time::{Duration, Instant};

use serde_json::json;
use vestibule_e2e::http::Response;
use vestibule_e2e::process::eventually;
use vestibule_e2e::replicas::{Plan, Replicas};

use crate::load::{by_status, storm};
use crate::refresh::assert_all_have_the_newest_token;

const LIMIT: Duration = Duration::from_mins(1);

fn wait(time: Duration) {
    let begun = Instant::now();
    eventually(LIMIT, || (begun.elapsed() >= time).then_some(())).expect("time passes");
}

/// Makes replica 0 the holder of the lease: it alone is asked, until `reached`. Then 200 checks arrive
/// at the two others, and it is killed. What the 200 got.
fn with_a_failing_holder(
    site: &mut Replicas,
    cookie: &str,
    reached: impl Fn(&Replicas) -> bool,
) -> Vec<Response> {
    let mut holder = site.asker(0);
    let check = site.check(cookie);
    let first = std::thread::spawn(move || holder.send(&check));
    assert!(eventually(LIMIT, || reached(site).then_some(())).is_some(), "no refresh is under way");
    let answers = std::thread::scope(|scope| {
        let site: &Replicas = site;
        let storm = scope.spawn(move || storm(site, cookie, &[1, 2], 200));
        // Most of them wait for the holder then; whoever comes later finds it gone.
        wait(Duration::from_secs(1));
        site.replicas[0].authsvc.signal("KILL");
        site.provider.set(&json!({"delay": {}, "delayAfter": {}}));
        storm.join().unwrap()
    });
    site.replicas[0].authsvc.kill();
    assert!(first.join().unwrap().is_none(), "the killed replica has answered");
    answers
}

#[test]
fn a_holder_killed_before_its_redeem_costs_one_redeem_and_no_session() {
    let mut site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    site.provider.set(&json!({"delay": {"/token": 60_000}}));
    let asked = |site: &Replicas| site.provider.count("/token") == 1;
    let answers = with_a_failing_holder(&mut site, &alice.cookie, asked);
    assert_all_have_the_newest_token(&site, &answers);
    assert_eq!(site.provider.state()["dropped"], 1, "the killed holder was not served");
    assert_eq!(site.provider.redeemed("granted"), 1);
    assert_eq!(site.provider.redeemed("refused"), 0);
}

#[test]
fn a_holder_killed_between_redeem_and_write_ends_the_session_cleanly() {
    let mut site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    site.provider.set(&json!({"delayAfter": {"/token": 60_000}}));
    let redeemed = |site: &Replicas| site.provider.redeemed("granted") == 1;
    let answers = with_a_failing_holder(&mut site, &alice.cookie, redeemed);
    assert_eq!(by_status(&answers).keys().copied().collect::<Vec<_>>(), [401]);
    assert_eq!(site.provider.redeemed("refused"), 1, "one more try, and no other");
    assert_eq!(site.audit("refresh_refused").len(), 1);
    assert_eq!(site.names(), Vec::<String>::new());
    assert_eq!(site.status(2, &site.log_in("alice", 1).cookie), 200, "a login is the way in");
}

#[test]
fn a_holder_killed_between_redeem_and_write_costs_nothing_where_the_provider_has_a_reuse_window() {
    let mut site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    site.provider.set(&json!({"delayAfter": {"/token": 60_000}, "reuseWindow": 60}));
    let redeemed = |site: &Replicas| site.provider.redeemed("granted") == 1;
    let answers = with_a_failing_holder(&mut site, &alice.cookie, redeemed);
    assert_all_have_the_newest_token(&site, &answers);
    assert_eq!(site.provider.redeemed("granted"), 2);
}

#[test]
fn a_lost_answer_to_the_write_costs_no_second_redeem() {
    let site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    let name = site.names().pop().expect("a session");
    // The write tells everybody that the record was replaced: no other command has this text.
    for replica in 0..3 {
        site.link(replica).lose_answer_to(format!("\r\nr{name}\r\n").as_bytes());
    }
    site.provider.set(&json!({"delay": {"/token": 1000}}));
    let answers = storm(&site, &alice.cookie, &[0, 1, 2], 200);
    assert!((0..3).map(|replica| site.link(replica).lost()).sum::<u64>() >= 1, "nothing was lost");
    assert_all_have_the_newest_token(&site, &answers);
    assert_eq!(site.provider.count("/token"), 1);
}

#[test]
fn a_store_that_pauses_for_five_seconds_costs_no_second_redeem_and_no_session() {
    let site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    site.provider.set(&json!({"delay": {"/token": 6000}}));
    let answers = std::thread::scope(|scope| {
        let storm = scope.spawn(|| storm(&site, &alice.cookie, &[0, 1, 2], 200));
        let asked = eventually(LIMIT, || (site.provider.count("/token") == 1).then_some(()));
        assert!(asked.is_some(), "no refresh is under way");
        // All are waiting by then: who asks the store first while it is paused gets 503, rightly.
        wait(Duration::from_secs(3));
        site.redis().freeze();
        assert!(!storm.is_finished(), "the answers came before the pause");
        wait(Duration::from_secs(5));
        site.redis().thaw();
        storm.join().unwrap()
    });
    println!("the store paused for 5 s: {:?}", by_status(&answers));
    assert_all_have_the_newest_token(&site, &answers);
    assert_eq!(site.provider.count("/token"), 1);
}

#[test]
fn a_provider_that_fails_costs_no_session_and_is_not_hammered() {
    let site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    site.provider.set(&json!({"fail": {"/token": 503}}));
    let begun = Instant::now();
    let mut answers = storm(&site, &alice.cookie, &[0, 1, 2], 60);
    answers.extend(storm(&site, &alice.cookie, &[0, 1, 2], 60));
    assert_eq!(by_status(&answers).keys().copied().collect::<Vec<_>>(), [503]);
    let (asked, took) = (site.provider.count("/token"), begun.elapsed());
    println!("120 checks in {took:?} while the provider failed: {asked} redeems tried");
    assert!(asked <= took.as_secs() + 2, "{asked} tries in {took:?}");
    site.provider.set(&json!({"fail": {}}));
    let back = eventually(LIMIT, || (site.status(1, &alice.cookie) == 200).then_some(()));
    assert!(back.is_some(), "the session does not come back: {}", site.status(1, &alice.cookie));
    assert_eq!(site.provider.redeemed("granted"), 1);
}
