//! The keys that a provider signs with (RFC 7517).
//!
//! Keys that cannot verify anything we accept are dropped when read: symmetric and private ones,
//! keys for encryption, short RSA keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::JsonWebKeySet;
use openidconnect::core::CoreJsonWebKey;
use serde_json::Value;

/// The smallest RSA modulus, in bytes (FAPI 2.0, section 5.4.1: 2048 bits).
const MIN_RSA_MODULUS: usize = 256;

/// A provider's signing keys as last fetched.
#[derive(Debug)]
pub(crate) struct Keys {
    usable: Vec<Value>,
}

impl Keys {
    /// Reads a JWKS document.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let document: Value =
            serde_json::from_slice(body).map_err(|_| "the key set is not JSON".to_owned())?;
        let Some(keys) = document.get("keys").and_then(Value::as_array) else {
            return Err("the key set has no `keys`".to_owned());
        };
        Ok(Self { usable: keys.iter().filter(|key| is_usable(key)).cloned().collect() })
    }

    /// Whether no signature can be checked with them.
    pub(crate) fn is_empty(&self) -> bool {
        self.usable.is_empty()
    }

    /// The keys that may have made a signature; the choice by `kid` is the verifier's. Without the
    /// curve two EC keys of one `kid` would be ambiguous (FAPI 2.0, section 5.4.3).
    pub(crate) fn for_algorithm(&self, algorithm: &str) -> JsonWebKeySet<CoreJsonWebKey> {
        let parsed = self
            .fitting(algorithm)
            .filter_map(|key| serde_json::from_value::<CoreJsonWebKey>(key.clone()).ok());
        JsonWebKeySet::new(parsed.collect())
    }

    /// The one key of a `kid` (without a `kid` the only one at all) that fits an algorithm.
    pub(crate) fn one(&self, kid: Option<&str>, algorithm: &str) -> Option<Value> {
        let mut found =
            self.fitting(algorithm).filter(|key| kid.is_none() || text(key, "kid") == kid);
        match (found.next(), found.next()) {
            (Some(key), None) => Some(key.clone()),
            _ => None,
        }
    }

    fn fitting<'a>(&'a self, algorithm: &'a str) -> impl Iterator<Item = &'a Value> {
        let (kind, curve) = match algorithm {
            "ES256" => ("EC", Some("P-256")),
            "ES384" => ("EC", Some("P-384")),
            "EdDSA" => ("OKP", Some("Ed25519")),
            _ => ("RSA", None),
        };
        self.usable.iter().filter(move |key| {
            text(key, "kty") == Some(kind)
                && curve.is_none_or(|curve| text(key, "crv") == Some(curve))
                && text(key, "alg").is_none_or(|named| named == algorithm)
        })
    }
}

fn text<'a>(key: &'a Value, member: &str) -> Option<&'a str> {
    key.get(member).and_then(Value::as_str)
}

fn is_usable(key: &Value) -> bool {
    if key.get("d").is_some() || key.get("k").is_some() {
        return false;
    }
    if text(key, "use").is_some_and(|usage| usage != "sig") {
        return false;
    }
    match text(key, "kty") {
        Some("RSA") => text(key, "n")
            .and_then(|n| URL_SAFE_NO_PAD.decode(n.trim_end_matches('=')).ok())
            .is_some_and(|n| n.iter().skip_while(|byte| **byte == 0).count() >= MIN_RSA_MODULUS),
        Some("EC" | "OKP") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usable(key: &Value) -> usize {
        Keys::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap().usable.len()
    }

    #[test]
    fn rsa_keys_below_2048_bits_are_dropped() {
        let rsa = |n: Vec<u8>| json!({"kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(n)});
        assert_eq!(usable(&rsa(vec![0xff; 256])), 1);
        assert_eq!(usable(&rsa(vec![0xff; 255])), 0);
        assert_eq!(usable(&rsa([vec![0; 128], vec![0xff; 128]].concat())), 0, "padded by zeros");
        assert_eq!(usable(&json!({"kty": "RSA", "e": "AQAB"})), 0);
    }

    #[test]
    fn symmetric_private_and_encryption_keys_are_dropped() {
        let ec = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"});
        assert_eq!(usable(&ec), 1);
        for (member, value) in [("d", "AA"), ("k", "AA"), ("use", "enc"), ("kty", "oct")] {
            let mut key = ec.clone();
            key[member] = json!(value);
            assert_eq!(usable(&key), 0, "{member}");
        }
    }

    #[test]
    fn a_key_is_for_its_curve_and_for_the_algorithm_that_it_names() {
        let set = json!({"keys": [
            {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "wide"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "named", "alg": "ES256"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "other", "alg": "ES256K"},
        ]});
        let keys = Keys::parse(set.to_string().as_bytes()).unwrap();
        assert!(keys.one(Some("wide"), "ES384").is_some());
        assert!(keys.one(Some("wide"), "ES256").is_none());
        assert!(keys.one(Some("named"), "ES256").is_some());
        assert!(keys.one(Some("named"), "ES384").is_none());
        assert!(keys.one(Some("other"), "ES256").is_none());
    }

    #[test]
    fn of_several_keys_that_fit_none_is_taken() {
        let ec = |kid: &str| json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": kid});
        let set = json!({"keys": [ec("a"), ec("b"), ec("b")]});
        let keys = Keys::parse(set.to_string().as_bytes()).unwrap();
        assert_eq!(keys.one(Some("a"), "ES256"), Some(ec("a")));
        assert_eq!(keys.one(Some("b"), "ES256"), None);
        assert_eq!(keys.one(None, "ES256"), None);
        assert_eq!(keys.one(Some("a"), "ES384"), None, "another curve");
        assert_eq!(keys.one(Some("a"), "RS256"), None, "another type");
    }
}
