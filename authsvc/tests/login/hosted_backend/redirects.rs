//! Where these endpoints lead: to the provider, and to pages of the app.

use std::path::Path;

use http::StatusCode;
use url::form_urlencoded::byte_serialize;

use super::{Browser, apps, sent};
use crate::logout::FETCH;

/// URLs of other sites, and what browsers take for one.
const AWAY: [&str; 14] = [
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "https://shop.example.com.evil.example/",
    "https://shop.example.com@evil.example/",
    "https://shop.example.com:8443/",
    "https://desk.example.com/",
    "javascript:alert(1)",
    "data:text/html,x",
    "",
    "home",
    "/a b",
    "/\r\nSet-Cookie: x=1",
];

fn escaped(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn a_url_that_leads_away_is_refused_and_nothing_changes() {
    let apps = apps().await;
    let mut browser = Browser::logged_in(&apps).await;
    for away in AWAY {
        for (target, parameter) in [
            ("login", "redirect_uri"),
            ("register", "redirect_uri"),
            ("logout", "redirect_uri"),
            ("logout", "post_logout_redirect_uri"),
        ] {
            let target = format!("/app/{target}/shop?{parameter}={}", escaped(away));
            let answer = browser.navigate(&apps, &target).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{target}");
            assert!(
                answer.header("location").is_none() && answer.body.contains("<html"),
                "{target}"
            );
            assert!(!answer.body.contains("evil.example"), "{target}");
            let answer = browser.ask(&apps, ("GET", &target), &FETCH).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{target}");
        }
    }
    assert!(browser.is_logged_in(&apps).await);
}

#[tokio::test]
async fn a_parameter_that_is_there_twice_is_refused() {
    let apps = apps().await;
    let mut browser = Browser::logged_in(&apps).await;
    for target in [
        "/app/login/shop?redirect_uri=/a&redirect_uri=/a",
        "/app/login/shop?redirect_uri=/a&redirect%5Furi=/b",
        "/app/login/shop?state=a&state=b",
        "/app/logout/shop?redirect_uri=/a&redirect_uri=/a",
        "/app/logout/shop?redirect_uri=/a&post_logout_redirect_uri=/a",
        "/app/login/shop?state=%ff",
        "/app/logout/shop?redirect_uri=%ff",
    ] {
        let answer = browser.navigate(&apps, target).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{target}");
    }
    let long = format!("/app/login/shop?state={}", "x".repeat(5000));
    assert_eq!(browser.navigate(&apps, &long).await.status, StatusCode::BAD_REQUEST);
    assert!(browser.is_logged_in(&apps).await);
}

#[tokio::test]
async fn a_login_leads_to_none_of_our_own_endpoints() {
    let apps = apps().await;
    for own in [
        "/app/logout/shop",
        "/app/logout/?client_id=shop",
        "/app",
        "https://shop.example.com/app/logout/shop?redirect_uri=/",
        "/bff/logout",
    ] {
        let own = escaped(own);
        let mut browser = Browser::logged_in(&apps).await;
        let answer = browser.navigate(&apps, &format!("/app/login/shop?redirect_uri={own}")).await;
        assert_eq!(answer.header("location"), Some("https://shop.example.com/"), "{own}");
        let answer = browser.navigate(&apps, &format!("/bff/login?rd={own}")).await;
        assert_eq!(answer.header("location"), Some("https://shop.example.com/"), "{own}");
    }
}

#[tokio::test]
async fn t011_t012_t013_every_return_url_of_the_corpus_is_judged_as_for_logins() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/corpora/return_urls.txt");
    let corpus = std::fs::read_to_string(file).unwrap();
    let apps = apps().await;
    let mut browser = Browser::logged_in(&apps).await;
    let mut count = 0;
    for line in corpus.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (_, raw) = line.split_once('\t').unwrap();
        // Those with escapes of the corpus itself are the business of `return_to`'s own test.
        if raw.contains('\\') || raw.len() > 3000 {
            continue;
        }
        let raw = escaped(raw);
        let ours =
            browser.navigate(&apps, &format!("/bff/login?rd={}", raw.replace('+', "%20"))).await;
        let theirs = browser.navigate(&apps, &format!("/app/login/shop?redirect_uri={raw}")).await;
        assert_eq!(theirs.status, ours.status, "{line}");
        if !(ours.header("location").unwrap_or_default().contains("/authorize")) {
            assert_eq!(theirs.header("location"), ours.header("location"), "{line}");
        }
        count += 1;
    }
    assert!(count > 80, "the corpus is there: {count}");
}

#[tokio::test]
async fn only_a_navigation_reaches_the_provider() {
    let apps = apps().await;
    let answer = Browser::default().ask(&apps, ("GET", super::LOGIN), &FETCH).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    let answer = Browser::default().ask(&apps, ("GET", super::LOGIN), &frame).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    // Another site may send a user to log in, as ever.
    let link = [
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-site", "cross-site"),
    ];
    sent(&apps, &Browser::default().ask(&apps, ("GET", super::LOGIN), &link).await);
}
