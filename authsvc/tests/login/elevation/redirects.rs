//! Where the browser comes back to: a path of the app, and nothing else.

use std::path::Path;

use http::StatusCode;
use url::form_urlencoded::byte_serialize;

use super::{AUTHORIZE, Area, NAVIGATION, Sent, error_of};
use crate::site::ORIGIN;

/// Undoes the escapes of a corpus: `\t \n \r \\ \xNN`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().unwrap() {
            b't' => b'\t',
            b'n' => b'\n',
            b'r' => b'\r',
            b'\\' => b'\\',
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("an unknown escape: {other}"),
        });
    }
    bytes
}

/// Without the fragment, the way a browser would be sent there.
fn target_of(raw: &[u8]) -> String {
    let value: String = byte_serialize(raw).collect();
    format!("{AUTHORIZE}?redirectUri={value}")
}

#[tokio::test]
async fn t011_t012_t013_t034_t045_t092_every_return_url_of_the_corpus_is_judged_as_for_logins() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/corpora/return_urls.txt");
    let corpus = std::fs::read_to_string(file).unwrap();
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    let (mut count, mut wrong) = (0, Vec::new());
    for line in corpus.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (expected, raw) = line.split_once('\t').unwrap();
        let raw = unescape(raw);
        let target = target_of(&raw);
        if target.len() > 15_000 {
            continue;
        }
        // What suffices goes back at once, so that the answer says where to.
        let answer = browser.navigate(&area, &target).await;
        let found = match answer.status {
            StatusCode::SEE_OTHER => answer.location().strip_prefix(ORIGIN).map(str::to_owned),
            StatusCode::BAD_REQUEST => Some("refuse".to_owned()),
            _ => None,
        };
        let expected = String::from_utf8(unescape(expected)).unwrap();
        if found.as_ref() != Some(&expected) {
            let raw = String::from_utf8_lossy(&raw);
            wrong.push(format!("{raw:?}: expected {expected:?}, got {found:?}"));
        }
        count += 1;
    }
    assert!(count > 200, "the corpus is there");
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
async fn t011_a_return_url_of_the_corpus_that_is_refused_starts_nothing_and_is_not_repeated() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    for raw in [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "https://shop.example.com@evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "/a\r\nSet-Cookie: x=y",
        "/a/../..//evil.example",
        "",
        " ",
        "app",
        "?x=1",
        "#x",
    ] {
        let target = target_of(raw.as_bytes());
        let page = browser.navigate(&area, &target).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{raw:?}");
        assert!(page.is_page() && !page.body.contains("evil"), "{raw:?}: {}", page.body);
        assert!(page.set_cookies().is_empty(), "{raw:?}");
        let answer = browser.fetch(&area, &target).await;
        assert_eq!(answer.problem(), "invalid-request", "{raw:?}");
        assert!(!answer.body.contains("evil"), "{raw:?}");
    }
    assert!(area.idp.seen("/.well-known/openid-configuration").is_empty());
}

#[tokio::test]
async fn our_own_endpoints_and_those_of_authorities_are_no_place_to_come_back_to() {
    let area = Area::with(|policy| policy.authorities.push(super::authority("/api/staging"))).await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    for raw in [
        "/bff/login?rd=/a",
        "/bff/logout",
        "/api/production/authorize",
        "/api/production/authorize?scope=prod:admin",
        "/api/staging/authorize?redirectUri=/api/production/authorize",
        "https://shop.example.com/api/staging/authorize",
        "/.well-known/oauth-protected-resource/api/production",
    ] {
        let answer = browser.navigate(&area, &target_of(raw.as_bytes())).await;
        assert_eq!(answer.location(), format!("{ORIGIN}/"), "{raw}");
    }
    let answer = browser.navigate(&area, &target_of(b"/api/production/authorizer")).await;
    assert_eq!(answer.location(), format!("{ORIGIN}/api/production/authorizer"));
}

#[tokio::test]
async fn t015_an_error_comes_back_as_one_parameter_however_often_and_with_no_code_or_state() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let mut back = "/app?x=1&q=a%20b".to_owned();
    for error in ["access_denied", "invalid_scope", "evil%3Cscript%3E", "access_denied"] {
        let sent = browser.leave(&area, &target_of(back.as_bytes())).await;
        let outcome = format!("error={error}&error_description=evil+text&code_hint=evil");
        let answer = browser.come_back(&area, &sent, &outcome).await;
        let expected = if error.contains("evil") { "unknown_error" } else { error };
        let url = answer.location().to_owned();
        assert_eq!(error_of(&url).as_deref(), Some(expected));
        assert_eq!(url, format!("{ORIGIN}/app?x=1&q=a%20b&mediation_error={expected}"));
        assert!(answer.body.is_empty() && !url.contains(sent.state()));
        // The app gives its own address.
        back = url.strip_prefix(ORIGIN).unwrap().to_owned();
    }
    let target = target_of(back.as_bytes());
    assert_eq!(area.elevate(&mut browser, &target).await, format!("{ORIGIN}/app?x=1&q=a%20b"));
}

#[tokio::test]
async fn a_way_back_that_a_gateway_with_tls_took_for_http_is_on_our_own_origin() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let target = target_of(b"http://shop.example.com/app?x=1#part");
    let answer = browser.ask(&area, "GET", &target, &NAVIGATION).await;
    let sent = Sent::of(&area, &answer);
    let back = browser.come_back(&area, &sent, "error=access_denied").await;
    assert_eq!(back.location(), format!("{ORIGIN}/app?x=1&mediation_error=access_denied"));
}
