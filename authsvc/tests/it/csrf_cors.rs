//! Cross-site request forgery and CORS on a check (design §5.4).

use http::StatusCode;

use crate::support::{Ask, DIALECTS, TestApp};

const SHOP: &str = r#"
origins: ["https://shop.example.com", "https://www.example.com"]
providerRef: {name: corp}
client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
cors: {allowedOrigins: ["https://partner.example.com"]}
routes:
  - {path: /public, access: Public}
  - {path: /deny, access: Deny}
  - {path: /api, upstream: {authorization: AccessToken, headers: [{name: X-User, value: claims.sub}]}}
"#;

/// Method, headers besides the cookie, and whether the request passes.
type Case = (&'static str, &'static [(&'static str, &'static str)], bool);

const CASES: [Case; 24] = [
    // Fetch Metadata decides where the browser gives it.
    ("POST", &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")], true),
    ("POST", &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")], false),
    ("POST", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], false),
    ("POST", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], false),
    ("POST", &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")], true),
    ("POST", &[("sec-fetch-site", "none"), ("sec-fetch-mode", "cors")], false),
    (
        "DELETE",
        &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors"), ("x-bff", "1")],
        false,
    ),
    ("GET", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], true),
    ("GET", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], false),
    ("GET", &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")], false),
    ("GET", &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors")], true),
    // Origin decides where there is no Fetch Metadata that proves it.
    ("POST", &[("origin", "https://shop.example.com")], true),
    ("POST", &[("origin", "https://www.example.com")], true),
    ("POST", &[("origin", "https://evil.example.com"), ("x-bff", "1")], false),
    ("POST", &[("origin", "null"), ("x-bff", "1")], false),
    ("POST", &[("origin", "http://shop.example.com")], false),
    ("POST", &[("origin", "https://partner.example.com")], false),
    ("POST", &[("origin", "https://partner.example.com"), ("x-bff", "1")], true),
    // A client with neither must send the header.
    ("POST", &[], false),
    ("POST", &[("x-bff", "")], true),
    ("GET", &[], true),
    // A WebSocket cannot send a header: its Origin alone decides.
    ("GET", &[("sec-websocket-key", "x"), ("origin", "https://partner.example.com")], true),
    ("GET", &[("upgrade", "websocket"), ("origin", "https://evil.example.com")], false),
    ("GET", &[("upgrade", "websocket")], false),
];

#[tokio::test]
async fn a_session_cookie_authorises_only_what_the_app_itself_caused() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    for dialect in DIALECTS {
        for (method, headers, passes) in CASES {
            let ask = Ask::get("/api").method(method).with(&[("cookie", &cookie)]).with(headers);
            let expected = if passes { StatusCode::OK } else { StatusCode::FORBIDDEN };
            let status = ask.ask(&app, dialect).await.status;
            assert_eq!(status, expected, "{dialect} {method} {headers:?}");
        }
    }
}

#[tokio::test]
async fn a_public_route_needs_no_proof_since_no_cookie_authorises_it() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let ask = Ask::get("/public").method("POST").with(&[("sec-fetch-site", "cross-site")]);
    assert_eq!(ask.ask(&app, "nginx").await.status, StatusCode::OK);
}

#[tokio::test]
async fn t097_a_preflight_of_an_allowed_origin_passes_without_identity_and_others_are_refused() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    let preflight = |origin| {
        Ask::get("/api").method("OPTIONS").with(&[
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("cookie", &cookie),
        ])
    };
    for dialect in DIALECTS {
        let allowed = preflight("https://partner.example.com").ask(&app, dialect).await;
        assert_eq!(allowed.status, StatusCode::OK);
        assert_eq!(allowed.header("x-user"), Some(""));
        assert_eq!(allowed.header("authorization"), Some(""));
        let other = preflight("https://evil.example.com").ask(&app, dialect).await;
        assert_eq!(other.status, StatusCode::FORBIDDEN);
        let mut denied = preflight("https://partner.example.com");
        denied.target = "/deny";
        assert_eq!(denied.ask(&app, dialect).await.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn a_preflight_of_the_apps_own_origin_passes_only_where_it_has_several() {
    let alone = r#"
origins: ["https://alone.example.com"]
providerRef: {name: corp}
client: {id: alone, secretRef: {name: shop-oidc, key: client-secret}}
"#;
    let app = TestApp::new(&[("shop", SHOP), ("alone", alone)]);
    let preflight = |policy, host, origin| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let mut ask = Ask::get("/x").method("OPTIONS").host(host).with(&headers);
        ask.policy = policy;
        ask
    };
    let sibling = preflight("shop", "shop.example.com", "https://www.example.com");
    let single = preflight("alone", "alone.example.com", "https://alone.example.com");
    for dialect in DIALECTS {
        assert_eq!(sibling.ask(&app, dialect).await.status, StatusCode::OK);
        assert_eq!(single.ask(&app, dialect).await.status, StatusCode::FORBIDDEN);
    }
}
