//! `oidcc-client-config-certification-test-plan`, six modules: what a client reads of a provider.

use std::collections::HashMap;

use http::StatusCode;
use http::header::{LOCATION, SET_COOKIE};
use serde_json::{Value, json};
use url::Url;

use super::{WITH_NONE, accepts, announce, asked, asking_user_info, refuses};
use super::{refuses_unsigned, returns_with_session, signed};
use crate::idp::{ACCESS_TOKEN, Reply};
use crate::jose::{self, KEYS, Signer, rsa_jwk};
use crate::site::{Begun, Browser, START, Shop};

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// How long a key set serves before a newer one may be asked for, in seconds (T-98).
const BETWEEN_KEY_SETS: u64 = 5;

/// The key after the rotation: its set, its header, and what signs with it.
fn rotated() -> (Reply, Value, Signer) {
    let keys = json!({"keys": [rsa_jwk(&KEYS.other_rsa, "rsa2")]});
    (Reply::json(&keys), json!({"alg": "RS256", "kid": "rsa2"}), Signer::OtherRsa)
}

async fn accepts_by_old_key(shop: &Shop) {
    accepts(shop, |nonce| shop.idp.id_token(nonce, shop.now(), |_| {})).await;
}

#[tokio::test]
async fn oidcc_client_test_discovery_openid_config() {
    let shop = asking_user_info().await;
    let issuer = shop.idp.issuer.clone();
    // Everything is where only the document says.
    shop.idp.set_metadata(|metadata| {
        for (field, path) in [
            ("authorization_endpoint", "sign-in/q7"),
            ("token_endpoint", "redeem/x1"),
            ("jwks_uri", "keys/k4"),
            ("userinfo_endpoint", "whois/z9"),
        ] {
            metadata[field] = json!(format!("{issuer}/{path}"));
        }
    });
    shop.idp.reply("/keys/k4", Reply::json(&jose::jwks()));
    shop.idp.reply("/whois/z9", Reply::json(&json!({"sub": "alice", "groups": ["staff"]})));

    let mut browser = Browser::default();
    let reply = browser.navigate(&shop, "/bff/login?rd=/").await;
    let url = Url::parse(reply.location()).unwrap();
    assert!(url.as_str().starts_with(&format!("{issuer}/sign-in/q7?")), "{url}");
    let parameters: HashMap<_, _> = url.query_pairs().into_owned().collect();
    let begun = Begun { parameters };
    let id_token = shop.idp.id_token(begun.nonce(), START, |_| {});
    let tokens = json!({
        "access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 300,
        "id_token": id_token,
    });
    shop.idp.reply("/redeem/x1", Reply::json(&tokens));
    let reply = browser.come_back(&shop, "c", begun.state()).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    assert_eq!(shop.session(&browser).await.unwrap().subject, "alice");
    for path in [DISCOVERY, "/redeem/x1", "/keys/k4", "/whois/z9"] {
        assert_eq!(asked(&shop, path), 1, "{path}");
    }
    for path in ["/token", "/jwks", "/userinfo"] {
        assert_eq!(asked(&shop, path), 0, "{path}");
    }
}

#[tokio::test]
async fn oidcc_client_test_discovery_jwks_uri_keys() {
    let shop = asking_user_info().await;
    let issuer = shop.idp.issuer.clone();
    shop.idp.set_metadata(|metadata| {
        metadata["jwks_uri"] = json!(format!("{issuer}/jwks-4711"));
    });
    let (keys, header, signer) = rotated();
    shop.idp.reply("/jwks-4711", keys);
    accepts(&shop, |nonce| signed(&shop, nonce, &header, &signer)).await;
    // A key that is only where key sets usually are is not the provider's.
    refuses(&shop, |nonce| shop.idp.id_token(nonce, START, |_| {})).await;
    assert_eq!((asked(&shop, "/jwks-4711"), asked(&shop, "/jwks")), (1, 0));
}

#[tokio::test]
async fn oidcc_client_test_discovery_issuer_mismatch() {
    let shop = asking_user_info().await;
    let issuer = shop.idp.issuer.clone();
    for other in [format!("{issuer}/"), format!("{issuer}/invalid"), "https://evil.example".into()]
    {
        shop.idp.set_metadata(|metadata| metadata["issuer"] = json!(other));
        let before = asked(&shop, DISCOVERY);
        let reply = Browser::default().navigate(&shop, "/bff/login?rd=/").await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{other}");
        assert!(!reply.headers.contains_key(LOCATION), "{other}: nobody is sent there");
        assert!(!reply.headers.contains_key(SET_COOKIE), "{other}");
        assert_eq!(asked(&shop, DISCOVERY), before + 1, "{other}");
        shop.clock.advance(1);
    }
    assert_eq!((asked(&shop, "/token"), asked(&shop, "/jwks")), (0, 0));
    shop.idp.set_metadata(|_| {});
    accepts_by_old_key(&shop).await;
}

/// Of both plans; see `basic`. Here the provider's document is the only thing that speaks for it.
#[tokio::test]
async fn oidcc_client_test_idtoken_sig_none() {
    for announced in WITH_NONE {
        refuses_unsigned(announced).await;
    }
    // And it does not spoil what is signed.
    let shop = asking_user_info().await;
    announce(&shop.idp, WITH_NONE[1]);
    accepts_by_old_key(&shop).await;
}

#[tokio::test]
async fn oidcc_client_test_signing_key_rotation_just_before_signing() {
    for keys_known_before in [false, true] {
        let shop = asking_user_info().await;
        if keys_known_before {
            accepts_by_old_key(&shop).await;
            shop.clock.advance(BETWEEN_KEY_SETS);
        }
        let mut browser = Browser::default();
        let begun = browser.begin(&shop, "/").await;
        let (keys, header, signer) = rotated();
        shop.idp.reply("/jwks", keys);
        let token = signed(&shop, begun.nonce(), &header, &signer);
        returns_with_session(&shop, &mut browser, &begun, &token).await;
        assert_eq!(asked(&shop, "/jwks"), 1 + usize::from(keys_known_before));
        // The old key is the provider's no more.
        refuses(&shop, |nonce| shop.idp.id_token(nonce, shop.now(), |_| {})).await;
    }
}

#[tokio::test]
async fn oidcc_client_test_signing_key_rotation() {
    let shop = asking_user_info().await;
    accepts_by_old_key(&shop).await;
    let (keys, header, signer) = rotated();
    shop.idp.reply("/jwks", keys);
    // Whoever makes up key ids must not make us hammer the provider: the pause is for all.
    shop.clock.advance(BETWEEN_KEY_SETS - 1);
    refuses(&shop, |nonce| signed(&shop, nonce, &header, &signer)).await;
    assert_eq!(asked(&shop, "/jwks"), 1);
    shop.clock.advance(1);
    accepts(&shop, |nonce| signed(&shop, nonce, &header, &signer)).await;
    assert_eq!(asked(&shop, "/jwks"), 2);
}
