//! What a refresh may answer: the same user, the same login (OpenID Connect Core 1.0, section 12.2).

use http::StatusCode;
use serde_json::{Value, json};

use super::{Checked, LIFETIME, NONCE};
use crate::jose::{Signer, jwt};
use crate::site::START;

/// What becomes of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Goes,
    Ends,
    /// It has no new tokens, and is there.
    Stays,
}

async fn judge(name: &str, then: Then, alter: impl Fn(&mut Value) + Send + Sync + 'static) {
    let checked = Checked::new().await;
    let cookie = checked.log_in("alice").await;
    checked.rotation.claims(alter);
    checked.clock.advance(LIFETIME);
    let answer = checked.check(&cookie, "/api/x").await;
    let session = checked.session(&cookie).await;
    let token = session.as_ref().map(|session| session.access_token.expose());
    match then {
        Then::Goes => {
            assert_eq!(answer.bearer(), Some("alice.1"), "{name}");
            assert_eq!(token, Some("alice.1"), "{name}");
        }
        Then::Ends => {
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
            assert_eq!(token, None, "{name}");
        }
        Then::Stays => {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{name}");
            assert_eq!(token, Some("alice.0"), "{name}");
        }
    }
}

#[tokio::test]
async fn r38_an_id_token_of_the_same_login_is_taken() {
    judge("without a nonce", Then::Goes, |_| {}).await;
    judge("the nonce of the login", Then::Goes, |claims| claims["nonce"] = json!(NONCE)).await;
    judge("auth_time as it was", Then::Goes, |claims| claims["auth_time"] = json!(START)).await;
    // As at Keycloak, after a step-up for another app.
    judge("a later auth_time", Then::Goes, |claims| claims["auth_time"] = json!(START + 1)).await;
    judge("aud in a list", Then::Goes, |claims| claims["aud"] = json!(["shop"])).await;
    judge("any azp", Then::Goes, |claims| claims["azp"] = json!("somebody else")).await;
    judge("another sid", Then::Goes, |claims| claims["sid"] = json!("sid-2")).await;
    judge("no sid", Then::Goes, |claims| drop(claims.as_object_mut().unwrap().remove("sid"))).await;
}

#[tokio::test]
async fn r38_an_id_token_of_another_user_or_login_ends_the_session() {
    judge("another iss", Then::Ends, |claims| claims["iss"] = json!("https://evil.example")).await;
    judge("iss with a slash", Then::Ends, |claims| {
        claims["iss"] = json!(format!("{}/", claims["iss"].as_str().unwrap()));
    })
    .await;
    judge("another sub", Then::Ends, |claims| claims["sub"] = json!("mallory")).await;
    judge("sub in capitals", Then::Ends, |claims| claims["sub"] = json!("ALICE")).await;
    judge("another aud", Then::Ends, |claims| claims["aud"] = json!("other")).await;
    judge("others in aud", Then::Ends, |claims| claims["aud"] = json!(["other", "one"])).await;
    judge("another nonce", Then::Ends, |claims| claims["nonce"] = json!("n")).await;
    judge("an empty nonce", Then::Ends, |claims| claims["nonce"] = json!("")).await;
    judge("an older auth_time", Then::Ends, |claims| claims["auth_time"] = json!(START - 1)).await;
}

#[tokio::test]
async fn r38_an_id_token_that_is_no_good_is_as_no_answer() {
    judge("more than us in aud", Then::Stays, |claims| claims["aud"] = json!(["shop", "x"])).await;
    judge("expired", Then::Stays, |claims| claims["exp"] = json!(START)).await;
    judge("exp as text", Then::Stays, |claims| claims["exp"] = json!("1900000000")).await;
    judge("issued long ago", Then::Stays, |claims| claims["iat"] = json!(START - 600)).await;
    judge("from the future", Then::Stays, |claims| claims["iat"] = json!(START + 900)).await;
    judge("sub as a number", Then::Stays, |claims| claims["sub"] = json!(7)).await;
    judge("nonce as a number", Then::Stays, |claims| claims["nonce"] = json!(7)).await;
    judge("at_hash of another", Then::Stays, |claims| claims["at_hash"] = json!("AAAA")).await;
}

#[tokio::test]
async fn r38_t019_an_id_token_with_a_bad_signature_or_of_another_kind_is_as_no_answer() {
    let (bad, none) = (Signer::OtherRsa, Signer::Hmac(Vec::new()));
    for (header, signer) in [
        (json!({"alg": "RS256", "kid": "rsa1"}), bad),
        (json!({"alg": "none"}), none.clone()),
        (json!({"alg": "HS256"}), none),
        (json!({"alg": "RS256", "kid": "rsa1", "typ": "logout+jwt"}), Signer::Rsa),
        (json!({"alg": "RS256", "kid": "rsa1", "typ": "at+jwt"}), Signer::Rsa),
    ] {
        let checked = Checked::new().await;
        let cookie = checked.log_in("alice").await;
        checked.clock.advance(LIFETIME);
        let mut claims = checked.idp.claims(NONCE, START + LIFETIME);
        claims["sub"] = json!("alice");
        let token = jwt(&header, &claims, &signer);
        checked.rotation.response(move |response| response["id_token"] = json!(token));
        let answer = checked.check(&cookie, "/api/x").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{header}");
        let session = checked.session(&cookie).await.unwrap();
        assert_eq!(session.access_token.expose(), "alice.0", "{header}");
    }
}

#[tokio::test]
async fn without_a_new_id_token_the_old_one_and_its_claims_stay() {
    let checked = Checked::new().await;
    let cookie = checked.log_in("alice").await;
    let before = checked.session(&cookie).await.unwrap();
    checked.rotation.response(|response| {
        response.as_object_mut().unwrap().remove("id_token");
    });
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.1"));
    let after = checked.session(&cookie).await.unwrap();
    assert_eq!(after.id_token, before.id_token);
    assert_eq!(after.claims, before.claims);
    assert_eq!(after.provider_session, before.provider_session);
    assert_eq!(after.auth_time, before.auth_time);
}

#[tokio::test]
async fn a_route_that_forwards_the_id_token_gets_a_new_one_or_a_login_and_no_loop() {
    let checked = Checked::new().await;
    let cookie = checked.log_in("alice").await;
    let before = checked.session(&cookie).await.unwrap();
    checked.clock.advance(LIFETIME);
    let answer = checked.check(&cookie, "/id/x").await;
    let after = checked.session(&cookie).await.unwrap();
    assert_eq!(answer.bearer(), Some(after.id_token.expose()));
    assert_ne!(after.id_token, before.id_token);

    checked.rotation.response(|response| {
        response.as_object_mut().unwrap().remove("id_token");
    });
    checked.clock.advance(LIFETIME);
    for _ in 0..3 {
        let answer = checked.check(&cookie, "/id/x").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(checked.rotation.redeemed().len(), 2, "it would not help to ask again");
    assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.2"));
}

#[tokio::test]
async fn tokens_that_are_over_when_they_come_make_no_loop() {
    let checked = Checked::new().await;
    let cookie = checked.log_in("alice").await;
    checked.rotation.response(|response| response["expires_in"] = json!(0));
    checked.clock.advance(LIFETIME);
    for _ in 0..3 {
        let answer = checked.check(&cookie, "/api/x").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(checked.rotation.redeemed().len(), 1);
}
