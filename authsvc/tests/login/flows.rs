//! Logins from the first redirect to the session, and all that may go wrong on the way.

use http::StatusCode;
use http::header::{CACHE_CONTROL, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE};
use serde_json::json;
use vestibule_authsvc::random::SystemRandom;
use vestibule_authsvc::session::SecretId;
use vestibule_policy::model::SameSite;
use vestibule_policy::origin::Origin;

use crate::idp::{ACCESS_TOKEN, Reply as IdpReply};
use crate::site::{Browser, ORIGIN, Shop};

#[tokio::test]
async fn a_login_goes_to_the_provider_and_comes_back_to_the_exact_url() {
    let shop = Shop::with(|policy| {
        policy.login.resources = vec!["https://api.example.com".to_owned()];
        policy.login.extra_parameters.insert("ui_locales".to_owned(), "de".to_owned());
        policy.login.extra_parameters.insert("state".to_owned(), "fixed".to_owned());
    })
    .await;
    let mut browser = Browser::default();
    let begun = browser.begin(&shop, "/orders?page=2&q=a%20b%26c").await;
    let sent = &begun.parameters;
    assert_eq!(sent["response_type"], "code");
    assert_eq!(sent["client_id"], "shop");
    assert_eq!(sent["redirect_uri"], format!("{ORIGIN}/bff/callback"));
    assert_eq!(sent["scope"], "openid email");
    assert_eq!(sent["code_challenge_method"], "S256");
    assert_eq!(sent["resource"], "https://api.example.com");
    assert_eq!(sent["ui_locales"], "de");
    assert_ne!(sent["state"], "fixed");
    assert!(!sent.contains_key("acr_values") && !sent.contains_key("max_age"));

    let token = shop.idp.id_token(begun.nonce(), shop.now(), |_| {});
    shop.idp.grant("c1", &token);
    let reply = browser.come_back(&shop, "c1", begun.state()).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_eq!(reply.location(), format!("{ORIGIN}/orders?page=2&q=a%20b%26c"));
    assert_eq!(reply.headers[CACHE_CONTROL], "no-store");
    assert_eq!(reply.headers[REFERRER_POLICY], "no-referrer");
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["__Host-bff"]);

    let session = shop.session(&browser).await.unwrap();
    assert_eq!(session.subject, "alice");
    assert_eq!(session.issuer, shop.idp.issuer);
    assert_eq!(session.provider_session.as_deref(), Some("sid-1"));
    assert_eq!(session.access_token.expose(), ACCESS_TOKEN);
    assert_eq!(session.access_token_expires_at.unwrap().0, shop.now() + 300);
    assert_eq!(session.id_token.expose(), token);
    assert_eq!(session.claims["email"], "alice@example.com");

    let redeemed = &shop.idp.seen("/token")[0];
    assert_eq!(redeemed.one("grant_type"), Some("authorization_code"));
    assert_eq!(redeemed.one("redirect_uri").unwrap(), sent["redirect_uri"]);
    let verifier = redeemed.one("code_verifier").unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    assert_eq!(sent["code_challenge"], crate::jose::base64url(hash));
}

#[tokio::test]
async fn t029_a_thousand_interleaved_logins_never_mix() {
    let shop = Shop::new().await;
    let mut logins = Vec::new();
    for user in 0..1000 {
        let mut browser = Browser::default();
        let begun = browser.begin(&shop, &format!("/u/{user}")).await;
        let token = shop.idp.id_token(begun.nonce(), shop.now(), |claims| {
            claims["sub"] = json!(format!("user-{user}"));
        });
        shop.idp.grant(&format!("code-{user}"), &token);
        logins.push((user, browser, begun));
    }
    // Back in an order that has nothing to do with the one they left in.
    logins.sort_by_key(|(user, ..)| (user * 7919) % 1000);
    for (user, browser, begun) in &mut logins {
        let reply = browser.come_back(&shop, &format!("code-{user}"), begun.state()).await;
        assert_eq!(reply.location(), format!("{ORIGIN}/u/{user}"));
    }
    for (user, browser, _) in &logins {
        let session = shop.session(browser).await.unwrap();
        assert_eq!(session.subject, format!("user-{user}"));
    }
}

