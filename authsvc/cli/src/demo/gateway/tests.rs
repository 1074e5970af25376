//! The gateway against a stub of the check endpoint and a stub upstream that tells what it saw.

use std::sync::{Arc, Mutex};

use axum::body::to_bytes;
use tower::ServiceExt;

use super::*;

type Seen = Arc<Mutex<Vec<(Method, String, HeaderMap, Vec<u8>)>>>;

/// A server on loopback that notes each request and answers with that.
async fn stub(status: StatusCode, headers: &[(&str, &str)]) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let notes = Arc::clone(&seen);
    let mut answer = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        answer.append(name, value.parse().unwrap());
    }
    let router = Router::new().fallback(move |request: Request<Body>| {
        let (notes, answer) = (Arc::clone(&notes), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, 1 << 20).await.unwrap().to_vec();
            notes.lock().unwrap().push((parts.method, parts.uri.to_string(), parts.headers, body));
            (status, answer, "stub")
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

async fn send(check: SocketAddr, upstream: SocketAddr, request: Request<Body>) -> Response {
    let upstreams = Upstreams { check, browser: upstream, api: upstream, spa: upstream };
    ask(upstreams, request).await
}

async fn ask(upstreams: Upstreams, mut request: Request<Body>) -> Response {
    let peer: SocketAddr = ([127, 0, 0, 1], 50_000).into();
    request.extensions_mut().insert(ConnectInfo(peer));
    router(upstreams).oneshot(request).await.unwrap()
}

fn post(body: &'static str) -> Request<Body> {
    Request::post("/api/orders?x=%2F1")
        .header("host", "localhost:8080")
        .header("cookie", "__Host-bff=id; theme=dark")
        .header("authorization", "Bearer forged")
        .header("x-user", "root")
        .header("x-other", "kept")
        .header("x-forwarded-method", "GET")
        .header("x-forwarded-uri", "/public")
        .header("connection", "close, x-drop")
        .header("x-drop", "1")
        .header("content-length", body.len())
        .body(Body::from(body))
        .unwrap()
}

#[tokio::test]
async fn the_check_is_asked_as_traefik_asks_it() {
    let (check, asked) = stub(StatusCode::OK, &[]).await;
    let (upstream, _) = stub(StatusCode::OK, &[]).await;
    send(check, upstream, post("{}")).await;
    let asked = asked.lock().unwrap();
    let (method, target, headers, body) = &asked[0];
    assert_eq!(method, Method::GET);
    assert_eq!(target, "/check/traefik/default/shop");
    assert!(body.is_empty());
    for (name, value) in [
        ("x-forwarded-method", "POST"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "localhost:8080"),
        ("x-forwarded-uri", "/api/orders?x=%2F1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("cookie", "__Host-bff=id; theme=dark"),
        ("authorization", "Bearer forged"),
        ("x-other", "kept"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert_eq!(headers["host"], check.to_string());
    assert!(!headers.contains_key("x-drop") && !headers.contains_key("content-length"));
}

#[tokio::test]
async fn listed_headers_are_replaced_or_deleted_and_all_others_pass() {
    let answer = [("authorization", "Bearer real"), ("cookie", "theme=dark"), ("x-more", "no")];
    let (check, _) = stub(StatusCode::OK, &answer).await;
    let (upstream, seen) = stub(StatusCode::CREATED, &[("set-cookie", "a=b")]).await;
    let response = send(check, upstream, post("{\"item\":1}")).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["set-cookie"], "a=b");
    let seen = seen.lock().unwrap();
    let (method, target, headers, body) = &seen[0];
    assert_eq!((method, target.as_str()), (&Method::POST, "/api/orders?x=%2F1"));
    assert_eq!(body, b"{\"item\":1}");
    assert_eq!(headers["authorization"], "Bearer real");
    assert_eq!(headers["cookie"], "theme=dark");
    assert_eq!(headers["x-other"], "kept");
    assert_eq!(headers["host"], "localhost:8080");
    for absent in ["x-user", "x-email", "x-more", "x-drop", "x-forwarded-uri"] {
        assert!(!headers.contains_key(absent), "{absent}");
    }
}

#[tokio::test]
async fn any_other_answer_of_the_check_goes_to_the_browser_whole() {
    let headers = [("location", "http://localhost/bff/login"), ("set-cookie", "a=b")];
    for status in [StatusCode::FOUND, StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE] {
        let (check, _) = stub(status, &headers).await;
        let (upstream, seen) = stub(StatusCode::OK, &[]).await;
        let response = send(check, upstream, post("{}")).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["location"], "http://localhost/bff/login");
        assert_eq!(response.headers()["set-cookie"], "a=b");
        assert_eq!(to_bytes(response.into_body(), 100).await.unwrap(), "stub");
        assert!(seen.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn without_an_answer_of_the_check_nothing_passes() {
    let (upstream, seen) = stub(StatusCode::OK, &[]).await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let response = send(gone, upstream, post("{}")).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn only_our_own_endpoints_pass_without_a_check() {
    let (check, asked) = stub(StatusCode::FORBIDDEN, &[]).await;
    let (browser, seen) = stub(StatusCode::OK, &[]).await;
    let (other, refused) = stub(StatusCode::OK, &[]).await;
    let upstreams = Upstreams { check, browser, api: other, spa: other };
    for path in ["/bff", "/bff/login?rd=%2F", "/api/warehouse/authorize?scope=a"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(ask(upstreams, request).await.status(), StatusCode::OK, "{path}");
    }
    assert_eq!(seen.lock().unwrap().len(), 3);
    assert!(asked.lock().unwrap().is_empty());
    let others = [
        "/",
        "/bffs",
        "/Bff",
        "/api",
        "/apis/bff/x",
        "/authorize",
        "/api/authorize",
        "/api/warehouse/authorize/",
        "/api/warehouse/x/authorize",
        "/api/warehouse/authorizes",
    ];
    for path in others {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(ask(upstreams, request).await.status(), StatusCode::FORBIDDEN, "{path}");
    }
    assert!(refused.lock().unwrap().is_empty());
}

#[test]
fn the_authorities_are_those_of_the_policy() {
    let policy = include_str!("../assets/policy.yaml");
    let bases: Vec<_> =
        policy.lines().filter_map(|line| line.trim().strip_prefix("- base: ")).collect();
    assert_eq!(bases, AUTHORITIES);
}
