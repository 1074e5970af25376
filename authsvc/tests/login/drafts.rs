//! The tokens that the rows of the corpus name: each a good one with one thing changed.

use serde_json::{Value, json};

use crate::idp::FakeIdp;
use crate::jose::{self, KEYS, Signer, base64url, compact, jwt};
use crate::site::START;
use crate::tokens::NONCE;

/// A good token on its way to becoming another one.
pub struct Draft {
    header: Value,
    claims: Value,
    signer: Signer,
    /// The provider's key set, where it is not the usual one.
    pub jwks: Option<Value>,
    /// What the login asked for.
    pub acr_values: &'static [&'static str],
    /// What the login asked for.
    pub max_age: Option<u64>,
    /// The whole token, where it is none of the above.
    token: Option<String>,
}

impl Draft {
    fn new(idp: &FakeIdp) -> Self {
        Self {
            header: json!({"alg": "RS256", "kid": "rsa1", "typ": "JWT"}),
            claims: idp.claims(NONCE, START),
            signer: Signer::Rsa,
            jwks: None,
            acr_values: &[],
            max_age: None,
            token: None,
        }
    }

    pub fn token(&self) -> String {
        self.token.clone().unwrap_or_else(|| jwt(&self.header, &self.claims, &self.signer))
    }

    /// The good token with header and payload given as text.
    fn raw(&mut self, header: Option<&str>, payload: Option<&[u8]>) {
        let header = header.map_or_else(|| self.header.to_string(), ToOwned::to_owned);
        let claims = self.claims.to_string();
        let payload = payload.unwrap_or(claims.as_bytes());
        self.token = Some(compact(header.as_bytes(), payload, &self.signer));
    }

    /// The good token's parts, changed after signing.
    fn after(&mut self, change: impl FnOnce(&mut Vec<String>)) {
        let mut parts: Vec<String> = self.token().split('.').map(ToOwned::to_owned).collect();
        change(&mut parts);
        self.token = Some(parts.join("."));
    }

    fn alg(&mut self, alg: &str, signer: Signer) {
        self.header["alg"] = json!(alg);
        self.signer = signer;
    }

    fn keys(&mut self, keys: &[Value]) {
        self.jwks = Some(json!({"keys": keys}));
    }

    fn without(&mut self, claim: &str) {
        self.claims.as_object_mut().unwrap().remove(claim);
    }
}

