//! One connection of the load: it sends an `Ask`, reads the answer as far as its end must be known, and
//! connects anew where the server closed. It must not do more: the client takes time from what is
//! measured.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::ask::Ask;
use super::chunks::Chunks;
use super::run::Run;

/// Most answers fit; the buffer grows for a longer head.
const BUFFER: usize = 4096;
/// A longer head is no answer.
const LONGEST_HEAD: usize = 256 * 1024;

/// A connection that is kept.
#[derive(Debug)]
pub(super) struct Connection {
    run: Arc<Run>,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// The server closed before a byte of it came, as it may while a connection is idle.
    Before,
    /// It did so within the answer, or the answer is none, or there is no connection.
    Within,
}

impl Connection {
    /// Not connected yet.
    pub(super) fn new(run: &Arc<Run>) -> Self {
        Self { run: Arc::clone(run), stream: None, buffer: vec![0; BUFFER] }
    }

    /// Asks, and once more if the connection was closed while it was idle. The answer's status; `None`
    /// where there is none.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Option<u16> {
        let reused = self.stream.is_some();
        match self.exchange(ask).await {
            Ok(status) => Some(status),
            Err(Broken::Before) if reused => self.exchange(ask).await.ok(),
            Err(_) => None,
        }
    }

    async fn exchange(&mut self, ask: &Ask) -> Result<u16, Broken> {
        // Taken, so that it is closed if this fails or is given up.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await.ok_or(Broken::Within)?,
        };
        stream.write_all(ask.bytes()).await.map_err(|_| Broken::Before)?;
        let head = self.read_answer(&mut stream).await?;
        if !head.closes {
            self.stream = Some(stream);
        }
        Ok(head.status)
    }

    async fn connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect(self.run.load.addr).await.ok()?;
        stream.set_nodelay(true).ok()?;
        self.run.connected();
        Some(stream)
    }

    async fn read_answer(&mut self, stream: &mut TcpStream) -> Result<Head, Broken> {
        let mut filled = 0;
        let (head, length) = loop {
            if filled == self.buffer.len() {
                self.buffer.resize(filled * 2, 0);
            }
            let read = stream.read(&mut self.buffer[filled..]).await.unwrap_or_default();
            if read == 0 {
                return Err(if filled == 0 { Broken::Before } else { Broken::Within });
            }
            // The head's end may lie across two reads.
            let from = filled.saturating_sub(3);
            filled += read;
            if let Some(length) = head_length(&self.buffer[..filled], from) {
                let head = Head::parse(&self.buffer[..length]).ok_or(Broken::Within)?;
                break (head, length);
            }
            if filled > LONGEST_HEAD {
                return Err(Broken::Within);
            }
        };
        let mut body = head.body.feed(&self.buffer[length..filled]);
        while !body.is_done() {
            let read = stream.read(&mut self.buffer).await.map_err(|_| Broken::Within)?;
            if read == 0 {
                return if body == Body::ToEnd { Ok(head) } else { Err(Broken::Within) };
            }
            body = body.feed(&self.buffer[..read]);
        }
        Ok(head)
    }
}

/// The length of the head with its empty line, looked for from `from` on.
fn head_length(bytes: &[u8], from: usize) -> Option<usize> {
    let end = bytes[from..].windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(from + end + 4)
}

/// What of an answer's head matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body: Body,
    closes: bool,
}

/// What of a body is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Bytes(usize),
    Chunked(Chunks),
    ToEnd,
}

impl Body {
    fn feed(self, bytes: &[u8]) -> Self {
        match self {
            Self::Bytes(left) => Self::Bytes(left.saturating_sub(bytes.len())),
            Self::Chunked(place) => Self::Chunked(place.feed(bytes)),
            Self::ToEnd => Self::ToEnd,
        }
    }

    fn is_done(self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Chunked(Chunks::Done))
    }
}

impl Head {
    fn parse(head: &[u8]) -> Option<Self> {
        let version = head.strip_prefix(b"HTTP/1.")?.first()?;
        let status: u16 = std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()?;
        let (mut length, mut chunked, mut closes) = (None, false, *version == b'0');
        for line in head.split(|byte| *byte == b'\n').skip(1) {
            // Few names begin with one of these: the others need no closer look.
            if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
                continue;
            }
            if let Some(value) = value_of(line, b"content-length") {
                length = Some(std::str::from_utf8(value).ok()?.parse().ok()?);
            } else if let Some(value) = value_of(line, b"transfer-encoding") {
                chunked = value.eq_ignore_ascii_case(b"chunked");
            } else if let Some(value) = value_of(line, b"connection") {
                closes = !value.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        let body = match (status, chunked, length) {
            (204 | 304, ..) => Body::Bytes(0),
            (_, true, _) => Body::Chunked(Chunks::START),
            (_, false, Some(length)) => Body::Bytes(length),
            (_, false, None) => Body::ToEnd,
        };
        Some(Self { status, body, closes: closes || body == Body::ToEnd })
    }
}

/// The value, if the line has this name, which is in lower case.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":").filter(|_| start.eq_ignore_ascii_case(name))?;
    Some(value.trim_ascii())
}
