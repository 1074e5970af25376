//! What clients write into headers: spoofed forwarding headers change no decision, and no spelling
//! of an identity header reaches the app.

use vestibule_e2e::corpus::rows;
use vestibule_e2e::echo::Echoed as _;
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::http::{Request, Response};
use vestibule_e2e::stack::{Plan, Stack};

through_each_gateway!(
    t001_t002_t038_t039_spoofed_forwarding_headers_change_nothing,
    t004_a_health_path_or_user_agent_opens_nothing,
    t007_t030_t041_t042_t043_no_spelling_of_an_identity_header_reaches_the_app,
    t037_t044_connection_tokens_take_no_header_away,
    t045_a_prefix_header_is_in_no_redirect,
    t010_t050_only_spellings_of_the_apps_own_host_are_served,
);

#[test]
fn t040_aliases_that_traefik_lets_pass_are_refused_by_vestibule() {
    let stack = Plan::new(Kind::TraefikKeepingAliases).start();
    let bob = stack.logged_in("bob");
    let with = |name| {
        as_user(&stack, bob.cookie("__Host-bff").unwrap(), "/api")
            .header(name, "root")
            .send(stack.address())
    };
    stack.app.forget();
    for alias in ["X_User", "X.User", "x_user", "X~User", "X_GROUPS", "x.groups"] {
        let answer = with(alias);
        assert_eq!(answer.status, 403, "{alias}: {answer}");
    }
    assert_eq!(stack.app.seen().len(), 0);
    // Aliases of nothing that we set pass; those of X-Forwarded-* Traefik takes away by itself.
    for other in ["User_Name", "X_Forwarded_Uri"] {
        let answer = with(other);
        assert_eq!(answer.status, 200, "{other}: {answer}");
    }
}

/// A script's request in the app's own page.
fn as_user(stack: &Stack, cookie: &str, path: &str) -> Request {
    Request::get(path, stack.host())
        .header("Cookie", format!("__Host-bff={cookie}"))
        .header("Sec-Fetch-Site", "same-origin")
        .header("Sec-Fetch-Mode", "cors")
        .header("Sec-Fetch-Dest", "empty")
}

