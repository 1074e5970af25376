//! What other sites may cause, and what is not for the policy's client.

use http::StatusCode;

use super::{Browser, LOGOUT, REFRESH, apps, problem};
use crate::logout::FETCH;

const NAVIGATE: [(&str, &str); 2] =
    [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
const HTML: (&str, &str) = ("accept", "text/html");

#[tokio::test]
async fn a_logout_that_the_app_or_the_user_began_is_done_at_once() {
    let apps = apps().await;
    for headers in [
        &[NAVIGATE[0], NAVIGATE[1], ("sec-fetch-site", "same-origin")][..],
        &[NAVIGATE[0], NAVIGATE[1], ("sec-fetch-site", "none")],
        &[HTML, ("referer", "https://shop.example.com/home?x=1")],
        &[HTML, ("origin", "https://shop.example.com")],
    ] {
        let mut browser = Browser::logged_in(&apps).await;
        let before = browser.clone();
        let answer = browser.ask(&apps, ("GET", LOGOUT), headers).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{headers:?}");
        assert!(!before.is_logged_in(&apps).await, "{headers:?}");
    }
}

#[tokio::test]
async fn a_logout_that_another_site_may_have_caused_is_asked_about_first() {
    let apps = apps().await;
    let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    let same = ("sec-fetch-site", "same-origin");
    for headers in [
        &[NAVIGATE[0], NAVIGATE[1], ("sec-fetch-site", "cross-site")][..],
        &[NAVIGATE[0], NAVIGATE[1], ("sec-fetch-site", "same-site")],
        &[NAVIGATE[0], NAVIGATE[1], same, same],
        &[NAVIGATE[0], NAVIGATE[1], same, ("sec-purpose", "prefetch")],
        &[NAVIGATE[0], NAVIGATE[1]],
        &[frame[0], frame[1], same],
        &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image"), same],
        &FETCH,
        &[HTML],
        &[HTML, ("referer", "https://evil.example/https://shop.example.com/")],
        &[HTML, ("origin", "null")],
        &[("referer", "https://shop.example.com/")],
        &[],
    ] {
        let mut browser = Browser::logged_in(&apps).await;
        let answer = browser.ask(&apps, ("GET", LOGOUT), headers).await;
        assert_eq!(answer.status, StatusCode::OK, "{headers:?}");
        assert!(
            answer.body.contains(r#"action="https://shop.example.com/bff/logout""#),
            "{}",
            answer.body
        );
        assert!(answer.set_cookies().is_empty(), "{headers:?}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert!(browser.is_logged_in(&apps).await, "{headers:?}");
    }
}

#[tokio::test]
async fn a_refresh_or_a_look_at_the_user_that_another_site_causes_is_refused() {
    let apps = apps().await;
    let mut browser = Browser::logged_in(&apps).await;
    for (method, target) in [("POST", REFRESH), ("GET", "/app/me/")] {
        for site in ["cross-site", "same-site"] {
            for origin in ["https://evil.example", "null", "https://desk.example.com"] {
                let headers = [
                    ("sec-fetch-mode", "cors"),
                    ("sec-fetch-dest", "empty"),
                    ("sec-fetch-site", site),
                    ("origin", origin),
                ];
                let answer = browser.ask(&apps, (method, target), &headers).await;
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {site} {origin}");
                assert_eq!(problem(&answer), "forged");
                assert!(answer.set_cookies().is_empty());
            }
        }
    }
    let form = [NAVIGATE[0], NAVIGATE[1], ("origin", "https://evil.example"), HTML];
    let answer = browser.ask(&apps, ("POST", REFRESH), &form).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    // A browser without Fetch Metadata says its origin on a POST.
    let own = [("origin", "https://shop.example.com"), ("content-type", "text/plain")];
    let answer = browser.ask(&apps, ("POST", REFRESH), &own).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_not_for_the_policys_client_is_not_there() {
    let apps = apps().await;
    let mut browser = Browser::logged_in(&apps).await;
    for name in ["login", "register", "logout", "refresh"] {
        for rest in [
            "",
            "/",
            "/bank",
            "/SHOP",
            "/shop%20",
            "/?client_id=bank",
            "?client_id=",
            "/bank?client_id=shop",
            "/shop?client_id=bank",
            "/?client_id=shop&client_id=bank",
            "/shop?client%5Fid=bank",
        ] {
            let target = format!("/app/{name}{rest}");
            let (method, headers) = match name {
                "refresh" => ("POST", FETCH),
                _ => ("GET", super::NAVIGATION),
            };
            let answer = browser.ask(&apps, (method, &target), &headers).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{target}");
            assert_eq!(problem(&answer), "not-found", "{target}");
            assert!(answer.set_cookies().is_empty(), "{target}");
        }
    }
    assert!(browser.is_logged_in(&apps).await);
}
