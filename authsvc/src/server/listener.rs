//! One port: accepts connections, and ends without cutting off a request.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::connection::{self, Limits};

/// Connections that wait to be accepted; a gateway opens many at once when it starts.
const BACKLOG: u32 = 1024;
/// After a failed accept (no file descriptors left, mostly) trying again at once would only burn.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
        router: Router,
        limits: Limits,
    ) -> Self {
        tracing::info!(%port, %addr, "listening");
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, port, router, limits, stopped));
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
    router: Router,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return connections,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // An answer is one small write: waiting for more to send only delays it.
                let _ = stream.set_nodelay(true);
                let router = router.clone();
                let served = connection::serve(stream, router, limits, stopped.clone());
                connections.spawn(served);
            }
            Err(error) => {
                tracing::warn!(%port, %error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
