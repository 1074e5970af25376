//! The app behind the gateway: answers what reached it, as JSON, so that tests see exactly which
//! bytes the gateway let through. It must not protect itself: that is what the tests are about.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::http::{read_body, read_head};

/// The echo app, on a loopback port for as long as the process lives.
#[derive(Clone, Debug)]
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Value>>>,
    /// Where it keeps to itself what reached it: paths, and the files that it has there.
    discreet: Option<Arc<Vec<(String, PathBuf)>>>,
}

impl Echo {
    /// Starts it. `/page/…` and `/public/page` are a small page; everything else is answered with
    /// `{method, target, headers: [[name, value], …], body}`.
    #[must_use]
    pub fn start() -> Self {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts one that answers `{}`, for tests that look for secrets in answers: an app that hands
    /// its tokens out is no fault of the gateway. At these paths it has these files.
    #[must_use]
    pub fn start_discreet(files: Vec<(String, PathBuf)>) -> Self {
        Self::serve_at(SocketAddr::from(([127, 0, 0, 1], 0)), Some(Arc::new(files)))
    }

    /// Starts it at that address: in a cluster, the pod's.
    #[must_use]
    pub fn listen(address: SocketAddr) -> Self {
        Self::serve_at(address, None)
    }

    fn serve_at(address: SocketAddr, discreet: Option<Arc<Vec<(String, PathBuf)>>>) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let echo = Self { address, seen: Arc::default(), discreet };
        let server = echo.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(&stream));
            }
        });
        echo
    }

    /// Every request so far, oldest first.
    #[must_use]
    pub fn seen(&self) -> Vec<Value> {
        self.seen.lock().expect("no panic while locked").clone()
    }

    /// Forgets what it has seen.
    pub fn forget(&self) {
        self.seen.lock().expect("no panic while locked").clear();
    }

    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let (first, headers) = read_head(&mut reader)?;
            let body = read_body(&mut reader, &headers, false)?;
            let first = String::from_utf8_lossy(&first).into_owned();
            let mut words = first.split(' ');
            let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
            let headers: Vec<_> = headers
                .into_iter()
                .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
                .collect();
            let seen = json!({
                "method": method,
                "target": target,
                "headers": headers,
                "body": String::from_utf8_lossy(&body),
            });
            self.seen.lock().expect("no panic while locked").push(seen.clone());

            let websocket = headers.iter().any(|(name, value)| {
                name.eq_ignore_ascii_case("upgrade") && value.eq_ignore_ascii_case("websocket")
            });
            if websocket {
                // The handshake is all that a check sees; the socket ends here.
                (&*stream)
                    .write_all(
                        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                          Connection: Upgrade\r\n\r\n",
                    )
                    .ok()?;
                return None;
            }
            let (kind, body) = if target.starts_with("/page") || target.starts_with("/public/page")
            {
                ("text/html; charset=utf-8", PAGE.to_owned())
            } else if let Some(files) = &self.discreet {
                file_at(files, &target).unwrap_or(("application/json", "{}".to_owned()))
            } else {
                ("application/json", seen.to_string())
            };
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
                 Set-Cookie: app=echo; Path=/\r\n\r\n",
                body.len()
            );
            if method != "HEAD" {
                answer.push_str(&body);
            }
            (&*stream).write_all(answer.as_bytes()).ok()?;
        }
    }
}

/// The file at the path of a target, with its kind.
fn file_at(files: &[(String, PathBuf)], target: &str) -> Option<(&'static str, String)> {
    let path = target.split('?').next()?;
    let (_, file) = files.iter().find(|(at, _)| at == path)?;
    let script = file.extension().is_some_and(|extension| extension == "js");
    let kind = if script { "text/javascript" } else { "text/html; charset=utf-8" };
    Some((kind, std::fs::read_to_string(file).expect("the file is there")))
}

const PAGE: &str = "<!doctype html><html lang=en><head><meta charset=utf-8><title>The shop</title></head>\
<body><main><h1>The shop</h1><pre id=api></pre></main></body></html>";

/// What the app says reached it: helpers over one echo.
pub trait Echoed {
    /// All values of that header, by its exact name in any case.
    fn values(&self, name: &str) -> Vec<String>;
    /// All headers whose name is `name` once case and every character but letters and digits are
    /// folded, as CGI-like apps read them.
    fn folded(&self, name: &str) -> Vec<String>;
}

impl Echoed for Value {
    fn values(&self, name: &str) -> Vec<String> {
        pick(self, |key| key.eq_ignore_ascii_case(name))
    }

    fn folded(&self, name: &str) -> Vec<String> {
        pick(self, |key| fold(key) == fold(name))
    }
}

fn fold(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect()
}

fn pick(echo: &Value, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let headers = echo["headers"].as_array().unwrap_or_else(|| panic!("not an echo: {echo}"));
    headers
        .iter()
        .filter(|pair| pair[0].as_str().is_some_and(&wanted))
        .map(|pair| pair[1].as_str().unwrap_or_default().to_owned())
        .collect()
}
