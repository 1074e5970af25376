//! What is remembered of a token that passed.

use std::sync::Arc;

use serde_json::json;

use super::{Verifier, access_token, bearer};
use crate::idp::Reply;
use crate::jose::{self, KEYS};

const TYPES: [&str; 1] = ["at+jwt"];

#[tokio::test]
async fn a_token_is_verified_once_a_minute() {
    let verifier = Verifier::new().await;
    let token = access_token(&verifier.idp, |_| {});
    let first = verifier.verify(&token, &TYPES).await.unwrap();
    // The provider takes its key back.
    let others = json!({"keys": [jose::rsa_jwk(&KEYS.other_rsa, "rsa2")]});
    verifier.idp.reply("/jwks", Reply::json(&others));
    verifier.clock.advance(59);
    let again = verifier.verify(&token, &TYPES).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(verifier.idp.seen("/jwks").len(), 1);
    verifier.clock.advance(1);
    let anew = verifier.verify(&token, &TYPES).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &anew), "verified anew, by the keys at hand");
}

#[tokio::test]
async fn r47_a_token_is_not_remembered_beyond_its_end() {
    let verifier = Verifier::new().await;
    let token = access_token(&verifier.idp, |claims| {
        claims["exp"] = json!(crate::site::START + 20);
    });
    verifier.verify(&token, &TYPES).await.unwrap();
    // Ten seconds more, as with every token.
    for _ in 0..29 {
        verifier.clock.advance(1);
        verifier.verify(&token, &TYPES).await.unwrap();
    }
    verifier.clock.advance(1);
    assert_eq!(verifier.refusal(&token, &TYPES).await, "it has expired (exp)");
}

#[tokio::test]
async fn r47_what_one_policy_took_is_judged_anew_for_another() {
    let verifier = Verifier::new().await;
    let token = access_token(&verifier.idp, |_| {});
    verifier.verify(&token, &TYPES).await.unwrap();
    let mut other = bearer(&TYPES);
    other.audiences = vec!["other-api".to_owned()];
    assert!(verifier.provider.verify_access_token(&token, &other).await.is_err());
    assert_eq!(verifier.refusal(&token, &["jwt"]).await, "its typ is of another kind of token");
    // And a refusal is not remembered for the first.
    verifier.verify(&token, &TYPES).await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_not_remembered() {
    let verifier = Verifier::new().await;
    let token = access_token(&verifier.idp, |claims| {
        claims["nbf"] = json!(crate::site::START + 61);
    });
    assert_eq!(verifier.refusal(&token, &TYPES).await, "nbf is in the future");
    verifier.clock.advance(1);
    verifier.verify(&token, &TYPES).await.unwrap();
}
