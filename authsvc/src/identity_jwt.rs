//! Identity JWTs: what Vestibule itself says to the app about a session (RFC 7519).
//!
//! Why it exists: an app can know its user without ever holding a token that is good elsewhere. It
//! must not read policies or requests, and must not put anything into a JWT that was not asked for.

use std::sync::OnceLock;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::session::Session;
use crate::session::keyring::{DerivedKey, Keyring, PolicyRoots, RootKey};
use crate::token::Token;

/// How long a JWT is good, in seconds.
pub const LIFETIME_SECONDS: u64 = 60;

/// RFC 7519, section 4.1: these are the issuer's own, never copied from a session.
const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Signs identity JWTs of one policy with ES256. The keys are derived from the keyring, so that
/// every replica has the same ones and an app of one policy cannot be shown a JWT of another.
///
/// They are derived when the first JWT or the key set is asked for: few policies ever do.
pub struct IdentitySigner {
    roots: PolicyRoots,
    made: OnceLock<Box<Made>>,
}

struct Made {
    key: EcdsaKeyPair,
    header: String,
    jwks: String,
}

impl IdentitySigner {
    /// The signer of a policy: the keyring's active key signs, every key is published.
    #[must_use]
    pub fn new(keyring: &Keyring, policy_uid: &str) -> Self {
        Self::of(&keyring.of_policy(policy_uid))
    }

    /// The same, by what other keys of the policy are derived from too.
    #[must_use]
    pub fn of(roots: &PolicyRoots) -> Self {
        Self { roots: roots.clone(), made: OnceLock::new() }
    }

    fn made(&self) -> &Made {
        self.made.get_or_init(|| Box::new(Made::of(&self.roots)))
    }

    /// A JWT for `audience`, good for [`LIFETIME_SECONDS`]; `iss` is the origin. It carries those of
    /// the session's claims that `claims` lists, which never override the registered ones.
    ///
    /// # Panics
    /// Where the P-256 implementation fails, which it does not for a valid key; where 256 candidates
    /// in a row are no key, each of which happens once in 2³².
    #[must_use]
    #[expect(clippy::expect_used, reason = "signing a digest with a valid key does not fail")]
    pub fn sign(
        &self,
        issuer_origin: &str,
        audience: &str,
        session: &Session,
        claims: &[String],
        now: Timestamp,
    ) -> Token {
        let mut payload: Map<String, Value> = claims
            .iter()
            .filter(|name| !REGISTERED.contains(&name.as_str()))
            .filter_map(|name| Some((name.clone(), session.claims.get(name)?.clone())))
            .collect();
        payload.insert("iss".to_owned(), issuer_origin.into());
        payload.insert("aud".to_owned(), audience.into());
        payload.insert("sub".to_owned(), session.subject.as_str().into());
        payload.insert("iat".to_owned(), now.0.into());
        payload.insert("exp".to_owned(), now.plus(LIFETIME_SECONDS).0.into());
        let payload = URL_SAFE_NO_PAD.encode(Value::Object(payload).to_string());
        let made = self.made();
        let signed = format!("{}.{payload}", made.header);
        let signature = made
            .key
            .sign_digest(&digest(&SHA256, signed.as_bytes()))
            .expect("P-256 signs a SHA-256 digest");
        Token::new([signed.as_str(), ".", &URL_SAFE_NO_PAD.encode(signature)].concat())
    }

    /// The JWKS (RFC 7517) with the public key of every key of the keyring, the active one first.
    ///
    /// # Panics
    /// As [`IdentitySigner::sign`] does.
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.made().jwks
    }
}

impl Made {
    fn of(roots: &PolicyRoots) -> Self {
        let uid = roots.policy_uid();
        let mut keys: Vec<SigningKey> =
            roots.keys().iter().map(|root| SigningKey::derive(root, uid)).collect();
        let published: Vec<Value> = keys.iter().map(SigningKey::jwk).collect();
        let active = keys.remove(0);
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": active.key_id()});
        Self {
            key: active.pair,
            header: URL_SAFE_NO_PAD.encode(header.to_string()),
            jwks: json!({ "keys": published }).to_string(),
        }
    }
}

struct SigningKey {
    pair: EcdsaKeyPair,
    x: String,
    y: String,
}

impl SigningKey {
    #[expect(clippy::expect_used, reason = "256 candidates fail together once in 2^8192")]
    fn derive(root: &RootKey, policy_uid: &str) -> Self {
        (0..=u8::MAX)
            .find_map(|attempt| {
                Self::from_scalar(
                    &root.derive(&format!("identity-jwt/es256/{attempt}"), policy_uid),
                )
            })
            .expect("one of 256 candidates is a P-256 key")
    }

    /// `None` for 0 and for what is not below the group's order.
    fn from_scalar(scalar: &DerivedKey) -> Option<Self> {
        let public = PrivateKey::from_private_key(&ECDH_P256, scalar.as_slice())
            .ok()?
            .compute_public_key()
            .ok()?;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            scalar.as_slice(),
            public.as_ref(),
        )
        .ok()?;
        // An uncompressed point (SEC 1, 2.3.3): the byte 4, then both coordinates.
        let (x, y) = public.as_ref().get(1..65)?.split_at(32);
        Some(Self { pair, x: URL_SAFE_NO_PAD.encode(x), y: URL_SAFE_NO_PAD.encode(y) })
    }

    /// The key's thumbprint (RFC 7638): the required members, in lexicographic order.
    fn key_id(&self) -> String {
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, self.x, self.y);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
    }

    fn jwk(&self) -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "x": self.x, "y": self.y,
            "kid": self.key_id(), "use": "sig", "alg": "ES256",
        })
    }
}

#[cfg(test)]
mod tests;