/// Sets one claim to a value; `null` stands for itself.
fn claim(name: &str, issuer: &str) -> Option<(&'static str, Value)> {
    Some(match name {
        "iss-other" => ("iss", json!("https://evil.example")),
        "iss-trailing-slash" => ("iss", json!(format!("{issuer}/"))),
        "iss-case" => ("iss", json!(issuer.to_uppercase())),
        "iss-port" => ("iss", json!(format!("{issuer}:80"))),
        "iss-http" => ("iss", json!(issuer.replacen("http", "https", 1))),
        "iss-array" => ("iss", json!([issuer])),
        "aud-other" => ("aud", json!("other")),
        "aud-empty" => ("aud", json!([])),
        "aud-array" => ("aud", json!(["shop"])),
        "aud-array-extra" => ("aud", json!(["shop", "other"])),
        "aud-prefix" => ("aud", json!("shopx")),
        "aud-case" => ("aud", json!("Shop")),
        "aud-number" => ("aud", json!(7)),
        "aud-object" => ("aud", json!({"shop": true})),
        "sub-empty" => ("sub", json!("")),
        "sub-number" => ("sub", json!(7)),
        "sub-null" => ("sub", json!(null)),
        "sub-long" => ("sub", json!("x".repeat(256))),
        "sub-longest" => ("sub", json!("x".repeat(255))),
        "sub-control" => ("sub", json!("a\nb")),
        "exp-past" => ("exp", json!(START - 61)),
        "exp-within-skew" => ("exp", json!(START - 5)),
        "exp-text" => ("exp", json!((START + 300).to_string())),
        "exp-float" => ("exp", json!(1_800_000_300.5)),
        "exp-negative" => ("exp", json!(-1)),
        "exp-zero" => ("exp", json!(0)),
        "exp-huge" => ("exp", json!(1e300)),
        "exp-overflow" => ("exp", json!(18_446_744_073_709_551_616_f64)),
        "exp-null" => ("exp", json!(null)),
        "exp-true" => ("exp", json!(true)),
        "exp-array" => ("exp", json!([START + 300])),
        "iat-future" => ("iat", json!(START + 61)),
        "iat-within-skew" => ("iat", json!(START + 60)),
        "iat-oldest" => ("iat", json!(START - 600)),
        "iat-too-old" => ("iat", json!(START - 601)),
        "iat-old" => ("iat", json!(START - 86_401)),
        "iat-text" => ("iat", json!(START.to_string())),
        "iat-huge" => ("iat", json!(1e300)),
        "iat-null" => ("iat", json!(null)),
        "events" => ("events", json!({"http://schemas.openid.net/event/backchannel-logout": {}})),
        "nbf-future" => ("nbf", json!(START + 61)),
        "nbf-within-skew" => ("nbf", json!(START + 60)),
        "nbf-text" => ("nbf", json!(START.to_string())),
        "nbf-null" => ("nbf", json!(null)),
        "nonce-other" => ("nonce", json!("m")),
        "nonce-case" => ("nonce", json!("N")),
        "nonce-empty" => ("nonce", json!("")),
        "nonce-array" => ("nonce", json!([NONCE])),
        "acr-other" => ("acr", json!("silver")),
        "auth-time-old" => ("auth_time", json!(START - 71)),
        "auth-time-future" => ("auth_time", json!(START + 61)),
        "auth-time-within-skew" => ("auth_time", json!(START + 60)),
        "auth-time-text" => ("auth_time", json!(START.to_string())),
        "at-hash-other" => ("at_hash", json!(jose::at_hash("another token"))),
        "azp-other" => ("azp", json!("other")),
        _ => return None,
    })
}

/// The token of a row of the corpus; panics at a name it does not know.
pub fn draft(name: &str, idp: &FakeIdp) -> Draft {
    let mut draft = Draft::new(idp);
    if name.starts_with("acr-") {
        draft.acr_values = &["gold"];
    }
    if name.starts_with("auth-time-") {
        draft.max_age = Some(60);
    }
    if let Some((claim, value)) = claim(name, &idp.issuer) {
        draft.claims[claim] = value;
        return draft;
    }
    match name.strip_suffix("-absent") {
        Some("acr" | "auth-time") => return draft,
        Some(claim @ ("iss" | "aud" | "sub" | "exp" | "iat" | "nonce")) => {
            draft.without(claim);
            return draft;
        }
        _ => {}
    }
    let known = header_row(name, &mut draft)
        || key_row(name, &mut draft)
        || shape_row(name, &mut draft)
        || other_token_row(name, &mut draft, idp);
    assert!(known, "the corpus has a row {name} that this test does not know");
    draft
}

