//! How a compiled policy travels from the operator to authsvc: as the data of one Secret.
//!
//! Why it exists: both sides must agree on every byte, and a reader that does not know what a newer
//! writer says must refuse it rather than enforce less. It must not put a credential anywhere but
//! into its own key of the data, and no error quotes one.

mod credentials;

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use vestibule_crds::names::COMPILED_SECRET_PREFIX;
pub use vestibule_crds::names::{
    AUTH_ZEN_CREDENTIAL_KEY, AUTHORITY_CREDENTIAL_PREFIX, COMPILED_KEY, CREDENTIAL_KEY,
    OPEN_FGA_CREDENTIAL_KEY,
};

use crate::model::{CompiledPolicy, PolicyId};
use crate::origin::Origin;

/// The format that this version writes, and the only one that it reads.
pub const FORMAT: u32 = 1;

/// The greatest size of the data, keys and values: a Secret holds 1 MiB, its metadata included.
/// Who writes asks [`size`] first; who reads refuses more.
pub const MAX_SIZE: usize = 900 * 1024;

/// One policy as the operator hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handoff {
    /// Which policy this is.
    pub id: PolicyId,
    /// The object's uid.
    pub uid: String,
    /// Of the object that this was made from.
    pub generation: i64,
    /// The origins whose hosts the policy holds, also while it is refused or a tombstone.
    pub origins: Vec<Origin>,
    /// Whether the policy's owner let go of its hosts.
    pub released: bool,
    /// What is to be done with its traffic.
    pub state: State,
}

/// What is to be done with the traffic of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Enforce this.
    Live(Box<CompiledPolicy>),
    /// Refuse: what its author wrote cannot be enforced.
    Refused,
    /// Refuse: the object is gone, its hosts are not free yet.
    Tombstone,
}

impl State {
    /// `Live`, `Refused` or `Tombstone`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Live(_) => "Live",
            Self::Refused => "Refused",
            Self::Tombstone => "Tombstone",
        }
    }
}

/// `policy.json`; the policy is borrowed to write and owned when read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<P> {
    format: u32,
    id: PolicyId,
    uid: String,
    generation: i64,
    origins: Vec<Origin>,
    released: bool,
    state: WireState<P>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum WireState<P> {
    Live(P),
    Refused,
    Tombstone,
}

/// Enough to tell a newer format from a defect. Whatever else is there is not looked at.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

impl Handoff {
    /// The data of the Secret.
    #[must_use]
    pub fn encode(&self) -> BTreeMap<String, Vec<u8>> {
        let mut data = BTreeMap::new();
        let state = match &self.state {
            State::Live(policy) => {
                for (key, credential) in credentials::of(policy) {
                    data.insert(key, credential.expose_secret().as_bytes().to_vec());
                }
                WireState::Live(&**policy)
            }
            State::Refused => WireState::Refused,
            State::Tombstone => WireState::Tombstone,
        };
        let envelope = Envelope {
            format: FORMAT,
            id: self.id.clone(),
            uid: self.uid.clone(),
            generation: self.generation,
            origins: self.origins.clone(),
            released: self.released,
            state,
        };
        // Text keys and finite numbers always make JSON; nobody reads anything out of nothing.
        let json = serde_json::to_vec(&envelope).unwrap_or_default();
        data.insert(COMPILED_KEY.to_owned(), json);
        data
    }

    /// Reads the data of a Secret.
    ///
    /// # Errors
    /// Whatever this version would not have written itself, with the reason.
    pub fn decode(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, String> {
        if size(data) > MAX_SIZE {
            return Err(format!("is larger than {MAX_SIZE} bytes"));
        }
        if let Some(key) = data.keys().find(|key| *key != COMPILED_KEY && !credentials::is_key(key))
        {
            return Err(format!("has an unknown key {key:?}"));
        }
        let Some(json) = data.get(COMPILED_KEY) else {
            return Err(format!("has no {COMPILED_KEY}"));
        };
        let AnyFormat { format } = serde_json::from_slice(json)
            .map_err(|error| format!("{COMPILED_KEY} cannot be read: {error}"))?;
        if format != FORMAT {
            return Err(format!(
                "{COMPILED_KEY} has format {format}, this version reads {FORMAT}: run operator and \
                 authsvc of the same version"
            ));
        }
        let envelope: Envelope<CompiledPolicy> = serde_json::from_slice(json)
            .map_err(|error| format!("{COMPILED_KEY} cannot be read: {error}"))?;
        let state = match envelope.state {
            WireState::Live(mut policy) => {
                credentials::attach(&mut policy, data)?;
                policy.shrink();
                State::Live(Box::new(policy))
            }
            WireState::Refused => State::Refused,
            WireState::Tombstone => State::Tombstone,
        };
        let is_live = matches!(state, State::Live(_));
        if let Some(key) = data.keys().find(|key| !is_live && credentials::is_key(key)) {
            return Err(format!("has a {key}, but is not live"));
        }
        let handoff = Self {
            id: envelope.id,
            uid: envelope.uid,
            generation: envelope.generation,
            origins: envelope.origins,
            released: envelope.released,
            state,
        };
        handoff.agrees_with_itself()?;
        Ok(handoff)
    }

    /// A policy is enforced under its own name and keys, and on hosts that it holds.
    fn agrees_with_itself(&self) -> Result<(), String> {
        let State::Live(policy) = &self.state else { return Ok(()) };
        if policy.id != self.id || policy.uid != self.uid {
            return Err(format!("{COMPILED_KEY} is of one policy, what it holds is of another"));
        }
        match policy.origins.iter().find(|origin| !self.origins.contains(origin)) {
            Some(origin) => Err(format!("{COMPILED_KEY}: {origin} is enforced, but not held")),
            None => Ok(()),
        }
    }
}

/// How large the data is: keys and values.
#[must_use]
pub fn size(data: &BTreeMap<String, Vec<u8>>) -> usize {
    data.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// Names what the data says: 32 hexadecimal characters of SHA-256 over keys and values, each after
/// its length, so that no two different data share a preimage.
#[must_use]
pub fn hash(data: &BTreeMap<String, Vec<u8>>) -> String {
    let mut context = Context::new(&SHA256);
    for (key, value) in data {
        for part in [key.as_bytes(), value] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
    }
    hex(&context.finish(), 32)
}

/// The label that finds everything of a policy: a label holds 63 characters, a namespace and a name
/// together more. Neither can hold a slash, so no two policies share a text.
#[must_use]
pub fn policy_id_label(namespace: &str, name: &str) -> String {
    hex(&digest(&SHA256, format!("{namespace}/{name}").as_bytes()), 40)
}

/// The name of the Secret that a policy is handed over in.
#[must_use]
pub fn secret_name(namespace: &str, name: &str) -> String {
    format!("{COMPILED_SECRET_PREFIX}{}", policy_id_label(namespace, name))
}

pub(crate) fn hex(digest: &Digest, characters: usize) -> String {
    let digits = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .take(characters)
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}
