//! What a client may try to be taken for somebody else, or a path for another: catalogue rows of
//! the security reference that a check alone can prove. The gateways' part is in `e2e/`.

use http::StatusCode;

use crate::check_access::SHOP;
use crate::support::{Ask, DIALECTS, FETCH, NAVIGATION, TestApp, corpus};

const ADMIN: &str = r#"
origins: ["https://admin.example.com"]
providerRef: {name: corp}
client: {id: admin, secretRef: {name: shop-oidc, key: client-secret}}
"#;

fn app() -> TestApp {
    TestApp::new(&[("shop", SHOP), ("admin", ADMIN)])
}

/// Headers that some gateway or framework takes for the truth about a request.
const FORWARDED: [(&str, &str); 30] = [
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-host", "admin.example.com"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-uri", "/public"),
    ("x-forwarded-method", "OPTIONS"),
    ("x-forwarded-prefix", "/public"),
    ("x-forwarded-server", "internal"),
    ("x-forwarded-scheme", "https"),
    ("x-forwarded-user", "admin"),
    ("x-forwarded-tls-client-cert", "x"),
    ("forwarded", "for=127.0.0.1;host=admin.example.com;proto=https"),
    ("x-original-url", "https://shop.example.com/public"),
    ("x-original-uri", "/public"),
    ("x-original-method", "OPTIONS"),
    ("x-auth-request-redirect", "/public"),
    ("x-auth-request-user", "admin"),
    ("x-scheme", "https"),
    ("x-real-ip", "127.0.0.1"),
    ("x-sent-from", "nginx-ingress-controller"),
    ("x-envoy-original-path", "/public"),
    ("x-envoy-external-address", "127.0.0.1"),
    ("x-rewrite-url", "/public"),
    ("x-http-method-override", "OPTIONS"),
    ("x-method-override", "OPTIONS"),
    ("x-host", "admin.example.com"),
    ("x-remote-user", "admin"),
    ("user-agent", "kube-probe/1.35"),
    ("x-request-id", "1"),
    ("via", "1.1 internal"),
];

#[tokio::test]
async fn t001_t002_t038_t039_a_forwarded_header_of_another_dialect_changes_nothing() {
    let app = app();
    for dialect in DIALECTS {
        let own = |name: &str| match dialect {
            "nginx" => matches!(name, "x-original-url" | "x-original-method"),
            _ => matches!(name, "x-forwarded-uri" | "x-forwarded-host" | "x-forwarded-method"),
        };
        for target in ["/api", "/public", "/deny", "/page"] {
            let plain = Ask::get(target).with(&NAVIGATION).ask(&app, dialect).await;
            for (name, value) in FORWARDED {
                let spoofed = Ask::get(target).with(&NAVIGATION).with(&[(name, value)]);
                let spoofed = spoofed.ask(&app, dialect).await;
                if own(name) {
                    // The gateway sets this one; a second copy is refused, never preferred.
                    assert_eq!(spoofed.status, StatusCode::FORBIDDEN, "{dialect} {name}");
                } else {
                    assert_eq!(spoofed.status, plain.status, "{dialect} {target} {name}");
                    assert_eq!(spoofed.headers, plain.headers, "{dialect} {target} {name}");
                }
            }
        }
    }
}

