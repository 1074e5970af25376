//! Identity JWTs, verified by another implementation of JWS and JWK (the `jsonwebtoken` crate).

use std::collections::HashSet;

use jsonwebtoken::jwk::{JwkSet, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::zeroize::Zeroizing;

use super::*;
use crate::random::SystemRandom;

const ORIGIN: &str = "https://shop.example";
const NOW: Timestamp = Timestamp(1_700_000_000);

fn keyring(ids: &[&str]) -> Keyring {
    let entry = |id: &&str| {
        let secret = digest(&SHA256, id.as_bytes());
        let secret = base64::engine::general_purpose::STANDARD.encode(secret);
        format!("{{id: {id}, secret: {secret}}}")
    };
    let entries: Vec<String> = ids.iter().map(entry).collect();
    Keyring::parse(&format!("keys: [{}]", entries.join(", "))).expect("the keyring parses")
}

fn session() -> Session {
    let claims = json!({
        "sub": "claimed", "iss": "claimed", "aud": "claimed", "exp": 1, "nbf": 1, "iat": 1,
        "jti": "claimed", "email": "ada@example.com", "groups": ["staff", "ops"], "secret": "hidden",
    });
    Session {
        subject: "ada".to_owned(),
        issuer: "https://id.example".to_owned(),
        provider_session: None,
        id_token: Token::new("canary-id-token"),
        id_token_expires_at: NOW,
        access_token: Token::new("canary-access-token"),
        access_token_expires_at: None,
        refresh_token: None,
        tokens_issued_at: NOW,
        nonce: None,
        claims: claims.as_object().expect("an object").clone().into(),
        acr: None,
        auth_time: NOW,
        created_at: NOW,
        touched_at: NOW,
        grant: None,
    }
}

fn jwks(signer: &IdentitySigner) -> JwkSet {
    serde_json::from_str(signer.jwks()).expect("the JWKS parses")
}

/// Verifies with the key that the header names, as an app would.
fn verify(token: &Token, keys: &JwkSet) -> Option<Value> {
    let header = decode_header(token.expose()).expect("the header parses");
    let jwk = keys.find(&header.kid.expect("there is a kid"))?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.set_audience(&["shop"]);
    validation.set_issuer(&[ORIGIN]);
    let key = DecodingKey::from_jwk(jwk).expect("the key is good");
    decode(token.expose(), &key, &validation).ok().map(|verified| verified.claims)
}

fn sign(signer: &IdentitySigner, claims: &[&str]) -> Token {
    let claims: Vec<String> = claims.iter().map(|name| (*name).to_owned()).collect();
    signer.sign(ORIGIN, "shop", &session(), &claims, NOW)
}

#[test]
fn a_jwt_says_who_for_whom_and_for_sixty_seconds_and_no_more_than_was_asked() {
    let signer = IdentitySigner::new(&keyring(&["k1"]), "default/shop");
    let token = sign(&signer, &["email", "groups", "absent"]);
    let header = decode_header(token.expose()).expect("the header parses");
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::ES256, Some("JWT")));
    let expected = json!({
        "iss": ORIGIN, "aud": "shop", "sub": "ada", "iat": NOW.0, "exp": NOW.0 + 60,
        "email": "ada@example.com", "groups": ["staff", "ops"],
    });
    assert_eq!(verify(&token, &jwks(&signer)), Some(expected));
}

#[test]
fn claims_never_override_the_registered_ones() {
    let signer = IdentitySigner::new(&keyring(&["k1"]), "default/shop");
    let token = sign(&signer, &["sub", "iss", "aud", "exp", "nbf", "iat", "jti"]);
    let expected =
        json!({"iss": ORIGIN, "aud": "shop", "sub": "ada", "iat": NOW.0, "exp": NOW.0 + 60});
    assert_eq!(verify(&token, &jwks(&signer)), Some(expected));
}

#[test]
fn an_altered_jwt_does_not_verify() {
    let signer = IdentitySigner::new(&keyring(&["k1"]), "default/shop");
    let token = sign(&signer, &[]);
    let (head, signature) = token.expose().rsplit_once('.').expect("three parts");
    let (header, payload) = head.split_once('.').expect("three parts");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    let payload = String::from_utf8(payload).expect("UTF-8").replace("ada", "eve");
    let forged = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(payload));
    assert_eq!(verify(&Token::new(forged), &jwks(&signer)), None);
}

#[test]
fn t019_policies_have_different_keys() {
    let keyring = keyring(&["k1", "k2"]);
    let mut ids = HashSet::new();
    for uid in ["default/shop", "default/desk", "other/shop"] {
        for jwk in jwks(&IdentitySigner::new(&keyring, uid)).keys {
            assert!(ids.insert(jwk.common.key_id.expect("there is a kid")), "{uid} shares a key");
        }
    }
    let [shop, desk] =
        ["default/shop", "default/desk"].map(|uid| IdentitySigner::new(&keyring, uid));
    assert_eq!(verify(&sign(&shop, &[]), &jwks(&desk)), None);
}

#[test]
fn t073_the_active_key_signs_and_comes_first_and_retired_ones_still_verify() {
    let before = IdentitySigner::new(&keyring(&["k1"]), "default/shop");
    let rotated = IdentitySigner::new(&keyring(&["k2", "k1"]), "default/shop");
    let removed = IdentitySigner::new(&keyring(&["k2"]), "default/shop");
    let published = jwks(&rotated);
    assert_eq!(published.keys.len(), 2);
    let kid = decode_header(sign(&rotated, &[]).expose()).expect("the header parses").kid;
    assert_eq!(published.keys[0].common.key_id, kid);
    let old = sign(&before, &[]);
    assert!(verify(&old, &published).is_some());
    assert!(verify(&old, &jwks(&removed)).is_none());
    assert!(verify(&sign(&rotated, &[]), &jwks(&removed)).is_some());
}

#[test]
fn every_replica_derives_the_same_keys_with_thumbprints_as_ids() {
    let [one, other] =
        [(); 2].map(|()| IdentitySigner::new(&keyring(&["k1", "k2"]), "default/shop"));
    assert_eq!(one.jwks(), other.jwks());
    for jwk in jwks(&one).keys {
        assert_eq!(jwk.common.key_id, jwk.thumbprint(ThumbprintHash::SHA256).ok());
    }
}

#[test]
fn the_jwks_holds_public_members_only() {
    let signer = IdentitySigner::new(&Keyring::ephemeral(&SystemRandom), "default/shop");
    let jwks: Value = serde_json::from_str(signer.jwks()).expect("the JWKS parses");
    let key = jwks["keys"][0].as_object().expect("an object");
    let members: Vec<&str> = key.keys().map(String::as_str).collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
}

#[test]
fn what_is_no_scalar_of_the_group_is_passed_over() {
    /// The order of P-256 (FIPS 186-5, via SEC 2, 2.4.2).
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63,
        0x25, 0x51,
    ];
    let mut greatest = ORDER;
    greatest[31] -= 1;
    let mut one = [0; 32];
    one[31] = 1;
    for (scalar, good) in
        [([0; 32], false), ([0xff; 32], false), (ORDER, false), (greatest, true), (one, true)]
    {
        assert_eq!(SigningKey::from_scalar(&Zeroizing::new(scalar)).is_some(), good, "{scalar:?}");
    }
}
