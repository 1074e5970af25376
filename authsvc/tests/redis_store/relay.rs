//! A connection that a test can cut at the worst moment: after the server did what it was told, and
//! before the answer arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Passes bytes on to a server.
pub struct Relay {
    /// Where it listens.
    pub port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// What holds these bytes is passed on, and then its connection is cut before an answer is.
    cut_after: std::sync::Mutex<Option<Vec<u8>>>,
    cuts: AtomicUsize,
    /// Whether answers are held back.
    silent: AtomicBool,
}

impl Relay {
    /// Passes on to a port of loopback.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, port, Arc::clone(&shared)));
            }
        });
        Self { port: address.port(), state, task }
    }

    /// Loses the answer to the next request that holds these bytes.
    pub fn lose_answer_to(&self, bytes: &str) {
        *self.state.cut_after.lock().expect("nobody panics") = Some(bytes.as_bytes().to_vec());
    }

    /// How many answers were lost.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }

    /// Passes on requests and no answers.
    pub fn fall_silent(&self) {
        self.state.silent.store(true, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, port: u16, state: Arc<State>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut request, mut answer) = (vec![0; 65536], vec![0; 65536]);
    let mut cutting = false;
    loop {
        tokio::select! {
            read = client.read(&mut request) => match read {
                Ok(count @ 1..) => {
                    cutting |= state.is_the_one(&request[..count]);
                    if server.write_all(&request[..count]).await.is_err() { return }
                }
                _ => return,
            },
            read = server.read(&mut answer) => match read {
                // Dropping both ends cuts the connection.
                Ok(1..) if cutting => {
                    state.cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                Ok(1..) if state.silent.load(Ordering::SeqCst) => {}
                Ok(count @ 1..) => {
                    if client.write_all(&answer[..count]).await.is_err() { return }
                }
                _ => return,
            },
        }
    }
}

impl State {
    fn is_the_one(&self, request: &[u8]) -> bool {
        let mut cut_after = self.cut_after.lock().expect("nobody panics");
        let found = cut_after
            .as_ref()
            .is_some_and(|bytes| request.windows(bytes.len()).any(|window| window == bytes));
        if found {
            *cut_after = None;
        }
        found
    }
}
