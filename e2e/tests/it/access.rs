//! What the app gets with each kind of access, and what it never gets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use vestibule_e2e::browser::parse;
use vestibule_e2e::echo::Echoed as _;
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::http::Request;
use vestibule_e2e::stack::Plan;

through_each_gateway!(
    after_login_the_app_gets_the_access_token_and_identity_and_not_our_cookie,
    a_forbidden_user_gets_403_and_no_loop,
    t096_public_and_optional_routes_let_everyone_in_without_a_strangers_identity,
    a_denied_route_is_refused_with_and_without_a_session,
    an_id_token_or_an_identity_jwt_goes_upstream_where_asked_for,
    t024_no_mutation_of_the_cookie_is_a_session,
    t068_a_bearer_token_is_no_session,
    a_quiet_route_starts_no_login,
);

fn after_login_the_app_gets_the_access_token_and_identity_and_not_our_cookie(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut browser = stack.logged_in("alice");
    browser.set_cookie("localhost", "theme", "dark");
    let echo = browser.fetch(&stack.origin, &stack.url("/api/list?x=1")).json();

    assert_eq!(echo["target"], "/api/list?x=1");
    assert_eq!(echo.values("x-user"), ["alice"], "{echo}");
    assert_eq!(echo.values("x-groups"), ["staff"], "{echo}");
    let authorization = echo.values("authorization");
    assert_eq!(authorization.len(), 1, "{echo}");
    let token = authorization[0].strip_prefix("Bearer ").expect("a bearer token");
    // The provider itself says whose token it is.
    let issuer = parse(&stack.provider().issuer);
    let me = Request::get("/me", "127.0.0.1")
        .header("Authorization", format!("Bearer {token}"))
        .send(issuer.socket_addrs(|| None).unwrap()[0])
        .json();
    assert_eq!(me["sub"], "alice");

    let cookies = echo.values("cookie").join("; ");
    assert!(cookies.contains("theme=dark"), "{echo}");
    assert!(!cookies.contains("__Host-bff"), "{echo}");
    assert!(!echo.to_string().contains(browser.cookie("__Host-bff").unwrap()), "{echo}");

    // A browser with our cookie alone sends the app none.
    let mut plain = stack.logged_in("bob");
    plain.set_cookie("localhost", "app", "");
    let echo = plain.fetch(&stack.origin, &stack.url("/api")).json();
    assert!(!echo.values("cookie").join("; ").contains("__Host"), "{echo}");
}

fn a_forbidden_user_gets_403_and_no_loop(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut bob = stack.logged_in("bob");
    stack.app.forget();
    let page = bob.open(&stack.url("/staff/list"));
    assert_eq!(page.response.status, 403, "{page}");
    assert_eq!(page.url.as_str(), stack.url("/staff/list"));
    assert_eq!(bob.fetch(&stack.origin, &stack.url("/staff")).status, 403);
    assert_eq!(stack.app.seen().len(), 0);
    assert_eq!(stack.provider().authorization_requests(), 1);
    assert_eq!(stack.logged_in("alice").open(&stack.url("/staff/list")).response.status, 200);
}

fn t096_public_and_optional_routes_let_everyone_in_without_a_strangers_identity(kind: Kind) {
    let stack = Plan::new(kind).start();
    let spoofed = |request: Request| {
        request
            .header("X-User", "root")
            .header("X-Groups", "admins")
            .header("Authorization", "Basic Zm9v")
    };
    for path in ["/public/a", "/optional/a"] {
        let echo = spoofed(Request::get(path, stack.host())).send(stack.address());
        assert_eq!(echo.status, 200, "{path}: {echo}");
        let echo = echo.json();
        assert_eq!(echo.folded("x-user").concat(), "", "{path}: {echo}");
        assert_eq!(echo.folded("x-groups").concat(), "", "{path}: {echo}");
        assert_eq!(echo.folded("authorization").concat(), "", "{path}: {echo}");
    }

    let mut alice = stack.logged_in("alice");
    let url = stack.url("/optional/a");
    let request = spoofed(alice.script_request("GET", &stack.origin, &url));
    let echo = alice.send(&parse(&url), &request).json();
    assert_eq!(echo.values("x-user"), ["alice"], "{echo}");
    let url = stack.url("/public/a");
    let request = spoofed(alice.script_request("GET", &stack.origin, &url));
    let echo = alice.send(&parse(&url), &request).json();
    assert_eq!(echo.values("x-user").concat(), "", "{echo}");
    assert!(!echo.to_string().contains("__Host-bff"), "{echo}");
}

