//! The admin port: health, readiness and metrics. Never on a port that a browser or gateway reaches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::app::App;

/// What `OpenMetrics` text is called.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Admin {
    app: Arc<App>,
    draining: Arc<AtomicBool>,
}

/// `/healthz`, `/readyz` and `/metrics`. While `draining`, it is not ready.
pub fn router(app: Arc<App>, draining: Arc<AtomicBool>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { answer(StatusCode::OK, "ok\n") }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(Admin { app, draining })
}

async fn readiness(State(admin): State<Admin>) -> Response {
    if admin.draining.load(Ordering::Acquire) {
        answer(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if !admin.app.policies.is_loaded() {
        answer(StatusCode::SERVICE_UNAVAILABLE, "policies are not loaded yet\n")
    } else {
        answer(StatusCode::OK, "ready\n")
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let headers = [(CONTENT_TYPE, METRICS_TYPE), (CACHE_CONTROL, "no-store")];
    (headers, admin.app.metrics.render()).into_response()
}

fn answer(status: StatusCode, text: &'static str) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt as _;

    use crate::clock::{ManualClock, Timestamp};
    use crate::metrics::Metrics;
    use crate::oidc::Providers;
    use crate::policies::Policies;
    use crate::random::SeededRandom;
    use crate::session::keyring::Keyring;
    use crate::session::memory::MemoryStore;
    use crate::session::service::Sessions;

    fn app() -> Arc<App> {
        let clock = Arc::new(ManualClock::new(Timestamp(1_800_000_000)));
        let random = Arc::new(SeededRandom::default());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        Arc::new(App {
            policies: Arc::new(Policies::new(Providers::new(clock.clone(), random.clone()))),
            sessions: Sessions::new(store, clock.clone(), random.clone()),
            clock,
            random,
            metrics: Metrics::new(),
        })
    }

    async fn status(router: &Router, path: &str) -> u16 {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn it_is_ready_from_the_first_load_until_it_drains_and_healthy_all_the_time() {
        let app = app();
        let draining = Arc::new(AtomicBool::new(false));
        let router = router(Arc::clone(&app), Arc::clone(&draining));
        assert_eq!(status(&router, "/readyz").await, 503);
        assert_eq!(status(&router, "/healthz").await, 200);
        app.policies.install(Vec::new(), &Keyring::ephemeral(&*app.random));
        assert_eq!(status(&router, "/readyz").await, 200);
        draining.store(true, Ordering::Release);
        assert_eq!(status(&router, "/readyz").await, 503);
        assert_eq!(status(&router, "/healthz").await, 200);
        assert_eq!(status(&router, "/metrics").await, 200);
    }
}
