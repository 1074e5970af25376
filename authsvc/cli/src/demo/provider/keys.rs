//! The demo provider's signing key: RSA, since RS256 is what `OpenID` Connect expects by default.
//! It is made at start and never leaves the process.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

/// The `kid` of the only key.
const KID: &str = "demo-1";

/// A signing key and its public half.
pub struct Keys {
    private: EncodingKey,
    public: DecodingKey,
    modulus: String,
    exponent: String,
}

/// The key could not be made or used.
#[derive(Debug, thiserror::Error)]
#[error("the demo provider's key: {0}")]
pub struct KeyError(String);

impl Keys {
    /// Makes a new RSA key of 2048 bits.
    pub fn generate() -> Result<Self, KeyError> {
        let failed = |_| KeyError("cannot be generated".to_owned());
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let public = pair.public_key();
        let modulus = public.modulus().big_endian_without_leading_zero();
        let exponent = public.exponent().big_endian_without_leading_zero();
        Ok(Self {
            private: EncodingKey::from_rsa_pem(pem.as_bytes())
                .map_err(|error| KeyError(error.to_string()))?,
            public: DecodingKey::from_rsa_raw_components(modulus, exponent),
            modulus: URL_SAFE_NO_PAD.encode(modulus),
            exponent: URL_SAFE_NO_PAD.encode(exponent),
        })
    }

    /// The public keys as a JWK Set (RFC 7517, section 5).
    pub fn jwks(&self) -> Value {
        json!({"keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KID,
            "n": self.modulus, "e": self.exponent,
        }]})
    }

    /// Signs claims as a JWT of the type `typ`.
    pub fn sign(&self, typ: &str, claims: &Value) -> Result<String, KeyError> {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(KID.to_owned());
        header.typ = Some(typ.to_owned());
        jsonwebtoken::encode(&header, claims, &self.private)
            .map_err(|error| KeyError(error.to_string()))
    }

    /// The claims of a token that this key signed for that audience, or `None`. The expiry is the
    /// caller's to judge: a hint at logout may have expired, an access token must not.
    pub fn verify(&self, token: &str, issuer: &str, audience: &str) -> Option<Value> {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.validate_exp = false;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        Some(jsonwebtoken::decode::<Value>(token, &self.public, &validation).ok()?.claims)
    }
}
