//! R47: access tokens that callers bring, signed by a provider's keys and by others. The claims of a
//! token that is signed rightly are judged in `oidc/access_token/claims/tests.rs`.

mod callers;
mod keys;
mod kinds;
mod remembered;

use std::sync::Arc;

use serde_json::{Value, json};
use vestibule_authsvc::clock::{ManualClock, Timestamp};
use vestibule_authsvc::oidc::{BearerError, BearerToken, Provider};
use vestibule_policy::model::{CompiledBearer, OwnTokens};

use crate::idp::FakeIdp;
use crate::jose::{Signer, jwt};
use crate::site::{START, provider};

/// The audience of the policy's bearer tokens.
const AUDIENCE: &str = "https://api.example.com";

/// What a policy says of bearer tokens whose `typ` is one of these.
fn bearer(types: &[&str]) -> CompiledBearer {
    CompiledBearer {
        audiences: vec![AUDIENCE.to_owned(), "shop-api".to_owned()],
        token_types: types.iter().map(|typ| (*typ).to_owned()).collect(),
        mediation_scope: "endpoint:mediate".to_owned(),
        own_tokens: OwnTokens::Pass,
    }
}

/// The claims of a good access token.
fn claims(idp: &FakeIdp, now: u64) -> Value {
    json!({
        "iss": idp.issuer, "aud": AUDIENCE, "sub": "alice", "client_id": "spa", "jti": "j-1",
        "iat": now, "exp": now + 300, "scope": "endpoint:mediate",
    })
}

fn header() -> Value {
    json!({"alg": "RS256", "kid": "rsa1", "typ": "at+jwt"})
}

/// A good access token, its claims altered.
fn access_token(idp: &FakeIdp, alter: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims(idp, START);
    alter(&mut claims);
    jwt(&header(), &claims, &Signer::Rsa)
}

/// A provider, and our side of it.
struct Verifier {
    idp: FakeIdp,
    clock: Arc<ManualClock>,
    provider: Arc<Provider>,
}

impl Verifier {
    async fn new() -> Self {
        let idp = FakeIdp::start().await;
        let clock = Arc::new(ManualClock::new(Timestamp(START)));
        let provider = provider(&idp.issuer, &clock);
        Self { idp, clock, provider }
    }

    async fn verify(&self, token: &str, types: &[&str]) -> Result<Arc<BearerToken>, BearerError> {
        self.provider.verify_access_token(token, &bearer(types)).await
    }

    /// Why a token is refused that must be.
    async fn refusal(&self, token: &str, types: &[&str]) -> String {
        match self.verify(token, types).await {
            Err(BearerError::Invalid(reason)) => {
                assert!(!reason.contains("alice"), "{reason}");
                reason
            }
            other => panic!("refused for good: {other:?}"),
        }
    }
}

#[tokio::test]
async fn r47_a_good_token_tells_who_calls() {
    let verifier = Verifier::new().await;
    let text = access_token(&verifier.idp, |_| {});
    let token = verifier.verify(&text, &["at+jwt"]).await.unwrap();
    assert_eq!(token.token.expose(), text);
    assert_eq!((&*token.subject, &token.issuer), ("alice", &verifier.idp.issuer));
    assert_eq!(token.client_id.as_deref(), Some("spa"));
    assert_eq!(token.expires_at, Timestamp(START + 300));
    assert_eq!(token.claims["jti"], "j-1");
    assert!(token.has("endpoint:mediate") && !token.has("endpoint"));
    assert!(token.covers(&[]) && !token.covers(&["endpoint:mediate".to_owned(), "x".to_owned()]));
    assert!(!format!("{token:?}").contains(&text));
}

#[tokio::test]
async fn t095_issuer_audience_and_end_are_checked_of_tokens_that_are_signed_rightly() {
    let verifier = Verifier::new().await;
    for (name, value, reason) in [
        ("iss", json!("https://evil.example"), "it is from another issuer (iss)"),
        ("iss", json!(null), "iss is no string"),
        ("aud", json!("shop"), "it is for another audience (aud)"),
        ("aud", json!(null), "it is for another audience (aud)"),
        ("exp", json!(START - 10), "it has expired (exp)"),
        ("exp", json!(null), "exp is no whole number"),
        ("nbf", json!(START + 61), "nbf is in the future"),
        ("sub", json!(""), "sub is empty, too long, or has a control character"),
        ("cnf", json!({"jkt": "x"}), "it is bound to a key whose proof is not checked here (cnf)"),
    ] {
        let token = access_token(&verifier.idp, |claims| claims[name] = value.clone());
        assert_eq!(verifier.refusal(&token, &["at+jwt"]).await, reason, "{name} {value}");
    }
    for name in ["iss", "aud", "exp", "sub"] {
        let token = access_token(&verifier.idp, |claims| {
            claims.as_object_mut().unwrap().remove(name);
        });
        let reason = verifier.refusal(&token, &["at+jwt"]).await;
        assert!(reason.contains(name), "{name}: {reason}");
    }
}

#[tokio::test]
async fn t100_a_bearer_token_of_more_than_16_kibibytes_is_not_looked_at() {
    let verifier = Verifier::new().await;
    let padded = |length: usize| {
        access_token(&verifier.idp, |claims| claims["padding"] = json!("x".repeat(length)))
    };
    let mut length = 11_000;
    while padded(length + 1).len() <= 16 * 1024 {
        length += 1;
    }
    verifier.verify(&padded(length), &["at+jwt"]).await.unwrap();
    let reason = verifier.refusal(&padded(length + 1), &["at+jwt"]).await;
    assert_eq!(reason, "it is larger than 16 KiB");
}
