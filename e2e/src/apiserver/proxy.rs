//! A proxy between the operator and the API: it writes down every call, and a test decides what
//! becomes of each. It must not change what it forwards.

use std::fmt::{self, Write as _};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::http::{read_body, read_head};

/// A call of the operator.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The body.
    pub body: Vec<u8>,
    /// When it came.
    pub at: Instant,
}

impl Call {
    /// Whether it changes an object that matters: neither the Lease nor an Event, which are written
    /// beside the work.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != "GET" && !self.target.contains("/leases") && !self.target.contains("/events")
    }

    /// Whether it is a watch of that collection.
    #[must_use]
    pub fn watches(&self, plural: &str) -> bool {
        self.method == "GET" && self.collection() == plural && self.target.contains("watch=true")
    }

    /// Whether it lists that collection.
    #[must_use]
    pub fn lists(&self, plural: &str) -> bool {
        self.method == "GET" && self.collection() == plural && !self.target.contains("watch=true")
    }

    fn collection(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

/// What becomes of a call.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It is forwarded.
    Forward,
    /// It is answered here: status, further headers, body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// It waits until the test decides anew.
    Hold,
    /// The connection breaks instead.
    Cut,
    /// It is forwarded; then nothing goes through any more, its answer included.
    ForwardThenFreeze,
}

impl Fate {
    /// An answer of the API that says it failed.
    #[must_use]
    pub fn failure(code: u16, reason: &str, retry_after: Option<u32>) -> Self {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "by the test", "reason": reason, "code": code,
        });
        let mut headers = Vec::new();
        if let Some(seconds) = retry_after {
            status["details"] = json!({ "retryAfterSeconds": seconds });
            headers.push(("Retry-After", seconds.to_string()));
        }
        Self::Answer(code, headers, status.to_string().into_bytes())
    }

    /// An answer with an object.
    #[must_use]
    pub fn object(object: &Value) -> Self {
        Self::Answer(200, Vec::new(), object.to_string().into_bytes())
    }

    /// A watch that tells at once that its version is too old.
    #[must_use]
    pub fn expired_watch() -> Self {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version", "reason": "Expired", "code": 410,
        });
        Self::object(&json!({ "type": "ERROR", "object": status }))
    }
}

/// How far a [`Fate::ForwardThenFreeze`] has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Freeze {
    #[default]
    No,
    /// The call is judged, and its answer is waited for.
    Begun,
    Done,
}

type Judge = Box<dyn FnMut(&Call) -> Fate + Send>;

#[derive(Default)]
struct State {
    judge: Option<Judge>,
    judges: u64,
    freeze: Freeze,
    calls: Vec<Call>,
    faults: usize,
    watches: Vec<(Call, [TcpStream; 2])>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running proxy, for as long as the process lives.
#[derive(Clone)]
pub struct FaultProxy {
    address: SocketAddr,
    inner: Arc<Inner>,
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultProxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl FaultProxy {
    /// Starts one in front of `target`, which speaks plain HTTP.
    #[must_use]
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("a bound address");
        let proxy = Self { address, inner: Arc::default() };
        let inner = Arc::clone(&proxy.inner);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let inner = Arc::clone(&inner);
                std::thread::spawn(move || serve(&inner, &client, target));
            }
        });
        proxy
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this decides; calls that were held are judged anew.
    pub fn judge(&self, judge: impl FnMut(&Call) -> Fate + Send + 'static) {
        let mut state = self.inner.lock();
        state.judge = Some(Box::new(judge));
        state.judges += 1;
        state.freeze = Freeze::No;
        drop(state);
        self.inner.changed.notify_all();
    }

    /// From now on everything is forwarded.
    pub fn clear(&self) {
        self.judge(|_| Fate::Forward);
    }

    /// Whether a call froze it. One that is about to is waited for: its effect can be seen at the
    /// API before its answer is here.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let mut state = self.inner.lock();
        while state.freeze == Freeze::Begun {
            state = self.inner.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.freeze == Freeze::Done
    }

    /// How many calls were not just forwarded.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.inner.lock().faults
    }

    /// Breaks every watch that is under way of that collection.
    pub fn cut_watches(&self, plural: &str) {
        let mut state = self.inner.lock();
        state.watches.retain(|(call, streams)| {
            let mine = call.watches(plural);
            if mine {
                for stream in streams {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
            !mine
        });
    }

    /// Every call since the last time this was asked.
    #[must_use]
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.inner.lock().calls)
    }

    /// Every call since then; they stay.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.inner.lock().calls.clone()
    }
}

