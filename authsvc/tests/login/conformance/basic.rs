//! `oidcc-client-basic-certification-test-plan`, fourteen modules, for the code flow.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use secrecy::SecretString;
use serde_json::{Value, json};
use vestibule_policy::model::{ClientAuthMethod, Credential};

use super::{WITH_NONE, accepts, announce, asked, asking_user_info, refuses};
use super::{refuses_altered, refuses_unsigned, returns_with_session, signed};
use crate::idp::{Reply, Seen};
use crate::jose::{KEYS, Signer, rsa_jwk};
use crate::site::{Browser, ORIGIN, START, Shop};

/// `shop` and its secret, each form-encoded (RFC 6749, section 2.3.1).
fn basic() -> String {
    format!("Basic {}", STANDARD.encode("shop:s3cret%2F%2B+value"))
}

/// Two different keys of one kind that have no `kid`.
fn keys_without_ids() -> [Value; 2] {
    [&KEYS.rsa, &KEYS.other_rsa].map(|key| {
        let mut jwk = rsa_jwk(key, "");
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    })
}

/// Asks of the token endpoint what one login asked.
async fn redeemed(shop: &Shop) -> Seen {
    accepts(shop, |nonce| shop.idp.id_token(nonce, START, |_| {})).await;
    shop.idp.seen("/token").pop().unwrap()
}

#[tokio::test]
async fn oidcc_client_test() {
    let shop = asking_user_info().await;
    let mut browser = Browser::default();
    let begun = browser.begin(&shop, "/").await;
    let sent = &begun.parameters;
    assert_eq!(sent["response_type"], "code");
    assert_eq!(sent["client_id"], "shop");
    assert_eq!(sent["redirect_uri"], format!("{ORIGIN}/bff/callback"));
    assert!(sent["scope"].split(' ').any(|scope| scope == "openid"), "{}", sent["scope"]);
    assert!(!sent["state"].is_empty() && !sent["nonce"].is_empty());
    assert!(!sent.contains_key("response_mode"), "the default of the response type");

    let token = shop.idp.id_token(begun.nonce(), START, |_| {});
    returns_with_session(&shop, &mut browser, &begun, &token).await;
    let [redeemed] = &shop.idp.seen("/token")[..] else { panic!("one request") };
    assert_eq!(redeemed.one("grant_type"), Some("authorization_code"));
    assert_eq!(redeemed.one("code"), Some("good"));
    assert_eq!(redeemed.one("redirect_uri"), Some(sent["redirect_uri"].as_str()));
    assert_eq!(redeemed.authorization, Some(basic()));
    for path in ["/.well-known/openid-configuration", "/jwks", "/userinfo"] {
        assert_eq!(asked(&shop, path), 1, "{path}");
    }
}

#[tokio::test]
async fn oidcc_client_test_invalid_iss() {
    refuses_altered(|claims| claims["iss"] = json!("https://evil.example")).await;
    refuses_altered(|claims| {
        claims["iss"] = json!(format!("{}/", claims["iss"].as_str().unwrap()));
    })
    .await;
}

#[tokio::test]
async fn oidcc_client_test_missing_sub() {
    refuses_altered(|claims| drop(claims.as_object_mut().unwrap().remove("sub"))).await;
}

#[tokio::test]
async fn oidcc_client_test_invalid_aud() {
    refuses_altered(|claims| claims["aud"] = json!("shop1")).await;
    refuses_altered(|claims| claims["aud"] = json!(["bank"])).await;
    refuses_altered(|claims| claims["aud"] = json!(["shop", "bank"])).await;
}

#[tokio::test]
async fn oidcc_client_test_missing_iat() {
    refuses_altered(|claims| drop(claims.as_object_mut().unwrap().remove("iat"))).await;
}

#[tokio::test]
async fn oidcc_client_test_kid_absent_single_jwks() {
    let shop = asking_user_info().await;
    let [key, _] = keys_without_ids();
    shop.idp.reply("/jwks", Reply::json(&json!({"keys": [key]})));
    accepts(&shop, |nonce| signed(&shop, nonce, &json!({"alg": "RS256"}), &Signer::Rsa)).await;
    // The one key is tried, and nothing is taken on trust.
    refuses(&shop, |nonce| signed(&shop, nonce, &json!({"alg": "RS256"}), &Signer::OtherRsa)).await;
}

/// A client may try every key or refuse the token. Ours refuses: which key signed is not for a token
/// to leave open (Core, section 10.1: with several keys there must be a `kid`).
#[tokio::test]
async fn oidcc_client_test_kid_absent_multiple_jwks() {
    let shop = asking_user_info().await;
    shop.idp.reply("/jwks", Reply::json(&json!({"keys": keys_without_ids()})));
    for signer in [Signer::Rsa, Signer::OtherRsa] {
        refuses(&shop, |nonce| signed(&shop, nonce, &json!({"alg": "RS256"}), &signer)).await;
    }
    // With their names both are good: the missing name was all that was wrong.
    let shop = asking_user_info().await;
    let keys = json!({"keys": [rsa_jwk(&KEYS.rsa, "1"), rsa_jwk(&KEYS.other_rsa, "2")]});
    shop.idp.reply("/jwks", Reply::json(&keys));
    for (kid, signer) in [("1", Signer::Rsa), ("2", Signer::OtherRsa)] {
        let header = json!({"alg": "RS256", "kid": kid});
        accepts(&shop, |nonce| signed(&shop, nonce, &header, &signer)).await;
    }
}

