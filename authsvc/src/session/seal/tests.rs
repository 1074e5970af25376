//! What a record must withstand in a store that is not trusted.

#![expect(clippy::similar_names, reason = "a sealer makes what is sealed")]

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::random::{SeededRandom, SystemRandom};
use crate::session::SecretId;

const UID: &str = "default/shop";
const PLAIN: &[u8] = b"{\"subject\":\"alice\"}";

fn keyring(keys: &[(&str, u8)]) -> Keyring {
    let entries: Vec<String> = keys
        .iter()
        .map(|(id, seed)| format!("{{id: {id}, secret: {}}}", STANDARD.encode([*seed; 32])))
        .collect();
    Keyring::parse(&format!("keys: [{}]", entries.join(", "))).expect("the keyring parses")
}

fn sealer(keys: &[(&str, u8)]) -> Sealer {
    Sealer::new(&keyring(keys), UID, Purpose::Session)
}

fn place() -> StoreKey {
    SecretId::generate(&SystemRandom).store_key(Purpose::Session, UID)
}

fn seal(sealer: &Sealer, at: &StoreKey) -> Vec<u8> {
    sealer.seal(&SystemRandom, at, PLAIN.to_vec())
}

#[test]
fn what_was_sealed_opens() {
    let (sealer, at) = (sealer(&[("k1", 1)]), place());
    for plain in [Vec::new(), PLAIN.to_vec(), vec![7; 100_000]] {
        let sealed = sealer.seal(&SystemRandom, &at, plain.clone());
        assert_eq!(sealer.open(&at, &sealed), Ok(plain));
    }
}

#[test]
fn t019_keys_of_different_purposes_and_policies_never_open_each_others_records() {
    let keyring = keyring(&[("k1", 1)]);
    let at = place();
    let mut sealers = Vec::new();
    for uid in [UID, "default/sho", "default/shopp", "other/shop", ""] {
        for purpose in [Purpose::Session, Purpose::Login] {
            sealers.push(Sealer::new(&keyring, uid, purpose));
        }
    }
    for (sealed_by, one) in sealers.iter().enumerate() {
        let sealed = seal(one, &at);
        for (opened_by, other) in sealers.iter().enumerate() {
            let opened = other.open(&at, &sealed);
            assert_eq!(opened.is_ok(), sealed_by == opened_by, "{sealed_by} by {opened_by}");
        }
    }
}

/// The keys stay, what is said of the record changes.
fn says(sealer: &mut Sealer, keyring: &Keyring, uid: &str, purpose: Purpose) {
    sealer.keys();
    sealer.roots = keyring.of_policy(uid);
    sealer.purpose = purpose;
}

#[test]
fn t019_separation_of_keys_holds_without_the_additional_data() {
    let keyring = keyring(&[("k1", 1)]);
    let at = place();
    let sealed = seal(&Sealer::new(&keyring, UID, Purpose::Session), &at);
    for (uid, purpose) in [(UID, Purpose::Login), ("other/shop", Purpose::Session)] {
        let mut other = Sealer::new(&keyring, uid, purpose);
        says(&mut other, &keyring, UID, Purpose::Session);
        assert_eq!(other.open(&at, &sealed), Err(Unsealable), "{uid} {purpose:?} has the key");
    }
}

#[test]
fn t024_a_record_cut_short_or_prolonged_does_not_open() {
    let (sealer, at) = (sealer(&[("k1", 1)]), place());
    let sealed = seal(&sealer, &at);
    for length in 0..sealed.len() {
        assert_eq!(sealer.open(&at, &sealed[..length]), Err(Unsealable), "{length} bytes opened");
    }
    for extra in [0, 1, 255] {
        let longer = [sealed.as_slice(), &[extra]].concat();
        assert_eq!(sealer.open(&at, &longer), Err(Unsealable));
    }
}

