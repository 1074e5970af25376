//! Requests as the bytes that go on the wire, written once and sent many times. They have no body, and
//! none may be a `HEAD`: answers are read as those of a `GET`.

use std::sync::Arc;

use crate::http::Request;

/// A whole HTTP/1.1 request without a body: request line, `Host` and further headers. The connection is
/// kept, as HTTP/1.1 has it by default. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask(Arc<[u8]>);

impl Ask {
    /// A request for `path`, query included, at `host`.
    #[must_use]
    pub fn new(method: &str, path: &str, host: &str) -> Self {
        Self(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes().into())
    }

    /// A `GET`.
    #[must_use]
    pub fn get(path: &str, host: &str) -> Self {
        Self::new("GET", path, host)
    }

    /// Adds a header, whatever is there already.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        let mut bytes = self.0.strip_suffix(b"\r\n").unwrap_or(&self.0).to_vec();
        bytes.extend(format!("{name}: {value}\r\n\r\n").into_bytes());
        Self(bytes.into())
    }

    /// What is sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&Request> for Ask {
    /// The same request, on a connection that is kept.
    ///
    /// # Panics
    /// Where it has a body, or is no text.
    fn from(request: &Request) -> Self {
        assert!(request.body.is_empty(), "a request with a body");
        let text = |bytes| str::from_utf8(bytes).expect("text");
        let lines =
            request.headers.iter().map(|(name, value)| format!("{name}: {}\r\n", text(value)));
        let (method, target) = (&request.method, text(&request.target));
        let head = format!("{method} {target} HTTP/1.1\r\n{}\r\n", lines.collect::<String>());
        Self(head.into_bytes().into())
    }
}
