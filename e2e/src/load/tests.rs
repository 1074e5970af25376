//! The load against a scripted server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::{Ask, Load, closed, open};

/// Answers each connection's requests with these bytes in turn, and closes it after the last of them.
fn server(answers: &'static [&'static str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                stream.set_nodelay(true).ok()?;
                for answer in answers {
                    lines.by_ref().take_while(|line| !line.is_empty()).last()?;
                    // In two pieces, as a network may have it.
                    let (first, second) = answer.split_at(answer.len() / 2);
                    (&stream).write_all(first.as_bytes()).ok()?;
                    (&stream).write_all(second.as_bytes()).ok()?;
                }
                Some(())
            });
        }
    });
    address
}

fn load(addr: SocketAddr) -> Load {
    Load { addr, asks: vec![Ask::get("/", "here")], connections: 2, awake: false, patience: None }
}

/// Enough for a few answers on a busy machine.
const SHORT: Duration = Duration::from_millis(300);

#[test]
fn an_ask_is_a_whole_request() {
    let ask = Ask::get("/a?b", "here").header("Cookie", "c=d");
    assert_eq!(ask.bytes(), b"GET /a?b HTTP/1.1\r\nHost: here\r\nCookie: c=d\r\n\r\n");
}

#[test]
fn answers_end_where_they_say_and_are_counted_by_status() {
    let answers = &[
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n\
         a;x=y\r\n0123456789\r\n1F\r\n0123456789012345678901234567890\r\n0\r\nTrailer: 1\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    ];
    let outcome = closed(&load(server(answers)), SHORT);
    assert_eq!(outcome.failed, 0, "{outcome:?}");
    let seen: Vec<u16> = outcome.statuses.keys().copied().collect();
    assert_eq!(seen, [200, 204, 401, 403], "closed after 403, so no 500: {outcome:?}");
    assert!(outcome.connects > 2, "it connects anew: {outcome:?}");
    assert_eq!(outcome.latency.count(), outcome.statuses.values().sum::<u64>());
}

#[test]
fn a_connection_that_was_closed_while_idle_is_no_failure() {
    let outcome = closed(&load(server(&["HTTP/1.1 204 No Content\r\n\r\n"])), SHORT);
    assert_eq!(outcome.failed, 0, "{outcome:?}");
    assert!(outcome.connects >= outcome.latency.count(), "one each: {outcome:?}");
}

#[test]
fn half_an_answer_is_a_failure() {
    let outcome =
        closed(&load(server(&["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"])), SHORT);
    assert_eq!(outcome.latency.count(), 0, "{outcome:?}");
    assert!(outcome.failed >= 2, "{outcome:?}");
}

#[test]
fn where_nothing_listens_all_requests_fail() {
    let nothing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for outcome in [closed(&load(nothing), SHORT), open(&load(nothing), 1_000.0, SHORT)] {
        assert!(outcome.failed >= 2 && outcome.latency.count() == 0, "{outcome:?}");
    }
}

#[test]
fn the_open_load_offers_its_rate_and_the_wait_for_a_slow_server_counts() {
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = slow.local_addr().unwrap();
    std::thread::spawn(move || {
        let (stream, _) = slow.accept().unwrap();
        let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
        while lines.by_ref().take_while(|line| !line.is_empty()).last().is_some() {
            // Its slowness, not a wait of the test.
            std::thread::sleep(Duration::from_millis(2));
            (&stream).write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    });
    let alone = Load { connections: 1, ..load(addr) };
    let outcome = open(&alone, 1_000.0, Duration::from_millis(200));
    let offered = outcome.latency.count() + outcome.failed;
    assert!((120..=280).contains(&offered), "{offered} in a fifth of a second: {outcome:?}");
    // It takes 2 ms for what comes each millisecond: the last ones wait for about half of the time.
    assert!(outcome.latency.percentile(99.0) > Duration::from_millis(80), "{outcome:?}");
    let sent = &outcome.since_sent[&204];
    assert!(sent.count() == outcome.latency.count(), "{outcome:?}");
    assert!(sent.percentile(50.0) < outcome.latency.percentile(99.0) / 2, "{outcome:?}");
}

#[test]
fn who_waits_too_long_for_a_connection_gives_up_without_asking() {
    let alone = Load { connections: 1, patience: Some(Duration::ZERO), ..load(server(&[])) };
    let outcome = open(&alone, 1_000.0, SHORT);
    assert!(outcome.given_up > 0 && outcome.latency.count() == 0, "{outcome:?}");
}
