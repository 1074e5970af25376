//! How the client authenticates, pushes requests, and asks for UserInfo.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use secrecy::SecretString;
use serde_json::json;
use vestibule_policy::model::{ClientAuthMethod, Credential, Par};

use crate::idp::{ACCESS_TOKEN, Reply, Seen};
use crate::jose::{self, Signer};
use crate::site::{Browser, START, Shop};

/// A P-256 key made for this test alone; it opens nothing.
const CLIENT_KEY: &str = include_str!("client-key.pem");
const CLIENT_PUBLIC_KEY: &str = include_str!("client-key.pub.pem");

async fn redeemed(shop: &Shop) -> Seen {
    let mut browser = Browser::default();
    let good = |nonce: &str| shop.idp.id_token(nonce, shop.now(), |_| {});
    let reply = shop.log_in(&mut browser, "/", good).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    shop.idp.seen("/token").pop().unwrap()
}

#[tokio::test]
async fn the_secret_is_sent_as_the_policy_says_or_else_as_the_provider_lists() {
    use ClientAuthMethod::{ClientSecretBasic, ClientSecretPost};
    // RFC 6749, section 2.3.1: each part is form-encoded before both are put together.
    let basic = format!("Basic {}", STANDARD.encode("shop:s3cret%2F%2B+value"));
    for (method, listed, is_basic) in [
        (None, json!(null), true),
        (None, json!([]), true),
        (None, json!(["private_key_jwt"]), true),
        (None, json!(["client_secret_post", "client_secret_basic"]), true),
        (None, json!(["client_secret_post"]), false),
        (Some(ClientSecretBasic), json!(["client_secret_post"]), true),
        (Some(ClientSecretPost), json!(["client_secret_basic"]), false),
    ] {
        let shop = Shop::with(|policy| {
            let value = SecretString::from("s3cret/+ value");
            policy.client.credential = Credential::Secret { method, value };
        })
        .await;
        shop.idp.set_metadata(|metadata| {
            metadata["token_endpoint_auth_methods_supported"] = listed.clone();
        });
        let seen = redeemed(&shop).await;
        assert_eq!(seen.one("client_id"), Some("shop"));
        if is_basic {
            assert_eq!(seen.authorization.as_deref(), Some(basic.as_str()), "{listed}");
            assert_eq!(seen.one("client_secret"), None, "{listed}");
        } else {
            assert_eq!(seen.authorization, None, "{listed}");
            assert_eq!(seen.one("client_secret"), Some("s3cret/+ value"), "{listed}");
        }
    }
}

#[tokio::test]
async fn a_private_key_signs_an_assertion_for_this_provider_alone() {
    let shop = Shop::with(|policy| {
        policy.client.credential = Credential::PrivateKey {
            algorithm: "ES256".to_owned(),
            key_id: Some("client-1".to_owned()),
            pem: SecretString::from(CLIENT_KEY),
        };
    })
    .await;
    let first = redeemed(&shop).await;
    let second = redeemed(&shop).await;
    assert_eq!(first.authorization, None);
    assert_eq!(first.one("client_id"), Some("shop"));
    assert_eq!(
        first.one("client_assertion_type"),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    let assertion = first.one("client_assertion").unwrap();
    let claims = jose::claims(assertion);
    assert_eq!(claims["iss"], "shop");
    assert_eq!(claims["sub"], "shop");
    assert_eq!(claims["aud"], shop.idp.issuer, "the issuer, as a string");
    assert_eq!(claims["iat"], START);
    assert_eq!(claims["exp"], START + 60);
    assert!(claims["jti"].as_str().unwrap().len() >= 22);
    assert_ne!(claims["jti"], jose::claims(second.one("client_assertion").unwrap())["jti"]);

    let (input, signature) = assertion.rsplit_once('.').unwrap();
    let header: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(input.split('.').next().unwrap()).unwrap())
            .unwrap();
    assert_eq!((&header["alg"], &header["kid"]), (&json!("ES256"), &json!("client-1")));
    let pem: String = CLIENT_PUBLIC_KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(pem).unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &der[der.len() - 65..])
        .verify(input.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
}

