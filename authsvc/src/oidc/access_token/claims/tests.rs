//! The R47 matrix of claims. What needs a key is tested in `tests/login`.

use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000);
const ISSUER: &str = "https://id.example.com";

/// An access token as RFC 9068 writes it.
fn good() -> Value {
    json!({
        "iss": ISSUER, "aud": "https://api.example.com", "sub": "u-1", "client_id": "spa",
        "iat": NOW.0, "exp": NOW.0 + 300, "jti": "j-1", "scope": "endpoint:mediate prod:read",
    })
}

/// As Keycloak writes it.
fn keycloak() -> Value {
    json!({
        "iss": ISSUER, "aud": ["account", "https://api.example.com"], "sub": "u-1", "azp": "spa",
        "iat": NOW.0, "exp": NOW.0 + 300, "jti": "j-1", "typ": "Bearer", "sid": "s-1",
        "auth_time": NOW.0 - 60, "acr": "1", "scope": "openid endpoint:mediate",
    })
}

fn judge(claims: &Value, typed: bool) -> Result<Read, String> {
    let audiences = ["https://api.example.com".to_owned(), "shop-api".to_owned()];
    let expected = Expected { issuer: ISSUER, audiences: &audiences, typed, now: NOW };
    let claims: Claims = serde_json::from_value(claims.clone()).unwrap();
    read(&claims, &expected)
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn r47_a_token_says_who_calls_and_what_it_may_do() {
    let read = judge(&good(), true).unwrap();
    assert_eq!(read.subject, "u-1");
    assert_eq!(read.scopes, ["endpoint:mediate", "prod:read"]);
    assert_eq!((read.expires_at, read.client_id.as_deref()), (NOW.plus(300), Some("spa")));
    for typed in [true, false] {
        let read = judge(&keycloak(), typed).unwrap();
        assert_eq!(read.scopes, ["openid", "endpoint:mediate"]);
        assert_eq!(read.client_id.as_deref(), Some("spa"));
    }
}

#[test]
fn r47_t095_t099_t103_every_claim_is_required_and_of_one_type() {
    let long = "x".repeat(256);
    for (name, value) in [
        ("iss", json!("https://evil.example.com")),
        ("iss", json!(format!("{ISSUER}/"))),
        ("iss", json!(ISSUER.to_uppercase())),
        ("iss", json!([ISSUER])),
        ("iss", json!(null)),
        ("aud", json!("other")),
        ("aud", json!("")),
        ("aud", json!("https://api.example.com/")),
        ("aud", json!("HTTPS://API.EXAMPLE.COM")),
        ("aud", json!("https://api.example.com shop-api")),
        ("aud", json!([])),
        ("aud", json!(["other"])),
        ("aud", json!(["shop-api", 1])),
        ("aud", json!(["shop-api", null])),
        ("aud", json!([["shop-api"]])),
        ("aud", json!({"shop-api": true})),
        ("aud", json!(null)),
        ("exp", json!(NOW.0 - 10)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", json!(1_800_000_300.5)),
        ("exp", json!("1800000300")),
        ("exp", json!(true)),
        ("exp", json!(null)),
        ("nbf", json!(NOW.0 + 61)),
        ("nbf", json!("now")),
        ("nbf", json!(null)),
        ("iat", json!(NOW.0 + 61)),
        ("iat", json!(-1)),
        ("iat", json!(null)),
        ("sub", json!("")),
        ("sub", json!("  ")),
        ("sub", json!("a\nb")),
        ("sub", json!(long)),
        ("sub", json!(7)),
        ("sub", json!(null)),
        ("scope", json!(null)),
        ("scope", json!(7)),
        ("scope", json!({"prod:read": true})),
        ("scope", json!("a\tb")),
        ("scope", json!("a \"b\"")),
        ("scope", json!(["a b"])),
        ("scope", json!(["a", 1])),
        ("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
        ("cnf", json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})),
        ("cnf", json!(null)),
        ("client_id", json!(7)),
        ("typ", json!("ID")),
        ("typ", json!("Refresh")),
        ("typ", json!("Offline")),
        ("typ", json!("Logout")),
        ("typ", json!("DPoP")),
        ("typ", json!("")),
        ("typ", json!(null)),
    ] {
        for typed in [true, false] {
            let claims = with(good(), name, value.clone());
            let refused = judge(&claims, typed).unwrap_err();
            assert!(refused.contains(name), "{name} {value}: {refused}");
        }
    }
    for name in ["iss", "aud", "exp", "sub"] {
        for typed in [true, false] {
            let refused = judge(&without(good(), name), typed).unwrap_err();
            assert!(refused.contains(name), "{name}: {refused}");
        }
    }
}

#[test]
fn r47_a_token_is_good_for_ten_seconds_more_and_no_longer() {
    assert!(judge(&with(good(), "exp", json!(NOW.0 - 9)), true).is_err(), "iat is after it");
    let at = |exp: u64| {
        let claims = with(with(good(), "iat", json!(NOW.0 - 300)), "exp", json!(exp));
        judge(&claims, true)
    };
    assert!(at(NOW.0 - 9).is_ok());
    assert_eq!(at(NOW.0 - 10), Err("it has expired (exp)".to_owned()));
    assert_eq!(at(u64::MAX).unwrap().expires_at, Timestamp(u64::MAX));
}

#[test]
fn r47_a_token_that_began_after_its_end_is_nonsense() {
    for name in ["nbf", "iat"] {
        let claims = with(with(good(), name, json!(NOW.0 + 30)), "exp", json!(NOW.0 + 20));
        assert_eq!(judge(&claims, true), Err(format!("{name} is after exp")));
    }
    assert!(judge(&with(good(), "nbf", json!(NOW.0 + 60)), true).is_ok(), "clocks differ");
    assert!(judge(&without(good(), "iat"), true).is_ok());
}

#[test]
fn r47_the_audience_may_be_one_of_several() {
    for audience in [json!("shop-api"), json!(["shop-api"]), json!(["other", "shop-api"])] {
        assert!(judge(&with(good(), "aud", audience.clone()), true).is_ok(), "{audience}");
    }
}

#[test]
fn r47_scopes_are_a_string_or_a_list_in_scope_or_scp() {
    let scopes = |claims: &Value, typed| judge(claims, typed).map(|read| read.scopes);
    let bare = without(good(), "scope");
    for (name, value) in [
        ("scope", json!("a b")),
        ("scope", json!(["a", "b"])),
        ("scp", json!("a b")),
        ("scp", json!(["a", "b"])),
    ] {
        let claims = with(bare.clone(), name, value);
        assert_eq!(scopes(&claims, false).unwrap(), ["a", "b"], "{claims}");
    }
    // Of both the standard's counts.
    let both = with(with(bare.clone(), "scp", json!(["b"])), "scope", json!("a"));
    assert_eq!(scopes(&both, true).unwrap(), ["a"]);
    assert_eq!(scopes(&with(bare.clone(), "scope", json!("")), true).unwrap(), [""; 0]);
    assert!(scopes(&with(bare.clone(), "scp", json!(7)), true).is_err());
    // Only where the header says what it is may a token have none.
    assert_eq!(scopes(&bare, true).unwrap(), [""; 0]);
    assert!(scopes(&bare, false).unwrap_err().contains("no scope"));
}

#[test]
fn r47_t019_a_plain_jwt_of_another_kind_is_told_by_what_it_says() {
    let event = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    for (name, value) in [
        ("nonce", json!("n")),
        ("nonce", json!(null)),
        ("at_hash", json!("x")),
        ("c_hash", json!("x")),
        ("s_hash", json!("x")),
        ("events", event),
        ("events", json!({})),
    ] {
        let claims = with(good(), name, value);
        let refused = judge(&claims, false).unwrap_err();
        assert!(refused.contains(name) && refused.contains("another kind"), "{refused}");
    }
    for kind in ["Bearer", "bearer"] {
        assert!(judge(&with(good(), "typ", json!(kind)), false).is_ok());
    }
}
