//! The admin port: health, readiness, metrics, the stream of what runs, and sessions. Never on a port
//! that a browser or gateway reaches.
//!
//! What names policies is shown to who holds the admin token alone, and sessions to whom
//! [`access`] lets in; the rest says nothing of them.

pub mod access;
mod sessions;
pub mod stream;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::watch;

use crate::app::App;
use access::Access;
pub use token::{AdminToken, AdminTokenError};

/// What `OpenMetrics` text is called.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Admin {
    app: Arc<App>,
    draining: watch::Receiver<bool>,
}

/// `/healthz`, `/readyz`, `/metrics` and `/sessions`; with a token also `/policies`. While `draining`,
/// it is not ready.
pub fn router(
    app: Arc<App>,
    draining: watch::Receiver<bool>,
    token: Option<AdminToken>,
    access: Access,
) -> Router {
    let router = Router::new()
        .route("/healthz", get(|| async { answer(StatusCode::OK, "ok\n") }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(Admin { app: Arc::clone(&app), draining: draining.clone() })
        .merge(sessions::router(Arc::clone(&app), access));
    match token {
        Some(token) => router.merge(stream::router(app, draining, token)),
        None => router,
    }
}

async fn readiness(State(admin): State<Admin>) -> Response {
    if *admin.draining.borrow() {
        answer(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if !admin.app.policies.is_loaded() {
        answer(StatusCode::SERVICE_UNAVAILABLE, "policies are not loaded yet\n")
    } else {
        answer(StatusCode::OK, "ready\n")
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let headers = [(CONTENT_TYPE, METRICS_TYPE), (CACHE_CONTROL, "no-store")];
    let states = admin.app.policies.providers().all().into_iter().map(|one| one.state().name());
    admin.app.metrics.providers(states);
    (headers, admin.app.metrics.render()).into_response()
}

fn answer(status: StatusCode, text: &'static str) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], text).into_response()
}

#[cfg(test)]
mod tests;