#[tokio::test]
async fn a_pushed_request_leaves_client_id_and_request_uri_for_the_browser() {
    let shop = Shop::new().await;
    let issuer = shop.idp.issuer.clone();
    shop.idp.set_metadata(|metadata| {
        metadata["pushed_authorization_request_endpoint"] = json!(format!("{issuer}/par"));
        metadata["require_pushed_authorization_requests"] = json!(true);
    });
    let mut browser = Browser::default();
    let begun = browser.begin(&shop, "/a").await;
    let mut names: Vec<_> = begun.parameters.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["client_id", "request_uri"]);
    assert_eq!(begun.parameters["request_uri"], "urn:par:1");
    let pushed = &shop.idp.seen("/par")[0];
    assert!(pushed.authorization.as_deref().unwrap().starts_with("Basic "));
    for name in ["response_type", "redirect_uri", "scope", "nonce", "state", "code_challenge"] {
        assert!(pushed.one(name).is_some(), "{name}");
    }
    assert_eq!(pushed.one("client_id"), Some("shop"));
    assert_eq!(pushed.one("request_uri"), None);

    let token = shop.idp.id_token(pushed.one("nonce").unwrap(), shop.now(), |_| {});
    shop.idp.grant("c", &token);
    let reply = browser.come_back(&shop, "c", pushed.one("state").unwrap()).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn pushing_is_done_as_the_policy_says_and_else_there_is_no_login() {
    for (par, offered, required, pushed) in [
        (Par::Never, true, false, Some(false)),
        (Par::Never, true, true, None),
        (Par::WhenSupported, false, false, Some(false)),
        (Par::WhenSupported, true, false, Some(true)),
        (Par::Required, true, false, Some(true)),
        (Par::Required, false, false, None),
    ] {
        let shop = Shop::with(|policy| policy.login.par = par).await;
        let issuer = shop.idp.issuer.clone();
        shop.idp.set_metadata(|metadata| {
            metadata["require_pushed_authorization_requests"] = json!(required);
            if offered {
                metadata["pushed_authorization_request_endpoint"] = json!(format!("{issuer}/par"));
            }
        });
        let reply = Browser::default().navigate(&shop, "/bff/login").await;
        let case = format!("{par:?} offered={offered} required={required}");
        match pushed {
            None => assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{case}"),
            Some(_) => assert_eq!(reply.status, StatusCode::SEE_OTHER, "{case}"),
        }
        assert_eq!(shop.idp.seen("/par").len(), usize::from(pushed == Some(true)), "{case}");
    }
}

