//! Back-channel logout: what a logout token must be, and what it ends.

use http::StatusCode;
use http::header::HOST;
use serde_json::{Value, json};

use super::{Answer, Apps, EVENT, FORM_TYPE, without};
use crate::idp::Reply;
use crate::jose::{self, Signer, base64url};

const PATH: (&str, &str) = ("POST", "/bff/backchannel-logout");

/// Section 2.8: 400, and why, for no cache to keep.
fn is_refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(answer.json()["error"], "invalid_request", "{what}");
    assert!(answer.json()["error_description"].is_string(), "{what}");
    assert!(answer.set_cookies().is_empty(), "{what}");
}

/// Posts a token that must be refused, and that a session outlives.
async fn refuses(token: impl FnOnce(&Apps) -> String) {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    let answer = apps.back_channel("shop", &token(&apps)).await;
    is_refused(&answer, "a token that does not pass");
    assert!(apps.is_alive("shop", &cookie).await);
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    let answer = apps.back_channel("shop", &apps.logout_token(|_| {})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.body.is_empty() && answer.set_cookies().is_empty());
    assert!(!apps.is_alive("shop", &cookie).await);
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_alg_none() {
    refuses(|apps| {
        let header = json!({"alg": "none", "typ": "logout+jwt"});
        jose::jwt(&header, &apps.logout_claims(), &Signer::Fixed(Vec::new()))
    })
    .await;
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_no_event() {
    refuses(|apps| apps.logout_token(|claims| without(claims, "events"))).await;
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_with_nonce() {
    refuses(|apps| apps.logout_token(|claims| claims["nonce"] = json!("n-1"))).await;
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_wrong_alg() {
    // Not announced by the provider, and those that take its public key for a shared secret.
    refuses(|apps| {
        let issuer = apps.idp.issuer.clone();
        apps.idp.set_metadata(|metadata| {
            metadata["issuer"] = json!(issuer);
            metadata["id_token_signing_alg_values_supported"] = json!(["RS256"]);
        });
        let header = json!({"alg": "ES256", "kid": "ec1", "typ": "logout+jwt"});
        jose::jwt(&header, &apps.logout_claims(), &Signer::Ec)
    })
    .await;
    for key in [b"s3cret/+ value".to_vec(), jose::rsa_pem().into_bytes()] {
        refuses(|apps| {
            let header = json!({"alg": "HS256", "kid": "rsa1", "typ": "logout+jwt"});
            jose::jwt(&header, &apps.logout_claims(), &Signer::Hmac(key))
        })
        .await;
    }
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_wrong_aud() {
    refuses(|apps| apps.logout_token(|claims| claims["aud"] = json!("bank"))).await;
    refuses(|apps| apps.logout_token(|claims| claims["aud"] = json!(["shop", "bank"]))).await;
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_wrong_event() {
    refuses(|apps| {
        let other = "http://schemas.openid.net/event/frontchannel-logout";
        apps.logout_token(|claims| claims["events"] = json!({other: {}}))
    })
    .await;
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_wrong_iss() {
    refuses(|apps| apps.logout_token(|claims| claims["iss"] = json!("https://evil.example"))).await;
}

#[tokio::test]
async fn r52_a_sid_ends_its_sessions_and_a_sub_alone_all_of_the_user() {
    // The token's claims, and which sessions of (user, sid) it ends.
    let sessions =
        [("alice", Some("sid-1")), ("alice", Some("sid-2")), ("alice", None), ("bob", None)];
    for (remove, ended) in [
        ("sub", [true, false, false, false]),
        ("sid", [true, true, true, false]),
        // Of a session without a sid nobody knows that it is not the one.
        ("", [true, false, true, false]),
    ] {
        let apps = Apps::new().await;
        let mut cookies = Vec::new();
        for (subject, sid) in sessions {
            let alter = |session: &mut vestibule_authsvc::session::Session| {
                session.subject = subject.to_owned();
                session.provider_session = sid.map(str::to_owned);
            };
            cookies.push(apps.session("shop", alter).await);
        }
        let token = apps.logout_token(|claims| without(claims, remove));
        assert_eq!(apps.back_channel("shop", &token).await.status, StatusCode::OK);
        for (index, cookie) in cookies.iter().enumerate() {
            let alive = apps.is_alive("shop", cookie).await;
            assert_eq!(alive, !ended[index], "without {remove:?}: {:?}", sessions[index]);
        }
    }
}

#[tokio::test]
async fn one_logout_at_the_provider_ends_the_sessions_of_all_apps_of_the_client() {
    let apps = Apps::new().await;
    let shop = apps.session("shop", |_| {}).await;
    let desk = apps.session("desk", |_| {}).await;
    let bank = apps.session("bank", |_| {}).await;
    // Whichever of them the provider calls.
    assert_eq!(apps.back_channel("desk", &apps.logout_token(|_| {})).await.status, StatusCode::OK);
    assert!(!apps.is_alive("shop", &shop).await && !apps.is_alive("desk", &desk).await);
    assert!(apps.is_alive("bank", &bank).await, "another client is told by itself");
}

#[tokio::test]
async fn r52_an_unknown_session_counts_as_logged_out() {
    let apps = Apps::new().await;
    let token = apps.logout_token(|claims| claims["sid"] = json!("never-seen"));
    assert_eq!(apps.back_channel("shop", &token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn r52_t097_a_token_counts_once_over_all_replicas_and_all_apps() {
    let apps = Apps::new().await;
    let token = apps.logout_token(|_| {});
    assert_eq!(apps.back_channel("shop", &token).await.status, StatusCode::OK);
    // The user logs in again; whoever has seen the token cannot log them out.
    apps.clock.advance(1);
    let cookie = apps.session("shop", |_| {}).await;
    for (replica, host) in [(0, "shop"), (1, "shop"), (1, "desk")] {
        let request = http::Request::post(PATH.1)
            .header(HOST, format!("{host}.example.com"))
            .header(FORM_TYPE.0, FORM_TYPE.1)
            .body(format!("logout_token={token}").into())
            .unwrap();
        is_refused(&apps.send(replica, request).await, host);
        assert!(apps.is_alive("shop", &cookie).await, "{host}");
    }
}

#[tokio::test]
async fn a_token_that_a_failing_store_cut_off_can_be_sent_again() {
    // It fails after 0, 1, 2, … calls, until one attempt needs no more.
    for calls in 0..50 {
        let apps = Apps::new().await;
        let first = apps.session("shop", |_| {}).await;
        let second = apps.session("desk", |_| {}).await;
        apps.clock.advance(1);
        let token = apps.logout_token(|_| {});
        apps.store.cut_after(calls);
        let answer = apps.back_channel("shop", &token).await;
        apps.store.mend();
        if answer.status == StatusCode::OK {
            assert!(calls > 3, "it did not fail before");
            assert!(!apps.is_alive("shop", &first).await && !apps.is_alive("desk", &second).await);
            return;
        }
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "after {calls} calls");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        apps.clock.advance(1);
        let since = apps.session("shop", |_| {}).await;
        let again = apps.back_channel("shop", &token).await;
        assert!(again.status == StatusCode::OK || again.status == StatusCode::BAD_REQUEST);
        assert!(!apps.is_alive("shop", &first).await, "after {calls} calls");
        assert!(!apps.is_alive("desk", &second).await, "after {calls} calls");
        let noted = calls > 0;
        assert_eq!(apps.is_alive("shop", &since).await, noted, "what began since is not meant");
    }
    panic!("it never succeeded");
}

#[tokio::test]
async fn without_the_providers_keys_nothing_is_confirmed_and_nothing_ends() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    apps.idp.reply("/jwks", Reply::status(503, &json!({})));
    let answer = apps.back_channel("shop", &apps.logout_token(|_| {})).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(apps.is_alive("shop", &cookie).await);
}

#[tokio::test]
async fn t098_the_form_has_one_token_in_the_body_and_nowhere_else() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    let token = apps.logout_token(|_| {});
    let field = format!("logout_token={token}");
    let in_query = format!("{}?{field}", PATH.1);
    let long = format!("{field}&pad={}", "x".repeat(18 * 1024));
    for (what, target, headers, body) in [
        ("twice", PATH.1, &[FORM_TYPE][..], format!("{field}&{field}")),
        ("an empty one first", PATH.1, &[FORM_TYPE], format!("logout_token=&{field}")),
        ("another first", PATH.1, &[FORM_TYPE], format!("logout_token=x&{field}")),
        ("none", PATH.1, &[FORM_TYPE], String::new()),
        ("an empty one", PATH.1, &[FORM_TYPE], "logout_token=".to_owned()),
        ("in another case", PATH.1, &[FORM_TYPE], format!("Logout_Token={token}")),
        ("in the query", &in_query, &[FORM_TYPE], String::new()),
        ("as JSON", PATH.1, &[("content-type", "application/json")], field.clone()),
        ("of no type", PATH.1, &[], field.clone()),
        ("of two types", PATH.1, &[FORM_TYPE, FORM_TYPE], field.clone()),
        ("no text", PATH.1, &[FORM_TYPE], format!("{field}&x=%ff")),
        ("too large", PATH.1, &[FORM_TYPE], long),
    ] {
        let answer = apps.ask("shop", ("POST", target), headers, &body).await;
        is_refused(&answer, what);
        assert!(apps.is_alive("shop", &cookie).await, "{what}");
    }
    let typed = [("content-type", "Application/X-WWW-Form-Urlencoded; charset=utf-8")];
    let answer = apps.ask("shop", PATH, &typed, &field).await;
    assert_eq!(answer.status, StatusCode::OK, "and the token was good");
    assert!(!apps.is_alive("shop", &cookie).await);
}

#[tokio::test]
async fn t100_what_is_oversized_compressed_or_encrypted_is_refused_before_anything_is_fetched() {
    let apps = Apps::new().await;
    let before = apps.idp.seen("/jwks").len();
    let large = apps.logout_token(|claims| claims["pad"] = json!("x".repeat(15 * 1024)));
    assert!(large.len() > 16 * 1024);
    let with = |name: &str, value: Value| {
        let mut header = json!({"alg": "RS256", "kid": "rsa1", "typ": "logout+jwt"});
        header[name] = value;
        jose::jwt(&header, &apps.logout_claims(), &Signer::Rsa)
    };
    let jwe = base64url(json!({"alg": "PBES2-HS256+A128KW", "p2c": 2_147_483_647}).to_string());
    for token in [
        large,
        with("zip", json!("DEF")),
        with("enc", json!("A128GCM")),
        with("crit", json!(["b64"])),
        with("b64", json!(false)),
        with("alg", json!("PBES2-HS256+A128KW")),
        with("cty", json!("JWT")),
        format!("{jwe}.a.b.c.d"),
        "a.b".to_owned(),
        ".".repeat(16 * 1024),
        "%00.%00.%00".to_owned(),
    ] {
        is_refused(&apps.back_channel("shop", &token).await, &token[..token.len().min(80)]);
    }
    assert_eq!(apps.idp.seen("/jwks").len(), before);
    let body = "x".repeat(65 * 1024);
    let answer = apps.ask("shop", PATH, &[FORM_TYPE], &body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn t098_a_flood_of_unknown_keys_does_not_reach_the_provider() {
    let apps = Apps::new().await;
    let before = apps.idp.seen("/jwks").len();
    for number in 0..20 {
        let header = json!({"alg": "RS256", "kid": format!("unknown-{number}")});
        let token = jose::jwt(&header, &apps.logout_claims(), &Signer::OtherRsa);
        is_refused(&apps.back_channel("shop", &token).await, "an unknown key");
        let known = json!({"alg": "RS256", "kid": "rsa1"});
        let forged = jose::jwt(&known, &apps.logout_claims(), &Signer::OtherRsa);
        is_refused(&apps.back_channel("shop", &forged).await, "a forged signature");
    }
    let fetched = apps.idp.seen("/jwks").len() - before;
    assert!(fetched <= 2, "{fetched}");
}

#[tokio::test]
async fn the_types_and_keys_of_real_providers_are_accepted() {
    for header in [
        json!({"alg": "RS256", "kid": "rsa1", "typ": "logout+jwt"}),
        json!({"alg": "RS256", "kid": "rsa1", "typ": "JWT"}),
        json!({"alg": "RS256", "kid": "rsa1"}),
        json!({"alg": "RS256"}),
        json!({"alg": "PS256", "kid": "rsa1", "typ": "logout+jwt"}),
        json!({"alg": "ES256", "kid": "ec1", "typ": "logout+jwt"}),
        json!({"alg": "EdDSA", "kid": "ed1", "typ": "logout+jwt"}),
    ] {
        let apps = Apps::new().await;
        let cookie = apps.session("shop", |_| {}).await;
        let signer = match header["alg"].as_str() {
            Some("RS256") => Signer::Rsa,
            Some("PS256") => Signer::RsaPss,
            Some("ES256") => Signer::Ec,
            _ => Signer::Ed,
        };
        let token = jose::jwt(&header, &apps.logout_claims(), &signer);
        let answer = apps.back_channel("shop", &token).await;
        assert_eq!(answer.status, StatusCode::OK, "{header}: {}", answer.body);
        assert!(!apps.is_alive("shop", &cookie).await, "{header}");
    }
}

#[tokio::test]
async fn a_token_of_a_key_that_was_just_exchanged_is_accepted() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    let _ = apps.back_channel("shop", &apps.logout_token(|c| c["sid"] = json!("other"))).await;
    apps.clock.advance(5);
    apps.idp.reply(
        "/jwks",
        Reply::json(&json!({"keys": [jose::rsa_jwk(&jose::KEYS.other_rsa, "rsa2")]})),
    );
    let header = json!({"alg": "RS256", "kid": "rsa2", "typ": "logout+jwt"});
    let token = jose::jwt(&header, &apps.logout_claims(), &Signer::OtherRsa);
    assert_eq!(apps.back_channel("shop", &token).await.status, StatusCode::OK);
    assert!(!apps.is_alive("shop", &cookie).await);
}

#[tokio::test]
async fn r52_the_times_of_a_token_are_those_of_now() {
    let apps = Apps::new().await;
    let now = apps.now();
    for (iat, exp, passes) in [
        (now + 60, now + 120, true),
        (now + 61, now + 120, false),
        (now - 600, now + 120, true),
        (now - 601, now + 120, false),
        (now - 120, now - 9, true),
        (now - 120, now - 10, false),
    ] {
        let token = apps.logout_token(|claims| {
            claims["iat"] = json!(iat);
            claims["exp"] = json!(exp);
        });
        let status = apps.back_channel("shop", &token).await.status;
        assert_eq!(status == StatusCode::OK, passes, "iat {iat} exp {exp} now {now}");
    }
}

#[tokio::test]
async fn a_browser_gains_nothing_by_posting_there() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    let headers = [FORM_TYPE, ("cookie", &*cookie), ("sec-fetch-site", "same-origin")];
    is_refused(&apps.ask("shop", PATH, &headers, "").await, "no token");
    for method in ["GET", "HEAD", "PUT"] {
        let answer = apps.ask("shop", (method, PATH.1), &headers, "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    assert!(apps.is_alive("shop", &cookie).await);
}

#[tokio::test]
async fn the_event_may_hold_members_of_its_own() {
    let apps = Apps::new().await;
    let token = apps.logout_token(|claims| {
        claims["events"] = json!({EVENT: {"reason": "x"}, "urn:other": {}});
    });
    assert_eq!(apps.back_channel("shop", &token).await.status, StatusCode::OK);
}
