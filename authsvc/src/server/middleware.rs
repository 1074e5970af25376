//! What goes around every router: bounds, and an end for defects that is never an allow.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONNECTION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::listener::Port;
use crate::app::App;

/// Nothing of ours reads more than a small form.
const MAX_BODY: usize = 64 * 1024;
/// A login waits for the provider several times; nothing else takes a second.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The router with its bounds.
pub(super) fn around(
    router: Router,
    port: Port,
    app: &Arc<App>,
    draining: &watch::Receiver<bool>,
    traced: bool,
) -> Router {
    let app = Arc::clone(app);
    let draining = draining.clone();
    let router = router
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_WITHIN))
        .layer(CatchPanicLayer::custom(move |_: Box<dyn Any + Send>| {
            // What the panic says is not logged here: it may quote what it worked on.
            app.metrics.panicked();
            tracing::error!("a request ended in a defect");
            (StatusCode::INTERNAL_SERVER_ERROR, [(CACHE_CONTROL, "no-store")]).into_response()
        }))
        .layer(from_fn(move |request: Request, next: Next| {
            let draining = draining.clone();
            async move {
                let mut response = next.run(request).await;
                if *draining.borrow() {
                    // So that clients move to another replica before the port closes.
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        }));
    if traced && port != Port::Admin {
        router.layer(from_fn(move |request: Request, next: Next| trace(port, request, next)))
    } else {
        router
    }
}

async fn trace(port: Port, request: Request, next: Next) -> Response {
    let span = request_span(port, request.method(), request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    span.record("status", response.status().as_u16());
    response
}

/// One span per request. It never holds the target: a query may hold a code.
pub(super) fn request_span(port: Port, method: &Method, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "request",
        otel.kind = "server",
        port = port.name(),
        method = known_method(method),
        status = tracing::field::Empty
    );
    if port == Port::Check {
        // The gateway's trace goes on here. Browsers do not choose what is traced.
        let parent = TraceContextPropagator::new().extract(&Headers(headers));
        // Without a tracing layer there is no trace to go on with.
        let _ = span.set_parent(parent);
    }
    span
}

/// A method that is not ours is text of the caller.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
