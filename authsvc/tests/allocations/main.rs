//! How often a check asks the allocator: the whole service on its real ports, counted by dhat, beside a
//! bare axum handler that is asked in the same way.
//!
//! One test per run: dhat counts what all threads do. Optimised builds allocate no more than this one.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

#[path = "../login/idp.rs"]
#[expect(dead_code, reason = "what only the tests of logins need")]
mod idp;
#[path = "../login/jose.rs"]
#[expect(dead_code, reason = "what only the tests of logins need")]
mod jose;
mod service;
mod wire;

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use dhat::{HeapStats, Profiler};
use http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, HeaderName};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use service::{ADDRESS, Service};
use wire::Connection;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Issue 7: so many above a bare axum handler.
const LIMIT: u64 = 10;
/// Until every buffer has its size.
const WARM_UP: usize = 100;
const ROUNDS: usize = 300;

#[test]
fn a_warm_allow_allocates_little_more_than_a_bare_handler() {
    let runtime = runtime();
    let service = Service::start(&runtime);
    let bare = bare(&runtime);
    let (allow, deny) = (service.ask(true), service.ask(false));

    let _profiler = Profiler::builder().testing().build();
    let (bare, bare_headers) = allocations(bare, &allow, "200");
    let (allowed, headers) = allocations(service.check_addr, &allow, "200");
    let (denied, _) = allocations(service.check_addr, &deny, "401");

    println!(
        "allocations of a warm allow: {allowed}, of a denial: {denied}, of a bare handler: {bare}"
    );
    assert_eq!(headers, bare_headers, "both answer with as many headers");
    assert!(
        allowed <= bare + LIMIT,
        "a warm allow allocates {allowed} times, a bare handler {bare}: {} more, and {LIMIT} may be",
        allowed - bare
    );
    assert!(denied <= bare + LIMIT, "a denial allocates {denied} times, a bare handler {bare}");
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// The median of what one request costs on a connection in use, and how many headers its answer has.
fn allocations(addr: SocketAddr, ask: &[u8], status: &str) -> (u64, usize) {
    let mut connection = Connection::open(addr);
    for _ in 0..WARM_UP {
        connection.ask(ask, status);
    }
    let mut counts = [0; ROUNDS];
    let mut headers = 0;
    for count in &mut counts {
        let before = HeapStats::get().total_blocks;
        headers = connection.ask(ask, status);
        *count = HeapStats::get().total_blocks - before;
    }
    // What the service does beside checks falls into few of the rounds.
    counts.sort_unstable();
    (counts[ROUNDS / 2], headers)
}

/// One route, without parameters, that answers at once with as many headers as a check does.
fn bare(runtime: &Runtime) -> SocketAddr {
    let user = HeaderName::from_static("x-user");
    let headers = [
        (AUTHORIZATION, "Bearer token"),
        (CACHE_CONTROL, "no-store"),
        (COOKIE, "theme=dark"),
        (user, "alice"),
    ];
    let router = Router::new().route(ADDRESS, get(|| async { headers }));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, router).await });
    addr
}
