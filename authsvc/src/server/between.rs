//! Where one request ends and the next begins on a connection, as far as must be known to answer one
//! without HTTP.
//!
//! An answer to what is no whole request would be taken for the answer to another one, and with it an
//! allow. So whatever is not plain to see is left to HTTP: a request in several pieces, several in one, one
//! with a body, and one that comes before the answer to the last is sent.

/// What is known of the place between two requests.
#[derive(Debug)]
pub(super) struct Between {
    /// Whether what was read last ended as a request does.
    at_end: bool,
    /// The phase in which all that there was to write was written.
    written_in: u64,
}

impl Default for Between {
    /// Before the first request.
    fn default() -> Self {
        Self { at_end: true, written_in: 0 }
    }
}

impl Between {
    /// Whether all that was read is answered, and the answers are sent. `phase` is even while nothing is
    /// being answered, and another after each answer. What is answered here has its whole body at hand, so
    /// it is sent with its head.
    pub(super) fn requests(&self, phase: u64) -> bool {
        phase.is_multiple_of(2) && self.at_end && self.written_in == phase
    }

    /// Notes what was read and not answered here.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        self.at_end = bytes.ends_with(END);
    }

    /// Notes that something was written: all that there was, or not.
    pub(super) fn wrote(&mut self, phase: u64, all: bool) {
        self.written_in = if all { phase } else { u64::MAX };
    }
}

const END: &[u8] = b"\r\n\r\n";

/// Whether bytes are the head of one request of HTTP/1.1, all of it and nothing else, without anything
/// that says what follows: no body, no other protocol, no end of the connection.
pub(super) fn is_one_plain_request(bytes: &[u8]) -> bool {
    let Some(head) = bytes.strip_suffix(END) else { return false };
    let mut lines = head.split(|byte| *byte == b'\n');
    let is_request = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).ends_with(b" HTTP/1.1");
    if !lines.next().is_some_and(is_request) {
        return false;
    }
    // The last line has lost its end.
    let ends = head.split(|byte| *byte == b'\n').rev().skip(1).all(|line| line.ends_with(b"\r"));
    ends && lines.all(|line| is_plain_header(line.strip_suffix(b"\r").unwrap_or(line)))
}

/// Whether a line is a header that says nothing about what follows.
fn is_plain_header(line: &[u8]) -> bool {
    const TELLING: [&[u8]; 5] =
        [b"connection", b"content-length", b"expect", b"transfer-encoding", b"upgrade"];
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let (name, value) = line.split_at(colon);
    !name.is_empty()
        && name.iter().all(is_name)
        && !value.contains(&b'\r')
        && !TELLING.iter().any(|telling| name.eq_ignore_ascii_case(telling))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_plainly_one_request_without_a_body_is_one() {
        for head in [
            "GET /check HTTP/1.1",
            "GET /check HTTP/1.1\r\nHost: a",
            "POST /check HTTP/1.1\r\nHost: a\r\nX-Original-URL: https://a/?b=1:2\r\nCookie: a=b; c=d",
        ] {
            assert!(is_one_plain_request(format!("{head}\r\n\r\n").as_bytes()), "{head}");
            assert!(!is_one_plain_request(head.as_bytes()), "its end is to come: {head}");
            let two = format!("{head}\r\n\r\n{head}\r\n\r\n");
            assert!(!is_one_plain_request(two.as_bytes()), "two: {head}");
        }
        for head in [
            "",
            "GET /check HTTP/1.0\r\nHost: a",
            "GET /check\r\nHost: a",
            "\r\nGET /check HTTP/1.1\r\nHost: a",
            "GET /check HTTP/1.1\nHost: a",
            "GET /check HTTP/1.1\r\nHost: a\nX: b",
            "GET /check HTTP/1.1\r\nHost: a\rX: b",
            "GET /check HTTP/1.1\r\nHost: a\r\n folded: b",
            "GET /check HTTP/1.1\r\nHost: a\r\nContent-Length : 1",
            "GET /check HTTP/1.1\r\nHost: a\r\ncontent-length: 1",
            "GET /check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked",
            "GET /check HTTP/1.1\r\nHost: a\r\nExpect: 100-continue",
            "GET /check HTTP/1.1\r\nHost: a\r\nConnection: close",
            "GET /check HTTP/1.1\r\nHost: a\r\nUpgrade: h2c",
            "GET /check HTTP/1.1\r\nHost",
            "GET /check HTTP/1.1\r\n\r\nHost: a",
        ] {
            assert!(!is_one_plain_request(format!("{head}\r\n\r\n").as_bytes()), "{head}");
        }
    }

    #[test]
    fn between_two_requests_is_only_where_the_answer_is_sent_and_nothing_more_was_read() {
        let mut between = Between::default();
        assert!(between.requests(0) && !between.requests(1));
        between.read(b"GET / HTTP/1.1\r\n\r\n");
        assert!(!between.requests(2), "the answer is not sent");
        between.wrote(2, false);
        assert!(!between.requests(2), "a part of it is not sent");
        between.wrote(2, true);
        assert!(between.requests(2) && !between.requests(4));
        between.read(b"GET / HT");
        assert!(!between.requests(2), "a part of the next was read");
    }
}
