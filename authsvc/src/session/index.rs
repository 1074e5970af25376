//! Finding sessions without their cookie: by user, by the provider's session, by policy.
//!
//! Why it exists: back-channel logout and admins know a `sid` or a user. The keys are HMACs under a
//! key of the policy, so that a dump of the store tells neither. It must not read or write the store.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::StoreKey;
use super::keyring::{Keyring, PolicyRoots, length_prefixed};
use crate::clock::Timestamp;

/// What sessions are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By<'a> {
    /// The user: `sub` at the policy's provider.
    Subject(&'a str),
    /// The provider's session: `sid`.
    ProviderSession(&'a str),
    /// All of the policy.
    Policy,
    /// All of the policy, by when they are over.
    End,
}

/// The key of an index in the store. Not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexKey([u8; 32]);

impl IndexKey {
    /// The key in the store.
    #[must_use]
    pub fn text(&self) -> String {
        format!("vestibule:index:{{{}}}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// The key of something that may happen once, such as a logout token's `jti`. Not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkKey([u8; 32]);

impl MarkKey {
    /// The key in the store.
    #[must_use]
    pub fn text(&self) -> String {
        format!("vestibule:mark:{{{}}}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// One record in one index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The index.
    pub index: IndexKey,
    /// The record.
    pub record: StoreKey,
    /// When the record ends at the latest.
    pub until: Timestamp,
}

/// What keys of indexes are derived for.
const LABEL: &str = "index";

/// Makes the index keys of one policy. It keeps no key: they are wanted where sessions begin and end,
/// and once an hour of every policy.
pub struct Indexer {
    roots: PolicyRoots,
}

impl Indexer {
    /// The indexer of a policy.
    #[must_use]
    pub fn new(keyring: &Keyring, policy_uid: &str) -> Self {
        Self::of(&keyring.of_policy(policy_uid))
    }

    /// The same, by what other keys of the policy are derived from too.
    #[must_use]
    pub fn of(roots: &PolicyRoots) -> Self {
        Self { roots: roots.clone() }
    }

    /// The active one first; the others find what was written before a rotation.
    fn derived(&self) -> impl Iterator<Item = hmac::Key> {
        self.roots.derive(LABEL).map(|secret| hmac::Key::new(hmac::HMAC_SHA256, &*secret))
    }

    /// The indexes to look into, the one to write to first.
    #[must_use]
    pub fn keys(&self, issuer: &str, by: By<'_>) -> Vec<IndexKey> {
        let parts: [&[u8]; 3] = match by {
            By::Subject(subject) => [b"sub", issuer.as_bytes(), subject.as_bytes()],
            By::ProviderSession(sid) => [b"sid", issuer.as_bytes(), sid.as_bytes()],
            By::Policy => [b"policy", b"", b""],
            By::End => [b"end", b"", b""],
        };
        let text = length_prefixed(&parts);
        self.derived().map(|key| IndexKey(mac(&key, &text))).collect()
    }

    /// Where it is noted that a token of this kind and `jti` came from this issuer.
    #[must_use]
    pub fn mark(&self, kind: &str, issuer: &str, jti: &str) -> Option<MarkKey> {
        let text = length_prefixed(&[b"once", kind.as_bytes(), issuer.as_bytes(), jti.as_bytes()]);
        self.derived().next().map(|key| MarkKey(mac(&key, &text)))
    }
}

fn mac(key: &hmac::Key, text: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hmac::sign(key, text).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn indexes_differ_by_policy_kind_issuer_and_value() {
        let keyring = Keyring::ephemeral(&SeededRandom::default());
        let mut seen = HashSet::new();
        for uid in ["a", "b"] {
            let indexer = Indexer::new(&keyring, uid);
            for issuer in ["https://one", "https://two"] {
                for value in ["alice", "bob", ""] {
                    for by in [By::Subject(value), By::ProviderSession(value)] {
                        let keys = indexer.keys(issuer, by);
                        assert!(seen.insert(keys[0]), "{uid} {issuer} {by:?} shares an index");
                    }
                }
            }
            assert!(seen.insert(indexer.keys("https://one", By::Policy)[0]));
        }
    }

    #[test]
    fn r52_a_sid_of_another_issuer_is_another_index() {
        let indexer = Indexer::new(&Keyring::ephemeral(&SeededRandom::default()), "shop");
        let by = By::ProviderSession("1");
        assert_ne!(indexer.keys("https://one", by), indexer.keys("https://two", by));
    }
}
