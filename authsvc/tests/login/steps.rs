//! Who is sent to the provider, who is not, and with which demands on the authentication.

use http::StatusCode;
use http::header::{SET_COOKIE, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use crate::site::{Browser, NAVIGATION, ORIGIN, Shop};

const FETCH: &[(&str, &str)] =
    &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")];
const FRAME: &[(&str, &str)] = &[
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "iframe"),
];

async fn logged_in(shop: &Shop) -> Browser {
    let mut browser = Browser::default();
    let token = |nonce: &str| shop.idp.id_token(nonce, shop.now(), |_| {});
    let reply = shop.log_in(&mut browser, "/", token).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    browser
}

#[tokio::test]
async fn only_a_navigation_reaches_the_provider() {
    let shop = Shop::new().await;
    let prefetch = [NAVIGATION, &[("sec-purpose", "prefetch")]].concat();
    for (headers, what) in [
        (FETCH, "a fetch"),
        (FRAME, "a frame"),
        (prefetch.as_slice(), "a prefetch"),
        (&[("accept", "application/json")], "a client without Fetch Metadata"),
        (&[], "a client that says nothing"),
    ] {
        let mut browser = Browser::default();
        let reply = browser.get(&shop, "/bff/login?rd=%2Fa%3Fx%3D1", headers).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}");
        assert!(!reply.headers.contains_key(SET_COOKIE), "{what}");
        let problem: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(problem["loginUrl"], format!("{ORIGIN}/bff/login?rd=%2Fa%3Fx%3D1"));
        assert!(problem["type"].as_str().unwrap().ends_with("/unauthenticated"), "{what}");
    }
    assert!(shop.idp.seen("/.well-known/openid-configuration").is_empty());
    let reply = Browser::default().get(&shop, "/bff/login", &[("accept", "text/html")]).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "a browser without Fetch Metadata");
}

#[tokio::test]
async fn a_return_url_that_leads_away_starts_no_login() {
    let shop = Shop::new().await;
    for query in [
        "rd=https://evil.example/",
        "rd=//evil.example",
        "rd=%2F%5Cevil.example",
        "return_to=https://evil.example/",
        "rd=/a&rd=/b",
        "rd=/a&return_to=/a",
        "rd=",
        "rd=%ff",
    ] {
        let mut browser = Browser::default();
        let uri = format!("/bff/login?{query}");
        let reply = browser.navigate(&shop, &uri).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(reply.is_page_without_redirect(), "{query}");
        assert!(!reply.body.contains("evil.example"), "{query}");
        let reply = browser.get(&shop, &uri, FETCH).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(reply.body.starts_with('{'), "{query}");
    }
}

#[tokio::test]
async fn return_urls_of_gateways_are_understood() {
    let shop = Shop::new().await;
    for query in [
        "rd=%2Fa%3Fx%3D1%26y%3D2%2B3",
        "return_to=%2Fa%3Fx%3D1%26y%3D2%2B3",
        "rd=https://shop.example.com%2Fa%3Fx%3D1%26y%3D2%2B3",
        "rd=http://shop.example.com%2Fa%3Fx%3D1%26y%3D2%2B3",
        "rd=https%3A%2F%2Fshop.example.com%2Fa%3Fx%3D1%26y%3D2+3",
    ] {
        let mut browser = Browser::default();
        let reply = browser.navigate(&shop, &format!("/bff/login?{query}")).await;
        let url = url::Url::parse(reply.location()).unwrap();
        let value =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
        shop.idp.grant("c", &shop.idp.id_token(&value("nonce"), shop.now(), |_| {}));
        let reply = browser.come_back(&shop, "c", &value("state")).await;
        assert_eq!(reply.location(), format!("{ORIGIN}/a?x=1&y=2+3"), "{query}");
    }
}

#[tokio::test]
async fn a_session_that_suffices_goes_straight_back() {
    let shop = Shop::new().await;
    let mut browser = logged_in(&shop).await;
    for path in ["/", "/api/orders?x=1"] {
        let reply = browser.navigate(&shop, &format!("/bff/login?rd={path}")).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER);
        assert_eq!(reply.location(), format!("{ORIGIN}{path}"));
        assert!(!reply.headers.contains_key(SET_COOKIE));
    }
    // Its access token is over: only routes that forward it need a login.
    shop.clock.advance(301);
    let reply = browser.navigate(&shop, "/bff/login?rd=/").await;
    assert_eq!(reply.location(), format!("{ORIGIN}/"));
    browser.begin(&shop, "/api/orders").await;
}

