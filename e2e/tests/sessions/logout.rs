//! Logouts that begin elsewhere: at the provider, and in another browser of the same user.

use std::time::Duration;

use vestibule_e2e::http::Request;
use vestibule_e2e::process::eventually;
use vestibule_e2e::replicas::{LoggedIn, Plan, Replicas};

const LIMIT: Duration = Duration::from_mins(1);
/// Five times the second in which an end must be known everywhere.
const REACH: Duration = Duration::from_secs(5);

fn statuses(site: &Replicas, session: &LoggedIn) -> [u16; 3] {
    [0, 1, 2].map(|replica| site.status(replica, &session.cookie))
}

#[test]
fn r52_a_logout_at_the_provider_ends_the_sessions_of_that_login_on_every_replica() {
    let site = Plan::default().start();
    let first = site.log_in("alice", 0);
    // Two more browsers' worth of sessions that came of the same session at the provider.
    let same = [site.log_in_again(&first, 1), site.log_in_again(&first, 2)];
    // The same user by another login, and another user: neither is meant.
    let others = [site.log_in("alice", 1), site.log_in("bob", 2)];
    for session in same.iter().chain(&others).chain([&first]) {
        assert_eq!(statuses(&site, session), [200; 3]);
    }
    site.sign_out_at_provider(&first);
    for session in same.iter().chain([&first]) {
        let out = eventually(REACH, || (statuses(&site, session) == [401; 3]).then_some(()));
        let state = site.provider.state();
        let got = statuses(&site, session);
        assert!(out.is_some(), "{got:?}; told: {}\n{}", state["backChannel"], site.provider.log());
    }
    for session in &others {
        assert_eq!(statuses(&site, session), [200; 3], "another login is not meant");
    }
    assert_eq!(site.audit("back_channel_logout").len(), 3);
}

#[test]
fn r50_a_logout_everywhere_ends_all_sessions_of_the_user_and_no_other() {
    let site = Plan::default().start();
    let alice = [site.log_in("alice", 0), site.log_in("alice", 1), site.log_in("alice", 2)];
    let bob = site.log_in("bob", 0);
    for session in alice.iter().chain([&bob]) {
        assert_eq!(statuses(&site, session), [200; 3]);
    }
    let answer = Request::new("POST", "/bff/logout", site.host())
        .header("Cookie", format!("__Host-bff={}", alice[1].cookie))
        .header("Origin", &site.origin)
        .header("Sec-Fetch-Site", "same-origin")
        .header("X-Bff", "1")
        .form("everywhere=true")
        .send(site.replicas[1].authsvc.browser);
    assert!([200, 303].contains(&answer.status), "{answer}");
    for session in &alice {
        let out = eventually(REACH, || (statuses(&site, session) == [401; 3]).then_some(()));
        assert!(out.is_some(), "{:?} after the logout everywhere", statuses(&site, session));
    }
    assert_eq!(statuses(&site, &bob), [200; 3]);
    assert_eq!(site.audit("logout_everywhere").len(), 3);
}

#[test]
fn r43_a_logout_makes_the_refresh_token_worthless_at_the_provider() {
    let site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    assert_eq!(site.log_out(0, &alice.cookie).status, 200);
    let asked = || (site.provider.count("/token/revocation") >= 1).then_some(());
    assert!(eventually(LIMIT, asked).is_some(), "nothing was revoked");
    let token = site.provider.issued("refresh_token").pop().expect("a refresh token");
    let active = eventually(LIMIT, || (!site.provider.is_active(&token)).then_some(()));
    assert!(active.is_some(), "the refresh token is good still");
}