#[test]
fn t024_no_bit_of_a_record_can_be_flipped() {
    // Ids that differ in one bit, so that a flip can name another key.
    let (sealer, at) = (sealer(&[("a", 1), ("c", 2), ("e", 3)]), place());
    let sealed = seal(&sealer, &at);
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(sealer.open(&at, &altered), Err(Unsealable), "bit {bit} may be flipped");
    }
}

#[test]
fn t072_every_failure_is_the_same_error_and_the_cipher_is_authenticated() {
    let (sealer, at) = (sealer(&[("k1", 1)]), place());
    let sealed = seal(&sealer, &at);
    assert_eq!(sealer.keys()[0].algorithm(), &AES_256_GCM);
    assert_eq!(sealed.len(), 2 + 2 + NONCE_LEN + PLAIN.len() + TAG_LEN, "there is a whole tag");
    let altered = |index: usize, value: u8| {
        let mut record = sealed.clone();
        record[index] = value;
        record
    };
    let errors = [
        sealer.open(&at, b""),
        sealer.open(&at, &altered(0, 2)),
        sealer.open(&at, &altered(1, 255)),
        sealer.open(&at, &altered(2, b'x')),
        sealer.open(&at, &altered(4, sealed[4] ^ 1)),
        sealer.open(&at, &altered(16, sealed[16] ^ 1)),
        sealer.open(&at, &altered(sealed.len() - 1, sealed[sealed.len() - 1] ^ 1)),
        sealer.open(&place(), &sealed),
    ];
    for error in errors {
        assert_eq!(error, Err(Unsealable));
    }
    assert_eq!(Unsealable.to_string(), "the record does not open");
}

#[test]
fn t073_ten_thousand_random_keys_never_open_a_record() {
    let at = place();
    let sealed = seal(&Sealer::new(&Keyring::ephemeral(&SystemRandom), UID, Purpose::Session), &at);
    for _ in 0..10_000 {
        let keyring = Keyring::ephemeral(&SystemRandom);
        let other = Sealer::new(&keyring, UID, Purpose::Session);
        assert_eq!(other.open(&at, &sealed), Err(Unsealable));
    }
}

#[test]
fn t073_a_retired_key_still_opens_and_a_removed_one_does_not() {
    let at = place();
    let before = sealer(&[("k1", 1)]);
    let sealed = seal(&before, &at);
    let rotated = sealer(&[("k2", 2), ("k1", 1)]);
    assert_eq!(rotated.open(&at, &sealed).as_deref(), Ok(PLAIN));
    assert_eq!(before.open(&at, &seal(&rotated, &at)), Err(Unsealable), "the old key sealed");
    let removed = sealer(&[("k2", 2)]);
    assert_eq!(removed.open(&at, &sealed), Err(Unsealable));
    assert_eq!(removed.open(&at, &seal(&rotated, &at)).as_deref(), Ok(PLAIN));
    let reused_id = sealer(&[("k1", 3)]);
    assert_eq!(reused_id.open(&at, &sealed), Err(Unsealable));
}

#[test]
fn t091_nonces_never_repeat() {
    let (sealer, at) = (sealer(&[("k1", 1)]), place());
    let mut seen = HashSet::new();
    for _ in 0..20_000 {
        let sealed = seal(&sealer, &at);
        assert!(seen.insert(sealed[4..4 + NONCE_LEN].to_vec()), "a nonce repeats");
    }
}

