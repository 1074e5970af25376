//! One connection to a port, kept open over many requests: load must not use a port of this machine
//! for each.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::http::{Request, Response, read_response};

/// Longer than anything that is waited for.
const LIMIT: Duration = Duration::from_mins(1);

/// A check of a GET of `path` at `host`, as Traefik asks for a script of the app; `policy` is
/// `NAMESPACE/NAME`.
#[must_use]
pub fn check(policy: &str, host: &str, path: &str) -> Request {
    Request::get(format!("/check/traefik/{policy}"), "check")
        .header("X-Forwarded-Method", "GET")
        .header("X-Forwarded-Host", host)
        .header("X-Forwarded-Uri", path)
        .header("Sec-Fetch-Site", "same-origin")
        .header("Sec-Fetch-Mode", "cors")
        .header("Sec-Fetch-Dest", "empty")
}

/// A client with one connection.
#[derive(Debug)]
pub struct Asker {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Asker {
    /// For an address; it is connected to when first used.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Sends a request, on a new connection where the old one was closed. `None` where there is no
    /// answer.
    pub fn send(&mut self, request: &Request) -> Option<Response> {
        let reused = self.stream.is_some();
        if let Some(response) = self.send_once(request) {
            return Some(response);
        }
        self.stream = None;
        reused.then(|| self.send_once(request)).flatten()
    }

    /// Sends a request; the answer is not waited for. Dropped, this goes away without it.
    pub fn begin(&mut self, request: &Request) {
        let _ = self.write(request).expect("the port is open");
    }

    fn send_once(&mut self, request: &Request) -> Option<Response> {
        let reader = self.write(request)?;
        let response = read_response(reader, request.method == "HEAD");
        let closes = response
            .as_ref()
            .and_then(|response| response.header("connection"))
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if closes || response.is_none() {
            self.stream = None;
        }
        response
    }

    fn write(&mut self, request: &Request) -> Option<&mut BufReader<TcpStream>> {
        let reader = match &mut self.stream {
            Some(reader) => reader,
            none => {
                let stream = TcpStream::connect_timeout(&self.address, LIMIT).ok()?;
                stream.set_nodelay(true).ok()?;
                stream.set_read_timeout(Some(LIMIT)).ok()?;
                none.insert(BufReader::new(stream))
            }
        };
        let bytes = request.clone().header("Connection", "keep-alive").bytes();
        reader.get_ref().write_all(&bytes).ok()?;
        Some(reader)
    }
}
