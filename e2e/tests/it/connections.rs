//! What a check costs the gateway: no connection of its own, and an answer without a body.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use vestibule_e2e::gateway::Kind;
use vestibule_e2e::http::{Request, read_response};
use vestibule_e2e::stack::Plan;

const CHECKS: u64 = 300;

/// ingress-nginx opens one per check unless told otherwise, so it is not asked here.
fn checks_share_connections(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut alice = stack.logged_in("alice");
    assert_eq!(alice.fetch(&stack.origin, &stack.url("/api")).status, 200);
    let before = stack.checks.accepted();
    for _ in 0..CHECKS {
        assert_eq!(alice.fetch(&stack.origin, &stack.url("/api")).status, 200);
    }
    let opened = stack.checks.accepted() - before;
    assert!(opened * 100 <= CHECKS, "{opened} connections for {CHECKS} checks");
}

#[test]
fn nginx_checks_share_connections() {
    checks_share_connections(Kind::Nginx);
}

#[test]
fn traefik_checks_share_connections() {
    checks_share_connections(Kind::Traefik);
}

#[test]
fn an_allowed_check_is_200_with_an_empty_body_and_is_not_cached() {
    let stack = Plan::new(Kind::Nginx).start();
    let alice = stack.logged_in("alice");
    let cookie = format!("__Host-bff={}; theme=dark", alice.cookie("__Host-bff").unwrap());
    let nginx = Request::get("/check/nginx/default/shop", "check")
        .header("X-Original-URL", stack.url("/api?x=1"))
        .header("X-Original-Method", "GET");
    let traefik = Request::get("/check/traefik/default/shop", "check")
        .header("X-Forwarded-Host", stack.host())
        .header("X-Forwarded-Uri", "/api?x=1")
        .header("X-Forwarded-Method", "GET");
    for request in [nginx, traefik] {
        let answer = request
            .header("Cookie", &cookie)
            .header("Sec-Fetch-Site", "same-origin")
            .header("Sec-Fetch-Mode", "cors")
            .send(stack.authsvc.check);
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.body, b"", "{answer}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
        assert_eq!(answer.header("cookie"), Some("theme=dark"), "{answer}");
        assert_eq!(answer.header("x-user"), Some("alice"), "{answer}");
        assert_eq!(answer.headers_named("set-cookie").count(), 0, "{answer}");
        assert!(answer.header("authorization").unwrap().starts_with("Bearer "), "{answer}");
    }
    // Names of a policy that is not there, or of the other dialect, open nothing.
    for (path, header) in [
        ("/check/nginx/default/other", "X-Original-URL"),
        ("/check/nginx/other/shop", "X-Original-URL"),
        ("/check/traefik/default/shop", "X-Original-URL"),
        ("/check/envoy/default/shop", "X-Original-URL"),
        ("/check/nginx/default/shop", "X-Forwarded-Uri"),
        ("/", "X-Original-URL"),
    ] {
        let answer = Request::get(path, "check")
            .header(header, stack.url("/public"))
            .header("X-Original-Method", "GET")
            .send(stack.authsvc.check);
        assert_ne!(answer.status, 200, "{path} {header}: {answer}");
    }
}

/// A gateway sends the next user's request on the connection of the last one: it must still be
/// there, or be known to be closing, or that request becomes a 502.
#[test]
fn a_refused_post_leaves_its_connection_usable() {
    let stack = Plan::new(Kind::Traefik).start();
    let stream = TcpStream::connect(stack.authsvc.browser).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut reader = BufReader::new(&stream);
    for round in 0..3 {
        let head = format!(
            "POST /bff/logout HTTP/1.1\r\nHost: {}\r\nOrigin: https://evil.test\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\n",
            stack.host()
        );
        (&stream).write_all(head.as_bytes()).unwrap();
        // The answer may be there before the body, which comes in a packet of its own.
        std::thread::sleep(Duration::from_millis(50));
        (&stream).write_all(b"x=1").unwrap_or_else(|error| panic!("round {round}: {error}"));
        let answer = read_response(&mut reader, false)
            .unwrap_or_else(|| panic!("round {round}: the connection ended without a word"));
        assert_eq!(answer.status, 403, "{answer}");
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            return;
        }
    }
}