#[tokio::test]
async fn a_provider_without_s256_gets_no_login() {
    let shop = Shop::new().await;
    shop.idp.set_metadata(|m| m["code_challenge_methods_supported"] = json!(["plain"]));
    let reply = Browser::default().navigate(&shop, "/bff/login").await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn user_info_completes_the_claims_and_never_overrides_them() {
    let shop = Shop::with(|policy| policy.login.user_info = true).await;
    let more =
        json!({"sub": "alice", "groups": ["staff"], "email": "other@example.com", "iss": "x"});
    shop.idp.reply("/userinfo", Reply::json(&more));
    let mut browser = Browser::default();
    let good = |nonce: &str| shop.idp.id_token(nonce, shop.now(), |_| {});
    shop.log_in(&mut browser, "/", good).await;
    let session = shop.session(&browser).await.unwrap();
    assert_eq!(session.claims["groups"], json!(["staff"]));
    assert_eq!(session.claims["email"], "alice@example.com");
    assert_eq!(session.claims["iss"], shop.idp.issuer);
    let asked = &shop.idp.seen("/userinfo")[0];
    assert_eq!(asked.authorization.as_deref(), Some(format!("Bearer {ACCESS_TOKEN}").as_str()));
}

#[tokio::test]
async fn user_info_of_another_user_or_of_unclear_origin_is_refused() {
    let shop = Shop::with(|policy| policy.login.user_info = true).await;
    let issuer = shop.idp.issuer.clone();
    let header = json!({"alg": "RS256", "kid": "rsa1"});
    let good = json!({"iss": issuer, "aud": "shop", "sub": "alice", "groups": ["staff"]});
    let altered = |name: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let signed = |claims: &serde_json::Value, signer: &Signer| Reply {
        status: StatusCode::OK,
        kind: "application/jwt; charset=utf-8",
        body: jose::jwt(&header, claims, signer),
    };
    for (reply, accepted, what) in [
        (Reply::json(&json!({"sub": "bob"})), false, "another sub"),
        (Reply::json(&json!({"email": "a@example.com"})), false, "no sub"),
        (Reply::json(&json!({"sub": ["alice"]})), false, "a sub that is no string"),
        (Reply::json(&json!(["alice"])), false, "no object"),
        (Reply::status(401, &json!({})), false, "refused"),
        (signed(&good, &Signer::Rsa), true, "signed"),
        (signed(&good, &Signer::OtherRsa), false, "signed by another key"),
        (
            Reply {
                body: jose::jwt(
                    &json!({"alg": "RS256", "kid": "rsa1", "typ": "logout+jwt"}),
                    &good,
                    &Signer::Rsa,
                ),
                ..signed(&good, &Signer::Rsa)
            },
            false,
            "a signed token of another kind",
        ),
        (signed(&altered("sub", json!("bob")), &Signer::Rsa), false, "signed, another sub"),
        (signed(&altered("aud", json!("x")), &Signer::Rsa), false, "signed for another client"),
        (signed(&altered("iss", json!("x")), &Signer::Rsa), false, "signed by another issuer"),
        (
            Reply { kind: "application/jwt", ..Reply::json(&json!({"sub": "alice"})) },
            false,
            "JSON that says it is a JWT",
        ),
    ] {
        shop.idp.reply("/userinfo", reply);
        let mut browser = Browser::default();
        let token = |nonce: &str| shop.idp.id_token(nonce, shop.now(), |_| {});
        let answer = shop.log_in(&mut browser, "/", token).await;
        assert_eq!(answer.status == StatusCode::SEE_OTHER, accepted, "{what}");
        assert_eq!(shop.session(&browser).await.is_some(), accepted, "{what}");
    }
}

#[tokio::test]
async fn a_token_response_that_is_no_bearers_is_refused() {
    let shop = Shop::new().await;
    let base = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 60});
    let altered = |name: &str, value: serde_json::Value| {
        let mut response = base.clone();
        response[name] = value;
        response
    };
    for (response, accepted) in [
        (altered("token_type", json!("bearer")), true),
        (altered("expires_in", json!("60")), true),
        (altered("expires_in", json!(null)), true),
        (altered("expires_in", json!(1e300)), true),
        (altered("token_type", json!("DPoP")), false),
        (altered("token_type", json!(null)), false),
        (altered("access_token", json!("")), false),
        (altered("access_token", json!("a\r\nX-User: root")), false),
        (altered("access_token", json!("a b")), false),
        (altered("access_token", json!(7)), false),
        (altered("id_token", json!(null)), false),
        (json!("no object"), false),
    ] {
        let mut browser = Browser::default();
        let begun = browser.begin(&shop, "/").await;
        let mut full = response.clone();
        if let Some(object) = full.as_object_mut() {
            let token = shop.idp.id_token(begun.nonce(), shop.now(), |_| {});
            object.entry("id_token").or_insert(json!(token));
        }
        shop.idp.code("c", Reply::json(&full));
        let reply = browser.come_back(&shop, "c", begun.state()).await;
        assert_eq!(reply.status == StatusCode::SEE_OTHER, accepted, "{response}");
        assert!(!reply.body.contains("X-User"), "{response}");
    }
}
