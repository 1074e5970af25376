//! Logging out by form and by fetch, the pages around it, and what scripts load from us.

use http::StatusCode;
use serde_json::json;

use crate::support::{ACCESS_TOKEN, Answer, FETCH, ID_TOKEN, NAVIGATION, TestApp};

const HOST: &str = "shop.example.com";

const SHOP: &str = r#"
origins: ["https://shop.example.com"]
providerRef: {name: corp}
client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
csrf: {header: X-Shop}
cors: {allowedOrigins: ["https://admin.example.com"]}
logout: {returnTo: /bye}
"#;

/// How Chromium posts the form of our own page.
const FORM: [(&str, &str); 5] = [
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "same-origin"),
    ("origin", "https://shop.example.com"),
    ("accept", "text/html,*/*"),
];

const EXPIRED: &str = "__Host-bff=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax";

fn app() -> TestApp {
    TestApp::new(&[("shop", SHOP)])
}

async fn ask(app: &TestApp, what: (&str, &str), headers: &[&[(&str, &str)]]) -> Answer {
    app.browse(what.0, HOST, what.1, &headers.concat()).await
}

#[tokio::test]
async fn a_form_is_redirected_and_a_fetch_is_told_where_to_go() {
    let app = app();
    for (how, status) in [(&FORM[..], StatusCode::SEE_OTHER), (&FETCH[..], StatusCode::OK)] {
        let cookie = app.session("shop", |_| {}).await;
        let answer = ask(&app, ("POST", "/bff/logout"), &[how, &[("cookie", &cookie)]]).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.set_cookies(), [EXPIRED], "Secure and Path are repeated");
        let bye = "https://shop.example.com/bye";
        if status == StatusCode::OK {
            assert_eq!(answer.json(), json!({"location": bye}));
        } else {
            assert_eq!(answer.header("location"), Some(bye));
            assert!(answer.body.is_empty());
        }
    }
}

#[tokio::test]
async fn a_form_of_a_browser_without_fetch_metadata_is_known_by_what_it_accepts() {
    let app = app();
    let page = ask(&app, ("GET", "/bff/logout"), &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    let old = [("origin", "https://shop.example.com"), ("accept", "text/html,*/*")];
    let form = ask(&app, ("POST", "/bff/logout"), &[&old]).await;
    assert_eq!(form.status, StatusCode::SEE_OTHER);
    let script = ask(&app, ("POST", "/bff/logout"), &[&old, &[("x-shop", "1")]]).await;
    assert_eq!(script.status, StatusCode::OK);
}

#[tokio::test]
async fn the_confirmation_page_names_the_user_and_ends_nothing() {
    let app = app();
    let attack = "<script>alert(1)</script>";
    let cookie = app
        .session("shop", |session| {
            session.claims.insert("name", attack.into());
        })
        .await;
    let with = [("cookie", cookie.as_str())];
    let page = ask(&app, ("GET", "/bff/logout"), &[&NAVIGATION, &with]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("&#60;script&#62;alert(1)"), "t023: {}", page.body);
    assert!(!page.body.contains(attack));
    assert!(page.body.contains(r#"action="https://shop.example.com/bff/logout""#));
    assert!(!page.body.contains(ACCESS_TOKEN) && !page.body.contains(ID_TOKEN));
    assert!(page.set_cookies().is_empty());
    let still = ask(&app, ("GET", "/bff/session"), &[&FETCH, &with]).await;
    assert_eq!(still.status, StatusCode::OK);
}

#[tokio::test]
async fn without_a_session_there_is_nothing_to_confirm_and_logging_out_is_no_error() {
    let app = app();
    for target in ["/bff/logout", "/bff/signed-out"] {
        let page = ask(&app, ("GET", target), &[&NAVIGATION]).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.body.contains("You are logged out"), "{target}");
    }
    let answer = ask(&app, ("POST", "/bff/logout"), &[&FETCH]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.set_cookies(), [EXPIRED]);
}

#[tokio::test]
async fn a_forged_logout_gets_a_page_or_a_problem_and_keeps_the_session() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    let with = [("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site")];
    let form =
        ask(&app, ("POST", "/bff/logout"), &[&with, &[("sec-fetch-mode", "navigate")]]).await;
    assert_eq!(form.status, StatusCode::FORBIDDEN);
    assert!(form.body.contains("you are still logged in") && form.set_cookies().is_empty());
    let fetch = ask(&app, ("POST", "/bff/logout"), &[&with, &[("sec-fetch-mode", "cors")]]).await;
    assert_eq!(fetch.status, StatusCode::FORBIDDEN);
    assert_eq!(fetch.json()["type"], "https://vestibule.dev/problems/forged");
    assert!(fetch.set_cookies().is_empty());
    let read = ask(&app, ("GET", "/bff/session"), &[&with, &[("sec-fetch-mode", "cors")]]).await;
    assert_eq!(read.status, StatusCode::FORBIDDEN, "nor may another site ask who is logged in");
}

#[tokio::test]
async fn a_method_that_an_endpoint_lacks_is_answered_with_those_it_has() {
    let app = app();
    for (method, target, allow) in [
        ("PUT", "/bff/logout", "GET,HEAD,POST"),
        ("POST", "/bff/session", "GET,HEAD"),
        ("DELETE", "/bff/signed-out", "GET,HEAD"),
        ("POST", "/bff/client.js", "GET,HEAD"),
        ("POST", "/bff/jwks.json", "GET,HEAD"),
    ] {
        let answer = ask(&app, (method, target), &[&FETCH]).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {target}");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {target}");
    }
}

