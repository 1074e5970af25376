//! A collector of traces (OTLP over HTTP) that keeps what it is sent, so that tests can look for what
//! must not be in it. It reads no protobuf: text is text in there too.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::http::{read_body, read_head};

/// A running collector, for as long as the process lives.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    bodies: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("a bound address");
        let collector = Self { address, bodies: Arc::default() };
        let server = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(&stream));
            }
        });
        collector
    }

    /// The environment that makes a program send its traces here, each soon.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), format!("http://{}", self.address)),
            ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "200".to_owned()),
        ]
    }

    /// All it got so far, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bodies.lock().expect("no panic while locked")).into_owned()
    }

    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let (_, headers) = read_head(&mut reader)?;
            let body = read_body(&mut reader, &headers, false)?;
            self.bodies.lock().expect("no panic while locked").extend(body);
            // An empty body is a response without complaints (OTLP, "OTLP/HTTP Response").
            (&*stream)
                .write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n\
                      Content-Length: 0\r\n\r\n",
                )
                .ok()?;
        }
    }
}
