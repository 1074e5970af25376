//! Discovery and keys: what is fetched, how often, and from where never.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use vestibule_authsvc::clock::{ManualClock, Timestamp};
use vestibule_authsvc::oidc::{OidcError, Providers};
use vestibule_authsvc::random::SystemRandom;
use vestibule_policy::model::PolicyId;

use crate::idp::{FakeIdp, Reply};
use crate::jose::{self, KEYS, Signer};
use crate::site::{START, Shop, provider, provider_config};
use crate::tokens::redeem;

const DISCOVERY: &str = "/.well-known/openid-configuration";

async fn idp_and_clock() -> (FakeIdp, Arc<ManualClock>) {
    (FakeIdp::start().await, Arc::new(ManualClock::new(Timestamp(START))))
}

#[tokio::test]
async fn many_callers_cause_one_discovery() {
    let (idp, clock) = idp_and_clock().await;
    let provider = provider(&idp.issuer, &clock);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let provider = Arc::clone(&provider);
        calls.spawn(
            async move { provider.metadata().await.map(|metadata| metadata.issuer.clone()) },
        );
    }
    while let Some(result) = calls.join_next().await {
        assert_eq!(result.unwrap().unwrap(), idp.issuer);
    }
    assert_eq!(idp.seen(DISCOVERY).len(), 1);
}

#[tokio::test]
async fn a_discovery_that_fails_is_tried_again_but_not_at_once() {
    let (idp, clock) = idp_and_clock().await;
    idp.reply(DISCOVERY, Reply::status(503, &json!({})));
    let provider = provider(&idp.issuer, &clock);
    for _ in 0..50 {
        assert!(matches!(provider.metadata().await, Err(OidcError::Unavailable(_))));
    }
    assert_eq!(idp.seen(DISCOVERY).len(), 1);
    idp.set_metadata(|_| {});
    clock.advance(1);
    assert!(provider.metadata().await.is_ok());
}

#[tokio::test]
async fn metadata_is_refreshed_every_hour_and_serves_on_while_that_fails() {
    let (idp, clock) = idp_and_clock().await;
    let provider = provider(&idp.issuer, &clock);
    provider.metadata().await.unwrap();
    clock.advance(3599);
    provider.metadata().await.unwrap();
    assert_eq!(idp.seen(DISCOVERY).len(), 1);
    clock.advance(1);
    idp.reply(DISCOVERY, Reply::status(503, &json!({})));
    for _ in 0..10 {
        provider.metadata().await.unwrap();
    }
    assert_eq!(idp.seen(DISCOVERY).len(), 2);
    clock.advance(60);
    let issuer = idp.issuer.clone();
    idp.set_metadata(|m| m["end_session_endpoint"] = json!(format!("{issuer}/end")));
    let metadata = provider.metadata().await.unwrap();
    assert_eq!(metadata.end_session_endpoint, Some(format!("{issuer}/end")));
}

#[tokio::test]
async fn the_discovery_document_must_be_of_the_very_issuer() {
    let (idp, clock) = idp_and_clock().await;
    for issuer in [
        format!("{}/", idp.issuer),
        idp.issuer.to_uppercase(),
        "https://evil.example".to_owned(),
        String::new(),
    ] {
        idp.set_metadata(|metadata| metadata["issuer"] = json!(issuer));
        let result = provider(&idp.issuer, &clock).metadata().await;
        assert!(matches!(result, Err(OidcError::Unusable(_))), "{issuer}");
    }
    // An issuer that ends with a slash keeps it, and its document is found all the same.
    let with_slash = format!("{}/", idp.issuer);
    idp.set_metadata(|metadata| metadata["issuer"] = json!(with_slash));
    assert!(provider(&with_slash, &clock).metadata().await.is_ok());
}