fn a_denied_route_is_refused_with_and_without_a_session(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut alice = stack.logged_in("alice");
    stack.app.forget();
    assert_eq!(alice.open(&stack.url("/denied/x")).response.status, 403);
    assert_eq!(stack.browser().open(&stack.url("/denied")).response.status, 403);
    assert_eq!(stack.app.seen().len(), 0);
}

/// The header and claims of a JWT, unchecked.
fn jwt(bearer: &str) -> (Value, Value) {
    let token = bearer.strip_prefix("Bearer ").expect("a bearer token");
    let parts: Vec<Value> = token
        .split('.')
        .take(2)
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    (parts[0].clone(), parts[1].clone())
}

fn an_id_token_or_an_identity_jwt_goes_upstream_where_asked_for(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut alice = stack.logged_in("alice");
    let echo = alice.fetch(&stack.origin, &stack.url("/identity")).json();
    let (_, claims) = jwt(&echo.values("authorization")[0]);
    assert_eq!(claims["iss"], stack.provider().issuer);
    assert_eq!(claims["aud"], "shop");

    let echo = alice.fetch(&stack.origin, &stack.url("/signed")).json();
    let (header, claims) = jwt(&echo.values("authorization")[0]);
    assert_eq!(claims["iss"], stack.origin);
    assert_eq!(claims["aud"], "api");
    assert_eq!(claims["sub"], "alice");
    let seconds = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((1..=60).contains(&seconds), "{claims}");
    assert_eq!(header["alg"], "ES256");
    let keys = Request::get("/bff/jwks.json", stack.host()).send(stack.address()).json();
    let known = keys["keys"].as_array().unwrap().iter().any(|key| key["kid"] == header["kid"]);
    assert!(known, "{header} is not in {keys}");
}

fn t024_no_mutation_of_the_cookie_is_a_session(kind: Kind) {
    let stack = Plan::new(kind).start();
    let alice = stack.logged_in("alice");
    let value = alice.cookie("__Host-bff").unwrap().to_owned();
    stack.app.forget();
    let ask = |cookie: String| {
        Request::get("/api", stack.host())
            .header("Cookie", cookie)
            .header("Sec-Fetch-Site", "same-origin")
            .header("Sec-Fetch-Mode", "cors")
            .header("Sec-Fetch-Dest", "empty")
            .send(stack.address())
    };
    let flipped = |at: usize| {
        let mut bytes = value.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let mut cookies = vec![
        String::new(),
        "__Host-bff".into(),
        "__Host-bff=".into(),
        format!("__Host-bff={}", &value[..value.len() - 1]),
        format!("__Host-bff={value}A"),
        format!("__Host-bff=\"{value}\""),
        format!("__host-bff={value}"),
        format!("__HOST-BFF={value}"),
        format!("bff={value}"),
        format!("__Host-bff={value}; __Host-bff={value}"),
        format!("__Host-bff=x; __Host-bff={value}"),
        format!("__Host-bff={value}; __Host-bff=x"),
        format!("__Host-bff={}", "A".repeat(4000)),
        format!("__Host-bff={}", value.to_ascii_uppercase()),
        format!("__Host-bff-login-x={value}"),
    ];
    cookies.extend(
        [0, value.len() / 2, value.len() - 2].map(|at| format!("__Host-bff={}", flipped(at))),
    );
    for cookie in cookies {
        let answer = ask(cookie.clone());
        assert_ne!(answer.status, 200, "{cookie}: {answer}");
    }
    assert_eq!(stack.app.seen().len(), 0);
    assert_eq!(ask(format!("a=b; __Host-bff={value}; c=d")).status, 200);
}

fn t068_a_bearer_token_is_no_session(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut alice = stack.logged_in("alice");
    let echo = alice.fetch(&stack.origin, &stack.url("/api")).json();
    let bearer = echo.values("authorization")[0].clone();
    stack.app.forget();
    let answer =
        Request::get("/api", stack.host()).header("Authorization", bearer).send(stack.address());
    assert_ne!(answer.status, 200, "{answer}");
    assert_eq!(stack.app.seen().len(), 0);
}

fn a_quiet_route_starts_no_login(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut browser = stack.browser();
    let mut answer = browser.fetch(&stack.origin, &stack.url("/quiet"));
    if kind == Kind::IngressNginx {
        let login = answer.location().to_owned();
        answer = browser.fetch(&stack.origin, &login);
    }
    assert_eq!(answer.status, 401, "{answer}");
    // nginx turns every 401 of a navigation into the redirect: it cannot see why we said it.
    if kind.is_traefik() {
        let page = browser.open(&stack.url("/quiet"));
        assert_eq!(page.response.status, 401, "{page}");
    }
    assert_eq!(stack.provider().authorization_requests(), 0);
}
