//! Requests that another site causes, WebSocket handshakes and CORS preflights, through each gateway.

use vestibule_e2e::echo::Echoed as _;
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::http::Request;
use vestibule_e2e::stack::Plan;

through_each_gateway!(
    unsafe_requests_and_websockets_need_to_come_from_the_app,
    t097_a_preflight_passes_from_allowed_origins_alone_and_without_identity,
);

fn unsafe_requests_and_websockets_need_to_come_from_the_app(kind: Kind) {
    let stack = Plan::new(kind).start();
    let alice = stack.logged_in("alice");
    let cookie = format!("__Host-bff={}", alice.cookie("__Host-bff").unwrap());
    let post = || Request::new("POST", "/api", stack.host()).header("Cookie", &cookie);
    let socket = || {
        Request::get("/api", stack.host())
            .header("Cookie", &cookie)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let get = || Request::get("/api", stack.host()).header("Cookie", &cookie);
    for (name, request, allowed) in [
        ("post, same origin", post().header("Sec-Fetch-Site", "same-origin"), true),
        ("post, our Origin", post().header("Origin", &stack.origin), true),
        ("post, our header", post().header("X-Bff", "1"), true),
        ("post, cross-site", post().header("Sec-Fetch-Site", "cross-site"), false),
        (
            "post, cross-site with header",
            post().header("Sec-Fetch-Site", "cross-site").header("X-Bff", "1"),
            false,
        ),
        ("post, same-site", post().header("Sec-Fetch-Site", "same-site"), false),
        ("post, other Origin", post().header("Origin", "https://evil.test"), false),
        ("post, null Origin", post().header("Origin", "null"), false),
        ("post, silent", post(), false),
        (
            "fetch, cross-site",
            get().header("Sec-Fetch-Site", "cross-site").header("Sec-Fetch-Mode", "cors"),
            false,
        ),
        (
            "image, cross-site",
            get().header("Sec-Fetch-Site", "cross-site").header("Sec-Fetch-Mode", "no-cors"),
            false,
        ),
        (
            "link from another site",
            get()
                .header("Sec-Fetch-Site", "cross-site")
                .header("Sec-Fetch-Mode", "navigate")
                .header("Sec-Fetch-Dest", "document"),
            true,
        ),
        ("websocket, our Origin", socket().header("Origin", &stack.origin), true),
        ("websocket, other Origin", socket().header("Origin", "https://evil.test"), false),
        ("websocket, no Origin", socket(), false),
    ] {
        stack.app.forget();
        let answer = request.send(stack.address());
        if allowed {
            assert!(matches!(answer.status, 200 | 101), "{name}: {answer}");
            assert_eq!(stack.app.seen()[0].values("x-user"), ["alice"], "{name}");
        } else {
            assert_eq!(answer.status, 403, "{name}: {answer}");
            assert_eq!(stack.app.seen().len(), 0, "{name}");
        }
    }
}

fn t097_a_preflight_passes_from_allowed_origins_alone_and_without_identity(kind: Kind) {
    let spec = "  cors: {allowedOrigins: [\"https://admin.example.com\"]}".to_owned();
    let stack = Plan { spec, ..Plan::new(kind) }.start();
    let alice = stack.logged_in("alice");
    // A preflight has no cookie; one that has is no reason to say who it is.
    let cookie = format!("__Host-bff={}", alice.cookie("__Host-bff").unwrap());
    let preflight = |origin: &str| {
        Request::new("OPTIONS", "/api", stack.host())
            .header("Cookie", &cookie)
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header("X-User", "root")
    };
    stack.app.forget();
    let answer = preflight("https://evil.test").send(stack.address());
    assert_eq!(answer.status, 403, "{answer}");
    assert_eq!(stack.app.seen().len(), 0);

    let echo = preflight("https://admin.example.com").send(stack.address()).json();
    assert_eq!(echo["method"], "OPTIONS");
    for header in ["authorization", "x-user", "x-groups"] {
        assert_eq!(echo.folded(header).concat(), "", "{header}: {echo}");
    }
}
