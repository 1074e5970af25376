//! What kind of token it is: by its `typ` where that says it, else by what it says besides.

use serde_json::{Value, json};
use vestibule_authsvc::identity_jwt::IdentitySigner;
use vestibule_authsvc::random::SystemRandom;
use vestibule_authsvc::session::keyring::Keyring;

use super::{AUDIENCE, Verifier, access_token, claims, header};
use crate::jose::{Signer, jwt};
use crate::site::{ORIGIN, START};
use crate::tokens::{NONCE, redeem};

#[tokio::test]
async fn r47_t019_the_typ_is_one_that_the_provider_lists() {
    let verifier = Verifier::new().await;
    for (listed, good, bad) in [
        (
            vec!["at+jwt"],
            vec!["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"],
            vec!["JWT", "jwt", "", "at", "at+jwt ", "x/at+jwt", "application/x/at+jwt"],
        ),
        (vec!["application/at+jwt"], vec!["at+jwt", "application/at+jwt"], vec!["JWT"]),
        (vec!["jwt"], vec!["JWT", "jwt", "application/jwt"], vec!["at+jwt", "", "JOSE"]),
        (vec!["at+jwt", "jwt"], vec!["at+jwt", "JWT"], vec!["id_token+jwt", "logout+jwt"]),
    ] {
        let token = |typ: &Value| {
            let mut header = header();
            header["typ"] = typ.clone();
            jwt(&header, &claims(&verifier.idp, START), &Signer::Rsa)
        };
        for typ in good {
            let result = verifier.verify(&token(&json!(typ)), &listed).await;
            assert!(result.is_ok(), "{listed:?} {typ}: {result:?}");
        }
        let others = ["dpop+jwt", "secevent+jwt", "token-introspection+jwt"];
        let odd = [json!(null), json!(7), json!(["at+jwt"]), json!({})];
        for typ in bad.into_iter().chain(others).map(Value::from).chain(odd) {
            let reason = verifier.refusal(&token(&typ), &listed).await;
            assert_eq!(reason, "its typ is of another kind of token", "{listed:?} {typ}");
        }
    }
}

#[tokio::test]
async fn r47_a_token_without_typ_is_as_good_as_a_plain_jwt() {
    let verifier = Verifier::new().await;
    let token = |claims: &Value| jwt(&json!({"alg": "RS256", "kid": "rsa1"}), claims, &Signer::Rsa);
    let mut claims = claims(&verifier.idp, START);
    assert_eq!(verifier.refusal(&token(&claims), &["at+jwt"]).await, "its typ is missing");
    assert!(verifier.verify(&token(&claims), &["at+jwt", "jwt"]).await.is_ok());
    claims.as_object_mut().unwrap().remove("scope");
    let reason = verifier.refusal(&token(&claims), &["at+jwt", "jwt"]).await;
    assert!(reason.starts_with("it has no scope"), "{reason}");
}

#[tokio::test]
async fn r47_t095_an_id_token_is_no_bearer() {
    let verifier = Verifier::new().await;
    for types in [["at+jwt", "jwt"], ["jwt", "at+jwt"]] {
        // Of a login, and of a refresh; as issued, and for an audience that is one of ours.
        for (nonce, audience) in
            [(true, "shop"), (true, AUDIENCE), (false, "shop"), (false, AUDIENCE)]
        {
            let token = verifier.idp.id_token(NONCE, START, |claims| {
                claims["aud"] = json!(audience);
                if !nonce {
                    claims.as_object_mut().unwrap().remove("nonce");
                }
            });
            verifier.refusal(&token, &types).await;
        }
        // Not even where the provider writes scopes into it.
        for (name, value) in [("nonce", "n"), ("at_hash", "x"), ("c_hash", "x"), ("typ", "ID")] {
            let token = verifier.idp.id_token(NONCE, START, |claims| {
                claims["aud"] = json!(AUDIENCE);
                claims["scope"] = json!("openid endpoint:mediate");
                claims.as_object_mut().unwrap().remove("nonce");
                claims[name] = json!(value);
            });
            let reason = verifier.refusal(&token, &types).await;
            assert!(reason.contains("another kind"), "{name}: {reason}");
        }
    }
}

#[tokio::test]
async fn r47_t095_logout_and_refresh_tokens_are_no_bearers() {
    let verifier = Verifier::new().await;
    let types = ["at+jwt", "jwt"];
    for typ in ["logout+jwt", "JWT"] {
        let mut logout = claims(&verifier.idp, START);
        logout["events"] = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
        let header = json!({"alg": "RS256", "kid": "rsa1", "typ": typ});
        let reason = verifier.refusal(&jwt(&header, &logout, &Signer::Rsa), &types).await;
        assert!(reason.contains("another kind"), "{typ}: {reason}");
    }
    for kind in ["Refresh", "Offline", "Logout"] {
        let mut refresh = claims(&verifier.idp, START);
        refresh["typ"] = json!(kind);
        let header = json!({"alg": "RS256", "kid": "rsa1", "typ": "JWT"});
        let reason = verifier.refusal(&jwt(&header, &refresh, &Signer::Rsa), &types).await;
        assert!(reason.contains("another kind"), "{kind}: {reason}");
        // As Keycloak signs them.
        let header = json!({"alg": "HS512", "kid": "hmac", "typ": "JWT"});
        let token = jwt(&header, &refresh, &Signer::Hmac(b"of the realm".to_vec()));
        assert_eq!(verifier.refusal(&token, &types).await, "its alg is not allowed");
    }
}

#[tokio::test]
async fn r47_an_identity_jwt_of_ours_is_no_bearer() {
    let verifier = Verifier::new().await;
    let id_token = verifier.idp.id_token(NONCE, START, |_| {});
    let identity = redeem(&verifier.provider, &verifier.idp, &id_token).await.unwrap();
    let session = identity.into_session(None, vestibule_authsvc::clock::Timestamp(START));
    let signer = IdentitySigner::new(&Keyring::ephemeral(&SystemRandom), "default/shop");
    let now = vestibule_authsvc::clock::Timestamp(START);
    // Even were our origin the provider's issuer.
    for origin in [ORIGIN, &verifier.idp.issuer] {
        let token = signer.sign(origin, AUDIENCE, &session, &[], now);
        verifier.refusal(token.expose(), &["at+jwt", "jwt"]).await;
    }
}

#[tokio::test]
async fn r47_what_is_no_signed_jwt_is_no_bearer() {
    let verifier = Verifier::new().await;
    let good = access_token(&verifier.idp, |_| {});
    let part = |index: usize| good.split('.').nth(index).unwrap();
    for token in [
        String::new(),
        "opaque".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{}.{}", part(0), part(1)),
        format!("{}.{}.", part(0), part(1)),
        format!("{good}.x.y"),
        format!("{good}="),
        format!("{}.{}==.{}", part(0), part(1), part(2)),
        format!("{}..{}", part(0), part(2)),
        good.replace('.', "/"),
    ] {
        verifier.refusal(&token, &["at+jwt", "jwt"]).await;
    }
}
