//! The keyring rotates under load, replica by replica: nobody is logged out, and nothing fails.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use vestibule_e2e::process::eventually;
use vestibule_e2e::replicas::{Plan, Replicas};

use crate::load::{samples_by_status, under_load};

const LIMIT: Duration = Duration::from_mins(1);

fn everywhere(site: &Replicas, ids: &[&str]) {
    for replica in 0..site.replicas.len() {
        site.set_keyring(replica, ids);
    }
}

#[test]
fn a_rolling_keyring_rotation_under_load_ends_no_session_and_fails_no_check() {
    let site = Plan::default().start();
    // Refreshes go on meanwhile.
    site.provider.set(&json!({"accessTokenTtl": 3}));
    let mut users: Vec<_> = (0..12).map(|n| site.log_in(&format!("user-{n}"), n)).collect();
    let cookies: Vec<String> = users.iter().map(|user| user.cookie.clone()).collect();
    let ((), samples) = under_load(&site, &cookies, || {
        everywhere(&site, &["k1", "k2"]);
        everywhere(&site, &["k2", "k1"]);
        // Sessions that began under the old key, and under the new one.
        users.push(site.log_in("late", 0));
        for user in &users {
            for replica in 0..3 {
                assert_eq!(site.status(replica, &user.cookie), 200);
            }
        }
        // Every session was used since: that is the grace.
        everywhere(&site, &["k2"]);
        for user in &users {
            for replica in 0..3 {
                assert_eq!(site.status(replica, &user.cookie), 200, "after the old key is gone");
            }
        }
    });
    let counts = samples_by_status(&samples);
    println!("checks during the rotation, by status: {counts:?}");
    assert_eq!(counts, BTreeMap::from([(200, samples.len())]));
    assert_eq!(site.audit("session_ended"), Vec::<String>::new());
    // A logout finds what began under the old key.
    assert_eq!(site.log_out(1, &cookies[0]).status, 200);
    assert_eq!(site.status(2, &cookies[0]), 401);
}

#[test]
fn a_session_that_was_not_used_before_its_key_was_retired_is_over_and_no_error() {
    let site = Plan::default().start();
    let idle = site.log_in("idle", 0);
    let busy = site.log_in("busy", 1);
    everywhere(&site, &["k2", "k1"]);
    assert_eq!(site.status(0, &busy.cookie), 200);
    everywhere(&site, &["k2"]);
    let over = eventually(LIMIT, || (site.status(1, &idle.cookie) == 401).then_some(()));
    assert!(over.is_some(), "a retired key opens: {}", site.status(1, &idle.cookie));
    for replica in 0..3 {
        assert_eq!(site.status(replica, &busy.cookie), 200);
        assert_eq!(site.status(replica, &idle.cookie), 401);
    }
}
