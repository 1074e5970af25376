//! A registration at the provider: the policy's, or an authority's own.

use secrecy::{ExposeSecret as _, SecretString};
use vestibule_crds::v1alpha1::{Client, PrivateKeyJwt};

use super::SecretLookup;
use crate::error::FieldErrors;
use crate::model::{CompiledClient, Credential};

/// Resolves the client of a field; `None` where its credential is not usable, with an error pushed.
pub(super) fn compile(
    client: &Client,
    field: &str,
    secrets: SecretLookup<'_>,
    errors: &mut FieldErrors,
) -> Option<CompiledClient> {
    if client.id.is_empty() {
        errors.push(format!("{field}.id"), "must be the client identifier that the provider gave");
    }
    let credential = match (&client.secret_ref, &client.private_key_jwt) {
        (Some(reference), None) => {
            let value = found(secrets(reference), &format!("{field}.secretRef"), errors)?;
            Credential::Secret { method: client.auth_method, value }
        }
        (None, Some(jwt)) => {
            if client.auth_method.is_some() {
                errors.push(
                    format!("{field}.authMethod"),
                    "is for a client secret: remove it, privateKeyJwt says enough",
                );
            }
            private_key(jwt, &format!("{field}.privateKeyJwt"), secrets, errors)?
        }
        (None, None) => {
            errors
                .push(field, "give secretRef or privateKeyJwt: Vestibule is a confidential client");
            return None;
        }
        (Some(_), Some(_)) => {
            errors.push(field, "give either secretRef or privateKeyJwt, not both");
            return None;
        }
    };
    Some(CompiledClient { id: client.id.clone(), credential })
}

/// The text of a Secret, which is not empty.
pub(super) fn found(
    secret: Result<SecretString, String>,
    field: &str,
    errors: &mut FieldErrors,
) -> Option<SecretString> {
    match secret {
        Ok(value) if value.expose_secret().is_empty() => {
            errors.push(field, "the secret is empty");
            None
        }
        Ok(value) => Some(value),
        Err(message) => {
            errors.push(field, message);
            None
        }
    }
}

fn private_key(
    jwt: &PrivateKeyJwt,
    field: &str,
    secrets: SecretLookup<'_>,
    errors: &mut FieldErrors,
) -> Option<Credential> {
    let key_ref = format!("{field}.keyRef");
    let pem = found(secrets(&jwt.key_ref), &key_ref, errors)?;
    let Some(der) = pem_block(pem.expose_secret(), "PRIVATE KEY") else {
        errors.push(key_ref, "must be a PKCS#8 key in PEM (-----BEGIN PRIVATE KEY-----)");
        return None;
    };
    let elliptic = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &der,
    )
    .is_ok();
    let rsa = aws_lc_rs::rsa::KeyPair::from_pkcs8(&der).is_ok();
    let algorithm = match (jwt.algorithm.as_deref(), elliptic, rsa) {
        (None | Some("ES256"), true, _) => "ES256",
        (None | Some("RS256"), _, true) => "RS256",
        (Some("PS256"), _, true) => "PS256",
        (_, false, false) => {
            errors.push(key_ref, "must be a P-256 key, or an RSA key of at least 2048 bits");
            return None;
        }
        (Some(other), ..) => {
            errors.push(
                format!("{field}.algorithm"),
                format!(
                    "{other:?} does not fit the key: ES256 goes with P-256, RS256 and PS256 with RSA"
                ),
            );
            return None;
        }
    };
    Some(Credential::PrivateKey {
        algorithm: algorithm.to_owned(),
        key_id: jwt.key_id.clone(),
        pem,
    })
}

/// The DER inside the first PEM block of a label (RFC 7468, section 2).
pub(super) fn pem_block(pem: &str, label: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let (_, body) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = body.split_once(&format!("-----END {label}-----"))?;
    let text: String = body.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
