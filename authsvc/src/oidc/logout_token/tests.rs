//! The claims and types of logout tokens. What needs a key is tested in `tests/login`.

use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000);
const ISSUER: &str = "https://id.example.com";

fn good() -> Value {
    json!({
        "iss": ISSUER, "aud": "shop", "iat": NOW.0, "exp": NOW.0 + 120, "jti": "j-1",
        "sub": "u-1", "sid": "s-1", "events": {EVENT: {}},
    })
}

fn judge(claims: &Value) -> Result<LogoutToken, String> {
    judge_at(claims, NOW)
}

fn judge_at(claims: &Value, now: Timestamp) -> Result<LogoutToken, String> {
    let claims: Claims = serde_json::from_value(claims.clone()).unwrap();
    read(&claims, ISSUER, "shop", now)
}

#[test]
fn a_token_names_a_user_a_session_or_both() {
    for (remove, subject, session) in [
        (None, Some("u-1"), Some("s-1")),
        (Some("sub"), None, Some("s-1")),
        (Some("sid"), Some("u-1"), None),
    ] {
        let mut claims = good();
        if let Some(name) = remove {
            claims.as_object_mut().unwrap().remove(name);
        }
        let token = judge(&claims).unwrap();
        assert_eq!(token.subject.as_deref(), subject);
        assert_eq!(token.session.as_deref(), session);
        assert_eq!((&*token.id, token.issued_at), ("j-1", NOW));
    }
    let mut neither = good();
    neither.as_object_mut().unwrap().remove("sub");
    neither.as_object_mut().unwrap().remove("sid");
    assert_eq!(judge(&neither), Err("sub and sid are missing".to_owned()));
}

#[test]
fn r52_t097_t098_every_claim_is_required_and_of_one_type() {
    let long = "x".repeat(256);
    let other = "https://evil.example.com";
    for (name, value) in [
        ("iss", json!(other)),
        ("iss", json!([ISSUER])),
        ("iss", json!(format!("{ISSUER}/"))),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", json!(["shop", "other"])),
        ("aud", json!({"shop": true})),
        ("iat", json!(NOW.0 + 61)),
        ("iat", json!(NOW.0 - 601)),
        ("iat", json!(1e300)),
        ("iat", json!(-1)),
        ("iat", json!("1800000000")),
        ("exp", json!(NOW.0 - 10)),
        ("exp", json!(1e300)),
        ("exp", json!(null)),
        ("jti", json!("")),
        ("jti", json!(7)),
        ("jti", json!(long)),
        ("jti", json!("a\nb")),
        ("sub", json!("")),
        ("sub", json!(null)),
        ("sub", json!(["u-1"])),
        ("sid", json!(" ")),
        ("sid", json!({})),
        ("events", json!(null)),
        ("events", json!({})),
        ("events", json!([EVENT])),
        ("events", json!(EVENT)),
        ("events", json!({EVENT: null})),
        ("events", json!({EVENT: true})),
        ("events", json!({"http://schemas.openid.net/event/other": {}})),
        ("nonce", json!("n")),
        ("nonce", json!(null)),
    ] {
        let mut claims = good();
        claims[name] = value.clone();
        let refused = judge(&claims).unwrap_err();
        assert!(refused.contains(name), "{name} {value}: {refused}");
    }
    for name in ["iss", "aud", "iat", "exp", "jti", "events"] {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name);
        let refused = judge(&claims).unwrap_err();
        assert!(refused.contains(name), "{name}: {refused}");
    }
}

#[test]
fn a_token_is_remembered_for_as_long_as_it_would_pass() {
    for (exp, ends) in [(120, 130), (86_400, 601), (10_u64.pow(15), 601)] {
        let mut claims = good();
        claims["exp"] = json!(NOW.0 + exp);
        let ends_at = judge(&claims).unwrap().ends_at;
        assert_eq!(ends_at, NOW.plus(ends));
        let refused = judge_at(&claims, ends_at);
        assert!(refused.is_err(), "{exp}");
        let before = Timestamp(ends_at.0 - 1);
        assert!(judge_at(&claims, before).is_ok(), "{exp}");
    }
}

#[test]
fn the_audience_may_be_a_list_of_this_client() {
    let mut claims = good();
    claims["aud"] = json!(["shop"]);
    assert!(judge(&claims).is_ok());
}

#[test]
fn r52_t019_only_types_that_providers_give_logout_tokens_are_accepted() {
    for typ in ["logout+jwt", "LOGOUT+JWT", "application/logout+jwt", "JWT", "jwt"] {
        assert!(is_logout_type(&id_token::media_type(typ)), "{typ}");
    }
    for typ in ["at+jwt", "dpop+jwt", "secevent+jwt", "id_token+jwt", "", "logout"] {
        assert!(!is_logout_type(&id_token::media_type(typ)), "{typ}");
    }
}