#[test]
fn t091_policy_purpose_and_version_are_bound_even_under_one_key() {
    let keyring = keyring(&[("k1", 1)]);
    let (one, at) = (Sealer::new(&keyring, UID, Purpose::Session), place());
    let sealed = seal(&one, &at);
    for (uid, purpose) in [("other/shop", Purpose::Session), (UID, Purpose::Login)] {
        let mut same_key = Sealer::new(&keyring, UID, Purpose::Session);
        says(&mut same_key, &keyring, uid, purpose);
        assert_eq!(same_key.open(&at, &sealed), Err(Unsealable), "{uid} {purpose:?} is not bound");
    }
    // The version: what is sealed with another one in the additional data does not open.
    for (version, opens) in [(FORMAT, true), (FORMAT + 1, false)] {
        let nonce = [9; NONCE_LEN];
        let mut body = PLAIN.to_vec();
        let place = length_prefixed(&[
            &[version],
            UID.as_bytes(),
            Purpose::Session.label().as_bytes(),
            at.text().as_bytes(),
        ]);
        let (key, aad) = (&one.keys()[0], Aad::from(place));
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut body)
            .expect("seals");
        let record = [&[FORMAT, 2], b"k1".as_slice(), &nonce, &body, tag.as_ref()].concat();
        assert_eq!(one.open(&at, &record).is_ok(), opens, "version {version}");
    }
}

#[test]
fn t091_records_swapped_between_places_do_not_open() {
    let sealer = sealer(&[("k1", 1)]);
    let (here, there) = (place(), place());
    let (one, other) = (seal(&sealer, &here), seal(&sealer, &there));
    assert_eq!(sealer.open(&there, &one), Err(Unsealable));
    assert_eq!(sealer.open(&here, &other), Err(Unsealable));
}

/// Few letters and the separators of naive encodings, so that collisions would be found.
fn part() -> impl Strategy<Value = String> {
    "[a:/|\u{0}]{0,4}"
}

fn purpose() -> impl Strategy<Value = Purpose> {
    prop_oneof![Just(Purpose::Session), Just(Purpose::Login)]
}

proptest! {
    #[test]
    fn t024_mutated_records_are_refused_and_never_panic(
        seed in any::<u64>(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let (sealer, at) = (sealer(&[("k1", 1), ("k2", 2)]), place());
        let random = SeededRandom::default();
        let sealed = sealer.seal(&random, &at, seed.to_be_bytes().repeat(9));
        let mut altered = sealed.clone();
        for (index, mask) in mutations {
            altered[index.index(sealed.len())] ^= mask;
        }
        if altered != sealed {
            prop_assert_eq!(sealer.open(&at, &altered), Err(Unsealable));
        }
        prop_assert_eq!(sealer.open(&at, &altered[..cut.index(sealed.len())]), Err(Unsealable));
    }

    #[test]
    fn t024_arbitrary_bytes_are_no_record(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(sealer(&[("k1", 1)]).open(&place(), &bytes), Err(Unsealable));
    }

    #[test]
    fn t071_no_two_tuples_share_additional_data_or_a_store_key(
        one in (purpose(), part(), any::<[u8; 32]>()),
        other in (purpose(), part(), any::<[u8; 32]>()),
        same_id in any::<bool>(),
    ) {
        let other = (other.0, other.1, if same_id { one.2 } else { other.2 });
        let encode = |(purpose, uid, digest): (Purpose, &str, [u8; 32])| {
            Sealer::new(&keyring(&[("k1", 1)]), uid, purpose).place(&StoreKey { purpose, digest })
        };
        let same = (one.0, &one.1, one.2) == (other.0, &other.1, other.2);
        let encoded = [encode((one.0, &one.1, one.2)), encode((other.0, &other.1, other.2))];
        prop_assert_eq!(encoded[0] == encoded[1], same);

        let ids = [one.2, other.2].map(SecretId);
        let keys = [ids[0].store_key(one.0, &one.1), ids[1].store_key(other.0, &other.1)];
        prop_assert_eq!(keys[0] == keys[1], same);
    }

    #[test]
    fn t071_no_two_lists_share_a_length_prefixed_encoding(
        one in prop::collection::vec("[a\u{0}\u{1}]{0,3}", 0..4),
        other in prop::collection::vec("[a\u{0}\u{1}]{0,3}", 0..4),
    ) {
        let encode = |parts: &[String]| {
            length_prefixed(&parts.iter().map(String::as_bytes).collect::<Vec<_>>())
        };
        prop_assert_eq!(encode(&one) == encode(&other), one == other);
    }
}
