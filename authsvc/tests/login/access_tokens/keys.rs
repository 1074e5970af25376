//! Who signed it: the provider, by an asymmetric key of its key set, and nobody else.

use proptest::prelude::*;
use serde_json::{Value, json};
use vestibule_authsvc::oidc::BearerError;

use super::{Verifier, access_token, bearer, claims, header};
use crate::idp::{FakeIdp, Reply};
use crate::jose::{self, KEYS, Signer, base64url, jwt};
use crate::site::START;

const TYPES: [&str; 1] = ["at+jwt"];

fn signed(idp: &FakeIdp, alg: &str, kid: Option<&str>, signer: &Signer) -> String {
    let mut header = json!({"alg": alg, "typ": "at+jwt"});
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    jwt(&header, &claims(idp, START), signer)
}

#[tokio::test]
async fn r47_every_algorithm_that_the_provider_announces_serves() {
    let verifier = Verifier::new().await;
    for (alg, kid, signer) in [
        ("RS256", "rsa1", Signer::Rsa),
        ("PS256", "rsa1", Signer::RsaPss),
        ("ES256", "ec1", Signer::Ec),
        ("EdDSA", "ed1", Signer::Ed),
    ] {
        let token = signed(&verifier.idp, alg, Some(kid), &signer);
        let result = verifier.verify(&token, &TYPES).await;
        assert!(result.is_ok(), "{alg}: {result:?}");
    }
    let only_ec = Verifier::new().await;
    only_ec.idp.set_metadata(|m| m["id_token_signing_alg_values_supported"] = json!(["ES256"]));
    let token = access_token(&only_ec.idp, |_| {});
    assert_eq!(only_ec.refusal(&token, &TYPES).await, "its alg is not allowed");
}

#[tokio::test]
async fn r47_none_and_symmetric_algorithms_are_refused_whatever_is_announced() {
    let verifier = Verifier::new().await;
    let announced = json!(["none", "HS256", "HS512", "RS256"]);
    verifier.idp.set_metadata(|m| m["id_token_signing_alg_values_supported"] = announced.clone());
    let modulus = jose::rsa_jwk(&KEYS.rsa, "rsa1")["n"].as_str().unwrap().as_bytes().to_vec();
    for (alg, signer) in [
        ("none", Signer::Fixed(Vec::new())),
        ("None", Signer::Fixed(Vec::new())),
        ("nOnE", Signer::Rsa),
        // The provider's public key, taken for a secret.
        ("HS256", Signer::Hmac(jose::rsa_pem().into_bytes())),
        ("HS256", Signer::Hmac(modulus)),
        ("HS512", Signer::Hmac(Vec::new())),
        ("rs256", Signer::Rsa),
        ("", Signer::Rsa),
        ("RS1", Signer::Rsa),
        ("RSA-OAEP", Signer::Rsa),
        ("PBES2-HS256+A128KW", Signer::Rsa),
    ] {
        let token = signed(&verifier.idp, alg, Some("rsa1"), &signer);
        assert_eq!(verifier.refusal(&token, &TYPES).await, "its alg is not allowed", "{alg}");
    }
}

#[tokio::test]
async fn r47_a_key_serves_for_its_own_algorithm_alone() {
    let verifier = Verifier::new().await;
    for (alg, kid, signer) in [
        ("RS256", Some("ec1"), Signer::Rsa),
        ("ES256", Some("rsa1"), Signer::Ec),
        ("RS256", Some("rsa1"), Signer::RsaPss),
        ("PS256", Some("rsa1"), Signer::Rsa),
        ("RS256", Some("rsa1"), Signer::OtherRsa),
        ("RS256", None, Signer::OtherRsa),
        ("ES256", Some("ec1"), Signer::Fixed(vec![0; 64])),
        ("ES256", Some("ec1"), Signer::Fixed(Vec::new())),
        ("EdDSA", Some("ed1"), Signer::Fixed(vec![0; 64])),
    ] {
        let token = signed(&verifier.idp, alg, kid, &signer);
        let reason = verifier.refusal(&token, &TYPES).await;
        assert!(reason.contains("sign"), "{alg} {kid:?} {signer:?}: {reason}");
    }
}

#[tokio::test]
async fn r47_t100_neither_keys_nor_encodings_that_a_token_brings_are_looked_at() {
    let verifier = Verifier::new().await;
    let own = jose::rsa_jwk(&KEYS.other_rsa, "own");
    for (name, value) in [
        ("jwk", own),
        ("jku", json!(format!("{}/evil", verifier.idp.issuer))),
        ("x5u", json!(format!("{}/evil", verifier.idp.issuer))),
        ("x5c", json!(["MIIB"])),
    ] {
        for kid in ["own", "rsa1"] {
            let mut header = header();
            header[name] = value.clone();
            header["kid"] = json!(kid);
            let token = jwt(&header, &claims(&verifier.idp, START), &Signer::OtherRsa);
            verifier.refusal(&token, &TYPES).await;
        }
    }
    assert!(verifier.idp.seen("/evil").is_empty());
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("cty", json!("JWT")),
        ("b64", json!(false)),
    ] {
        let mut header = header();
        header[name] = value;
        let token = jwt(&header, &claims(&verifier.idp, START), &Signer::Rsa);
        assert_eq!(verifier.refusal(&token, &TYPES).await, format!("its header has {name}"));
    }
}

