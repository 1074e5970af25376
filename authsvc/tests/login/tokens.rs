//! Every token of the corpus, judged by redeeming a code that gives it.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use vestibule_authsvc::clock::{Clock as _, ManualClock, Timestamp};
use vestibule_authsvc::oidc::{Identity, OidcError, Provider};
use vestibule_authsvc::session::LoginTransaction;
use vestibule_authsvc::token::Token;

use crate::drafts::draft;
use crate::idp::{ACCESS_TOKEN, FakeIdp, Reply};
use crate::jose::{self, Signer, jwt};
use crate::site::{START, client, login_spec, provider};

/// The nonce of every login here.
pub const NONCE: &str = "n";

/// A code's ID token, redeemed for a login that asked for nothing special.
pub async fn redeem(
    provider: &Provider,
    idp: &FakeIdp,
    token: &str,
) -> Result<Identity, OidcError> {
    redeem_as(provider, idp, token, &[], None).await
}

async fn redeem_as(
    provider: &Provider,
    idp: &FakeIdp,
    token: &str,
    acr_values: &[&str],
    max_age: Option<u64>,
) -> Result<Identity, OidcError> {
    idp.grant("c", token);
    let transaction = LoginTransaction {
        state: Token::new("s"),
        nonce: Token::new(NONCE),
        code_verifier: Token::new("v"),
        issuer: idp.issuer.clone(),
        redirect_uri: "https://shop.example.com/bff/callback".to_owned(),
        return_to: "/".to_owned(),
        acr_values: acr_values.iter().map(|acr| (*acr).to_owned()).collect(),
        max_age,
        created_at: Timestamp(START),
        elevation: None,
    };
    provider.redeem(&client(), &login_spec(), &transaction, "c").await
}

#[tokio::test]
async fn t099_t103_every_token_of_the_corpus_is_judged_as_it_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/corpora/tokens.txt");
    let corpus = std::fs::read_to_string(file).unwrap();
    let idp = FakeIdp::start().await;
    let clock = Arc::new(ManualClock::new(Timestamp(START)));
    let (mut count, mut wrong) = (0, Vec::new());
    for line in corpus.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (expected, name, reason) = match columns[..] {
            ["accept", name, _] => ("accept", name, None),
            ["refuse", name, _, reason] => ("refuse", name, Some(reason)),
            _ => panic!("accept and three columns, or refuse and four: {line}"),
        };
        let draft = draft(name, &idp);
        idp.reply("/jwks", Reply::json(&draft.jwks.clone().unwrap_or_else(jose::jwks)));
        // Nothing fetched for one row serves another.
        let provider = provider(&idp.issuer, &clock);
        let token = draft.token();
        let result = redeem_as(&provider, &idp, &token, draft.acr_values, draft.max_age).await;
        // The reason too: a row that is refused by another check than its own proves nothing.
        let as_expected = match (&result, reason) {
            (Ok(_), None) => true,
            (Err(error), Some(reason)) => error.to_string().ends_with(reason),
            _ => false,
        };
        if !as_expected {
            wrong.push(format!("{name}: {expected} {reason:?} expected, but {result:?}"));
        }
        if let Err(error) = result {
            assert!(!error.to_string().contains("alice"), "{name}: {error}");
            let part = token.split('.').nth(1).unwrap_or_default();
            assert!(part.len() < 8 || !error.to_string().contains(part), "{name}: {error}");
        }
        count += 1;
    }
    assert!(count > 100, "the corpus is there");
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(clock.now().0, START);
}

#[tokio::test]
async fn every_asymmetric_algorithm_that_the_provider_lists_is_accepted_and_no_other() {
    let idp = FakeIdp::start().await;
    let clock = Arc::new(ManualClock::new(Timestamp(START)));
    let claims = idp.claims(NONCE, START);
    for (alg, kid, signer) in [
        ("RS256", "rsa1", Signer::Rsa),
        ("PS256", "rsa1", Signer::RsaPss),
        ("ES256", "ec1", Signer::Ec),
        ("EdDSA", "ed1", Signer::Ed),
    ] {
        let token = jwt(&json!({"alg": alg, "kid": kid}), &claims, &signer);
        for (listed, accepted) in [
            (json!([alg]), true),
            (json!(["ES384"]), false),
            // What is not said is RS256 (OpenID Connect Registration 1.0, section 2).
            (json!(null), alg == "RS256"),
        ] {
            idp.set_metadata(|m| m["id_token_signing_alg_values_supported"] = listed.clone());
            let result = redeem(&provider(&idp.issuer, &clock), &idp, &token).await;
            assert_eq!(result.is_ok(), accepted, "{alg} {listed}: {result:?}");
        }
    }
}

#[tokio::test]
async fn a_good_at_hash_acr_and_auth_time_are_accepted() {
    let idp = FakeIdp::start().await;
    let clock = Arc::new(ManualClock::new(Timestamp(START)));
    let token = idp.id_token(NONCE, START, |claims| {
        claims["at_hash"] = json!(jose::at_hash(ACCESS_TOKEN));
        claims["acr"] = json!("gold");
        claims["auth_time"] = json!(START - 70);
        // What real providers write, and what is none of our business.
        claims["updated_at"] = json!("2026-01-01T00:00:00.000Z");
        claims["email_verified"] = json!("true");
    });
    let provider = provider(&idp.issuer, &clock);
    let identity = redeem_as(&provider, &idp, &token, &["silver", "gold"], Some(60)).await.unwrap();
    assert_eq!(identity.acr.as_deref(), Some("gold"));
    assert_eq!(identity.auth_time.0, START - 70);
}

#[tokio::test]
async fn t100_a_token_of_more_than_64_kibibytes_is_not_looked_at() {
    let idp = FakeIdp::start().await;
    let clock = Arc::new(ManualClock::new(Timestamp(START)));
    let provider = provider(&idp.issuer, &clock);
    let padded = |length: usize| {
        idp.id_token(NONCE, START, |claims| claims["padding"] = json!("x".repeat(length)))
    };
    // Base64url makes four characters of three bytes, so the greatest length is met exactly.
    let mut length = 48_000;
    while padded(length + 1).len() <= 64 * 1024 {
        length += 1;
    }
    let (greatest, larger) = (padded(length), padded(length + 1));
    assert!(64 * 1024 - greatest.len() <= 1, "{}", greatest.len());
    redeem(&provider, &idp, &greatest).await.unwrap();
    let error = redeem(&provider, &idp, &larger).await.unwrap_err();
    assert!(error.to_string().ends_with("it is larger than 64 KiB"), "{error}");
}
