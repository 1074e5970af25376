//! The Secret with the keyring and the admin token: created once, never overwritten.
//!
//! Whoever deletes it ends all sessions; the operator then makes a new one. It must not read the
//! keyring, and must not log what it makes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use secrecy::SecretString;
use vestibule_crds::names;

use crate::api::{ApiError, call};
use crate::random;

/// Why there is no admin token.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The API server was asked in vain.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The Secret lacks it.
    #[error(
        "Secret {0}: the key `admin-token` is missing or no text: delete the Secret and restart authsvc, which ends all sessions, or add the key"
    )]
    NoToken(String),
}

/// Creates the Secret where there is none, and gives the admin token in it.
///
/// # Errors
/// Where the API server refuses, or the Secret holds no token.
pub async fn ensure(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<SecretString, KeysError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let read = || call(|| format!("get Secret {namespace}/{name}"), api.get_opt(name));
    let mut secret = read().await.map_err(ApiError::without_message)?;
    if secret.is_none() {
        let (params, body) = (PostParams::default(), fresh(name));
        let made = api.create(&params, &body);
        secret = match call(|| format!("create Secret {namespace}/{name}"), made).await {
            Ok(made) => {
                tracing::info!(namespace, name, "the keys were created");
                Some(made)
            }
            Err(error) if error.already_exists => {
                read().await.map_err(ApiError::without_message)?
            }
            Err(error) => return Err(error.without_message().into()),
        };
    }
    secret
        .and_then(|secret| secret.data)
        .and_then(|mut data| data.remove(names::ADMIN_TOKEN_KEY))
        .and_then(|token| String::from_utf8(token.0).ok())
        .map(|token| SecretString::from(token.trim_end().to_owned()))
        .ok_or_else(|| KeysError::NoToken(format!("{namespace}/{name}")))
}

fn fresh(name: &str) -> Secret {
    let key = STANDARD.encode(random::bytes::<32>());
    let keyring = format!("keys:\n  - id: k1\n    secret: {key}\n");
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    let token: String = random::bytes::<32>()
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect();
    let data = BTreeMap::from([
        (names::KEYRING_KEY.to_owned(), ByteString(keyring.into_bytes())),
        (names::ADMIN_TOKEN_KEY.to_owned(), ByteString(token.into_bytes())),
    ]);
    let labels =
        BTreeMap::from([(names::MANAGED_BY_LABEL.to_owned(), names::MANAGED_BY_VALUE.to_owned())]);
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_secrets_share_nothing_and_have_the_documented_form() {
        let (one, other) = (fresh("keys").data.unwrap(), fresh("keys").data.unwrap());
        assert_ne!(one[names::KEYRING_KEY], other[names::KEYRING_KEY]);
        assert_ne!(one[names::ADMIN_TOKEN_KEY], other[names::ADMIN_TOKEN_KEY]);
        let keyring = String::from_utf8(one[names::KEYRING_KEY].0.clone()).unwrap();
        let secret = keyring.strip_prefix("keys:\n  - id: k1\n    secret: ").unwrap();
        assert_eq!(STANDARD.decode(secret.trim_end()).unwrap().len(), 32);
        let token = &one[names::ADMIN_TOKEN_KEY].0;
        assert!(token.len() == 64 && token.iter().all(u8::is_ascii_hexdigit));
    }
}
