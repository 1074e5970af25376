//! HTTP/1.1 on a socket, without an allocation once the connection is open.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A request without a body, as it goes on the wire.
pub fn request(target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("GET {target} HTTP/1.1\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    text.into_bytes()
}

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream, buffer: vec![0; 64 * 1024] }
    }

    /// Asks, and gives the number of headers of an answer of this status without a body.
    pub fn ask(&mut self, request: &[u8], status: &str) -> usize {
        let head = self.head(request);
        assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
        head.lines().count() - 1
    }

    /// Asks, and gives the head of the answer. Nothing may follow it.
    pub fn head(&mut self, request: &[u8]) -> &str {
        self.stream.write_all(request).unwrap();
        let mut filled = 0;
        while !self.buffer[..filled].ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut self.buffer[filled..]) {
                Ok(read) if read > 0 => filled += read,
                end => panic!("{end:?} {}", String::from_utf8_lossy(&self.buffer[..filled])),
            }
        }
        std::str::from_utf8(&self.buffer[..filled - 4]).unwrap()
    }
}
