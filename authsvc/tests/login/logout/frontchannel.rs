//! Front-channel logout: a frame on the provider's page, which any other page can imitate.

use http::StatusCode;

use super::{Apps, EXPIRED};

/// How Chromium loads a frame of another site.
const FRAME: [(&str, &str); 3] = [
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "iframe"),
    ("sec-fetch-site", "cross-site"),
];

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn frame(issuer: &str, sid: &str) -> String {
    format!("/bff/frontchannel-logout?iss={}&sid={}", encoded(issuer), encoded(sid))
}

#[tokio::test]
async fn oidcc_client_test_rp_frontchannel_opinitlogout() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    let sibling = apps.session("desk", |_| {}).await;
    let other =
        apps.session("shop", |session| session.provider_session = Some("sid-2".to_owned())).await;
    let headers = [&FRAME[..], &[("cookie", &*cookie)]].concat();
    let target = frame(&apps.idp.issuer, "sid-1");
    let answer = apps.ask("shop", ("GET", &target), &headers, "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.set_cookies(), [EXPIRED]);
    assert!(answer.body.is_empty());
    assert!(!apps.is_alive("shop", &cookie).await);
    assert!(!apps.is_alive("desk", &sibling).await, "an app of the same client and sid");
    assert!(apps.is_alive("shop", &other).await, "another session of the user");
    assert!(apps.idp.seen("/revoke").is_empty(), "the provider ends its own tokens");
}

#[tokio::test]
async fn r53_only_the_issuer_may_frame_it_and_nothing_else_of_ours() {
    let apps = Apps::new().await;
    let target = frame(&apps.idp.issuer, "sid-1");
    let answer = apps.ask("shop", ("GET", &target), &FRAME, "").await;
    let policy = answer.header("content-security-policy").unwrap();
    let ancestors = format!("; frame-ancestors {}", apps.idp.issuer);
    assert!(policy.starts_with("default-src 'none';") && policy.ends_with(&ancestors), "{policy}");
    assert_eq!(answer.header("x-frame-options"), None, "it knows no issuer");
    for page in ["/bff/logout", "/bff/signed-out"] {
        let answer = apps.ask("shop", ("GET", page), &[], "").await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.ends_with("frame-ancestors 'none'"), "{page}: {policy}");
    }
}

#[tokio::test]
async fn r53_t097_no_session_ends_unless_its_own_cookie_fits_issuer_and_sid() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    let sibling = apps.session("desk", |_| {}).await;
    let issuer = apps.idp.issuer.as_str();
    let good = frame(issuer, "sid-1");
    let (_, pairs) = good.split_once('?').unwrap();
    let own = ("cookie", cookie.as_str());
    let (bad, ok) = (StatusCode::BAD_REQUEST, StatusCode::OK);
    for (what, target, headers, status) in [
        ("no cookie", good.clone(), vec![], ok),
        ("a cookie of nothing", good.clone(), vec![("cookie", "__Host-bff=x")], ok),
        ("the cookie twice", good.clone(), vec![own, own], ok),
        ("another sid", frame(issuer, "sid-2"), vec![own], ok),
        ("another issuer", frame("https://evil.example", "sid-1"), vec![own], bad),
        ("an issuer like it", frame(&format!("{issuer}/"), "sid-1"), vec![own], bad),
        ("no sid", format!("/bff/frontchannel-logout?iss={}", encoded(issuer)), vec![own], bad),
        ("no issuer", "/bff/frontchannel-logout?sid=sid-1".to_owned(), vec![own], bad),
        ("neither", "/bff/frontchannel-logout".to_owned(), vec![own], bad),
        ("an empty sid", frame(issuer, ""), vec![own], bad),
        ("a second sid", format!("{good}&sid=sid-2"), vec![own], bad),
        ("a second issuer", format!("{good}&iss=x"), vec![own], bad),
        ("everything twice", format!("{good}&{pairs}"), vec![own], bad),
        ("too much", format!("{good}&x={}", "x".repeat(4096)), vec![own], bad),
    ] {
        let answer = apps.ask("shop", ("GET", &target), &headers, "").await;
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        assert!(answer.set_cookies().is_empty(), "{what}");
    }
    for method in ["HEAD", "POST"] {
        let answer = apps.ask("shop", (method, &good), &[own], "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    assert_eq!(apps.store.deletions(), 0);
    assert!(apps.is_alive("shop", &cookie).await && apps.is_alive("desk", &sibling).await);
}

#[tokio::test]
async fn r53_t097_a_session_without_a_sid_does_not_end_by_a_frame() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |session| session.provider_session = None).await;
    for sid in ["sid-1", "null", "None"] {
        let target = frame(&apps.idp.issuer, sid);
        let answer = apps.ask("shop", ("GET", &target), &[("cookie", &*cookie)], "").await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert!(apps.is_alive("shop", &cookie).await);
}

#[tokio::test]
async fn while_the_store_is_down_the_cookie_is_kept() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    let target = frame(&apps.idp.issuer, "sid-1");
    apps.store.cut_after(0);
    let answer = apps.ask("shop", ("GET", &target), &[("cookie", &*cookie)], "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.set_cookies().is_empty());
    apps.store.mend();
    assert!(apps.is_alive("shop", &cookie).await);
}