#[tokio::test]
async fn t084_no_endpoint_leads_to_plain_http_or_to_addresses_that_only_we_can_reach() {
    let (idp, clock) = idp_and_clock().await;
    for field in [
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "userinfo_endpoint",
        "pushed_authorization_request_endpoint",
        "end_session_endpoint",
        "revocation_endpoint",
    ] {
        for url in [
            "http://id.example.com/x",
            "ftp://id.example.com/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[fe80::1]/x",
            "https://[::ffff:169.254.169.254]/x",
            "https://[fd00:ec2::254]/x",
            "https://0.0.0.0/x",
            "https://2852039166/x",
            "https://user@id.example.com/x",
            "https://id.example.com/x#y",
            "javascript:alert(1)",
            "/relative",
            "",
        ] {
            idp.set_metadata(|metadata| metadata[field] = json!(url));
            let result = provider(&idp.issuer, &clock).metadata().await;
            let Err(OidcError::Unusable(message)) = result else { panic!("{field} {url}") };
            assert!(message.contains(field), "{message}");
        }
    }
}

#[tokio::test]
async fn t084_an_issuer_that_may_not_be_asked_is_refused_before_anything_is_fetched() {
    let clock = Arc::new(ManualClock::new(Timestamp(START)));
    let providers = Providers::new(clock, Arc::new(SystemRandom));
    for issuer in [
        "http://id.example.com",
        "https://169.254.169.254",
        "https://[fe80::1]",
        "https://user@id.example.com",
        "https://id.example.com/?x",
        "https://id.example.com/#x",
        "id.example.com",
        "",
    ] {
        let error = providers.get(&provider_config(issuer)).err().unwrap();
        assert!(error.starts_with("issuer: "), "{error}");
    }
    let mut insecure = provider_config("http://id.example.com");
    insecure.allow_insecure = true;
    assert!(providers.get(&insecure).is_ok());
    let good = provider_config("https://id.example.com");
    let first = providers.get(&good).unwrap();
    assert!(Arc::ptr_eq(&first, &providers.get(&good).unwrap()));
    let by = PolicyId { namespace: "default".to_owned(), name: "shop".to_owned() };
    providers.used(&Arc::new(by.clone()), &first);
    providers.left(&by, &first);
    assert!(!Arc::ptr_eq(&first, &providers.get(&good).unwrap()));
}

#[tokio::test]
async fn t084_redirects_are_not_followed() {
    let (idp, clock) = idp_and_clock().await;
    let target = format!("{}/elsewhere", idp.issuer);
    let redirect = Reply { status: StatusCode::FOUND, kind: "text/plain", body: target };
    idp.reply(DISCOVERY, redirect);
    assert!(provider(&idp.issuer, &clock).metadata().await.is_err());
    assert!(idp.seen("/elsewhere").is_empty());
}

#[tokio::test]
async fn t084_a_body_of_more_than_a_mebibyte_is_not_read() {
    let (idp, clock) = idp_and_clock().await;
    idp.set_metadata(|metadata| metadata["padding"] = json!("x".repeat((1 << 20) + 1)));
    let result = provider(&idp.issuer, &clock).metadata().await;
    assert!(matches!(result, Err(OidcError::Unavailable(_))));
}

#[tokio::test]
async fn a_provider_that_never_answers_is_given_up_in_its_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = provider_config(&format!("http://{}", listener.local_addr().unwrap()));
    config.request_timeout = std::time::Duration::from_millis(200);
    let clock = Arc::new(ManualClock::new(Timestamp(START)));
    let provider = Providers::new(clock, Arc::new(SystemRandom)).get(&config).unwrap();
    assert!(matches!(provider.metadata().await, Err(OidcError::Unavailable(_))));
}

/// A token signed by a key of this `kid`, which no key set has.
fn unknown_kid(idp: &FakeIdp, nonce: &str, kid: &str) -> String {
    let header = json!({"alg": "RS256", "kid": kid});
    jose::jwt(&header, &idp.claims(nonce, START), &Signer::OtherRsa)
}

#[tokio::test]
async fn t098_a_flood_of_unknown_keys_fetches_the_key_set_once_per_interval() {
    let (idp, clock) = idp_and_clock().await;
    let provider = provider(&idp.issuer, &clock);
    for attempt in 0..1000 {
        let token = unknown_kid(&idp, "n", &format!("unknown-{attempt}"));
        let result = redeem(&provider, &idp, &token).await;
        assert!(matches!(result, Err(OidcError::Token(_))), "{result:?}");
    }
    assert_eq!(idp.seen("/jwks").len(), 1, "the first fetch was just now");
    for round in 0_usize..3 {
        clock.advance(5);
        for attempt in 0..5 {
            let token = unknown_kid(&idp, "n", &format!("later-{attempt}"));
            assert!(redeem(&provider, &idp, &token).await.is_err());
        }
        assert_eq!(idp.seen("/jwks").len(), 2 + round);
    }
}

