//! The store in trouble, and the program started again: sessions live on, and nothing opens.

use std::time::{Duration, Instant};

use vestibule_e2e::browser::Browser;
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::http::Request;
use vestibule_e2e::process::eventually;
use vestibule_e2e::stack::{Plan, Stack};

through_each_gateway!(a_stopped_store_costs_no_session, a_frozen_store_is_answered_in_time);

fn status(browser: &mut Browser, stack: &Stack) -> u16 {
    browser.fetch(&stack.origin, &stack.url("/api")).status
}

/// For half a second after the last word of the store a session may come from memory.
fn goes_cold(stack: &Stack, alice: &mut Browser) {
    let unavailable = stack.gateway.kind.unavailable();
    let cold =
        eventually(Duration::from_secs(5), || (status(alice, stack) == unavailable).then_some(()));
    assert!(cold.is_some(), "it goes on without its store; {}", stack.authsvc.log());
}

fn is_unavailable_and_keeps_the_cookie(stack: &Stack, alice: &mut Browser) {
    let cookie = alice.cookie("__Host-bff").unwrap().to_owned();
    stack.app.forget();
    let answer = alice.fetch(&stack.origin, &stack.url("/api"));
    assert_eq!(answer.status, stack.gateway.kind.unavailable(), "{answer}");
    let page = alice.navigate(&stack.url("/page/home"));
    assert_eq!(page.response.status, stack.gateway.kind.unavailable(), "{page}");
    let session = alice.fetch(&stack.origin, &stack.url("/bff/session"));
    assert_eq!(session.status, 503, "{session}");
    assert_eq!(alice.cookie("__Host-bff"), Some(cookie.as_str()));
    assert_eq!(stack.app.seen().len(), 0);
    // What needs no session goes on.
    assert_eq!(stack.browser().open(&stack.url("/public")).response.status, 200);
}

fn a_stopped_store_costs_no_session(kind: Kind) {
    let mut stack = Plan::new(kind).start();
    let mut alice = stack.logged_in("alice");
    assert_eq!(status(&mut alice, &stack), 200);

    stack.redis.stop();
    goes_cold(&stack, &mut alice);
    is_unavailable_and_keeps_the_cookie(&stack, &mut alice);

    stack.redis.start_again();
    let back =
        eventually(Duration::from_secs(2), || (status(&mut alice, &stack) == 200).then_some(()));
    assert!(back.is_some(), "the session is not back 2 s after Redis; {}", stack.authsvc.log());
    assert_eq!(stack.provider().authorization_requests(), 1);
}

fn a_frozen_store_is_answered_in_time(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut alice = stack.logged_in("alice");
    stack.redis.freeze();
    goes_cold(&stack, &mut alice);
    let start = Instant::now();
    is_unavailable_and_keeps_the_cookie(&stack, &mut alice);
    assert!(start.elapsed() < Duration::from_secs(20), "three answers in {:?}", start.elapsed());
    stack.redis.thaw();
    let back =
        eventually(Duration::from_secs(2), || (status(&mut alice, &stack) == 200).then_some(()));
    assert!(back.is_some(), "the session is not back; {}", stack.authsvc.log());
}

#[test]
fn the_store_holds_nothing_that_reads_or_opens_anything() {
    let stack = Plan::new(Kind::Nginx).start();
    let mut alice = stack.logged_in("alice");
    let cookie = alice.cookie("__Host-bff").unwrap().to_owned();
    assert_eq!(alice.fetch(&stack.origin, &stack.url("/identity")).status, 200);
    let files = String::from_utf8_lossy(&stack.redis.files()).into_owned();
    assert!(files.len() > 200, "something was stored");
    for secret in
        [cookie.as_str(), "alice", "Alice Example", "Bearer", "eyJ", &stack.provider().issuer]
    {
        assert!(!files.contains(secret), "the store shows {secret}");
    }
    // A dump gives no cookie that works: no key or value of it is a session.
    for key in stack.redis.cli(&["--scan"]).lines() {
        let mut thief = stack.browser();
        for value in [key, key.rsplit([':', '}']).next().unwrap_or_default()] {
            thief.set_cookie("localhost", "__Host-bff", value);
            assert_ne!(status(&mut thief, &stack), 200, "{value} opens a session");
        }
    }
}

#[test]
fn an_asked_to_end_program_drains_and_exits_with_0() {
    let mut stack = Plan::new(Kind::Traefik).start();
    assert_eq!(stack.authsvc.readiness().status, 200);
    assert_eq!(stack.authsvc.terminate(), Some(0), "{}", stack.authsvc.log());
    // The gateway without us stays closed.
    let page = stack.browser().open(&stack.url("/public"));
    assert!(page.response.status >= 500, "{page}");
}

#[test]
fn t031_a_cookie_of_one_policy_is_nothing_to_another() {
    let stack = Plan::new(Kind::Nginx).start();
    let alice = stack.logged_in("alice");
    let cookie = format!("__Host-bff={}", alice.cookie("__Host-bff").unwrap());
    // The same provider, client and rules; only name and origin differ.
    let (_, shop) = stack.policies.split_once("---").unwrap();
    let other = shop
        .replace("{name: shop}", "{name: other}")
        .replace(&stack.origin, "https://other.example.com");
    stack.authsvc.write_policy("other.yaml", &other);

    let ask = |dialect: &str, policy: &str, origin: &str, cookie: &str| {
        let host = origin.split("://").nth(1).unwrap();
        Request::get(format!("/check/{dialect}/default/{policy}"), "check")
            .header("X-Original-URL", format!("{origin}/api"))
            .header("X-Original-Method", "GET")
            .header("X-Forwarded-Method", "GET")
            .header("X-Forwarded-Host", host)
            .header("X-Forwarded-Uri", "/api")
            .header("Cookie", cookie)
            .send(stack.authsvc.check)
    };
    let (here, there) = (stack.origin.as_str(), "https://other.example.com");
    for dialect in ["nginx", "traefik"] {
        let known = eventually(Duration::from_secs(5), || {
            (ask(dialect, "other", there, "").status == 401).then_some(())
        });
        assert!(known.is_some(), "the second policy is not live; {}", stack.authsvc.log());
        assert_eq!(ask(dialect, "shop", here, &cookie).status, 200, "{dialect}");
        let answer = ask(dialect, "other", there, &cookie);
        assert_eq!(answer.status, 401, "{dialect}: {answer}");
        assert!(answer.header("x-user").is_none_or(str::is_empty), "{dialect}: {answer}");
        // A gateway that asks about one policy with the other's host gets nothing either.
        assert_ne!(ask(dialect, "other", here, &cookie).status, 200, "{dialect}");
        assert_ne!(ask(dialect, "shop", there, &cookie).status, 200, "{dialect}");
    }
}
