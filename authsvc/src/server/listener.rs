//! One port: accepts connections, and ends without cutting off a request.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::connection::{self, Handler, Limits};

/// Connections that wait to be accepted; a gateway opens many at once when it starts.
const BACKLOG: u32 = 1024;
/// After a failed accept (no file descriptors left, mostly) trying again at once would only burn.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many files a process may open where nobody says.
const USUAL_FILES: usize = 1024;
/// What a connection that is one too many is answered.
const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
    cache-control: no-store\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// It may take so long to take that.
const TURN_AWAY_WITHIN: Duration = Duration::from_secs(1);

/// Which port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Browser,
    Check,
    Admin,
}

impl Port {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Check => "check",
            Self::Admin => "admin",
        }
    }
}

impl Port {
    /// How many connections it may have, of the files that this process may open: what is left is for the
    /// store and the providers, and no port takes what another needs.
    fn most_connections(self, files: usize) -> usize {
        match self {
            Self::Check => (files / 2).min(16_384),
            Self::Browser => (files / 4).min(8192),
            Self::Admin => (files / 16).min(512),
        }
    }
}

/// How many files this process may have open.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    match line.and_then(|line| line.split_whitespace().next()) {
        Some("unlimited") => usize::MAX,
        Some(number) => number.parse().unwrap_or(USUAL_FILES),
        None => USUAL_FILES,
    }
}

/// Answers a connection that is one too many, whatever it would ask.
async fn turn_away(mut stream: TcpStream) {
    let answered = async {
        stream.write_all(TURNED_AWAY).await?;
        stream.shutdown().await?;
        // What is unread when it is closed could take the answer with it.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(TURN_AWAY_WITHIN, answered).await;
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A port that is served.
pub(super) struct Listener {
    pub(super) addr: SocketAddr,
    port: Port,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<JoinSet<()>>,
}

/// Binds an address.
pub(super) fn bind(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let listener = socket.listen(BACKLOG)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

impl Listener {
    /// Accepts and serves from now on.
    pub(super) fn serve(
        listener: TcpListener,
        addr: SocketAddr,
        port: Port,
        handler: impl Handler + Sync,
        limits: Limits,
    ) -> Self {
        tracing::info!(%port, %addr, "listening");
        let (stop, stopped) = watch::channel(false);
        let most = port.most_connections(open_files());
        let accepting = tokio::spawn(accept(listener, port, most, handler, limits, stopped));
        Self { addr, port, stop, accepting }
    }

    /// Closes the port and waits for what is under way.
    pub(super) async fn finish(self, within: Duration) {
        self.stop.send_replace(true);
        let finished = tokio::time::timeout(within, async {
            if let Ok(mut connections) = self.accepting.await {
                while connections.join_next().await.is_some() {}
            }
        });
        if finished.await.is_err() {
            tracing::warn!(port = %self.port, "requests were cut off: they took too long");
        }
    }
}

async fn accept(
    listener: TcpListener,
    port: Port,
    most: usize,
    handler: impl Handler + Sync,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return connections,
            Some(_) = connections.join_next() => {
                handler.connected(connections.len());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if connections.len() >= most => {
                // Beyond all measure not even this.
                if connections.len() < most + most / 8 {
                    connections.spawn(turn_away(stream));
                }
            }
            Ok((stream, _)) => {
                // An answer is one small write: waiting for more to send only delays it.
                let _ = stream.set_nodelay(true);
                let handler = handler.clone();
                handler.connected(connections.len() + 1);
                let served = connection::serve(stream, handler, limits, stopped.clone());
                connections.spawn(served);
            }
            Err(error) => {
                tracing::warn!(%port, %error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// So many that one more may be told that it is one too many.
    const MOST: usize = 16;

    /// The status of an answer, if there is one.
    async fn status(stream: &mut TcpStream) -> Option<String> {
        // Who is turned away may have been before it asks.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.ok()?;
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    #[tokio::test]
    async fn a_connection_too_many_is_told_so_and_finds_room_later() {
        let (listener, addr) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (stop, stopped) = watch::channel(false);
        let app = Router::new().route("/", get(|| async {}));
        let accepting =
            tokio::spawn(accept(listener, Port::Check, MOST, app, Limits::USUAL, stopped));
        let connect = || async { TcpStream::connect(addr).await.unwrap() };
        let mut served = Vec::new();
        for _ in 0..MOST {
            let mut stream = connect().await;
            assert_eq!(status(&mut stream).await.as_deref(), Some("HTTP/1.1 200"));
            served.push(stream);
        }
        let mut extra = connect().await;
        assert_eq!(status(&mut extra).await.as_deref(), Some("HTTP/1.1 503"));
        let mut rest = Vec::new();
        extra.read_to_end(&mut rest).await.expect("its end");
        assert!(rest.ends_with(b"connection: close\r\n\r\n"), "{rest:?}");
        drop((extra, served));
        let is_served = |status: Option<String>| status.as_deref() == Some("HTTP/1.1 200");
        let found = async { while !is_served(status(&mut connect().await).await) {} };
        tokio::time::timeout(Duration::from_secs(10), found).await.expect("there is room");
        stop.send_replace(true);
        drop(accepting.await);
    }
}
