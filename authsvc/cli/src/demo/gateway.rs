//! The demo's gateway. It asks the check endpoint as Traefik's `ForwardAuth` does with
//! `authResponseHeaders`, so what works here works there: the whole client request but its body
//! and hop-by-hop headers goes along, with `X-Forwarded-{Method,Proto,Host,Uri,For}`; on 2xx the
//! listed headers are deleted from the client's request and replaced; anything else goes to the
//! browser as it is.
//!
//! It decides nothing itself, and fails closed: no answer from authsvc is a 500.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// What Traefik's `authResponseHeaders` would list for the demo's policy: `Authorization`,
/// `Cookie`, and every header that a route names.
const AUTH_RESPONSE_HEADERS: [&str; 4] = ["authorization", "cookie", "x-user", "x-email"];

/// The bases of the demo's Route Authorities, whose `authorize` is authsvc's too.
const AUTHORITIES: [&str; 3] = ["/api/production", "/api/production/release", "/api/warehouse"];

/// Hop-by-hop headers (RFC 9110, section 7.6.1, and Traefik's own list).
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

/// What Traefik's entry point removes from clients that it does not trust.
const FORWARDED: [&str; 9] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-real-ip",
];

/// Traefik's fixed limit for the answer of the check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// Where requests go.
#[derive(Clone, Copy, Debug)]
pub struct Upstreams {
    /// authsvc's check port.
    pub check: SocketAddr,
    /// authsvc's browser port, for `/bff` and for `authorize` below each base.
    pub browser: SocketAddr,
    /// The API, for `/api`.
    pub api: SocketAddr,
    /// The app, for the rest.
    pub spa: SocketAddr,
}

#[derive(Clone)]
struct Gateway {
    upstreams: Upstreams,
    client: Client<HttpConnector, Body>,
}

/// The gateway as a service; it needs the client's address as `ConnectInfo`.
pub fn router(upstreams: Upstreams) -> Router {
    // Pooled: checks reuse connections, as they do behind Traefik.
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    Router::new().fallback(handle).with_state(Gateway { upstreams, client })
}

async fn handle(
    State(gateway): State<Gateway>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request<Body>,
) -> Response {
    for name in FORWARDED {
        request.headers_mut().remove(name);
    }
    let (upstream, checked) = route(&gateway.upstreams, request.uri().path());
    if checked {
        let check = check_request(gateway.upstreams.check, &request, peer);
        let answer = tokio::time::timeout(CHECK_TIMEOUT, gateway.client.request(check)).await;
        let Ok(Ok(answer)) = answer else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        if !answer.status().is_success() {
            return to_browser(answer.map(Body::new));
        }
        apply_auth_response(request.headers_mut(), answer.headers());
    }
    match gateway.client.request(upstream_request(upstream, request, peer)).await {
        Ok(answer) => to_browser(answer.map(Body::new)),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// Where a path goes, and whether authsvc is asked first: `/bff` and `/api` on segment borders, as
/// a gateway's path prefixes match, and `{base}/authorize` exactly.
fn route(upstreams: &Upstreams, path: &str) -> (SocketAddr, bool) {
    let below = |prefix: &str| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let authority = path.strip_suffix("/authorize");
    if below("/bff") || authority.is_some_and(|base| AUTHORITIES.contains(&base)) {
        (upstreams.browser, false)
    } else if below("/api") {
        (upstreams.api, true)
    } else {
        (upstreams.spa, true)
    }
}

/// The question to authsvc: a GET without a body.
fn check_request(check: SocketAddr, request: &Request<Body>, peer: SocketAddr) -> Request<Body> {
    let mut headers = request.headers().clone();
    remove_hop_by_hop(&mut headers);
    headers.remove(CONTENT_LENGTH);
    let host = headers.remove(HOST);
    add_forwarded(&mut headers, host, peer);
    set(&mut headers, "x-forwarded-method", HeaderValue::from_str(request.method().as_str()).ok());
    let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    set(&mut headers, "x-forwarded-uri", HeaderValue::from_str(target).ok());
    let mut question = Request::new(Body::empty());
    *question.method_mut() = Method::GET;
    *question.uri_mut() =
        absolute(check, Some(PathAndQuery::from_static("/check/traefik/default/shop")));
    *question.headers_mut() = headers;
    question
}

/// Deletes the listed headers from the client's request and puts those of the answer in.
fn apply_auth_response(client: &mut HeaderMap, answer: &HeaderMap) {
    for name in AUTH_RESPONSE_HEADERS {
        client.remove(name);
        for value in answer.get_all(name) {
            client.append(HeaderName::from_static(name), value.clone());
        }
    }
}

/// The client's request, body and all, for the upstream; its `Host` stays the public one.
fn upstream_request(
    upstream: SocketAddr,
    mut request: Request<Body>,
    peer: SocketAddr,
) -> Request<Body> {
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = absolute(upstream, target);
    remove_hop_by_hop(request.headers_mut());
    let host = request.headers().get(HOST).cloned();
    add_forwarded(request.headers_mut(), host, peer);
    request
}

fn to_browser(mut answer: Response) -> Response {
    remove_hop_by_hop(answer.headers_mut());
    answer
}

fn add_forwarded(headers: &mut HeaderMap, host: Option<HeaderValue>, peer: SocketAddr) {
    set(headers, "x-forwarded-for", HeaderValue::from_str(&peer.ip().to_string()).ok());
    set(headers, "x-forwarded-host", host);
    set(headers, "x-forwarded-proto", Some(HeaderValue::from_static("http")));
}

fn set(headers: &mut HeaderMap, name: &'static str, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn absolute(address: SocketAddr, target: Option<PathAndQuery>) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Authority::try_from(address.to_string()).ok();
    parts.path_and_query = Some(target.unwrap_or(PathAndQuery::from_static("/")));
    // All three parts are there, so this cannot fail; if it did, the request would go nowhere.
    Uri::from_parts(parts).unwrap_or_default()
}

#[cfg(test)]
mod tests;
