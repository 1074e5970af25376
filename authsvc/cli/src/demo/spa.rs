//! Serves the demo app: static files, one page, under a policy that allows nothing but the app's
//! own origin. It knows nothing of logins.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// `Content-Security-Policy` of everything.
const POLICY: &str = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const INDEX: &str = include_str!("assets/index.html");

/// The app.
pub fn router() -> Router {
    let page = || async { asset(HTML, INDEX) };
    Router::new()
        .route("/", get(page))
        .route("/payments", get(page))
        .route("/production", get(page))
        .route("/assets/app.css", get(|| async { asset(CSS, include_str!("assets/app.css")) }))
        .route("/assets/app.js", get(|| async { asset(JS, include_str!("assets/app.js")) }))
        .route("/assets/view.js", get(|| async { asset(JS, include_str!("assets/view.js")) }))
        .route("/assets/areas.js", get(|| async { asset(JS, include_str!("assets/areas.js")) }))
        .route("/assets/icon.svg", get(|| async { asset(SVG, include_str!("assets/icon.svg")) }))
        .fallback(|| async { StatusCode::NOT_FOUND })
}

fn asset(content_type: &'static str, body: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("referrer-policy"), "same-origin"),
    ];
    (headers, body).into_response()
}
