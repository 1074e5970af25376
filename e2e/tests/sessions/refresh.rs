//! Access tokens that are over: one redeem over all replicas, and the right answer to every check.

use std::time::{Duration, Instant};

use serde_json::json;
use vestibule_e2e::http::Response;
use vestibule_e2e::process::eventually;
use vestibule_e2e::replicas::{Plan, Replicas, bearer};

use crate::load::{by_status, storm};

const LIMIT: Duration = Duration::from_mins(1);

/// Every answer passes on the newest access token that the provider has issued.
pub fn assert_all_have_the_newest_token(site: &Replicas, answers: &[Response]) {
    let issued = site.provider.issued("access_token");
    for answer in answers {
        assert_eq!(answer.status, 200, "{:?} of {answer}", by_status(answers));
        assert_eq!(Some(bearer(answer)), issued.last().map(String::as_str));
        assert_eq!(answer.header("x-user"), Some("alice"));
    }
}

#[test]
fn two_hundred_checks_on_an_expired_session_redeem_its_refresh_token_once() {
    let site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    site.provider.set(&json!({"delay": {"/token": 10_000}}));
    let answers = storm(&site, &alice.cookie, &[0, 1, 2], 200);
    assert_all_have_the_newest_token(&site, &answers);
    assert_eq!(site.provider.count("/token"), 1);
    assert_eq!(site.provider.redeemed("granted"), 1);
    // What comes later uses the result too.
    assert_all_have_the_newest_token(&site, &storm(&site, &alice.cookie, &[0, 1, 2], 6));
    assert_eq!(site.provider.count("/token"), 1);
    site.assert_the_store_shows_nothing(&[&alice.cookie]);
}

#[test]
fn rotated_refresh_tokens_are_used_in_turn_over_all_replicas() {
    let site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    site.provider.set(&json!({"accessTokenTtl": 2}));
    let begun = Instant::now();
    let mut checks = 0;
    while begun.elapsed() < Duration::from_secs(15) {
        let answers = storm(&site, &alice.cookie, &[0, 1, 2], 9);
        assert_eq!(by_status(&answers).keys().copied().collect::<Vec<_>>(), [200]);
        checks += answers.len();
    }
    let redeemed = site.provider.redeemed("granted");
    println!("{checks} checks in 15 s with access tokens of 2 s: {redeemed} redeems");
    assert_eq!(site.provider.redeemed("refused"), 0, "a used refresh token was used again");
    assert!((3..=15).contains(&redeemed), "{redeemed} redeems");
    let issued = site.provider.issued("refresh_token");
    let each = usize::try_from(redeemed).unwrap() + 1;
    assert_eq!(issued.len(), each, "the login and every redeem give one");
}

#[test]
fn r50_t028_a_user_whom_the_provider_refuses_is_out_on_every_replica() {
    let site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    let token = site.provider.issued("refresh_token").pop().expect("a refresh token");
    site.provider.revoke(&token);
    let answers = storm(&site, &alice.cookie, &[0, 1, 2], 30);
    assert_eq!(by_status(&answers).keys().copied().collect::<Vec<_>>(), [401]);
    assert_eq!(site.provider.redeemed("refused"), 1);
    assert_eq!(site.audit("refresh_refused").len(), 1, "one session, one line");
    assert_eq!(site.names(), Vec::<String>::new());
    // The way in is a login, as ever.
    assert_eq!(site.status(2, &site.log_in("alice", 1).cookie), 200);
}

#[test]
fn t016_claims_that_changed_at_the_provider_decide_from_the_refresh_on() {
    let site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    site.provider.set(&json!({"claims": {"alice": {"groups": ["guests"]}}}));
    let status = |path| site.asker(1).send(&site.check_of(path, &alice.cookie)).unwrap().status;
    assert_eq!(status("/api"), 200);
    for replica in 0..3 {
        let check = site.check_of("/staff", &alice.cookie);
        let answer = site.asker(replica).send(&check).unwrap();
        assert_eq!(answer.status, 403, "replica {replica}: {answer}");
    }
    assert_eq!(site.provider.redeemed("granted"), 1);
}

#[test]
fn t069_a_client_that_goes_away_cuts_no_refresh() {
    let site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    site.provider.set(&json!({"delay": {"/token": 1000}}));
    let mut client = site.asker(0);
    client.begin(&site.check(&alice.cookie));
    let asked = eventually(LIMIT, || (site.provider.count("/token") == 1).then_some(()));
    assert!(asked.is_some(), "no refresh is under way");
    drop(client);
    let done = eventually(LIMIT, || (site.provider.redeemed("granted") == 1).then_some(()));
    assert!(done.is_some(), "the refresh went away with its client");
    assert_all_have_the_newest_token(&site, &storm(&site, &alice.cookie, &[0, 1, 2], 30));
    assert_eq!(site.provider.count("/token"), 1);
    assert_eq!(site.provider.state()["dropped"], 0);
}

#[test]
fn a_replica_that_is_asked_to_end_finishes_its_refresh_first() {
    let mut site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    site.provider.set(&json!({"delay": {"/token": 3000}}));
    let (mut client, check) = (site.asker(0), site.check(&alice.cookie));
    let waiting = std::thread::spawn(move || client.send(&check));
    let asked = eventually(LIMIT, || (site.provider.count("/token") == 1).then_some(()));
    assert!(asked.is_some(), "no refresh is under way");
    assert_eq!(site.replicas[0].authsvc.terminate(), Some(0), "{}", site.replicas[0].authsvc.log());
    let answer = waiting.join().unwrap().expect("an answer");
    assert_all_have_the_newest_token(&site, &[answer]);
    assert_all_have_the_newest_token(&site, &storm(&site, &alice.cookie, &[1, 2], 30));
    assert_eq!(site.provider.count("/token"), 1);
}