#[tokio::test]
async fn r46_a_rule_that_asks_for_more_is_asked_of_the_provider() {
    let shop = Shop::with(|policy| {
        policy.login.acr_values = vec!["silver".to_owned(), "bronze".to_owned()];
        policy.login.max_age = Some(3600);
    })
    .await;
    let mut browser = Browser::default();
    let plain = browser.begin(&shop, "/").await;
    assert_eq!(plain.parameters["acr_values"], "silver bronze");
    assert_eq!(plain.parameters["max_age"], "3600");
    let gold = browser.begin(&shop, "/admin/users").await;
    assert_eq!(gold.parameters["acr_values"], "gold");
    let fresh = browser.begin(&shop, "/fresh").await;
    assert_eq!(fresh.parameters["max_age"], "60");
}

#[tokio::test]
async fn r46_a_script_that_needs_a_step_up_is_told_so() {
    let shop = Shop::new().await;
    let mut browser = logged_in(&shop).await;
    let reply = browser.get(&shop, "/bff/login?rd=/admin/users", FETCH).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        reply.headers[WWW_AUTHENTICATE],
        "Bearer error=\"insufficient_user_authentication\", acr_values=\"gold\""
    );
    shop.clock.advance(61);
    let reply = browser.get(&shop, "/bff/login?rd=/fresh", FETCH).await;
    assert_eq!(
        reply.headers[WWW_AUTHENTICATE],
        "Bearer error=\"insufficient_user_authentication\", max_age=\"60\""
    );
    let reply = browser.get(&shop, "/bff/login?rd=/", FETCH).await;
    assert!(!reply.headers.contains_key(WWW_AUTHENTICATE));
}

#[tokio::test]
async fn r46_an_acr_that_the_provider_does_not_deliver_ends_on_a_page_and_not_in_a_loop() {
    let shop = Shop::new().await;
    let mut browser = logged_in(&shop).await;
    let session = browser.cookies["__Host-bff"].clone();
    for acr in [json!(null), json!("silver"), json!("GOLD"), json!("gold silver")] {
        let reply = shop
            .log_in(&mut browser, "/admin", |nonce| {
                shop.idp.id_token(nonce, shop.now(), |claims| claims["acr"] = acr.clone())
            })
            .await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{acr}");
        assert!(reply.is_page_without_redirect(), "{acr}");
        assert_eq!(browser.cookies["__Host-bff"], session, "the session stays as it was");
    }
    let reply = shop
        .log_in(&mut browser, "/admin", |nonce| {
            shop.idp.id_token(nonce, shop.now(), |claims| claims["acr"] = json!("gold"))
        })
        .await;
    assert_eq!(reply.location(), format!("{ORIGIN}/admin"));
    assert_ne!(browser.cookies["__Host-bff"], session, "more assurance, a new id");
    let reply = browser.navigate(&shop, "/bff/login?rd=/admin").await;
    assert_eq!(reply.location(), format!("{ORIGIN}/admin"));
}

#[tokio::test]
async fn r46_a_stale_authentication_where_a_fresh_one_was_asked_for_ends_on_a_page() {
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    for (auth_time, accepted) in [
        (json!(shop.now() - 71), false),
        (json!(shop.now() - 65), false),
        (json!(shop.now()), true),
    ] {
        let reply = shop
            .log_in(&mut browser, "/fresh", |nonce| {
                shop.idp.id_token(nonce, shop.now(), |claims| {
                    claims["auth_time"] = auth_time.clone();
                })
            })
            .await;
        let wanted = if accepted { StatusCode::SEE_OTHER } else { StatusCode::FORBIDDEN };
        assert_eq!(reply.status, wanted, "{auth_time}");
        browser.cookies.clear();
    }
    let none = shop
        .log_in(&mut browser, "/fresh", |nonce| shop.idp.id_token(nonce, shop.now(), |_| {}))
        .await;
    assert_eq!(none.status, StatusCode::FORBIDDEN);
}