#[tokio::test]
async fn r47_another_providers_token_is_refused_though_it_has_the_same_keys() {
    let (ours, other) = (Verifier::new().await, Verifier::new().await);
    let token = access_token(&other.idp, |_| {});
    assert!(other.verify(&token, &TYPES).await.is_ok());
    assert_eq!(ours.refusal(&token, &TYPES).await, "it is from another issuer (iss)");
}

#[tokio::test]
async fn r47_t098_a_flood_of_junk_fetches_the_key_set_once_per_interval() {
    let verifier = Verifier::new().await;
    verifier.verify(&access_token(&verifier.idp, |_| {}), &TYPES).await.unwrap();
    verifier.clock.advance(5);
    for attempt in 0..300 {
        let kid = format!("unknown-{attempt}");
        let token = signed(&verifier.idp, "RS256", Some(&kid), &Signer::Fixed(vec![1; 256]));
        let reason = verifier.refusal(&token, &TYPES).await;
        assert_eq!(reason, "it is signed by none of the provider's keys");
    }
    assert_eq!(verifier.idp.seen("/jwks").len(), 2);
    verifier.clock.advance(5);
    // A wrong signature of a key that is known, and claims that nobody's signature would save.
    for attempt in 0_u8..100 {
        let wrong = Signer::Fixed(vec![attempt; 256]);
        let token = signed(&verifier.idp, "RS256", Some("rsa1"), &wrong);
        assert_eq!(verifier.refusal(&token, &TYPES).await, "its signature is not valid");
        let mut expired = claims(&verifier.idp, START - 1000);
        expired["jti"] = json!(attempt);
        let header = json!({"alg": "RS256", "kid": "unknown", "typ": "at+jwt"});
        verifier.refusal(&jwt(&header, &expired, &wrong), &TYPES).await;
    }
    assert_eq!(verifier.idp.seen("/jwks").len(), 2);
}

#[tokio::test]
async fn r47_a_rotated_key_is_found_with_one_fetch() {
    let verifier = Verifier::new().await;
    verifier.verify(&access_token(&verifier.idp, |_| {}), &TYPES).await.unwrap();
    verifier.clock.advance(5);
    let rotated = json!({"keys": [jose::rsa_jwk(&KEYS.other_rsa, "rsa2")]});
    verifier.idp.reply("/jwks", Reply::json(&rotated));
    let token = signed(&verifier.idp, "RS256", Some("rsa2"), &Signer::OtherRsa);
    verifier.verify(&token, &TYPES).await.unwrap();
    assert_eq!(verifier.idp.seen("/jwks").len(), 2);
}

#[tokio::test]
async fn r55_without_keys_nothing_is_said_of_a_token() {
    for path in ["/jwks", "/.well-known/openid-configuration"] {
        let verifier = Verifier::new().await;
        verifier.idp.reply(path, Reply::status(503, &json!({})));
        let token = access_token(&verifier.idp, |_| {});
        let result = verifier.verify(&token, &TYPES).await;
        assert!(matches!(result, Err(BearerError::Unavailable(_))), "{path}: {result:?}");
    }
}

/// A token with one byte changed, taken out, or put in.
fn mutated(token: &str, at: usize, byte: u8, how: u8) -> String {
    let mut bytes = token.as_bytes().to_vec();
    match how {
        0 => bytes[at] = byte,
        1 => drop(bytes.remove(at)),
        _ => bytes.insert(at, byte),
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn r47_a_token_with_a_changed_byte_never_verifies() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (verifier, tokens) = runtime.block_on(async {
        let verifier = Verifier::new().await;
        let tokens = [
            signed(&verifier.idp, "ES256", Some("ec1"), &Signer::Ec),
            signed(&verifier.idp, "RS256", Some("rsa1"), &Signer::Rsa),
        ];
        for token in &tokens {
            // What is remembered of the good one must not serve another.
            verifier.verify(token, &TYPES).await.unwrap();
        }
        (verifier, tokens)
    });
    let policy = bearer(&TYPES);
    let alphabet: Vec<u8> = (b'!'..=b'~').collect();
    proptest!(ProptestConfig::with_cases(1500), |(
        which in 0_usize..2,
        at in any::<prop::sample::Index>(),
        byte in prop::sample::select(alphabet),
        how in 0_u8..3,
    )| {
        let token = &tokens[which];
        let changed = mutated(token, at.index(token.len()), byte, how);
        prop_assume!(changed != *token);
        let result = runtime.block_on(verifier.provider.verify_access_token(&changed, &policy));
        prop_assert!(matches!(result, Err(BearerError::Invalid(_))), "{changed}");
    });
}

#[tokio::test]
async fn r47_claims_of_another_token_do_not_go_with_a_good_signature() {
    let verifier = Verifier::new().await;
    let good = access_token(&verifier.idp, |_| {});
    let parts: Vec<&str> = good.split('.').collect();
    let mut forged: Value = jose::claims(&good);
    forged["scope"] = json!("endpoint:mediate admin");
    let token = format!("{}.{}.{}", parts[0], base64url(forged.to_string()), parts[2]);
    assert_eq!(verifier.refusal(&token, &TYPES).await, "its signature is not valid");
}
