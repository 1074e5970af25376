//! Floods of logins, and who is not hurt by them.

use super::*;
use crate::random::SystemRandom;
use crate::session::{Purpose, SecretId};

const NOW: Timestamp = Timestamp(1_800_000_000);
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

fn id(name: &str) -> PolicyId {
    PolicyId { namespace: "default".to_owned(), name: name.to_owned() }
}

fn from(address: &str) -> HeaderMap {
    HeaderMap::from_iter([(X_REAL_IP, address.parse().unwrap())])
}

/// Another one each time.
fn session() -> StoreKey {
    SecretId::generate(&SystemRandom).store_key(Purpose::Session, "uid")
}

/// How many of so many may begin.
fn begun(limits: &LoginLimits, attempts: u32, policy: &str, from: &HeaderMap, now: u64) -> u32 {
    let admit = |_: &u32| limits.admit(&id(policy), from, None, Timestamp(now)).is_ok();
    u32::try_from((0..attempts).filter(admit).count()).unwrap()
}

#[test]
fn a_flood_on_one_policy_is_bounded_and_hurts_no_other_and_nobody_who_is_logged_in() {
    let limits = LoginLimits::new(100, 10, None);
    let anyone = HeaderMap::new();
    assert_eq!(begun(&limits, 10_000, "shop", &anyone, NOW.0), 100);
    let wait = limits.admit(&id("shop"), &anyone, None, NOW).unwrap_err();
    assert_eq!(wait, Duration::from_millis(600));
    assert_eq!(begun(&limits, 10, "other", &anyone, NOW.0), 10);
    assert!(limits.admit(&id("shop"), &anyone, Some(&session()), NOW).is_ok());
    // In ten minutes, as long as a record lives, no more than eleven minutes' worth.
    let later = (1..=600).map(|second| begun(&limits, 100, "shop", &anyone, NOW.0 + second));
    assert_eq!(later.sum::<u32>(), 1000);
}

#[test]
fn a_session_begins_logins_at_its_own_expense() {
    let limits = LoginLimits::new(100, 10, None);
    let (one, other) = (session(), session());
    let admit = |session| limits.admit(&id("shop"), &HeaderMap::new(), Some(session), NOW);
    let begun = (0..1000).filter(|_| admit(&one).is_ok()).count();
    assert_eq!(begun, usize::try_from(PER_SESSION).unwrap());
    assert!(admit(&other).is_ok());
}

#[test]
fn a_client_has_its_own_limit_where_the_gateway_tells_whose_a_request_is() {
    let limits = LoginLimits::new(100, 10, Some(X_REAL_IP));
    assert_eq!(begun(&limits, 50, "shop", &from("192.0.2.1"), NOW.0), 10);
    assert_eq!(begun(&limits, 50, "shop", &from("192.0.2.2"), NOW.0), 10);
    assert_eq!(begun(&limits, 50, "shop", &HeaderMap::new(), NOW.0), 10, "all without are one");
    assert_eq!(begun(&limits, 50, "shop", &from("192.0.2.1"), NOW.0 + 60), 10);
    let untold = LoginLimits::new(100, 10, None);
    assert_eq!(begun(&untold, 50, "shop", &from("192.0.2.1"), NOW.0), 50, "it may be forged");
}

#[test]
fn the_address_is_the_one_that_the_gateway_added_and_a_network_is_one_client() {
    let read = |value: &str| client(&from(value), &X_REAL_IP).map(|address| address.to_string());
    for (value, address) in [
        ("192.0.2.1", Some("192.0.2.1")),
        ("198.51.100.7, 192.0.2.1", Some("192.0.2.1")),
        ("192.0.2.1:4711", Some("192.0.2.1")),
        ("::ffff:192.0.2.1", Some("192.0.2.1")),
        ("2001:db8:1:2:3:4:5:6", Some("2001:db8:1:2::")),
        ("[2001:db8:1:2:3:4:5:6]:443", Some("2001:db8:1:2::")),
        ("192.0.2.1, unknown", None),
        ("", None),
    ] {
        assert_eq!(read(value).as_deref(), address, "{value}");
    }
    let mut twice = from("198.51.100.7");
    twice.append(X_REAL_IP, "192.0.2.1".parse().unwrap());
    assert_eq!(client(&twice, &X_REAL_IP), Some([192, 0, 2, 1].into()));
}

#[test]
fn policies_that_are_gone_leave_nothing() {
    let limits = LoginLimits::new(100, 10, None);
    for round in 0..100 {
        begun(&limits, 1, &format!("policy-{round}"), &HeaderMap::new(), NOW.0 + 60 * round);
    }
    assert!(limits.policies.lock().unwrap().len() <= 2);
}
