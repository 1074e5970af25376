//! A TCP relay that counts connections and can be cut, between a gateway and authsvc or between
//! authsvc and its store. It knows no protocol.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A running relay, for as long as the process lives.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    accepted: Arc<AtomicU64>,
}

impl Relay {
    /// Starts one in front of `target`.
    #[must_use]
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("a bound address");
        let accepted = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&accepted);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || {
                    let server = TcpStream::connect(target).ok()?;
                    let (c, s) = (client.try_clone().ok()?, server.try_clone().ok()?);
                    let back = std::thread::spawn(move || copy(&server, &client));
                    copy(&c, &s);
                    back.join().ok()
                });
            }
        });
        Self { address, accepted }
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}
