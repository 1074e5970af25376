//! A shard against a map: whatever goes, all others are found, and each as it was kept last.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::session::cache::tests::{fresh_key, kept, sealer_id};

const KEYS: usize = 24;
/// What each entry is taken to need.
const BYTES: usize = 10;

#[derive(Clone, Debug)]
enum Step {
    Put(usize),
    Forget(usize),
    Get(usize),
    Interrupt,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => (0..KEYS).prop_map(Step::Put),
        10 => (0..KEYS).prop_map(Step::Forget),
        20 => (0..KEYS).prop_map(Step::Get),
        1 => Just(Step::Interrupt),
    ];
    proptest::collection::vec(step, 1..200)
}

/// What a shard must hold: by key, the version.
fn version(shard: &mut Shard, key: &StoreKey) -> Option<u64> {
    shard.get(key).map(|kept| kept.version)
}

proptest! {
    #[test]
    fn whatever_goes_all_others_are_found(steps in steps()) {
        let (mut shard, sealer) = (Shard::new(usize::MAX), sealer_id());
        let keys: Vec<StoreKey> = (0..KEYS).map(|_| fresh_key()).collect();
        let mut model = BTreeMap::new();
        for (number, step) in (0..).zip(&steps) {
            match *step {
                Step::Put(key) => {
                    let (generation, kept) = (shard.generation(), kept("a", number, &sealer));
                    shard.put(Some(generation), &keys[key], kept, BYTES);
                    model.insert(key, number);
                }
                Step::Forget(key) => {
                    shard.forget(&keys[key]);
                    model.remove(&key);
                }
                Step::Get(key) => {
                    prop_assert_eq!(version(&mut shard, &keys[key]), model.get(&key).copied());
                }
                Step::Interrupt => {
                    drop(shard.interrupted());
                    model.clear();
                }
            }
            prop_assert_eq!(shard.bytes(), model.len() * BYTES);
            prop_assert_eq!((shard.entries.len(), shard.places.len()), (model.len(), model.len()));
        }
        for (key, store_key) in keys.iter().enumerate() {
            prop_assert_eq!(version(&mut shard, store_key), model.get(&key).copied());
        }
    }

    #[test]
    fn within_its_bound_what_is_found_is_what_was_kept_last(steps in steps(), room in 1..12_usize) {
        let (mut shard, sealer) = (Shard::new(room * BYTES), sealer_id());
        let keys: Vec<StoreKey> = (0..KEYS).map(|_| fresh_key()).collect();
        let mut model = BTreeMap::new();
        for (number, step) in (0..).zip(&steps) {
            let before = shard.entries.len();
            match *step {
                Step::Put(key) => {
                    let (generation, kept) = (shard.generation(), kept("a", number, &sealer));
                    let known = shard.place(&keys[key]).is_some();
                    shard.put(Some(generation), &keys[key], kept, BYTES);
                    model.insert(key, number);
                    let after = if known { before } else { room.min(before + 1) };
                    prop_assert_eq!(shard.entries.len(), after, "more went than had to");
                    prop_assert!(shard.place(&keys[key]).is_some(), "the newest went");
                }
                Step::Forget(key) => {
                    shard.forget(&keys[key]);
                    model.remove(&key);
                }
                Step::Get(key) => {
                    let found = version(&mut shard, &keys[key]);
                    prop_assert!(found.is_none() || found == model.get(&key).copied());
                }
                Step::Interrupt => {
                    drop(shard.interrupted());
                    model.clear();
                }
            }
            prop_assert_eq!(shard.bytes(), shard.entries.len() * BYTES);
            prop_assert_eq!(shard.places.len(), shard.entries.len());
        }
    }
}

#[test]
fn of_what_is_not_used_the_younger_half_stays() {
    const ROOM: usize = 100;
    let (mut shard, sealer) = (Shard::new(ROOM * BYTES), sealer_id());
    let keys: Vec<StoreKey> = (0..10 * ROOM).map(|_| fresh_key()).collect();
    let generation = shard.generation();
    for (number, key) in keys.iter().enumerate() {
        shard.put(Some(generation), key, kept("a", 1, &sealer), BYTES);
        let younger = &keys[number.saturating_sub(ROOM / 2)..=number];
        assert!(younger.iter().all(|key| shard.place(key).is_some()), "one of {number} is gone");
    }
}

#[test]
fn an_entry_is_small() {
    assert!(size_of::<Entry>() <= 80, "{}", size_of::<Entry>());
}
