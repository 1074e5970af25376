//! What the audit trail says of logins and logouts: each thing once, and who.

use http::StatusCode;
use serde_json::json;

use crate::audit_lines::AuditLines;
use crate::logout::{Apps, FETCH};
use crate::site::{Browser, Shop};

#[tokio::test]
async fn a_login_and_an_elevation_are_one_line_each_and_name_the_session_that_they_end() {
    let lines = AuditLines::keep();
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    let good = |nonce: &str| shop.idp.id_token(nonce, shop.now(), |_| {});
    shop.log_in(&mut browser, "/", good).await;
    let first = lines.take(["event", "subject", "policy", "session"]);
    let [[event, subject, policy, session]] = &first[..] else { panic!("{first:?}") };
    assert_eq!((&**event, &**subject, &**policy), ("login", "alice", "default/shop"));

    let gold =
        |nonce: &str| shop.idp.id_token(nonce, shop.now(), |claims| claims["acr"] = json!("gold"));
    let reply = shop.log_in(&mut browser, "/admin/x", gold).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    let second = lines.take(["event", "session", "reason", "by"]);
    let [ended, began] = &second[..] else { panic!("{second:?}") };
    assert_eq!(*ended, ["session_ended", session, "new_login", "user"].map(str::to_owned));
    assert_eq!((&*began[0], began[1] == *session), ("elevation", false));
}

#[tokio::test]
async fn another_user_who_logs_in_is_no_elevation() {
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    let good = |nonce: &str| shop.idp.id_token(nonce, shop.now(), |_| {});
    shop.log_in(&mut browser, "/", good).await;
    let lines = AuditLines::keep();
    let bob = |nonce: &str| {
        shop.idp.id_token(nonce, shop.now(), |claims| {
            claims["sub"] = json!("bob");
            claims["acr"] = json!("gold");
        })
    };
    shop.log_in(&mut browser, "/admin/x", bob).await;
    let found = lines.take(["event", "subject"]);
    let expected = [["session_ended", "alice"], ["login", "bob"]];
    assert_eq!(found, expected.map(|line| line.map(str::to_owned)));
}

#[tokio::test]
async fn a_refused_login_says_why_and_what_anyone_can_send_says_nothing() {
    let shop = Shop::new().await;
    let lines = AuditLines::keep();
    let refused = |alter: fn(&mut serde_json::Value)| {
        let shop = &shop;
        async move {
            let mut browser = Browser::default();
            let bad = |nonce: &str| shop.idp.id_token(nonce, shop.now(), alter);
            shop.log_in(&mut browser, "/admin/x", bad).await
        }
    };
    refused(|claims| claims["aud"] = json!("bank")).await;
    refused(|claims| claims["acr"] = json!("lead")).await;
    let mut browser = Browser::default();
    let begun = browser.begin(&shop, "/").await;
    let target = format!("/bff/callback?error=access_denied&state={}", begun.state());
    browser.navigate(&shop, &target).await;
    let found = lines.take(["event", "reason", "policy", "subject"]);
    let line = |reason: &str| ["login_refused", reason, "default/shop", ""].map(str::to_owned);
    assert_eq!(found, [line("token"), line("step_up"), line("access_denied")]);

    for target in ["/bff/callback", "/bff/callback?code=c&state=a.b", "/bff/callback?error=x"] {
        Browser::default().navigate(&shop, target).await;
    }
    assert!(lines.take(["event"]).is_empty());
}

#[tokio::test]
async fn every_way_to_end_a_session_is_one_line_with_its_reason() {
    let apps = Apps::new().await;
    let lines = AuditLines::keep();
    let ended = |policy: &str, reason: &str, by: &str| {
        ["session_ended", policy, reason, by, "alice"].map(str::to_owned)
    };
    let fields = ["event", "policy", "reason", "by", "subject"];

    let own = apps.session("shop", |_| {}).await;
    let headers = [&FETCH[..], &[("cookie", &*own)]].concat();
    for _ in 0..2 {
        apps.ask("shop", ("POST", "/bff/logout"), &headers, "").await;
    }
    assert_eq!(lines.take(fields), [ended("default/shop", "logout", "user")]);

    let own = apps.session("shop", |_| {}).await;
    apps.session("desk", |_| {}).await;
    let headers = [&FETCH[..], &[("cookie", &*own)]].concat();
    apps.ask("shop", ("POST", "/bff/logout?everywhere=true"), &headers, "").await;
    let everywhere = |policy| ended(policy, "logout_everywhere", "user");
    assert_eq!(lines.take(fields), [everywhere("default/desk"), everywhere("default/shop")]);

    apps.session("desk", |_| {}).await;
    apps.back_channel("shop", &apps.logout_token(|_| {})).await;
    assert_eq!(lines.take(fields), [ended("default/desk", "back_channel_logout", "provider")]);

    let own = apps.session("shop", |_| {}).await;
    let issuer: String = url::form_urlencoded::byte_serialize(apps.idp.issuer.as_bytes()).collect();
    let target = format!("/bff/frontchannel-logout?iss={issuer}&sid=sid-1");
    apps.ask("shop", ("GET", &target), &[("cookie", &own)], "").await;
    assert_eq!(lines.take(fields), [ended("default/shop", "front_channel_logout", "provider")]);
}