#[tokio::test]
async fn oidcc_client_test_idtoken_sig_rs256() {
    let shop = asking_user_info().await;
    announce(&shop.idp, &["RS256"]);
    let header = json!({"alg": "RS256", "kid": "rsa1"});
    accepts(&shop, |nonce| signed(&shop, nonce, &header, &Signer::Rsa)).await;
    // What is verified is what was announced: another algorithm of the same key is none of it.
    let header = json!({"alg": "PS256", "kid": "rsa1"});
    refuses(&shop, |nonce| signed(&shop, nonce, &header, &Signer::RsaPss)).await;
}

/// A client may accept or refuse what is not signed. Ours refuses (RFC 8725, section 3.1): the token
/// would be worth no more than the connection, which a header of the token must not decide.
#[tokio::test]
async fn oidcc_client_test_idtoken_sig_none() {
    for announced in WITH_NONE {
        refuses_unsigned(announced).await;
    }
}

#[tokio::test]
async fn oidcc_client_test_invalid_sig_rs256() {
    let shop = asking_user_info().await;
    announce(&shop.idp, &["RS256"]);
    shop.idp.reply("/jwks", Reply::json(&json!({"keys": [rsa_jwk(&KEYS.rsa, "rsa1")]})));
    let good = |nonce: &str| shop.idp.id_token(nonce, START, |_| {});
    accepts(&shop, good).await;
    refuses(&shop, |nonce| {
        let token = good(nonce);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for byte in &mut signature {
            *byte ^= 0x5a;
        }
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    })
    .await;
}

#[tokio::test]
async fn oidcc_client_test_userinfo_invalid_sub() {
    let shop = asking_user_info().await;
    let good = |nonce: &str| shop.idp.id_token(nonce, START, |_| {});
    accepts(&shop, good).await;
    let other = json!({"sub": "alice1", "groups": ["staff"]});
    shop.idp.reply("/userinfo", Reply::json(&other));
    let mut browser = Browser::default();
    let reply = shop.log_in(&mut browser, "/", good).await;
    assert_eq!(asked(&shop, "/userinfo"), 2);
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.is_page_without_redirect() && browser.cookies.is_empty());
}

#[tokio::test]
async fn oidcc_client_test_nonce_invalid() {
    refuses_altered(|claims| {
        claims["nonce"] = json!(format!("{}1", claims["nonce"].as_str().unwrap()));
    })
    .await;
    // That of another login of the same app counts no more.
    let shop = asking_user_info().await;
    let other = Browser::default().begin(&shop, "/").await;
    refuses(&shop, |_| shop.idp.id_token(other.nonce(), START, |_| {})).await;
}

#[tokio::test]
async fn oidcc_client_test_scope_userinfo_claims() {
    let scopes = ["openid", "profile", "email", "phone", "address"];
    let shop = Shop::with(|policy| {
        policy.login.scopes = scopes.map(str::to_owned).to_vec();
        policy.login.user_info = true;
    })
    .await;
    // What each scope stands for (Core, section 5.4), and what no scope can add.
    let said = json!({
        "name": "Alice A.", "phone_number": "+49 30 1", "phone_number_verified": true,
        "address": {"country": "DE"}, "email_verified": true,
    });
    let mut info = said.clone();
    info["sub"] = json!("alice");
    info["email"] = json!("other@example.com");
    shop.idp.reply("/userinfo", Reply::json(&info));
    let mut browser = Browser::default();
    let begun = browser.begin(&shop, "/").await;
    assert_eq!(begun.parameters["scope"], scopes.join(" "));
    shop.idp.grant("c", &shop.idp.id_token(begun.nonce(), START, |_| {}));
    let reply = browser.come_back(&shop, "c", begun.state()).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    let session = shop.session(&browser).await.unwrap();
    for (name, value) in said.as_object().unwrap() {
        assert_eq!(session.claims.get(name), Some(value), "{name}");
    }
    assert_eq!(session.claims["email"], "alice@example.com", "the signed statement stays");
}

#[tokio::test]
async fn oidcc_client_test_client_secret_basic() {
    let info = Reply::json(&json!({"sub": "alice", "groups": ["staff"]}));
    for (method, announced) in [
        (Some(ClientAuthMethod::ClientSecretBasic), json!(["client_secret_post"])),
        (None, json!(["client_secret_basic"])),
        (None, json!(null)),
    ] {
        let shop = Shop::with(|policy| {
            let value = SecretString::from("s3cret/+ value");
            policy.client.credential = Credential::Secret { method, value };
            policy.login.user_info = true;
        })
        .await;
        shop.idp.reply("/userinfo", info.clone());
        shop.idp.set_metadata(|metadata| {
            metadata["token_endpoint_auth_methods_supported"] = announced.clone();
        });
        let seen = redeemed(&shop).await;
        assert_eq!(seen.authorization, Some(basic()), "{announced}");
        for name in ["client_secret", "client_assertion", "client_assertion_type"] {
            assert_eq!(seen.one(name), None, "{announced}");
        }
    }
}
