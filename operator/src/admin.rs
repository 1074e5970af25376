//! The admin port: `/healthz`, `/readyz`, `/metrics`.
//!
//! It must not show a policy or a secret.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// `OpenMetrics`, which Prometheus asks for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the port can tell.
#[derive(Clone)]
pub struct Admin {
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Whether the caches were filled once.
    pub ready: Arc<AtomicBool>,
}

/// All routes of the port.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

async fn readiness(State(admin): State<Admin>) -> impl IntoResponse {
    if admin.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the objects were not read yet\n")
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], admin.metrics.render())
}

/// Binds the port and serves it until the process ends.
///
/// # Errors
/// Where the port cannot be bound.
pub async fn serve(addr: SocketAddr, admin: Admin) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(addr).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router(admin)).await {
            tracing::error!(%error, "the admin port ended");
        }
    });
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    async fn status(router: &Router, path: &str) -> u16 {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn it_is_ready_once_the_objects_were_read() {
        let ready = Arc::new(AtomicBool::new(false));
        let admin = Admin { metrics: Arc::new(Metrics::new()), ready: Arc::clone(&ready) };
        let router = router(admin);
        assert_eq!(status(&router, "/readyz").await, 503);
        assert_eq!(status(&router, "/healthz").await, 200);
        ready.store(true, Ordering::Release);
        assert_eq!(status(&router, "/readyz").await, 200);
        assert_eq!(status(&router, "/metrics").await, 200);
    }

    #[tokio::test]
    async fn t107_whoever_reaches_the_port_learns_of_no_policy() {
        let metrics = Arc::new(Metrics::new());
        metrics.refused("Conflicted");
        let ready = Arc::new(AtomicBool::new(true));
        let router = router(Admin { metrics: Arc::clone(&metrics), ready });
        for path in ["/", "/policies", "/config", "/debug/pprof/", "/metrics/shop", "/readyz/x"] {
            assert_eq!(status(&router, path).await, 404, "{path}");
        }
        // A label for a namespace, a policy or a host would tell one tenant of another.
        let text = metrics.render();
        assert!(text.contains("reason=\"Conflicted\""), "{text}");
        for label in ["namespace=", "policy=", "host=", "name="] {
            assert!(!text.contains(label), "{label} is in {text}");
        }
    }
}
