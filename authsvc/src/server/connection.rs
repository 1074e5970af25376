//! One connection: HTTP/1.1 with time limits.
//!
//! Why not hyper's own limit alone: its header timeout also counts the idle time between two
//! requests, and a gateway keeps idle connections for a minute.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;
use tower::ServiceExt as _;

/// How long each phase of a connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the first byte of a request to the end of its headers.
    pub(super) headers: Duration,
    /// Until the first byte of the next request.
    pub(super) idle: Duration,
    /// While an answer is sent, until its reader takes some more of it.
    pub(super) write: Duration,
}

impl Limits {
    /// Idle longer than nginx keeps a connection (60 s), so that it is never us who closes one that
    /// is about to be used.
    pub(super) const USUAL: Self = Self {
        headers: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
    };
}

/// The greatest size of a request's headers; gateways allow 32 KiB to 60 KiB.
const MAX_HEADERS: usize = 128 * 1024;

/// Serves until either side ends it, or `stopped`.
pub(super) async fn serve(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    let phase = Arc::new(Phase::default());
    let io = TimedIo { stream, phase: Arc::clone(&phase), limits, limit: None, stalled: None };
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = Answering::begin(&phase);
        let answer = router.clone().oneshot(request);
        async move {
            let answer = answer.await;
            drop(answering);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(MAX_HEADERS)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    // A sender that is gone means the same as one that says stop.
    let stopped = async { drop(stopped.wait_for(|stopped| *stopped).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Counts requests and answers: even while none is being answered.
#[derive(Default)]
struct Phase(AtomicU64);

impl Phase {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// A request that is being answered; the answer may be dropped half-way.
struct Answering(Arc<Phase>);

impl Answering {
    fn begin(phase: &Arc<Phase>) -> Self {
        phase.0.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(phase))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A socket that gives up on a request whose headers do not arrive, and on an answer that nobody
/// takes.
struct TimedIo {
    stream: TcpStream,
    phase: Arc<Phase>,
    limits: Limits,
    /// The end of the time for headers, and the phase that it was set in.
    limit: Option<(u64, Pin<Box<Sleep>>)>,
    /// The end of the time for taking something, while nothing is taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl TimedIo {
    fn bounded(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let within = self.limits.write;
        let limit = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        ready!(limit.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for TimedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let phase = self.phase.now();
        if self.limit.as_ref().is_some_and(|(set_in, _)| *set_in != phase) {
            self.limit = None;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let arrived = buffer.filled().len() > before;
        if arrived && phase.is_multiple_of(2) && self.limit.is_none() {
            self.limit = Some((phase, Box::pin(tokio::time::sleep(self.limits.headers))));
        }
        if read.is_pending()
            && let Some((_, limit)) = &mut self.limit
        {
            ready!(limit.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for TimedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
