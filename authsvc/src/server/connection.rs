//! One connection: HTTP/1.1 with time limits.
//!
//! Why not hyper's own limit: its header timeout also counts the idle time between two requests, while a
//! gateway keeps idle connections for a minute, and it sets a timer for every request.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tower::ServiceExt as _;

use super::between::{Between, is_one_plain_request};
use super::check_port::CheckPort;
use crate::overload::CHECK_REFUSED;

/// What answers the requests that come to a port.
pub(super) trait Handler: Clone + Send + Unpin + 'static {
    /// Answers one request; it cannot fail.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response> + Send;

    /// Whether there is too much to do for the next request.
    fn is_full(&self) -> bool {
        false
    }

    /// What is answered while it is full to the one plain request that these bytes are.
    fn refusal(&self, _request: &[u8]) -> Option<&'static [u8]> {
        None
    }

    /// Counts a request that was answered so, which took this time.
    fn refused(&self, _took: Duration) {}

    /// Notes how many connections the port has now.
    fn connected(&self, _connections: usize) {}
}

impl Handler for Router {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        self.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }
}

impl Handler for CheckPort {
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response> + Send {
        self.answer(request)
    }

    fn is_full(&self) -> bool {
        self.is_full()
    }

    fn refusal(&self, _request: &[u8]) -> Option<&'static [u8]> {
        Some(CHECK_REFUSED)
    }

    fn refused(&self, took: Duration) {
        self.refused(took);
    }

    fn connected(&self, connections: usize) {
        self.connected(connections);
    }
}

/// How long each phase of a connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the first byte of a request to the end of its headers.
    pub(super) headers: Duration,
    /// Until the first byte of the next request; at most twice as long.
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
    handler: impl Handler,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    let phase = Arc::new(Phase::default());
    let io = TimedIo::new(stream, handler.clone(), Arc::clone(&phase), limits);
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = Answering::begin(&phase);
        if !request.body().is_end_stream() {
            phase.had_a_body();
        }
        let handler = handler.clone();
        async move {
            let answer = handler.answer(request).await;
            drop(answering);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection =
        http1::Builder::new().max_buf_size(MAX_HEADERS).serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    // A sender that is gone means the same as one that says stop.
    let stopped = async { drop(stopped.wait_for(|stopped| *stopped).await) };
    let ended = tokio::select! {
        biased;
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
struct Phase {
    count: AtomicU64,
    /// Whether a request had a body.
    body: AtomicBool,
}

impl Phase {
    fn now(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    fn had_a_body(&self) {
        self.body.store(true, Ordering::Release);
    }
}

/// A request that is being answered; the answer may be dropped half-way.
struct Answering(Arc<Phase>);

impl Answering {
    fn begin(phase: &Arc<Phase>) -> Self {
        phase.count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(phase))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.count.fetch_add(1, Ordering::AcqRel);
    }
}

/// A socket that gives up on a request whose headers do not arrive, on a client that asks nothing, and
/// on an answer that nobody takes. A request that comes whole, and whose answer is taken, sets no timer.
/// Where too much is asked it refuses requests itself: HTTP costs as much as the rest of a refusal.
struct TimedIo<H> {
    stream: TcpStream,
    handler: H,
    phase: Arc<Phase>,
    between: Between,
    limits: Limits,
    /// The phase in which something of a request arrived last.
    arrived_in: Option<u64>,
    /// The end of the time for headers, and the phase that it was set in.
    headers: Option<(u64, Pin<Box<Sleep>>)>,
    /// Whether anything came or went since it was looked last.
    active: bool,
    /// When it is looked next.
    idle: Option<Pin<Box<Sleep>>>,
    /// The end of the time for taking something, while nothing is taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<H: Handler> TimedIo<H> {
    fn new(stream: TcpStream, handler: H, phase: Arc<Phase>, limits: Limits) -> Self {
        Self {
            stream,
            handler,
            phase,
            between: Between::default(),
            limits,
            arrived_in: None,
            headers: None,
            active: false,
            idle: None,
            stalled: None,
        }
    }

    /// Whether what arrived is one request, and is refused here: then nobody else sees it. It was read
    /// from `begun` on.
    fn refuses(
        &mut self,
        context: &mut Context<'_>,
        arrived: &[u8],
        begun: Instant,
    ) -> io::Result<bool> {
        let Some(refusal) = self.handler.refusal(arrived) else { return Ok(false) };
        let phase = self.phase.now();
        let is_alone = self.arrived_in != Some(phase)
            && !self.phase.body.load(Ordering::Acquire)
            && self.between.requests(phase)
            && is_one_plain_request(arrived);
        if !is_alone {
            return Ok(false);
        }
        self.active = true;
        let written = Pin::new(&mut self.stream).poll_write(context, refusal);
        self.handler.refused(begun.elapsed());
        match written {
            Poll::Ready(Ok(length)) if length == refusal.len() => Ok(true),
            // Who does not even take this much gets no more.
            _ => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Notes whether all that there was to write is written.
    fn note_written(&mut self, written: &Poll<io::Result<usize>>, offered: usize) {
        let all = matches!(written, Poll::Ready(Ok(length)) if *length == offered);
        self.between.wrote(self.phase.now(), all);
    }

    fn bounded(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.active = true;
            self.stalled = None;
            return written;
        }
        let within = self.limits.write;
        let limit = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        ready!(limit.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// While a request's headers are under way: ready when they take too long.
    fn poll_headers(&mut self, context: &mut Context<'_>, phase: u64) -> Poll<()> {
        let within = self.limits.headers;
        let (set_in, limit) =
            self.headers.get_or_insert_with(|| (phase, Box::pin(tokio::time::sleep(within))));
        if *set_in != phase {
            *set_in = phase;
            limit.as_mut().reset(Instant::now() + within);
        }
        limit.as_mut().poll(context)
    }

    /// Ready when nothing came or went for the limit, at the latest when that is over twice: to look so
    /// seldom leaves the clock alone at each request.
    fn poll_idle(&mut self, context: &mut Context<'_>, phase: u64) -> Poll<()> {
        let within = self.limits.idle;
        let look = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        loop {
            ready!(look.as_mut().poll(context));
            if !std::mem::take(&mut self.active) && phase.is_multiple_of(2) {
                return Poll::Ready(());
            }
            look.as_mut().reset(Instant::now() + within);
        }
    }
}

impl<H: Handler> AsyncRead for TimedIo<H> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = loop {
            let full_since = self.handler.is_full().then(Instant::now);
            let read = Pin::new(&mut self.stream).poll_read(context, buffer);
            let arrived = &buffer.filled()[before..];
            match full_since {
                Some(begun) if !arrived.is_empty() && self.refuses(context, arrived, begun)? => {}
                _ => break read,
            }
            buffer.set_filled(before);
        };
        let phase = self.phase.now();
        if read.is_ready() {
            if buffer.filled().len() > before {
                self.between.read(&buffer.filled()[before..]);
                self.active = true;
                self.arrived_in = Some(phase);
            }
            return read;
        }
        let under_way = phase.is_multiple_of(2) && self.arrived_in == Some(phase);
        if under_way {
            ready!(self.poll_headers(context, phase));
        } else {
            ready!(self.poll_idle(context, phase));
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// In one piece each, not in a list of them: answers are small, and copying one together costs less than
/// the kernel takes to read the list.
impl<H: Handler> AsyncWrite for TimedIo<H> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_written(&written, bytes.len());
        self.bounded(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
