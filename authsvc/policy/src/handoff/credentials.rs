//! The secrets of a policy, each in a key of its own beside `policy.json`.
//!
//! What a policy has is exactly what its data has: a secret too few would be one that is sent empty,
//! and one too many belongs to something that this version does not know.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{
    AUTH_ZEN_CREDENTIAL_KEY, AUTHORITY_CREDENTIAL_PREFIX, CREDENTIAL_KEY, OPEN_FGA_CREDENTIAL_KEY,
};
use crate::model::{CompiledClient, CompiledPolicy, Credential};

/// Every secret with its key.
pub(super) fn of(policy: &CompiledPolicy) -> Vec<(String, &SecretString)> {
    let mut all = vec![(CREDENTIAL_KEY.to_owned(), of_client(&policy.client))];
    for (place, authority) in policy.authorities.iter().enumerate() {
        all.extend(authority.client.iter().map(|own| (of_authority(place), of_client(own))));
    }
    let open_fga = policy.open_fga.as_ref().and_then(|one| one.server.token.as_ref());
    all.extend(open_fga.map(|token| (OPEN_FGA_CREDENTIAL_KEY.to_owned(), token)));
    let auth_zen = policy.auth_zen.as_ref().and_then(|one| one.server.token.as_ref());
    all.extend(auth_zen.map(|token| (AUTH_ZEN_CREDENTIAL_KEY.to_owned(), token)));
    all
}

/// Whether a key is that of a secret, of this or another policy.
pub(super) fn is_key(key: &str) -> bool {
    let place = key.strip_prefix(AUTHORITY_CREDENTIAL_PREFIX);
    let canonical = |place: &str| place.parse::<u8>().is_ok_and(|it| it.to_string() == place);
    [CREDENTIAL_KEY, OPEN_FGA_CREDENTIAL_KEY, AUTH_ZEN_CREDENTIAL_KEY].contains(&key)
        || place.is_some_and(canonical)
}

/// Puts the secrets of the data into the policy.
pub(super) fn attach(
    policy: &mut CompiledPolicy,
    data: &BTreeMap<String, Vec<u8>>,
) -> Result<(), String> {
    let slots = slots(policy);
    let is_wanted = |key: &String| slots.iter().any(|(wanted, _)| wanted == key);
    if let Some(key) = data.keys().find(|key| is_key(key) && !is_wanted(key)) {
        return Err(format!("has a {key}, but its policy has no such secret"));
    }
    for (key, slot) in slots {
        let Some(credential) = data.get(&key) else {
            return Err(format!("is live, but has no {key}"));
        };
        // The error of the conversion would hold the bytes.
        let text =
            std::str::from_utf8(credential).map_err(|_| format!("{key} is not UTF-8 text"))?;
        if text.is_empty() {
            return Err(format!("{key} is empty"));
        }
        *slot = SecretString::from(text);
    }
    Ok(())
}

/// Where every secret belongs.
fn slots(policy: &mut CompiledPolicy) -> Vec<(String, &mut SecretString)> {
    let mut all = vec![(CREDENTIAL_KEY.to_owned(), slot_of_client(&mut policy.client))];
    for (place, authority) in policy.authorities.iter_mut().enumerate() {
        all.extend(
            authority.client.iter_mut().map(|own| (of_authority(place), slot_of_client(own))),
        );
    }
    let open_fga = policy.open_fga.as_mut().and_then(|one| one.server.token.as_mut());
    all.extend(open_fga.map(|token| (OPEN_FGA_CREDENTIAL_KEY.to_owned(), token)));
    let auth_zen = policy.auth_zen.as_mut().and_then(|one| one.server.token.as_mut());
    all.extend(auth_zen.map(|token| (AUTH_ZEN_CREDENTIAL_KEY.to_owned(), token)));
    all
}

fn of_authority(place: usize) -> String {
    format!("{AUTHORITY_CREDENTIAL_PREFIX}{place}")
}

fn of_client(client: &CompiledClient) -> &SecretString {
    match &client.credential {
        Credential::Secret { value, .. } => value,
        Credential::PrivateKey { pem, .. } => pem,
    }
}

fn slot_of_client(client: &mut CompiledClient) -> &mut SecretString {
    match &mut client.credential {
        Credential::Secret { value, .. } => value,
        Credential::PrivateKey { pem, .. } => pem,
    }
}