/// One connection of the operator.
fn serve(inner: &Inner, client: &TcpStream, target: SocketAddr) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut upstream: Option<BufReader<TcpStream>> = None;
    loop {
        let (first, headers) = read_head(&mut reader)?;
        let body = read_body(&mut reader, &headers, false)?;
        let first = String::from_utf8_lossy(&first).into_owned();
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let call = Call { method, target: path, body, at: Instant::now() };
        match decide(inner, &call) {
            Fate::Cut | Fate::Hold => break,
            Fate::Answer(code, more, body) => answer(client, code, &more, &body)?,
            Fate::ForwardThenFreeze => {
                // Frozen also if the server breaks off: what waits for it must not wait for ever.
                let _ = connected(&mut upstream, target).and_then(|server| {
                    send(server.get_ref(), &call, &headers)?;
                    let (_, headers) = read_head(server)?;
                    read_body(server, &headers, false)
                });
                inner.lock().freeze = Freeze::Done;
                inner.changed.notify_all();
                break;
            }
            Fate::Forward => {
                let server = connected(&mut upstream, target)?;
                send(server.get_ref(), &call, &headers)?;
                if call.target.contains("watch=true") {
                    let streams = [client.try_clone().ok()?, server.get_ref().try_clone().ok()?];
                    inner.lock().watches.push((call.clone(), streams));
                }
                relay(inner, server, client)?;
            }
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    None
}

/// Writes the call down and judges it, again and again while it is held.
fn decide(inner: &Inner, call: &Call) -> Fate {
    let mut state = inner.lock();
    if state.freeze != Freeze::No {
        return Fate::Cut;
    }
    state.calls.push(call.clone());
    loop {
        let judges = state.judges;
        let fate = state.judge.as_mut().map_or(Fate::Forward, |judge| judge(call));
        state.faults += usize::from(!matches!(fate, Fate::Forward));
        if matches!(fate, Fate::ForwardThenFreeze) {
            state.freeze = Freeze::Begun;
        }
        if !matches!(fate, Fate::Hold) {
            return fate;
        }
        while state.judges == judges {
            state = inner.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn connected(
    upstream: &mut Option<BufReader<TcpStream>>,
    target: SocketAddr,
) -> Option<&mut BufReader<TcpStream>> {
    if upstream.is_none() {
        let stream = TcpStream::connect(target).ok()?;
        stream.set_nodelay(true).ok()?;
        *upstream = Some(BufReader::new(stream));
    }
    upstream.as_mut()
}

fn send(mut server: &TcpStream, call: &Call, headers: &[(String, Vec<u8>)]) -> Option<()> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", call.method, call.target).into_bytes();
    for (name, value) in headers {
        let own = ["transfer-encoding", "content-length"];
        if !own.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
    }
    if call.method != "GET" {
        bytes.extend(format!("Content-Length: {}\r\n", call.body.len()).into_bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(&call.body);
    server.write_all(&bytes).ok()
}

/// Passes one answer on as it comes; a watch has no other end than that of the connection.
fn relay(inner: &Inner, server: &mut BufReader<TcpStream>, mut client: &TcpStream) -> Option<()> {
    let (first, headers) = read_head(server)?;
    let mut bytes = [&first[..], b"\r\n"].concat();
    for (name, value) in &headers {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    client.write_all(&bytes).ok()?;
    let find = |name: &str| {
        let header = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(&header.1).into_owned())
    };
    if find("transfer-encoding").is_none() {
        let length = find("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        server.read_exact(&mut body).ok()?;
        return client.write_all(&body).ok();
    }
    loop {
        let mut chunk = Vec::new();
        server.read_until(b'\n', &mut chunk).ok()?;
        let size = String::from_utf8_lossy(&chunk);
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        let head = chunk.len();
        chunk.resize(head + size + 2, 0);
        server.read_exact(&mut chunk[head..]).ok()?;
        // What a watch tells must not pass a freeze either.
        if inner.lock().freeze == Freeze::Done {
            return None;
        }
        client.write_all(&chunk).ok()?;
        if size == 0 {
            return Some(());
        }
    }
}

fn answer(
    mut client: &TcpStream,
    code: u16,
    more: &[(&'static str, String)],
    body: &[u8],
) -> Option<()> {
    let mut head = format!("HTTP/1.1 {code} By Test\r\nContent-Type: application/json\r\n");
    for (name, value) in more {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
    client.write_all(&[head.as_bytes(), body].concat()).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    /// What a server gives to a call that freezes the proxy, after it has acted on it.
    fn is_frozen_once_the_server_has_acted(answer: &'static [u8]) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = FaultProxy::start(listener.local_addr().unwrap());
        proxy.judge(|_| Fate::ForwardThenFreeze);
        let acted = Arc::new(Barrier::new(2));
        let server = {
            let acted = Arc::clone(&acted);
            std::thread::spawn(move || {
                let (stream, _) = listener.accept().unwrap();
                read_head(&mut BufReader::new(&stream)).unwrap();
                acted.wait();
                (&stream).write_all(answer).unwrap();
            })
        };
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        client.write_all(b"PUT /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n").unwrap();
        acted.wait();
        let frozen = proxy.is_frozen();
        server.join().unwrap();
        frozen
    }

    #[test]
    fn a_freeze_is_told_as_soon_as_its_effect_can_be_seen() {
        assert!(is_frozen_once_the_server_has_acted(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        ));
    }

    #[test]
    fn a_server_that_breaks_off_freezes_it_too() {
        assert!(is_frozen_once_the_server_has_acted(b""));
    }
}