#[tokio::test]
async fn t098_an_unknown_key_fails_closed_while_the_key_set_cannot_be_fetched() {
    let (idp, clock) = idp_and_clock().await;
    let provider = provider(&idp.issuer, &clock);
    redeem(&provider, &idp, &idp.id_token("n", START, |_| {})).await.unwrap();
    clock.advance(5);
    idp.reply("/jwks", Reply::status(500, &json!({})));
    for _ in 0..3 {
        let token = unknown_kid(&idp, "n", "rotated");
        let result = redeem(&provider, &idp, &token).await;
        assert!(matches!(result, Err(OidcError::Unavailable(_))), "{result:?}");
    }
    // What is known serves on, and the flood did not reach the provider.
    redeem(&provider, &idp, &idp.id_token("n", START, |_| {})).await.unwrap();
    assert_eq!(idp.seen("/jwks").len(), 2);
}

#[tokio::test]
async fn without_any_key_set_there_is_no_login() {
    let (idp, clock) = idp_and_clock().await;
    let token = idp.id_token("n", START, |_| {});
    for reply in [
        Reply::status(500, &json!({})),
        Reply::status(404, &json!({})),
        Reply::json(&json!({})),
        Reply::json(&json!({"keys": []})),
        Reply::json(&json!({"keys": [{"kty": "oct", "kid": "rsa1", "k": "AAAA"}]})),
        Reply::json(&Value::Null),
    ] {
        idp.reply("/jwks", reply);
        assert!(redeem(&provider(&idp.issuer, &clock), &idp, &token).await.is_err());
    }
}

#[tokio::test]
async fn a_rotated_key_is_found_without_a_restart() {
    let shop = Shop::new().await;
    let (idp, clock) = (shop.idp.clone(), Arc::clone(&shop.clock));
    let provider = provider(&idp.issuer, &clock);
    redeem(&provider, &idp, &idp.id_token("n", START, |_| {})).await.unwrap();
    clock.advance(5);
    idp.reply("/jwks", Reply::json(&json!({"keys": [jose::rsa_jwk(&KEYS.other_rsa, "rsa2")]})));
    let header = json!({"alg": "RS256", "kid": "rsa2"});
    let rotated = jose::jwt(&header, &idp.claims("n", START), &Signer::OtherRsa);
    redeem(&provider, &idp, &rotated).await.unwrap();
}

#[tokio::test]
async fn a_provider_without_key_ids_rotates_by_exchanging_its_one_key() {
    let (idp, clock) = idp_and_clock().await;
    let one = |key| {
        let mut jwk = jose::rsa_jwk(key, "");
        jwk.as_object_mut().unwrap().remove("kid");
        Reply::json(&json!({"keys": [jwk]}))
    };
    let token = |signer| jose::jwt(&json!({"alg": "RS256"}), &idp.claims("n", START), signer);
    idp.reply("/jwks", one(&KEYS.rsa));
    let provider = provider(&idp.issuer, &clock);
    redeem(&provider, &idp, &token(&Signer::Rsa)).await.unwrap();
    clock.advance(5);
    idp.reply("/jwks", one(&KEYS.other_rsa));
    redeem(&provider, &idp, &token(&Signer::OtherRsa)).await.unwrap();
    assert_eq!(idp.seen("/jwks").len(), 2);
}

#[tokio::test]
async fn t098_a_bad_signature_under_a_known_key_id_fetches_nothing() {
    let (idp, clock) = idp_and_clock().await;
    let provider = provider(&idp.issuer, &clock);
    redeem(&provider, &idp, &idp.id_token("n", START, |_| {})).await.unwrap();
    clock.advance(5);
    for _ in 0..3 {
        let result = redeem(&provider, &idp, &unknown_kid(&idp, "n", "rsa1")).await;
        let Err(OidcError::Token(reason)) = result else { panic!("{result:?}") };
        assert_eq!(reason, "its signature is not valid");
    }
    assert_eq!(idp.seen("/jwks").len(), 1);
}
