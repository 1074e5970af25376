//! What is refused for overload: as what, where, and without ever giving one request the answer to another.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::response::{IntoResponse as _, Response};
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::super::connection::Handler;
use super::*;
use crate::overload::CHECK_REFUSED;
use crate::random::SeededRandom;

/// A server that lets so many in, and measures nothing.
async fn limited(folder: &Folder, checks: u32, browsers: u32) -> Running {
    let running = folder.start().await;
    running.tasks[4].abort();
    while !running.tasks[4].is_finished() {
        tokio::task::yield_now().await;
    }
    running.app.overload.limit(checks, browsers);
    running
}

/// The answer to a request on a connection that is kept.
async fn ask_kept(addr: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut buffer = [0; 1024];
    let read = tokio::time::timeout(SOON, stream.read(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

#[tokio::test]
async fn a_refused_check_is_503_without_a_body_in_every_dialect_and_health_answers() {
    let folder = Folder::new();
    folder.write("shop.yaml", &shop("Session"));
    let running = limited(&folder, 0, 0).await;
    for dialect in ["nginx", "traefik"] {
        let head = format!(
            "GET /check/{dialect}/default/shop HTTP/1.1\r\nHost: a\r\nX-Original-Method: GET\r\n\
             X-Original-URL: http://localhost:8080/\r\nX-Forwarded-Method: GET\r\n\
             X-Forwarded-Host: localhost:8080\r\nX-Forwarded-Uri: /\r\nSec-Fetch-Mode: navigate\r\n"
        );
        for answer in
            [ask_kept(running.check_addr, &head).await, ask(running.check_addr, &head).await]
        {
            assert_eq!(status_of(&answer), 503, "{answer}");
            let head = answer.to_lowercase();
            assert!(head.contains("\r\nretry-after: 1\r\n"), "{answer}");
            assert!(head.contains("\r\ncontent-length: 0\r\n"), "{answer}");
            assert!(!head.contains("location") && !head.contains("set-cookie"), "{answer}");
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        }
    }
    for path in ["/healthz", "/metrics"] {
        let answer = ask(running.admin_addr, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n")).await;
        assert_eq!(status_of(&answer), 200, "{path}");
    }
    running.shutdown().await;
}

#[tokio::test]
async fn browsers_are_refused_before_checks_and_before_what_ends_a_session() {
    let folder = Folder::new();
    folder.write("shop.yaml", &shop("Public"));
    let running = limited(&folder, 1000, 0).await;
    let head = "GET /bff/login HTTP/1.1\r\nHost: localhost:8080\r\nSec-Fetch-Mode: navigate\r\n";
    for login in [ask_kept(running.browser_addr, head).await, ask(running.browser_addr, head).await]
    {
        assert_eq!(status_of(&login), 503, "{login}");
        let (head, text) = login.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("\r\nretry-after: 1\r\n"), "{login}");
        assert!(head.contains("\r\ncontent-type: text/plain; charset=utf-8\r\n"), "{login}");
        assert!(head.contains(&format!("\r\ncontent-length: {}", text.len())), "{login}");
        assert!(text.contains("try again"), "{login}");
    }
    let head = "HEAD /bff/login HTTP/1.1\r\nHost: localhost:8080\r\n";
    let answer = ask_kept(running.browser_addr, head).await;
    assert!(status_of(&answer) == 503 && answer.ends_with("\r\n\r\n"), "no body: {answer}");
    let head = "POST /bff/logout HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 0\r\n";
    assert_eq!(status_of(&ask(running.browser_addr, head).await), 403, "as always, without proof");
    let head = "GET /check/nginx/default/shop HTTP/1.1\r\nHost: a\r\nX-Original-Method: GET\r\n\
                X-Original-URL: http://localhost:8080/\r\n";
    assert_eq!(status_of(&ask_kept(running.check_addr, head).await), 200);
    running.shutdown().await;
}

/// Says which request it answers, and refuses while it is told to.
#[derive(Clone, Default)]
struct Echo(Arc<AtomicBool>);

impl Handler for Echo {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let path = request.uri().path().to_owned();
        // HTTP may close a connection whose request was not read to its end.
        request.into_body().collect().await.unwrap();
        [("x-path", path)].into_response()
    }

    fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn refusal(&self, _request: &[u8]) -> Option<&'static [u8]> {
        Some(CHECK_REFUSED)
    }
}

/// Reads one answer: its status, and which request it says it answers.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> (u16, Option<String>) {
    loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
            let path = head.lines().find_map(|line| line.strip_prefix("x-path: "));
            return (status_of(&head), path.map(str::to_owned));
        }
        let mut bytes = [0; 4096];
        let read = tokio::time::timeout(SOON, stream.read(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0, "closed before the answer");
        buffer.extend_from_slice(&bytes[..read]);
    }
}

#[tokio::test]
async fn no_request_ever_gets_the_answer_to_another_however_they_are_cut() {
    let echo = Echo::default();
    let (socket, addr) = listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = Listener::serve(socket, addr, Port::Check, echo.clone(), Limits::USUAL);
    let random = SeededRandom::default();
    let byte = || {
        let mut byte = [0];
        random.fill(&mut byte);
        byte[0]
    };
    let (mut allowed, mut refused) = (0, 0);
    for connection in 0..100 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut buffer, mut sent) = (Vec::new(), 0);
        for _ in 0..20 {
            // One or several in one piece, now and then with a body that looks like a request.
            let together = if byte() < 200 { 1 } else { 1 + byte() % 3 };
            let mut bytes = String::new();
            for number in sent..sent + u32::from(together) {
                let body = if byte() < 20 { "GET /body HTTP/1.1\r\n\r\n" } else { "" };
                let length = match body.len() {
                    0 => String::new(),
                    length => format!("Content-Length: {length}\r\n"),
                };
                let head =
                    format!("GET /{connection}/{number} HTTP/1.1\r\nHost: a\r\n{length}\r\n");
                bytes.push_str(&head);
                bytes.push_str(body);
            }
            echo.0.store(byte() < 128, Ordering::Relaxed);
            let cut = if byte() < 200 { bytes.len() } else { usize::from(byte()) % bytes.len() };
            stream.write_all(&bytes.as_bytes()[..cut]).await.unwrap();
            if cut < bytes.len() {
                tokio::task::yield_now().await;
                echo.0.store(byte() < 128, Ordering::Relaxed);
                stream.write_all(&bytes.as_bytes()[cut..]).await.unwrap();
            }
            for number in sent..sent + u32::from(together) {
                let answer = read_answer(&mut stream, &mut buffer).await;
                match answer {
                    (503, None) => refused += 1,
                    (200, Some(path)) if path == format!("/{connection}/{number}") => allowed += 1,
                    other => panic!("{other:?} to request {number} of connection {connection}"),
                }
            }
            sent += u32::from(together);
        }
        assert!(buffer.is_empty(), "more answers than requests");
    }
    assert!(allowed > 500 && refused > 100, "{allowed} allowed, {refused} refused");
    listener.finish(SOON).await;
}
