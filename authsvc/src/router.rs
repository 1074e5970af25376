//! The whole HTTP surface for browsers. `crate::server::check_port` is that for gateways, `crate::admin`
//! has the third port.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use tower::ServiceExt as _;

use crate::app::App;
use crate::endpoints::{
    Site, authorize, backchannel, callback, cors, frontchannel, hosted_backend, login, logout,
    protected_resource, scripts, session,
};
use crate::policies::AuthorityEndpoint;
use crate::problem::Problem;

/// The browser port: every policy's endpoints, below its base path on its own hosts.
pub fn browser(app: Arc<App>) -> Router {
    let no_head = || async { StatusCode::METHOD_NOT_ALLOWED };
    let endpoints = Router::new()
        .route("/login", get(login::login).head(no_head))
        .route("/callback", get(callback::callback).head(no_head))
        .route("/session", get(session::session))
        .route("/me", get(session::session))
        .route("/logout", get(logout::confirm).merge(post(logout::logout)))
        .route("/signed-out", get(logout::signed_out))
        .route("/backchannel-logout", post(backchannel::logout))
        .route("/frontchannel-logout", get(frontchannel::logout).head(no_head))
        .route("/client.js", get(scripts::client_js))
        .route("/jwks.json", get(scripts::jwks))
        .fallback(|| async { Problem::not_found().into_response() })
        .with_state(Arc::clone(&app));
    let of_authorities = Router::new()
        .fallback_service(get(authorize::authorize).head(no_head).with_state(Arc::clone(&app)));
    let hosted_backend = hosted_backend::router(Arc::clone(&app));
    let front = Front { app, endpoints, of_authorities, hosted_backend };
    Router::new().fallback(dispatch).with_state(front)
}

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 64 * 1024;

#[derive(Clone)]
struct Front {
    app: Arc<App>,
    endpoints: Router,
    of_authorities: Router,
    hosted_backend: Router,
}

/// Finds the policy by `Host`, and the endpoint: an authority's, or one below the policy's base path or
/// that for the SDKs of another product, which is taken off. An unknown host is refused.
async fn dispatch(State(front): State<Front>, request: Request) -> Response {
    // Also where no endpoint wants it: a body that is left unread costs the gateway its connection.
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let mut request = Request::from_parts(parts, Body::from(body));
    if !front.app.policies.is_loaded() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "policy-unknown", "Policies are loading.");
    }
    let site = only_host(&request)
        .and_then(|host| front.app.policies.find_by_host(host))
        .map(|(policy, origin)| Site { policy, origin });
    let Some(site) = site else {
        return refuse(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown-host",
            "No policy has this host among its origins.",
        );
    };
    let policy = Arc::clone(&site.policy);
    let router = match policy.authority_endpoint(request.uri().path()) {
        Some((authority, AuthorityEndpoint::Metadata)) => {
            let method = request.method();
            return protected_resource::answer(method, &policy, &site.origin, authority);
        }
        Some((authority, AuthorityEndpoint::Authorize)) => {
            request.extensions_mut().insert(Arc::clone(authority));
            front.of_authorities
        }
        None => {
            let below = |path: &str| below_base(request.uri(), path);
            let hosted = policy.compiled.hosted_backend.as_ref();
            let (uri, router) = if let Some(uri) = below(&policy.compiled.base_path) {
                (uri, front.endpoints)
            } else if let Some(uri) = hosted.and_then(|hosted| below(&hosted.path)) {
                (uri, front.hosted_backend)
            } else {
                return Problem::not_found().into_response();
            };
            *request.uri_mut() = uri;
            router
        }
    };
    let headers = request.headers().clone();
    if request.method() == Method::OPTIONS {
        return cors::preflight(&site.policy, &headers);
    }
    request.extensions_mut().insert(site);
    let response = router.oneshot(request).await.into_response();
    cors::apply(&policy, &headers, response)
}

/// The one `Host`; two are refused (RFC 9112, section 3.2).
fn only_host(request: &Request) -> Option<&str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

fn below_base(uri: &Uri, base_path: &str) -> Option<Uri> {
    let rest = uri.path().strip_prefix(base_path).filter(|rest| rest.starts_with('/'))?;
    let target = match uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let target: PathAndQuery = target.parse().ok()?;
    Some(Uri::from(target))
}

fn refuse(status: StatusCode, kind: &'static str, detail: &str) -> Response {
    Problem::new(status, kind, "Refused", detail).into_response()
}
