//! The signature of a compact JWS, by the provider's keys (RFC 7515, section 5.2).
//!
//! Why it exists: tokens that are no ID tokens are verified alike. It must not judge a claim, and
//! must not ask the provider for keys more often than `Cached` lets it.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::id_token::Header;
use super::keys::Keys;
use super::metadata::Metadata;
use super::{OidcError, Provider};
use crate::session::Claims;

enum Signature {
    Valid,
    Invalid,
    /// Its key is not among the ones we have; newer ones may have it.
    UnknownKey,
}

impl Provider {
    /// Verifies a token's signature with the keys at hand, and once more with fresh ones if the key
    /// is not among them. Whoever asks has judged all else: nothing is fetched for a token that would
    /// be refused whoever signed it.
    ///
    /// # Errors
    /// [`OidcError::Token`] where it is not valid; anything else where keys cannot be had.
    pub(super) async fn verify_signature(
        &self,
        token: &str,
        header: &Header,
        metadata: &Metadata,
    ) -> Result<(), OidcError> {
        let keys = self.keys(metadata).await?;
        let signature = match check(token, header, &keys) {
            Signature::UnknownKey => {
                let keys = self.newer_keys(metadata, &keys).await?;
                check(token, header, &keys)
            }
            known => known,
        };
        let refused = |reason: &str| Err(OidcError::Token(reason.to_owned()));
        match signature {
            Signature::Valid => Ok(()),
            Signature::Invalid => refused("its signature is not valid"),
            Signature::UnknownKey => refused("it is signed by none of the provider's keys"),
        }
    }
}

fn check(token: &str, header: &Header, keys: &Keys) -> Signature {
    let Some(jwk) = keys.one(header.kid.as_deref(), header.algorithm) else {
        return Signature::UnknownKey;
    };
    let key = serde_json::from_value::<Jwk>(jwk).ok();
    let key = key.and_then(|jwk| DecodingKey::from_jwk(&jwk).ok());
    let (Some(key), Ok(algorithm)) = (key, header.algorithm.parse::<Algorithm>()) else {
        return Signature::Invalid;
    };
    let mut validation = Validation::new(algorithm);
    // The claims are judged by whoever asks, by our clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.set_required_spec_claims::<&str>(&[]);
    match jsonwebtoken::decode::<Claims>(token, &key, &validation) {
        Ok(_) => Signature::Valid,
        // A provider without key ids rotates by exchanging its one key.
        Err(_) if header.kid.is_none() => Signature::UnknownKey,
        Err(_) => Signature::Invalid,
    }
}
