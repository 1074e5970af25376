//! A raw HTTP/1.1 client: it sends exactly the bytes it is given (targets, header names, duplicates)
//! and follows nothing, since these tests are about what other clients would tidy up.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A request, written as it is.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target, raw.
    pub target: Vec<u8>,
    /// Name and value, in this order; `Host` too.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; `Content-Length` is added where there is one.
    pub body: Vec<u8>,
}

impl Request {
    /// A request for `target` at `host`.
    #[must_use]
    pub fn new(method: &str, target: impl AsRef<[u8]>, host: &str) -> Self {
        let host = ("Host".to_owned(), host.as_bytes().to_vec());
        Self {
            method: method.to_owned(),
            target: target.as_ref().to_vec(),
            headers: vec![host],
            body: Vec::new(),
        }
    }

    /// A `GET`.
    #[must_use]
    pub fn get(target: impl AsRef<[u8]>, host: &str) -> Self {
        Self::new("GET", target, host)
    }

    /// Adds a header, whatever is there already.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body of a form.
    #[must_use]
    pub fn form(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", "application/x-www-form-urlencoded")
    }

    /// Sends it on a connection of its own. `None` where the peer gives no answer.
    #[must_use]
    pub fn try_send(&self, to: SocketAddr) -> Option<Response> {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        (&stream).write_all(&self.bytes()).ok()?;
        read_response(&mut BufReader::new(stream), self.method == "HEAD")
    }

    /// What is sent; the peer is asked to close the connection, unless a header says otherwise.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        if !self.body.is_empty() {
            bytes.extend(format!("Content-Length: {}\r\n", self.body.len()).into_bytes());
        }
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
            bytes.extend(b"Connection: close\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }

    /// Sends it on a connection of its own.
    #[must_use]
    pub fn send(&self, to: SocketAddr) -> Response {
        self.try_send(to).unwrap_or_else(|| {
            panic!("no answer from {to} to {} {}", self.method, self.target.escape_ascii())
        })
    }
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Name and value, as they came.
    pub headers: Vec<(String, String)>,
    /// The body, without its transfer coding.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(&header.1)
    }

    /// All headers of that name.
    pub fn headers_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self}"))
    }

    /// `Location`, which must be there.
    #[must_use]
    pub fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no Location: {self}"))
    }
}

impl std::fmt::Display for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", self.text())
    }
}

/// A message's first line, and its headers.
type Head = (Vec<u8>, Vec<(String, Vec<u8>)>);

/// Reads one message head: its first line, and its headers.
pub(crate) fn read_head(reader: &mut impl BufRead) -> Option<Head> {
    let first = read_line(reader)?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Some((first, headers));
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(&line[..colon]).into_owned();
        headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
}

fn read_line(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line).ok()? == 0 {
        return None;
    }
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    Some(line)
}

/// Reads a body by its `Content-Length` or chunks; `to_end` where neither tells.
pub(crate) fn read_body(
    reader: &mut impl BufRead,
    headers: &[(String, Vec<u8>)],
    to_end: bool,
) -> Option<Vec<u8>> {
    let find = |name: &str| {
        let header = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(&header.1).to_ascii_lowercase())
    };
    let mut body = Vec::new();
    if find("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        loop {
            let line = read_line(reader)?;
            let size = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
            let mut chunk = vec![0; size];
            reader.read_exact(&mut chunk).ok()?;
            read_line(reader)?;
            body.extend(chunk);
            if size == 0 {
                return Some(body);
            }
        }
    }
    if let Some(length) = find("content-length") {
        body.resize(length.parse().ok()?, 0);
        reader.read_exact(&mut body).ok()?;
    } else if to_end {
        reader.read_to_end(&mut body).ok()?;
    }
    Some(body)
}

/// Reads one answer, which has no body if `head_only`. `None` where the peer ends before it does.
pub fn read_response(reader: &mut impl BufRead, head_only: bool) -> Option<Response> {
    loop {
        let (first, headers) = read_head(reader)?;
        let first = String::from_utf8_lossy(&first).into_owned();
        let status: u16 = first.split(' ').nth(1)?.parse().ok()?;
        if status < 200 && status != 101 {
            continue;
        }
        let empty = head_only || matches!(status, 101 | 204 | 304);
        let body = if empty { Vec::new() } else { read_body(reader, &headers, true)? };
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
            .collect();
        return Some(Response { status, headers, body });
    }
}
