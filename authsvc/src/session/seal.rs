//! Seals records for the store: AES-256-GCM under a key of one policy and purpose.
//!
//! Why it exists: the store is not trusted. It may be read, and what it returns may be altered,
//! moved or from another time. This module must not choose what goes into a record or where it
//! lies, must not use a cipher without authentication, and tells callers one error for every cause.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::keyring::{Keyring, length_prefixed};
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
pub struct Sealer {
    id: SealerId,
    policy_uid: String,
    purpose: Purpose,
    active: SealingKey,
    retired: Vec<SealingKey>,
}

struct SealingKey {
    id: String,
    key: LessSafeKey,
}

/// Tells sealers apart: what one opened may not open under the next version of its policy or keyring.
#[derive(Clone, Debug)]
pub struct SealerId(Arc<()>);

impl PartialEq for SealerId {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SealerId {}

/// A record that does not open: altered, of another policy, purpose or place, or by a key that is
/// gone. Which of these is not told.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the record does not open")]
pub struct Unsealable;

impl Sealer {
    /// Derives the keys of a policy and purpose: the keyring's active key seals, every key opens.
    #[must_use]
    pub fn new(keyring: &Keyring, policy_uid: &str, purpose: Purpose) -> Self {
        let label = format!("seal/{}", purpose.label());
        let mut keys: Vec<SealingKey> = keyring
            .keys()
            .iter()
            .map(|root| SealingKey {
                id: root.id().to_owned(),
                key: aes_key(&root.derive(&label, policy_uid)),
            })
            .collect();
        let active = keys.remove(0);
        let id = SealerId(Arc::new(()));
        Self { id, policy_uid: policy_uid.to_owned(), purpose, active, retired: keys }
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
        self.keys().position(|key| key.id.as_bytes() == id)
    }

    /// Whether a record that opens was sealed by the active key, and not by one that is to go.
    #[must_use]
    pub fn is_by_active_key(&self, sealed: &[u8]) -> bool {
        self.place_of_key(sealed) == Some(0)
    }

    /// The active one first.
    fn keys(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.active).chain(&self.retired)
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
        let key = &self.active;
        let tag = key
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut plain)
            .expect("the record is short enough for AES-GCM");
        let mut sealed = Vec::with_capacity(2 + key.id.len() + NONCE_LEN + plain.len() + TAG_LEN);
        sealed.extend_from_slice(&[FORMAT, key.id.len() as u8]);
        sealed.extend_from_slice(key.id.as_bytes());
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
        let (id, rest) = rest.split_at_checked(id_len.into()).ok_or(Unsealable)?;
        let (nonce, ciphertext) = rest.split_first_chunk().ok_or(Unsealable)?;
        let key = self.keys().find(|key| key.id.as_bytes() == id).ok_or(Unsealable)?;
        let mut plain = ciphertext.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.key.open_in_place(nonce, Aad::from(self.place(at)), &mut plain);
        let length = opened.map_err(|_| Unsealable)?.len();
        plain.truncate(length);
        Ok(plain)
    }

    /// The additional data: format version, policy, purpose and place (T-91).
    fn place(&self, at: &StoreKey) -> Vec<u8> {
        length_prefixed(&[
            &[FORMAT],
            self.policy_uid.as_bytes(),
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
