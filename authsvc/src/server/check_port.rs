//! The check port: gateways only, never reachable from browsers.
//!
//! Why it exists: a check is most of what this service does, and a router with its layers would cost more
//! than deciding does. So here are the same bounds as around the other ports, by hand: an end for defects
//! that is never an allow, a time limit, and a trace. It must not decide, and must not read a body.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::response::Response;
use futures_util::FutureExt as _;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use tokio::sync::watch;
use tracing::Instrument as _;

use super::listener::Port;
use super::middleware::{ANSWER_WITHIN, request_span};
use crate::app::App;
use crate::check;
use crate::check::gateway::bare;
use crate::overload::Overload;

/// What answers checks. Cheap to clone.
#[derive(Clone)]
pub struct CheckPort(Arc<Inner>);

struct Inner {
    app: Arc<App>,
    draining: watch::Receiver<bool>,
    traced: bool,
}

impl CheckPort {
    /// Answers until it is dropped; while `draining`, gateways are told to go to another replica.
    /// `traced`: each check has a span, which goes on with the gateway's trace.
    #[must_use]
    pub fn new(app: Arc<App>, draining: watch::Receiver<bool>, traced: bool) -> Self {
        Self(Arc::new(Inner { app, draining, traced }))
    }

    /// Whether there is too much to do for another check.
    pub(super) fn is_full(&self) -> bool {
        self.0.app.overload.is_full_for_checks()
    }

    /// Counts a check that was refused without [`Self::answer`], which took this time.
    pub(super) fn refused(&self, took: Duration) {
        self.0.app.overload.refused_check(took);
    }

    /// Notes how many connections there are now.
    pub(super) fn connected(&self, connections: usize) {
        self.0.app.overload.connected_gateways(connections);
    }

    /// Answers one check. The body is not read.
    pub async fn answer<B>(&self, request: Request<B>) -> Response {
        let inner = &*self.0;
        let (Parts { method, uri, headers, .. }, _) = request.into_parts();
        let mut response = if !inner.app.overload.admits_check() {
            Overload::refuse_check()
        } else if inner.traced {
            let span = request_span(Port::Check, &method, &headers);
            let response = inner.bounded(&uri, headers).instrument(span.clone()).await;
            span.record("status", response.status().as_u16());
            response
        } else {
            inner.bounded(&uri, headers).await
        };
        if *inner.draining.borrow() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Inner {
    /// Within the time, and with an end for defects.
    async fn bounded(&self, address: &Uri, headers: HeaderMap) -> Response {
        let answer = check::answer(&self.app, address, headers);
        let mut answer = pin!(AssertUnwindSafe(answer).catch_unwind());
        // Most never wait, and need no timer.
        let first = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
        let answered = match first {
            Poll::Ready(answered) => Ok(answered),
            Poll::Pending => tokio::time::timeout(ANSWER_WITHIN, answer).await,
        };
        match answered {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                // What the panic says is not logged here: it may quote what it worked on.
                self.app.metrics.panicked();
                tracing::error!("a check ended in a defect");
                bare(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Err(_) => bare(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}