#[tokio::test]
async fn t004_the_check_port_has_no_health_path_and_ignores_the_user_agent() {
    let app = app();
    for path in ["/", "/ping", "/healthz", "/readyz", "/metrics", "/check", "/check/nginx"] {
        let request = http::Request::builder().uri(path).header("user-agent", "GoogleHC/1.0");
        let request = request.body(axum::body::Body::empty()).unwrap();
        assert_eq!(app.send(&app.check, request).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let probe = Ask::get("/api").with(&[("user-agent", "GoogleHC/1.0")]).ask(&app, "nginx").await;
    assert_eq!(probe.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn t007_t030_t043_no_copy_of_an_identity_header_survives_in_any_case() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    for dialect in DIALECTS {
        for name in ["x-user", "X-USER", "x-groups", "authorization", "Authorization"] {
            let ask = Ask::get("/staff").with(&[(name, "admin"), ("cookie", &cookie)]);
            let answer = ask.ask(&app, dialect).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.header(name), Some(""), "the answer blanks it: {name}");
        }
    }
}

#[tokio::test]
async fn t040_t041_t042_alias_headers_are_refused() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    let rows = corpus("testdata/corpora/aliases.txt");
    for dialect in DIALECTS {
        for row in &rows {
            let (expected, name) = (row[0].as_str(), row[1].as_str());
            let ask = Ask::get("/api").with(&FETCH).with(&[("cookie", &cookie), (name, "admin")]);
            let status = ask.ask(&app, dialect).await.status;
            match expected {
                "refuse" => assert_eq!(status, StatusCode::FORBIDDEN, "{dialect} {name}"),
                "allow" => assert_eq!(status, StatusCode::OK, "{dialect} {name}"),
                only => {
                    let refused = only == dialect;
                    assert_eq!(status == StatusCode::FORBIDDEN, refused, "{dialect} {name}");
                }
            }
        }
    }
}

#[tokio::test]
async fn t037_t044_a_connection_header_cannot_take_an_identity_header_away() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    for dialect in DIALECTS {
        let ask = Ask::get("/api")
            .with(&FETCH)
            .with(&[("cookie", &cookie), ("connection", "x-user, authorization, cookie")]);
        assert_eq!(ask.ask(&app, dialect).await.header("x-user"), Some("u-1"));
    }
}

#[tokio::test]
async fn t003_t048_t079_t080_t087_no_spelling_of_a_path_reaches_what_its_canonical_form_does_not() {
    let app = app();
    let mut refused = 0;
    for row in corpus("policy/testdata/corpora/paths.txt") {
        let [expected, target] = &row[..2] else { panic!("two columns: {row:?}") };
        // Raw bytes and control characters cannot be header values; the pure test has them.
        if !target.chars().all(|c| c.is_ascii_graphic()) {
            continue;
        }
        for dialect in DIALECTS {
            let asked = Ask::get(target).with(&NAVIGATION);
            let status = asked.ask(&app, dialect).await.status;
            if expected.starts_with("refuse") {
                refused += 1;
                assert_eq!(status, StatusCode::FORBIDDEN, "{dialect} {target:?}");
            } else {
                assert_ne!(status, StatusCode::OK, "no session: {dialect} {target:?}");
            }
        }
    }
    assert!(refused > 40);
}

#[tokio::test]
async fn t008_a_public_path_in_the_query_opens_nothing() {
    let app = app();
    for dialect in DIALECTS {
        for target in ["/api?x=/public", "/deny?/public", "/api?%2Fpublic", "/api?next=/public#"] {
            let answer = Ask::get(target).with(&FETCH).ask(&app, dialect).await;
            assert_ne!(answer.status, StatusCode::OK, "{target}");
        }
    }
}

#[tokio::test]
async fn t010_t050_a_host_that_is_not_the_policys_is_refused() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    let good =
        ["shop.example.com", "SHOP.example.com", "shop.example.com.", "shop.example.com:443"];
    let bad = [
        "admin.example.com",
        "evil-shop.example.com",
        "shop.example.com.evil.test",
        "example.com",
        "shop.example.com@evil.test",
        "evil.test@shop.example.com",
        "shop.example.com:80443",
        "shop.example.com:8443",
        "shop.example.com..",
        "shop_example.com",
        "shop.example.com,evil.test",
        "shop%2eexample.com",
        "[::1]",
        "127.0.0.1",
        "shop.example.com:",
        "",
        " ",
        "shop.example.com:0443x",
    ];
    for dialect in DIALECTS {
        for (hosts, status) in [(&good[..], StatusCode::OK), (&bad[..], StatusCode::FORBIDDEN)] {
            for host in hosts {
                let ask = Ask::get("/staff").host(host).with(&[("cookie", &cookie)]);
                assert_eq!(ask.ask(&app, dialect).await.status, status, "{dialect} {host:?}");
            }
        }
    }
}