#[tokio::test]
async fn an_allowed_origin_may_read_our_answers_and_no_other() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    let from = |origin| {
        [
            ("origin", origin),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-mode", "cors"),
            ("x-shop", "1"),
        ]
    };
    let with = [("cookie", cookie.as_str())];
    let admin = "https://admin.example.com";
    let session = ("GET", "/bff/session");
    let allowed = ask(&app, session, &[&from(admin), &with]).await;
    assert_eq!(allowed.status, StatusCode::OK);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(admin));
    assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(allowed.header("vary"), Some("Origin"));
    let refused = ask(&app, session, &[&from(admin)[..3], &with]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "the header is needed");
    assert_eq!(refused.header("access-control-allow-origin"), Some(admin), "and it can read why");

    for origin in ["https://evil.example.com", "null", "http://admin.example.com", "*"] {
        let other = ask(&app, session, &[&from(origin), &with]).await;
        assert_eq!(other.status, StatusCode::FORBIDDEN, "{origin}");
        assert_eq!(other.header("access-control-allow-origin"), None, "{origin}");
        assert_eq!(other.header("vary"), Some("Origin"));
    }
}

#[tokio::test]
async fn a_preflight_is_answered_for_allowed_origins_only() {
    let app = app();
    let preflight = |origin| [("origin", origin), ("access-control-request-method", "POST")];
    let admin = "https://admin.example.com";
    for target in ["/bff/session", "/bff/logout"] {
        let answer = ask(&app, ("OPTIONS", target), &[&preflight(admin)]).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(answer.header("access-control-allow-origin"), Some(admin));
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("content-type, x-shop"));
        assert_eq!(answer.header("access-control-max-age"), Some("600"));
        let evil = ask(&app, ("OPTIONS", target), &[&preflight("https://evil.example.com")]).await;
        assert_eq!(evil.status, StatusCode::FORBIDDEN);
        assert_eq!(evil.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn the_module_is_revalidated_and_the_keys_are_public() {
    let app = app();
    let script = ask(&app, ("GET", "/bff/client.js"), &[]).await;
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(script.header("cache-control"), Some("no-cache"));
    assert!(script.body.contains("const CSRF_HEADER = \"x-shop\";"));
    let tag = script.header("etag").unwrap();
    let again = ask(&app, ("GET", "/bff/client.js"), &[&[("if-none-match", tag)]]).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert!(again.body.is_empty() && again.header("etag") == Some(tag));

    let keys = ask(&app, ("GET", "/bff/jwks.json"), &[]).await;
    assert_eq!(keys.header("content-type"), Some("application/json"));
    assert_eq!(keys.header("cache-control"), Some("public, max-age=300"));
    let key = &keys.json()["keys"][0];
    assert!(key["kid"].is_string() && key.get("d").is_none(), "no private part: {key}");
}
