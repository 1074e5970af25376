//! Which token, parameter or cookie counts where: nowhere but at its own place.

use http::StatusCode;
use serde_json::json;
use vestibule_authsvc::session::Session;

use super::{Apps, FETCH, FORM_TYPE, without};
use crate::jose::{self, Signer, compact};
use crate::site::{Browser, Shop};

#[tokio::test]
async fn t019_no_other_token_of_the_same_keys_is_a_logout_token() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    let now = apps.now();
    let typed = |typ: &str, claims: &serde_json::Value| {
        jose::jwt(&json!({"alg": "RS256", "kid": "rsa1", "typ": typ}), claims, &Signer::Rsa)
    };
    let logout = apps.logout_claims();
    let mut access = logout.clone();
    without(&mut access, "events");
    access["scope"] = json!("openid");
    let mut template: Option<Session> = None;
    apps.session("shop", |session| template = Some(session.clone())).await;
    let policy = apps.policy("shop");
    let identity = policy.identity.sign(
        "https://shop.example.com",
        "shop",
        &template.unwrap(),
        &[],
        apps.replicas[0].clock.now(),
    );
    for (what, token) in [
        ("an ID token", apps.idp.id_token("n", now, |_| {})),
        ("an ID token without a nonce", apps.idp.id_token("n", now, |c| without(c, "nonce"))),
        (
            "an ID token with events",
            apps.idp.id_token("n", now, |claims| {
                claims["events"] = logout["events"].clone();
                claims["jti"] = json!("j");
            }),
        ),
        (
            "an ID token that says it is one of ours",
            typed("logout+jwt", &apps.idp.claims("n", now)),
        ),
        ("an access token", typed("at+jwt", &access)),
        ("an access token with the event", typed("at+jwt", &logout)),
        ("another security event", typed("secevent+jwt", &logout)),
        ("an identity JWT of ours", identity.expose().to_owned()),
        ("one of another client", apps.logout_token(|claims| claims["aud"] = json!("bank"))),
        ("one of another provider", apps.logout_token(|c| c["iss"] = json!("https://x.example"))),
        (
            "one of another key",
            jose::jwt(
                &json!({"alg": "RS256", "kid": "rsa1", "typ": "logout+jwt"}),
                &logout,
                &Signer::OtherRsa,
            ),
        ),
    ] {
        let answer = apps.back_channel("shop", &token).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
        assert!(apps.is_alive("shop", &cookie).await, "{what}");
    }
}

#[tokio::test]
async fn t019_a_logout_token_is_no_id_token() {
    for typ in ["logout+jwt", "JWT"] {
        for with_nonce in [true, false] {
            let shop = Shop::new().await;
            let mut browser = Browser::default();
            let now = shop.now();
            let token = |nonce: &str| {
                let mut claims = shop.idp.claims(nonce, now);
                claims["events"] = json!({super::EVENT: {}});
                claims["jti"] = json!("j");
                if !with_nonce {
                    without(&mut claims, "nonce");
                }
                let header = json!({"alg": "RS256", "kid": "rsa1", "typ": typ});
                jose::jwt(&header, &claims, &Signer::Rsa)
            };
            let reply = shop.log_in(&mut browser, "/", token).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{typ} {with_nonce}");
            assert!(shop.session(&browser).await.is_none());
        }
    }
}

#[tokio::test]
async fn t014_every_endpoint_refuses_what_is_missing_or_forged() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    let good = apps.logout_claims();
    let header = json!({"alg": "RS256", "kid": "rsa1", "typ": "logout+jwt"});
    let forged = jose::jwt(&header, &good, &Signer::OtherRsa);
    let none = compact(
        json!({"alg": "none"}).to_string().as_bytes(),
        good.to_string().as_bytes(),
        &Signer::Fixed(Vec::new()),
    );
    let garbled = {
        let mut token = apps.logout_token(|_| {});
        let last = token.pop().unwrap();
        token.push(if last == 'A' { 'Q' } else { 'A' });
        token
    };
    let own = ("cookie", cookie.as_str());
    let cross = ("sec-fetch-site", "cross-site");
    let back = |token: &str| format!("logout_token={token}");
    for (method, target, headers, body) in [
        ("POST", "/bff/backchannel-logout", vec![FORM_TYPE], String::new()),
        ("POST", "/bff/backchannel-logout", vec![FORM_TYPE], back(&forged)),
        ("POST", "/bff/backchannel-logout", vec![FORM_TYPE], back(&none)),
        ("POST", "/bff/backchannel-logout", vec![FORM_TYPE], back(&garbled)),
        ("GET", "/bff/frontchannel-logout", vec![own], String::new()),
        ("GET", "/bff/frontchannel-logout?iss=x&sid=sid-1", vec![own], String::new()),
        ("POST", "/bff/logout", vec![own], String::new()),
        ("POST", "/bff/logout", vec![own, cross], String::new()),
        ("GET", "/bff/callback", vec![own], String::new()),
        ("GET", "/bff/callback?code=c", vec![own], String::new()),
        ("GET", "/bff/callback?code=c&state=a.b", vec![own], String::new()),
        ("GET", "/bff/session", vec![], String::new()),
        ("GET", "/bff/session", vec![("cookie", "__Host-bff=forged")], String::new()),
        ("GET", "/bff/session", vec![own, cross, FETCH[0]], String::new()),
        ("GET", "/bff/login?rd=https%3A%2F%2Fevil.example", vec![], String::new()),
    ] {
        let answer = apps.ask("shop", (method, target), &headers, &body).await;
        assert!(answer.status.is_client_error(), "{method} {target} {body}: {}", answer.status);
        assert!(apps.is_alive("shop", &cookie).await, "{method} {target}");
    }
}

#[tokio::test]
async fn t097_a_preflight_carries_no_identity_and_ends_nothing() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    let headers = [
        ("cookie", cookie.as_str()),
        ("origin", "https://evil.example"),
        ("access-control-request-method", "POST"),
    ];
    for target in
        ["/bff/logout?everywhere=true", "/bff/backchannel-logout", "/bff/frontchannel-logout"]
    {
        let answer = apps.ask("shop", ("OPTIONS", target), &headers, "").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{target}");
        assert!(!answer.body.contains("alice") && answer.set_cookies().is_empty());
        assert!(apps.is_alive("shop", &cookie).await, "{target}");
    }
}