fn header_row(name: &str, draft: &mut Draft) -> bool {
    let attacker = jose::rsa_jwk(&KEYS.other_rsa, "rsa1");
    match name {
        "alg-none" => draft.alg("none", Signer::Fixed(Vec::new())),
        "alg-none-cased" => draft.alg("nOnE", Signer::Fixed(Vec::new())),
        "alg-none-signed" => draft.alg("none", Signer::Rsa),
        "alg-hs256-public-key" => draft.alg("HS256", Signer::Hmac(jose::rsa_pem().into_bytes())),
        "alg-hs256-jwk" => {
            let jwk = jose::rsa_jwk(&KEYS.rsa, "rsa1").to_string();
            draft.alg("HS256", Signer::Hmac(jwk.into_bytes()));
        }
        "alg-hs256-client-secret" => {
            draft.alg("HS256", Signer::Hmac(b"s3cret/+ value".to_vec()));
        }
        "alg-unknown" => draft.alg("XS256", Signer::Rsa),
        "alg-absent" => draft.raw(Some(r#"{"kid":"rsa1"}"#), None),
        "alg-number" => draft.header["alg"] = json!(256),
        "alg-other-family" => draft.alg("ES256", Signer::Rsa),
        "typ-at-jwt" => draft.header["typ"] = json!("at+jwt"),
        "typ-logout-jwt" => draft.header["typ"] = json!("logout+jwt"),
        "typ-dpop-jwt" => draft.header["typ"] = json!("dpop+jwt"),
        "typ-absent" => draft.header = json!({"alg": "RS256", "kid": "rsa1"}),
        "typ-jwt" => {}
        "jku" | "x5u" => {
            draft.header[name] = json!("https://evil.example/keys");
            draft.signer = Signer::OtherRsa;
        }
        "x5c" => {
            draft.header["x5c"] = json!(["MIIB"]);
            draft.signer = Signer::OtherRsa;
        }
        "jwk" => {
            draft.header["jwk"] = attacker;
            draft.signer = Signer::OtherRsa;
        }
        "crit-unknown" => draft.header["crit"] = json!(["x"]),
        "b64-false" => {
            draft.header["crit"] = json!(["b64"]);
            draft.header["b64"] = json!(false);
        }
        "zip" | "jwe" | "pbes2" => {
            let header = match name {
                "zip" => json!({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}),
                "jwe" => json!({"alg": "RSA-OAEP", "enc": "A256GCM"}),
                _ => json!({"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 2_000_000_000}),
            };
            draft.token = Some(format!("{}.AAAA.AAAA.AAAA.AAAA", base64url(header.to_string())));
        }
        "nested" => {
            draft.header["cty"] = json!("JWT");
            let inner = draft.token();
            draft.raw(None, Some(inner.as_bytes()));
        }
        "duplicate-alg" => draft.raw(Some(r#"{"alg":"none","alg":"RS256","kid":"rsa1"}"#), None),
        _ => return false,
    }
    true
}

fn key_row(name: &str, draft: &mut Draft) -> bool {
    let (rsa, other) = (&KEYS.rsa, &KEYS.other_rsa);
    match name {
        "signature-empty" => draft.signer = Signer::Fixed(Vec::new()),
        "signature-truncated" => draft.after(|parts| {
            parts[2].pop();
            parts[2].pop();
        }),
        "signature-flipped" => draft.after(|parts| {
            let flipped = if parts[2].starts_with('A') { "B" } else { "A" };
            parts[2].replace_range(..1, flipped);
        }),
        "signature-other-key" => draft.signer = Signer::OtherRsa,
        "payload-changed" => {
            let mut claims = draft.claims.clone();
            claims["sub"] = json!("bob");
            draft.after(|parts| parts[1] = base64url(claims.to_string()));
        }
        "header-changed" => {
            draft.keys(&[jose::rsa_jwk(rsa, "rsa1"), jose::rsa_jwk(other, "rsa2")]);
            let header = json!({"alg": "RS256", "kid": "rsa2", "typ": "JWT"}).to_string();
            draft.after(|parts| parts[0] = base64url(header));
        }
        "kid-absent-one-key" => draft.header = json!({"alg": "RS256"}),
        "kid-absent-two-keys-none-fits" => {
            draft.header = json!({"alg": "RS256"});
            draft.alg("RS256", Signer::Fixed(vec![1; 256]));
            draft.keys(&[jose::rsa_jwk(rsa, "rsa1"), jose::rsa_jwk(other, "rsa2")]);
        }
        "kid-unknown" | "kid-unknown-flood" => draft.header["kid"] = json!("unknown"),
        "kid-after-rotation" => {
            draft.header["kid"] = json!("rsa2");
            draft.signer = Signer::OtherRsa;
            draft.keys(&[jose::rsa_jwk(other, "rsa2")]);
        }
        "kid-removed" => draft.keys(&[jose::rsa_jwk(other, "rsa2")]),
        "kid-duplicate" => {
            draft.signer = Signer::Fixed(vec![1; 256]);
            draft.keys(&[jose::rsa_jwk(rsa, "rsa1"), jose::rsa_jwk(other, "rsa1")]);
        }
        "kid-duplicate-type" => {
            draft.keys(&[jose::ec_jwk("rsa1"), jose::rsa_jwk(rsa, "rsa1"), jose::ed_jwk("rsa1")]);
        }
        "kid-path" => draft.header["kid"] = json!("../../etc/passwd"),
        "kid-not-text" => draft.header["kid"] = json!(1),
        "rsa-short" => {
            let mut short = jose::rsa_jwk(rsa, "rsa1");
            short["n"] = json!(base64url([0xc3; 128]));
            draft.keys(&[short]);
            draft.signer = Signer::Fixed(vec![1; 128]);
        }
        "es256-zero" => {
            draft.header["kid"] = json!("ec1");
            draft.alg("ES256", Signer::Fixed(vec![0; 64]));
        }
        _ => return false,
    }
    true
}

fn shape_row(name: &str, draft: &mut Draft) -> bool {
    let good = draft.token();
    let text = draft.claims.to_string();
    let iss = draft.claims["iss"].to_string();
    match name {
        "empty" => draft.token = Some(String::new()),
        "one-part" => draft.after(|parts| parts.truncate(1)),
        "two-parts" => draft.after(|parts| parts.truncate(2)),
        "four-parts" => draft.after(|parts| parts.push("AAAA".to_owned())),
        "json-serialization" => {
            let parts: Vec<&str> = good.split('.').collect();
            let json = json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]});
            draft.token = Some(json.to_string());
        }
        "padded" => draft.after(|parts| parts[2].push_str("==")),
        "base64" => draft.after(|parts| parts[2] = parts[2].replace('-', "+").replace('_', "/")),
        "spaces" => draft.token = Some(format!(" {good} ")),
        "line-break" => draft.after(|parts| parts[2].insert(4, '\n')),
        "payload-no-json" => draft.raw(None, Some(b"alice")),
        "payload-array" => draft.raw(None, Some(format!("[{text}]").as_bytes())),
        "payload-not-utf8" => {
            let mut bytes = text.replace("alice", "al#ce").into_bytes();
            let at = bytes.iter().position(|byte| *byte == b'#').unwrap();
            bytes[at] = 0xff;
            draft.raw(None, Some(&bytes));
        }
        "duplicate-iss" => {
            let twice = text.replacen('{', r#"{"iss":"https://evil.example","#, 1);
            assert!(twice.contains(&iss));
            draft.raw(None, Some(twice.as_bytes()));
        }
        "duplicate-aud" => {
            let twice = format!(r#"{},"aud":"other"}}"#, text.trim_end_matches('}'));
            draft.raw(None, Some(twice.as_bytes()));
        }
        "deep" => {
            let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
            let payload = text.replacen('{', &format!(r#"{{"deep":{deep},"#), 1);
            draft.raw(None, Some(payload.as_bytes()));
        }
        "huge" => draft.claims["huge"] = json!("x".repeat(700_000)),
        "many-dots" => draft.token = Some(".".repeat(1_000_000)),
        _ => return false,
    }
    true
}

fn other_token_row(name: &str, draft: &mut Draft, idp: &FakeIdp) -> bool {
    let now = START;
    let (typ, claims) = match name {
        "access-token" => (
            "JWT",
            json!({"iss": idp.issuer, "sub": "alice", "aud": "shop", "iat": now,
                "exp": now + 300, "client_id": "shop", "scope": "openid"}),
        ),
        "logout-token" => (
            "JWT",
            json!({"iss": idp.issuer, "sub": "alice", "aud": "shop", "iat": now, "exp": now + 60,
                "jti": "1", "events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
        ),
        "identity-jwt" => (
            "JWT",
            json!({"iss": "https://shop.example.com", "sub": "alice", "aud": "shop", "iat": now,
                "exp": now + 60}),
        ),
        "userinfo-jwt" => ("JWT", json!({"iss": idp.issuer, "aud": "shop", "sub": "alice"})),
        "client-assertion" => (
            "JWT",
            json!({"iss": "shop", "sub": "shop", "aud": idp.issuer, "iat": now, "exp": now + 60,
                "jti": "1"}),
        ),
        _ => return false,
    };
    draft.header["typ"] = json!(typ);
    draft.claims = claims;
    true
}
