//! Seals records for the store: AES-256-GCM under a key of one policy and purpose.
//!
//! Why it exists: the store is not trusted. It may be read, and what it returns may be altered,
//! moved or from another time. This module must not choose what goes into a record or where it
//! lies, must not use a cipher without authentication, and tells callers one error for every cause.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::keyring::{Keyring, PolicyRoots, length_prefixed};
use super::{Purpose, StoreKey};
use crate::random::Random;

/// The first byte of every record. A new format gets a new number, and is not this one's reader.
const FORMAT: u8 = 1;

/// Length of an AES-GCM tag in bytes (NIST SP 800-38D).
const TAG_LEN: usize = 16;

/// Seals and opens records of one policy and purpose.
///
/// A record is: format version (1 byte), length of the key id (1 byte), key id, nonce (12 bytes),
/// ciphertext and tag. Nonces are random, so that replicas need no common counter; one key is good
/// for 2³² records (NIST SP 800-38D, 8.3).
///
/// Its keys are derived when the first record comes: of ten thousand policies most have none here.
pub struct Sealer {
    id: SealerId,
    roots: PolicyRoots,
    purpose: Purpose,
    /// In the keyring's order: the active one first.
    keys: OnceLock<Box<[LessSafeKey]>>,
}

/// Tells sealers apart: what one opened may not open under the next version of its policy or keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealerId(u64);

impl SealerId {
    fn another() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// A record that does not open: altered, of another policy, purpose or place, or by a key that is
/// gone. Which of these is not told.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the record does not open")]
pub struct Unsealable;

impl Sealer {
    /// The sealer of a policy and purpose: the keyring's active key seals, every key opens.
    #[must_use]
    pub fn new(keyring: &Keyring, policy_uid: &str, purpose: Purpose) -> Self {
        Self::of(&keyring.of_policy(policy_uid), purpose)
    }

    /// The same, by what other keys of the policy are derived from too.
    #[must_use]
    pub fn of(roots: &PolicyRoots, purpose: Purpose) -> Self {
        let (id, roots) = (SealerId::another(), roots.clone());
        Self { id, roots, purpose, keys: OnceLock::new() }
    }

    /// In the keyring's order.
    fn keys(&self) -> &[LessSafeKey] {
        self.keys.get_or_init(|| {
            let label = format!("seal/{}", self.purpose.label());
            self.roots.derive(&label).map(|key| aes_key(&key)).collect()
        })
    }

    /// Which sealer this is: each one made is another.
    #[must_use]
    pub fn id(&self) -> &SealerId {
        &self.id
    }

    /// The place in the keyring of the key that a record names; 0: the active one's.
    #[must_use]
    pub fn place_of_key(&self, sealed: &[u8]) -> Option<usize> {
        let id = sealed.get(1).and_then(|length| sealed.get(2..2 + usize::from(*length)))?;
        self.roots.keys().iter().position(|root| root.id().as_bytes() == id)
    }

    /// Whether a record that opens was sealed by the active key, and not by one that is to go.
    #[must_use]
    pub fn is_by_active_key(&self, sealed: &[u8]) -> bool {
        self.place_of_key(sealed) == Some(0)
    }

    /// Seals a record that belongs under `at` and opens nowhere else.
    ///
    /// # Panics
    /// Where the record is longer than the 64 GiB that AES-GCM seals.
    #[must_use]
    #[expect(clippy::expect_used, reason = "AES-GCM refuses only what is longer than 64 GiB")]
    #[expect(clippy::cast_possible_truncation, reason = "the keyring bounds ids to 32 bytes")]
    pub fn seal(&self, random: &dyn Random, at: &StoreKey, mut plain: Vec<u8>) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let aad = Aad::from(self.place(at));
        let (id, key) = (self.roots.keys()[0].id(), &self.keys()[0]);
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut plain)
            .expect("the record is short enough for AES-GCM");
        let mut sealed = Vec::with_capacity(2 + id.len() + NONCE_LEN + plain.len() + TAG_LEN);
        sealed.extend_from_slice(&[FORMAT, id.len() as u8]);
        sealed.extend_from_slice(id.as_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.append(&mut plain);
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens a record that was found under `at`.
    pub fn open(&self, at: &StoreKey, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let (&[format, id_len], rest) = sealed.split_first_chunk().ok_or(Unsealable)?;
        if format != FORMAT {
            return Err(Unsealable);
        }
        let (_, rest) = rest.split_at_checked(id_len.into()).ok_or(Unsealable)?;
        let (nonce, ciphertext) = rest.split_first_chunk().ok_or(Unsealable)?;
        let place = self.place_of_key(sealed).ok_or(Unsealable)?;
        let key = self.keys().get(place).ok_or(Unsealable)?;
        let mut plain = ciphertext.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.open_in_place(nonce, Aad::from(self.place(at)), &mut plain);
        let length = opened.map_err(|_| Unsealable)?.len();
        plain.truncate(length);
        Ok(plain)
    }

    /// The additional data: format version, policy, purpose and place (T-91).
    fn place(&self, at: &StoreKey) -> Vec<u8> {
        length_prefixed(&[
            &[FORMAT],
            self.roots.policy_uid().as_bytes(),
            self.purpose.label().as_bytes(),
            at.text().as_bytes(),
        ])
    }
}

#[expect(clippy::expect_used, reason = "32 bytes are what AES-256 takes")]
fn aes_key(bytes: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("the key has 32 bytes"))
}

#[cfg(test)]
mod tests;