#[tokio::test]
async fn ten_tabs_log_in_at_once_and_each_comes_back_to_its_own_page() {
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    let mut tabs = Vec::new();
    for tab in 0..10 {
        tabs.push((tab, browser.begin(&shop, &format!("/tab/{tab}")).await));
    }
    assert_eq!(browser.cookies.len(), 10);
    for (tab, begun) in tabs.iter().rev() {
        let token = shop.idp.id_token(begun.nonce(), shop.now(), |_| {});
        shop.idp.grant(&format!("code-{tab}"), &token);
        let reply = browser.come_back(&shop, &format!("code-{tab}"), begun.state()).await;
        assert_eq!(reply.location(), format!("{ORIGIN}/tab/{tab}"));
    }
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["__Host-bff"]);
}

#[tokio::test]
async fn the_oldest_logins_of_a_browser_make_room_for_new_ones() {
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    let first = browser.begin(&shop, "/first").await;
    for _ in 0..40 {
        shop.clock.advance(1);
        browser.begin(&shop, "/").await;
        assert!(browser.cookies.len() <= 16);
    }
    let reply = browser.come_back(&shop, "c", first.state()).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let last = browser.begin(&shop, "/last").await;
    let token = shop.idp.id_token(last.nonce(), shop.now(), |_| {});
    shop.idp.grant("c", &token);
    assert_eq!(browser.come_back(&shop, "c", last.state()).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn r48_a_login_gives_a_new_session_and_ends_the_old_one() {
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    let good = |nonce: &str| shop.idp.id_token(nonce, shop.now(), |_| {});
    shop.log_in(&mut browser, "/", good).await;
    let old = browser.clone();
    assert!(shop.session(&old).await.is_some());
    shop.clock.advance(61);
    let fresh = |nonce: &str| {
        shop.idp.id_token(nonce, shop.now(), |claims| claims["auth_time"] = json!(shop.now()))
    };
    let reply = shop.log_in(&mut browser, "/fresh", fresh).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_ne!(old.cookies["__Host-bff"], browser.cookies["__Host-bff"]);
    assert!(shop.session(&old).await.is_none());
    assert!(shop.session(&browser).await.is_some());
}

#[tokio::test]
async fn a_replayed_expired_or_foreign_callback_ends_on_a_page_that_offers_to_start_again() {
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    let begun = browser.begin(&shop, "/a").await;
    let before = browser.clone();
    let token = shop.idp.id_token(begun.nonce(), shop.now(), |_| {});
    shop.idp.grant("c", &token);
    assert_eq!(browser.come_back(&shop, "c", begun.state()).await.status, StatusCode::SEE_OTHER);

    let mut late = Browser::default();
    let too_late = late.begin(&shop, "/a").await;
    let mut other_state = Browser::default();
    let forged = format!("{}x", other_state.begin(&shop, "/a").await.state());
    for (mut browser, state, wait, what) in [
        (before, begun.state(), 0, "replayed with its cookie"),
        (Browser::default(), begun.state(), 0, "without a cookie"),
        (other_state, forged.as_str(), 0, "with another state"),
        (late, too_late.state(), 601, "expired"),
    ] {
        shop.clock.advance(wait);
        let redeemed = shop.idp.seen("/token").len();
        let reply = browser.come_back(&shop, "c", state).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{what}");
        assert!(reply.is_page_without_redirect(), "{what}");
        assert!(reply.body.contains("/bff/login?rd=%2F"), "{what}: {}", reply.body);
        assert_eq!(shop.idp.seen("/token").len(), redeemed, "{what}");
        assert!(browser.cookies.is_empty(), "{what}: {:?}", browser.cookies);
    }
}

#[tokio::test]
async fn a_state_that_is_not_the_transactions_is_refused_by_itself() {
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    let begun = browser.begin(&shop, "/a").await;
    let token = shop.idp.id_token(begun.nonce(), shop.now(), |_| {});
    shop.idp.grant("c", &token);
    let suffix = begun.state().split_once('.').unwrap().0;
    let reply = browser.come_back(&shop, "c", &format!("{suffix}.AAAA")).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(shop.idp.seen("/token").is_empty());
}

#[tokio::test]
async fn t101_a_transaction_of_one_policy_is_none_of_another() {
    let shop = Shop::new().await;
    // The same provider and the same client, so that nothing else tells the two apart.
    let same_host = shop.beside(|_| {});
    let other_host = shop.beside(|policy| {
        policy.origins = vec![Origin::parse("https://other.example.com").unwrap()];
    });
    let other_redirect = shop.beside(|policy| {
        policy.id = shop.policy.compiled.id.clone();
        policy.uid.clone_from(&shop.policy.compiled.uid);
        policy.origins = vec![Origin::parse("https://second.example.com").unwrap()];
    });
    for (there, what) in [
        (&same_host, "another policy"),
        (&other_host, "another policy and origin"),
        (&other_redirect, "another redirect URI"),
    ] {
        let mut browser = Browser::default();
        let begun = browser.begin(&shop, "/a").await;
        let token = shop.idp.id_token(begun.nonce(), shop.now(), |_| {});
        shop.idp.grant("c", &token);
        let reply = browser.come_back(there, "c", begun.state()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{what}");
        assert!(!browser.cookies.contains_key("__Host-bff"), "{what}");
    }
    assert!(shop.idp.seen("/token").is_empty());
}

#[tokio::test]
async fn t101_a_transaction_of_another_issuer_is_refused() {
    let shop = Shop::new().await;
    let elsewhere = crate::idp::FakeIdp::start().await;
    let moved = shop.beside(|policy| {
        policy.id = shop.policy.compiled.id.clone();
        policy.uid.clone_from(&shop.policy.compiled.uid);
        policy.provider.issuer.clone_from(&elsewhere.issuer);
    });
    let mut browser = Browser::default();
    let begun = browser.begin(&shop, "/a").await;
    let reply = browser.come_back(&moved, "c", begun.state()).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(elsewhere.seen("/token").is_empty());
}

#[tokio::test]
async fn t070_t098_missing_duplicate_empty_and_oversized_parameters_are_a_page_and_never_a_panic() {
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    let begun = browser.begin(&shop, "/a").await;
    let state = begun.state();
    let long = "x".repeat(20_000);
    for query in [
        String::new(),
        "code=c".to_owned(),
        format!("state={state}"),
        format!("code=&state={state}"),
        "code=c&state=".to_owned(),
        format!("code=c&code=d&state={state}"),
        format!("code=c&code=c&state={state}"),
        format!("code=c&state={state}&state={state}"),
        format!("code=c&state={state}&error=access_denied"),
        format!("code=c&state={state}&iss=a&iss=b"),
        format!("code=c&state={state}&iss="),
        format!("code={long}&state={state}"),
        format!("code=c&state={state}{long}"),
        format!("code=c&state={state}&x={long}"),
        format!("code=%ff&state={state}"),
        "code=c&state=.x".to_owned(),
        "code=c&state=nodot".to_owned(),
        "code=c&state=a%3Bb.x".to_owned(),
        "code=c&state=a%0d%0aSet-Cookie%3a%20x.y".to_owned(),
        "code=c&state=..%2f..".to_owned(),
        "&&&=&=".to_owned(),
        "error=&state=".to_owned(),
    ] {
        let reply = browser.navigate(&shop, &format!("/bff/callback?{query}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query:.80}");
        assert!(reply.is_page_without_redirect(), "{query:.80}");
    }
    let none = browser.navigate(&shop, "/bff/callback").await;
    assert_eq!(none.status, StatusCode::BAD_REQUEST);
    assert!(shop.idp.seen("/token").is_empty());
    // The login itself is untouched by all of that.
    let token = shop.idp.id_token(begun.nonce(), shop.now(), |_| {});
    shop.idp.grant("c", &token);
    assert_eq!(browser.come_back(&shop, "c", state).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn an_error_response_names_a_known_code_and_repeats_nothing_else() {
    let shop = Shop::new().await;
    for (error, shown) in [("access_denied", "access_denied"), ("%3Cscript%3E", "an unknown error")]
    {
        let mut browser = Browser::default();
        let begun = browser.begin(&shop, "/a").await;
        let query =
            format!("error={error}&error_description=%3Cb%3Ehello%3C/b%3E&state={}", begun.state());
        let reply = browser.navigate(&shop, &format!("/bff/callback?{query}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert!(reply.body.contains(shown), "{}", reply.body);
        assert!(!reply.body.contains("hello") && !reply.body.contains("<script"));
        assert!(reply.is_page_without_redirect());
        assert!(browser.cookies.is_empty());
    }
}

#[tokio::test]
async fn the_issuer_of_an_answer_must_be_the_one_that_was_asked() {
    let shop = Shop::new().await;
    let issuer = shop.idp.issuer.clone();
    shop.idp.set_metadata(|metadata| {
        metadata["authorization_response_iss_parameter_supported"] = json!(true);
    });
    let encoded: String = url::form_urlencoded::byte_serialize(issuer.as_bytes()).collect();
    for (outcome, iss, accepted) in [
        ("code=c", format!("&iss={encoded}"), true),
        ("code=c", String::new(), false),
        ("code=c", "&iss=https://evil.example".to_owned(), false),
        ("code=c", format!("&iss={encoded}/"), false),
        ("code=c", format!("&iss={}", encoded.to_uppercase()), false),
        ("error=access_denied", String::new(), false),
        ("error=access_denied", "&iss=https://evil.example".to_owned(), false),
    ] {
        let mut browser = Browser::default();
        let begun = browser.begin(&shop, "/a").await;
        shop.idp.grant("c", &shop.idp.id_token(begun.nonce(), shop.now(), |_| {}));
        let before = shop.idp.seen("/token").len();
        let query = format!("{outcome}&state={}{iss}", begun.state());
        let reply = browser.navigate(&shop, &format!("/bff/callback?{query}")).await;
        let wanted = if accepted { StatusCode::SEE_OTHER } else { StatusCode::BAD_REQUEST };
        assert_eq!(reply.status, wanted, "{outcome}{iss}");
        assert_eq!(shop.idp.seen("/token").len() > before, accepted, "{outcome}{iss}");
        assert!(!reply.body.contains("access_denied"), "an answer from elsewhere is not shown");
    }
}

#[tokio::test]
async fn with_a_strict_cookie_the_callback_goes_on_by_a_page() {
    let shop = Shop::with(|policy| policy.session.same_site = SameSite::Strict).await;
    let mut browser = Browser::default();
    let good = |nonce: &str| shop.idp.id_token(nonce, shop.now(), |_| {});
    let reply = shop.log_in(&mut browser, "/a?x=1&y=2", good).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.is_page_without_redirect());
    assert!(reply.body.contains("/a?x=1"), "{}", reply.body);
    assert!(shop.session(&browser).await.is_some());
}

#[tokio::test]
async fn a_provider_that_is_down_is_503_and_logs_nobody_out() {
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    let good = |nonce: &str| shop.idp.id_token(nonce, shop.now(), |_| {});
    shop.log_in(&mut browser, "/", good).await;
    let begun = browser.begin(&shop, "/admin").await;
    let session = browser.cookies["__Host-bff"].clone();
    shop.idp.code("down", IdpReply::status(502, &json!({})));
    let reply = browser.come_back(&shop, "down", begun.state()).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.headers.contains_key(RETRY_AFTER));
    assert_eq!(browser.cookies["__Host-bff"], session);
    assert!(shop.session(&browser).await.is_some());

    let unreachable =
        shop.beside(|policy| policy.provider.issuer = "http://127.0.0.1:1".to_owned());
    let reply = Browser::default().navigate(&unreachable, "/bff/login?rd=/a").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.headers.contains_key(RETRY_AFTER));
    assert!(!reply.headers.contains_key(SET_COOKIE));
}

#[tokio::test]
async fn r48_t102_every_login_has_its_own_unguessable_values() {
    let shop = Shop::new().await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        let mut browser = Browser::default();
        let begun = browser.begin(&shop, "/").await;
        // 256 bits each, in base64url.
        let (_, random) = begun.state().split_once('.').unwrap();
        assert!(random.len() >= 43 && begun.nonce().len() >= 43);
        assert_eq!(begun.parameters["code_challenge"].len(), 43);
        let cookie = browser.cookies.values().next().unwrap().clone();
        assert!(SecretId::parse(&cookie).is_some());
        for value in [
            begun.state().to_owned(),
            begun.nonce().to_owned(),
            begun.parameters["code_challenge"].clone(),
            cookie,
        ] {
            assert!(seen.insert(value), "a value came twice");
        }
    }
    assert_ne!(SecretId::generate(&SystemRandom), SecretId::generate(&SystemRandom));
}

#[tokio::test]
async fn a_login_whose_access_token_is_over_already_ends_on_a_page_and_not_in_a_loop() {
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    let begun = browser.begin(&shop, "/api/orders").await;
    let token = shop.idp.id_token(begun.nonce(), shop.now(), |_| {});
    let response = json!({
        "access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 0, "id_token": token,
    });
    shop.idp.code("c1", IdpReply::json(&response));
    let reply = browser.come_back(&shop, "c1", begun.state()).await;
    assert!(reply.is_page_without_redirect());
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn without_auth_time_the_age_of_a_login_is_unknown_and_never_young() {
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    let token = |nonce: &str| shop.idp.id_token(nonce, shop.now(), |_| {});
    shop.log_in(&mut browser, "/", token).await;
    let session = shop.session(&browser).await.unwrap();
    assert_eq!(session.auth_time.0, 0);
    let again = browser.begin(&shop, "/fresh").await;
    assert_eq!(again.parameters["max_age"], "60", "the step-up asks for a fresh one");
}