/// Every name that some proxy or dialect gives meaning to, with a value that would open a door.
fn forwarding_headers(stack: &Stack) -> Vec<(String, String)> {
    let public = stack.url("/public");
    let named = [
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Port", "1"),
        ("X-Forwarded-Uri", "/public"),
        ("X-Forwarded-Uri", "/bff/session"),
        ("X-Forwarded-Uri", "/x?x=/public"),
        ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Prefix", "/public"),
        ("X-Forwarded-Server", "evil.test"),
        ("X-Forwarded-Scheme", "gopher"),
        ("X-Forwarded-Tls-Client-Cert", "root"),
        ("Forwarded", "for=127.0.0.1;host=evil.test;proto=gopher"),
        ("X-Original-URL", public.as_str()),
        ("X-Original-URL", "/public"),
        ("X-Original-URI", "/public"),
        ("X-Original-Method", "OPTIONS"),
        ("X-Original-Host", "evil.test"),
        ("X-Auth-Request-Redirect", "https://evil.test/"),
        ("X-Auth-Request-User", "root"),
        ("X-Auth-Request-Email", "root@example.test"),
        ("X-Scheme", "gopher"),
        ("X-Real-Ip", "127.0.0.1"),
        ("X-Sent-From", "nginx-ingress-controller"),
        ("X-Envoy-Original-Path", "/public"),
        ("X-Envoy-Internal", "true"),
        ("X-Rewrite-URL", "/public"),
        ("X-HTTP-Method-Override", "OPTIONS"),
        ("X-Method-Override", "OPTIONS"),
        ("Path", "/public"),
        ("Method", "OPTIONS"),
    ];
    named.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn t001_t002_t038_t039_spoofed_forwarding_headers_change_nothing(kind: Kind) {
    let stack = Plan::new(kind).start();
    let bob = stack.logged_in("bob");
    let cookie = bob.cookie("__Host-bff").unwrap();
    let questions: [(&str, Request); 4] = [
        ("fetch without session", as_user(&stack, "none", "/api?x=1")),
        (
            "navigation without session",
            Request::get("/api?x=1", stack.host())
                .header("Sec-Fetch-Site", "none")
                .header("Sec-Fetch-Mode", "navigate")
                .header("Sec-Fetch-Dest", "document"),
        ),
        ("forbidden", as_user(&stack, cookie, "/staff")),
        ("denied", as_user(&stack, cookie, "/denied")),
    ];
    let essence = |answer: &Response| (answer.status, answer.header("location").map(str::to_owned));
    stack.app.forget();
    for (name, question) in questions {
        let plain = essence(&question.send(stack.address()));
        assert_ne!(plain.0, 200, "{name}");
        let mut all = question.clone();
        for (header, value) in forwarding_headers(&stack) {
            let answer = question.clone().header(&header, &value).send(stack.address());
            assert_eq!(essence(&answer), plain, "{name} with {header}: {value}");
            all = all.header(&header, &value);
        }
        assert_eq!(essence(&all.send(stack.address())), plain, "{name} with all of them");
    }
    assert_eq!(stack.app.seen().len(), 0);
    assert_eq!(stack.provider().authorization_requests(), 1);
}

fn t004_a_health_path_or_user_agent_opens_nothing(kind: Kind) {
    let stack = Plan::new(kind).start();
    for path in
        ["/", "/ping", "/ready", "/readyz", "/healthz", "/health", "/metrics", "/oauth2/ping"]
    {
        for agent in
            ["GoogleHC/1.0", "kube-probe/1.31", "ELB-HealthChecker/2.0", "nginx-ingress-controller"]
        {
            let answer =
                Request::get(path, stack.host()).header("User-Agent", agent).send(stack.address());
            assert_ne!(answer.status, 200, "{path} as {agent}: {answer}");
        }
    }
    assert_eq!(stack.app.seen().len(), 0);
}

fn t007_t030_t041_t042_t043_no_spelling_of_an_identity_header_reaches_the_app(kind: Kind) {
    let stack = Plan::new(kind).start();
    let bob = stack.logged_in("bob");
    let cookie = bob.cookie("__Host-bff").unwrap();
    for name in ["X-User", "X-Groups", "Authorization"] {
        let mut spellings = vec![name.to_owned(), name.to_lowercase(), name.to_uppercase()];
        for separator in ["_", ".", "~", "+", "!"] {
            spellings.push(name.replace('-', separator));
            spellings.push(name.replace('-', separator).to_lowercase());
        }
        for spelling in spellings {
            for value in ["root", "", "root, bob"] {
                for copies in [1, 2] {
                    stack.app.forget();
                    let mut request = as_user(&stack, cookie, "/api");
                    for _ in 0..copies {
                        request = request.header(&spelling, value);
                    }
                    let answer = request.send(stack.address());
                    let what = format!("{copies} x {spelling}: {value:?}");
                    if answer.status != 200 {
                        assert!(matches!(answer.status, 400 | 403), "{what}: {answer}");
                        assert_eq!(stack.app.seen().len(), 0, "{what}");
                        continue;
                    }
                    let echo = answer.json();
                    assert_eq!(echo.folded("X-User"), ["bob"], "{what}: {echo}");
                    assert_eq!(echo.folded("X-Groups"), ["guests"], "{what}: {echo}");
                    let authorization = echo.folded("Authorization");
                    assert_eq!(authorization.len(), 1, "{what}: {echo}");
                    assert!(authorization[0].starts_with("Bearer "), "{what}: {echo}");
                }
            }
        }
    }
    // Where we have nothing to say, the client's copy vanishes too.
    for spelling in ["X-User", "X_User", "X.User", "Authorization"] {
        stack.app.forget();
        let answer =
            Request::get("/public", stack.host()).header(spelling, "root").send(stack.address());
        for echo in stack.app.seen() {
            assert_eq!(echo.folded(spelling).concat(), "", "{spelling}: {echo}");
        }
        assert!(matches!(answer.status, 200 | 400 | 403), "{spelling}: {answer}");
    }
}

fn t037_t044_connection_tokens_take_no_header_away(kind: Kind) {
    let stack = Plan::new(kind).start();
    let bob = stack.logged_in("bob");
    let cookie = bob.cookie("__Host-bff").unwrap();
    for tokens in [
        "X-User",
        "x-user, x-groups",
        "close, X-User, Authorization",
        "Cookie",
        "X-Forwarded-Uri, X-Forwarded-Method, X-Forwarded-Host",
        "x-forwarded-uri",
        "X-Original-URL, X-Original-Method",
        "Host",
        "Sec-Fetch-Site, Origin",
    ] {
        stack.app.forget();
        let spoofed = |path| {
            as_user(&stack, cookie, path)
                .header("X-User", "root")
                .header("X-Forwarded-Uri", "/public")
                .header("X-Original-URL", stack.url("/public"))
                .header("Connection", format!("close, {tokens}"))
        };
        // Refused is fine; let through as somebody else, or as nobody, is not.
        let answer = spoofed("/api").send(stack.address());
        for echo in stack.app.seen() {
            assert_eq!(echo.folded("X-User"), ["bob"], "{tokens}: {echo}");
            assert_eq!(echo.folded("Authorization").len(), 1, "{tokens}: {echo}");
        }
        assert_eq!(stack.app.seen().len(), usize::from(answer.status == 200), "{answer}");
        stack.app.forget();
        assert_ne!(spoofed("/denied").send(stack.address()).status, 200, "{tokens}");
        assert_ne!(spoofed("/staff").send(stack.address()).status, 200, "{tokens}");
        assert_eq!(stack.app.seen().len(), 0, "{tokens}");
    }
}

fn t045_a_prefix_header_is_in_no_redirect(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut browser = stack.browser();
    browser.extra = [
        ("X-Forwarded-Prefix", "//evil.test"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Proto", "javascript"),
        ("Forwarded", "host=evil.test"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let page = browser.log_in(&stack.url("/page/home"), "alice");
    assert_eq!(page.url.as_str(), stack.url("/page/home"), "{page}");
    assert!(!browser.history.concat().contains("evil"), "{:#?}", browser.history);
}

fn t010_t050_only_spellings_of_the_apps_own_host_are_served(kind: Kind) {
    // The corpus is about https://shop.example.com.
    let stack = Plan { behind_tls: true, ..Plan::new(kind) }.start();
    let alice = stack.logged_in("alice");
    let cookie = alice.cookie("__Host-bff").unwrap().to_owned();
    let ask = |target: &str, host: &[u8]| {
        stack.app.forget();
        let mut request = as_user(&stack, &cookie, target);
        request.headers[0].1 = host.to_vec();
        request.try_send(stack.address())
    };
    let mut accepted = 0;
    for row in rows("authsvc/policy/testdata/corpora/hosts.txt") {
        let host = row.input;
        // A line's end ends the field, and HTTP itself takes blanks around it away.
        if host.iter().any(|byte| b"\r\n".contains(byte)) || host.trim_ascii() != host {
            continue;
        }
        let answer = ask("/api", &host);
        let status = answer.map_or(0, |answer| answer.status);
        let shown = host.escape_ascii();
        if matches!(row.expected.as_str(), "shop.example.com" | "shop.example.com:443") {
            assert_eq!(status, 200, "{shown}");
            assert_eq!(stack.app.seen()[0].values("x-user"), ["alice"], "{shown}");
            accepted += 1;
        } else {
            assert_ne!(status, 200, "{shown}");
            assert_eq!(stack.app.seen().len(), 0, "{shown}");
        }
    }
    assert!(accepted >= 5, "only {accepted} spellings of the app's host were asked");

    // Two Host fields are no request, in either order.
    for (first, second) in [("shop.example.com", "evil.test"), ("evil.test", "shop.example.com")] {
        stack.app.forget();
        let mut twice = as_user(&stack, &cookie, "/api").header("Host", second);
        twice.headers[0].1 = first.into();
        let answer = twice.try_send(stack.address());
        assert!(answer.is_none_or(|answer| answer.status != 200), "{first}, {second}");
        assert_eq!(stack.app.seen().len(), 0, "{first}, {second}");
    }
    // A target with a host of its own: Traefik goes by that, nginx by the field. Either way the app
    // gets the host that was judged.
    for (target, field) in [
        ("http://evil.test/api", "shop.example.com"),
        ("http://shop.example.com/api", "evil.test"),
        ("http://evil.test/api", "evil.test"),
    ] {
        let answer = ask(target, field.as_bytes());
        let seen = stack.app.seen();
        assert!(seen.len() == 1 || answer.is_none_or(|a| a.status != 200), "{target} {field}");
        for echo in seen {
            assert_eq!(echo.values("host"), ["shop.example.com"], "{target} at {field}: {echo}");
            assert_eq!(echo["target"], "/api", "{target} at {field}: {echo}");
        }
    }
}
