//! Cookies of a base that were copied: into another base, session or user, or into each other. None counts.

use serde_json::json;
use vestibule_e2e::browser::{Browser, parse};
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::http::{Request, Response};
use vestibule_e2e::stack::Stack;

use crate::harness::{elevate, is_advised, tokens_at, with_oidc_provider};

/// The cookies of a base: names and values of the access and of the refresh token.
struct OfBase {
    access: (String, String),
    refresh: (String, String),
}

impl OfBase {
    fn of(browser: &Browser, base: &str) -> Self {
        let find = |prefix: &str| {
            let all = browser.cookies("localhost");
            let found = all.iter().find(|one| one.path == base && one.name.starts_with(prefix));
            let found = found.unwrap_or_else(|| panic!("no {prefix} of {base}: {all:?}"));
            assert!(found.http_only, "{found:?}");
            (found.name.clone(), found.value.clone())
        };
        Self { access: find("__Secure-bff-at-"), refresh: find("__Secure-bff-rt-") }
    }
}

fn line(cookies: &[(&str, &str)]) -> String {
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

/// What a script of the app gets with exactly these cookies.
fn ask(stack: &Stack, path: &str, cookies: &[(&str, &str)]) -> Response {
    Request::get(path, stack.host())
        .header("Cookie", line(cookies))
        .header("Sec-Fetch-Site", "same-origin")
        .header("Sec-Fetch-Mode", "cors")
        .header("Sec-Fetch-Dest", "empty")
        .send(stack.address())
}

fn session(browser: &Browser) -> String {
    browser.cookie("__Host-bff").expect("a session").to_owned()
}

#[test]
fn a_cookie_of_one_base_session_or_user_is_refused_in_another() {
    let stack = with_oidc_provider(Kind::Traefik, ["Cookie", "Cookie"]).start();
    stack.provider().set(&json!({"refreshTokens": true}));
    let mut alice = stack.logged_in("alice");
    let bob = session(&stack.logged_in("bob"));
    // The same user in another browser.
    let again = session(&stack.logged_in("alice"));
    elevate(&mut alice, &stack, "/production", "production%3Aread");
    elevate(&mut alice, &stack, "/warehouse", "warehouse%3Aread");
    let production = OfBase::of(&alice, "/production");
    let warehouse = OfBase::of(&alice, "/warehouse");
    let mine = session(&alice);
    let (name, value) = (production.access.0.as_str(), production.access.1.as_str());
    assert_ne!(name, warehouse.access.0, "each base has names of its own");

    let list = "/production/list";
    let good = ask(&stack, list, &[("__Host-bff", &mine), (name, value)]);
    assert_eq!(good.status, 200, "{good}\n{}", stack.authsvc.log());
    let mut tampered = value.to_owned();
    let middle = tampered.len() / 2;
    let other = if &tampered[middle..=middle] == "A" { "B" } else { "A" };
    tampered.replace_range(middle..=middle, other);
    let cases = [
        ("another base's", mine.as_str(), warehouse.access.1.as_str()),
        ("another user's session", bob.as_str(), value),
        ("another session of the user", again.as_str(), value),
        ("the refresh token", mine.as_str(), production.refresh.1.as_str()),
        ("tampered with", mine.as_str(), tampered.as_str()),
        ("cut short", mine.as_str(), &value[..value.len() - 4]),
        ("empty", mine.as_str(), ""),
    ];
    for (case, session, value) in cases {
        let answer = ask(&stack, list, &[("__Host-bff", session), (name, value)]);
        assert!(is_advised(&answer), "{case}: {answer}");
    }
    // No session, no caller.
    let answer = ask(&stack, list, &[(name, value)]);
    assert_eq!(answer.status, 401, "{answer}");
    assert!(!is_advised(&answer), "{answer}");
    assert_eq!(tokens_at(&stack.app, list).len(), 1, "nothing but the first passed");

    // Nor does anybody get a new token by them.
    let renewed = stack.provider().redeemed("granted");
    let (old, refresh) = (&production.refresh.0, &production.refresh.1);
    for (case, session, value) in [
        ("another user's session", &bob, refresh),
        ("another session of the user", &again, refresh),
        ("another base's", &mine, &warehouse.refresh.1),
    ] {
        let path = "/production/authorize?scope=production%3Aread";
        let answer = ask(&stack, path, &[("__Host-bff", session), (old, value)]);
        assert!(is_advised(&answer), "{case}: {answer}");
    }
    assert_eq!(stack.provider().redeemed("granted"), renewed);
}

#[test]
fn a_logout_takes_the_cookies_of_bases_away_and_makes_copies_useless() {
    let stack = with_oidc_provider(Kind::Nginx, ["Cookie", "Session"]).start();
    stack.provider().set(&json!({"refreshTokens": true}));
    let mut alice = stack.logged_in("alice");
    elevate(&mut alice, &stack, "/production", "production%3Aread");
    elevate(&mut alice, &stack, "/warehouse", "warehouse%3Aread");
    let copied = OfBase::of(&alice, "/production");
    let mine = session(&alice);
    for path in ["/production/list", "/warehouse/list"] {
        assert_eq!(alice.fetch(&stack.origin, &stack.url(path)).status, 200, "{path}");
    }

    let url = stack.url("/bff/logout");
    let request = alice.script_request("POST", &stack.origin, &url).header("X-Bff", "1");
    let answer = alice.send(&parse(&url), &request);
    assert_eq!(answer.status, 200, "{answer}");
    let left = alice.cookies("localhost");
    assert!(!left.iter().any(|cookie| cookie.name.starts_with("__Secure-bff-")), "{left:?}");
    let access = (copied.access.0.as_str(), copied.access.1.as_str());
    for path in ["/production/list", "/warehouse/list"] {
        let answer = ask(&stack, path, &[("__Host-bff", &mine), access]);
        assert_eq!(answer.status, 401, "{path}: {answer}");
        assert!(!is_advised(&answer), "{path}: {answer}");
    }
    // The session's tokens and those of `/warehouse` are revoked. Those of `/production` never come here:
    // their cookies have that path.
    assert!(stack.provider().count("/token/revocation") >= 2, "{}", stack.authsvc.log());
}