#[tokio::test]
async fn t020_what_cannot_be_read_is_refused() {
    let app = app();
    let cases: [&[(&str, &str)]; 9] = [
        &[],
        &[("x-original-url", "https://shop.example.com/public")],
        &[("x-original-method", "GET")],
        &[("x-original-url", "/public"), ("x-original-method", "GET")],
        &[("x-original-url", "https://shop.example.com"), ("x-original-method", "GET")],
        &[("x-original-url", "ftp://shop.example.com/public"), ("x-original-method", "GET")],
        &[("x-original-url", "https://shop.example.com/public"), ("x-original-method", "G T")],
        &[("x-original-url", "https:///public"), ("x-original-method", "GET")],
        &[("x-original-url", ""), ("x-original-method", "")],
    ];
    for headers in cases {
        let mut request = http::Request::builder().uri("/check/nginx/default/shop");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        let answer = app.send(&app.check, request).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
}

#[tokio::test]
async fn t024_a_malformed_cookie_is_no_cookie_and_200_implies_identity() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    let (name, value) = cookie.split_once('=').unwrap();
    let flipped = value.replace(&value[5..6], if &value[5..6] == "A" { "B" } else { "A" });
    let mutations = [
        format!("{name}={}", &value[..42]),
        format!("{name}={value}A"),
        format!("{name}={value}="),
        format!("{name}=\"{value}\""),
        format!("{name}={flipped}"),
        format!("{name}="),
        name.to_owned(),
        format!("{}={value}", name.to_lowercase()),
        format!("{}={value}", name.to_uppercase()),
        format!("{name} ={}", value.to_lowercase()),
        format!("{cookie}; {cookie}"),
        format!("{cookie}; {name}=x"),
        format!("{name}=x; {cookie}"),
        format!("__Host-bff-login-1={value}"),
        format!("{name}=../../{value}"),
        format!("{name}=%00{value}"),
    ];
    for dialect in DIALECTS {
        for cookie in &mutations {
            let answer = Ask::get("/api").with(&FETCH).with(&[("cookie", cookie)]);
            let answer = answer.ask(&app, dialect).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{dialect} {cookie}");
        }
        let split = Ask::get("/api").with(&FETCH).with(&[("cookie", "a=b"), ("cookie", &cookie)]);
        let split = split.ask(&app, dialect).await;
        assert_eq!(split.status, StatusCode::OK, "HTTP/2 splits the Cookie header");
        assert_eq!(split.header("x-user"), Some("u-1"));
    }
}

#[tokio::test]
async fn t031_a_cookie_of_one_policy_is_nothing_to_another() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    for dialect in DIALECTS {
        let mut ask = Ask::get("/").host("admin.example.com").with(&[("cookie", &cookie)]);
        ask.policy = "admin";
        assert_eq!(ask.ask(&app, dialect).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn t045_the_way_back_never_comes_from_a_prefix_header() {
    let app = app();
    let ask = Ask::get("/page").with(&NAVIGATION).with(&[("x-forwarded-prefix", "//evil.test")]);
    let answer = ask.ask(&app, "traefik").await;
    assert_eq!(answer.header("location"), Some("https://shop.example.com/bff/login?rd=/page"));
}

#[tokio::test]
async fn t068_a_bearer_token_without_a_session_is_401() {
    let app = app();
    for dialect in DIALECTS {
        for token in ["Bearer x", "Bearer canary-access-token", "Basic YTpi"] {
            let ask = Ask::get("/api").with(&FETCH).with(&[("authorization", token)]);
            assert_eq!(ask.ask(&app, dialect).await.status, StatusCode::UNAUTHORIZED);
        }
    }
}

#[tokio::test]
async fn t020_a_method_in_another_case_is_no_method_and_an_extension_method_is_one() {
    let app = app();
    for dialect in DIALECTS {
        for method in ["get", "Get", "gET", "PoST", "GET1", "G_T"] {
            let answer = Ask::get("/public").method(method).ask(&app, dialect).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method}");
        }
        let answer = Ask::get("/public").method("M-SEARCH").ask(&app, dialect).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
}
