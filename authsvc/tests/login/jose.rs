//! Tokens of any kind, right and wrong, signed by keys made for the run.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The keys of the provider, and one that is not its own.
pub struct Keys {
    pub rsa: KeyPair,
    pub other_rsa: KeyPair,
    pub ec: EcdsaKeyPair,
    pub ed: Ed25519KeyPair,
}

pub static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    rsa: KeyPair::generate(KeySize::Rsa2048).unwrap(),
    other_rsa: KeyPair::generate(KeySize::Rsa2048).unwrap(),
    ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
    ed: Ed25519KeyPair::generate().unwrap(),
});

/// What makes a signature.
#[derive(Clone, Debug)]
pub enum Signer {
    Rsa,
    RsaPss,
    OtherRsa,
    Ec,
    Ed,
    Hmac(Vec<u8>),
    Fixed(Vec<u8>),
}

impl Signer {
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        #[expect(clippy::disallowed_methods, reason = "signatures of a test provider")]
        let random = SystemRandom::new();
        let rsa = |key: &KeyPair, encoding| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(encoding, &random, message, &mut signature).unwrap();
            signature
        };
        match self {
            Self::Rsa => rsa(&KEYS.rsa, &RSA_PKCS1_SHA256),
            Self::RsaPss => rsa(&KEYS.rsa, &RSA_PSS_SHA256),
            Self::OtherRsa => rsa(&KEYS.other_rsa, &RSA_PKCS1_SHA256),
            Self::Ec => KEYS.ec.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed => KEYS.ed.sign(message).as_ref().to_vec(),
            Self::Hmac(key) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
            }
            Self::Fixed(signature) => signature.clone(),
        }
    }
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A compact JWS over exactly these bytes.
pub fn compact(header: &[u8], payload: &[u8], signer: &Signer) -> String {
    let input = format!("{}.{}", base64url(header), base64url(payload));
    let signature = signer.sign(input.as_bytes());
    format!("{input}.{}", base64url(signature))
}

pub fn jwt(header: &Value, claims: &Value, signer: &Signer) -> String {
    compact(header.to_string().as_bytes(), claims.to_string().as_bytes(), signer)
}

pub fn rsa_jwk(key: &KeyPair, kid: &str) -> Value {
    let public = key.public_key();
    json!({
        "kty": "RSA", "use": "sig", "kid": kid,
        "n": base64url(public.modulus().big_endian_without_leading_zero()),
        "e": base64url(public.exponent().big_endian_without_leading_zero()),
    })
}

pub fn ec_jwk(kid: &str) -> Value {
    let point = KEYS.ec.public_key().as_ref();
    json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "kid": kid,
        "x": base64url(&point[1..33]), "y": base64url(&point[33..]),
    })
}

pub fn ed_jwk(kid: &str) -> Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid,
        "x": base64url(KEYS.ed.public_key()),
    })
}

/// The provider's key set.
pub fn jwks() -> Value {
    json!({"keys": [rsa_jwk(&KEYS.rsa, "rsa1"), ec_jwk("ec1"), ed_jwk("ed1")]})
}

/// The provider's RSA key as PEM, which an attacker may take for an HMAC key.
pub fn rsa_pem() -> String {
    let der: PublicKeyX509Der = KEYS.rsa.public_key().as_der().unwrap();
    let text = STANDARD.encode((*der).as_ref());
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

/// `at_hash` of an access token, for RS256 and ES256.
pub fn at_hash(access_token: &str) -> String {
    base64url(&digest::digest(&digest::SHA256, access_token.as_bytes()).as_ref()[..16])
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
