//! A TCP relay that can be held, cut, and made to lose an answer, such as between one replica and
//! its store.
//! It knows no protocol: what it looks for is bytes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// A running relay, for as long as the process lives.
#[derive(Clone, Debug)]
pub struct FaultRelay {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    flow: Flow,
    open: Vec<TcpStream>,
    losses: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flow {
    #[default]
    Through,
    Held,
    Cut,
}

impl FaultRelay {
    /// Starts one in front of `target`.
    #[must_use]
    pub fn start(target: SocketAddr) -> Self {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), target)
    }

    /// Starts one at an address, in front of `target`.
    #[must_use]
    pub fn listen(address: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            target,
            state: Mutex::default(),
            changed: Condvar::new(),
            lost: AtomicU64::new(0),
        });
        let relay = Self { address, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.join(&client));
            }
        });
        relay
    }

    /// Holds all bytes back, both ways, until [`FaultRelay::mend`]: connections stay open.
    pub fn hold(&self) {
        self.shared.lock().flow = Flow::Held;
    }

    /// Closes all connections, and every new one, until [`FaultRelay::mend`].
    pub fn cut(&self) {
        let mut state = self.shared.lock();
        state.flow = Flow::Cut;
        state.close();
        self.shared.changed.notify_all();
    }

    /// Lets everything through again, also what was held back.
    pub fn mend(&self) {
        self.shared.lock().flow = Flow::Through;
        self.shared.changed.notify_all();
    }

    /// Closes the connections of the moment; new ones are taken.
    pub fn reset(&self) {
        self.shared.lock().close();
    }

    /// Passes the next request that has these bytes on, throws its answer away, and closes the
    /// connection. The request was carried out, and its sender does not know.
    pub fn lose_answer_to(&self, bytes: &[u8]) {
        self.shared.lock().losses.push(bytes.to_vec());
    }

    /// How many answers were thrown away.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::SeqCst)
    }
}

impl State {
    fn close(&mut self) {
        for stream in self.open.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }

    /// Waits while bytes are held; `false` where the relay is cut.
    fn passes(&self) -> bool {
        let held = self.changed.wait_while(self.lock(), |state| state.flow == Flow::Held);
        held.expect("no panic while locked").flow == Flow::Through
    }

    fn join(self: Arc<Self>, client: &TcpStream) -> Option<()> {
        if self.lock().flow == Flow::Cut {
            return None;
        }
        let server = TcpStream::connect(self.target).ok()?;
        client.set_nodelay(true).ok()?;
        server.set_nodelay(true).ok()?;
        self.lock().open.extend([client.try_clone().ok()?, server.try_clone().ok()?]);
        let mute = Arc::new(AtomicBool::new(false));
        let (back, muted) = (Arc::clone(&self), Arc::clone(&mute));
        let (from, to) = (server.try_clone().ok()?, client.try_clone().ok()?);
        let answers = std::thread::spawn(move || back.answers(&from, &to, &muted));
        self.requests(client, &server, &mute);
        answers.join().ok()
    }

    fn requests(&self, mut client: &TcpStream, mut server: &TcpStream, mute: &AtomicBool) {
        let mut buffer = vec![0; 65_536];
        // The end of what came before: a text may be torn into two reads.
        let mut recent = Vec::new();
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            recent.extend_from_slice(&buffer[..length]);
            if self.take_loss(&recent) {
                mute.store(true, Ordering::SeqCst);
                self.lost.fetch_add(1, Ordering::SeqCst);
            }
            recent.drain(..recent.len().saturating_sub(128));
            if !self.passes() || server.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Write);
    }

    fn answers(&self, mut server: &TcpStream, mut client: &TcpStream, mute: &AtomicBool) {
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = server.read(&mut buffer) {
            let passes = self.passes() && !mute.load(Ordering::SeqCst);
            if !passes || client.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }

    /// Whether an answer is to be lost to one of these requests; each is lost once.
    fn take_loss(&self, requests: &[u8]) -> bool {
        let mut state = self.lock();
        let found = state.losses.iter().position(|bytes| {
            requests.windows(bytes.len().max(1)).any(|window| window == bytes.as_slice())
        });
        found.map(|index| state.losses.swap_remove(index)).is_some()
    }
}
