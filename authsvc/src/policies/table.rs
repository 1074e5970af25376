//! A table of which a changed copy costs little, however many rows it has.
//!
//! Why it exists: requests read one immutable snapshot without a lock, and a change of one policy must
//! not cost work for all of them. A copy shares all shards with its original; only those that a change
//! touches are made anew. It must not know what its rows mean.

use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

/// How many shards there are. A change copies as many pointers, and the rows of one shard: at ten
/// thousand rows about eighty.
const SHARDS: usize = 128;

/// What a table holds. Cheap to clone.
pub(super) trait Row: Clone {
    /// What it is found by.
    type Key<'a>: Hash + Copy
    where
        Self: 'a;

    /// Its key; never another one while it is in a table.
    fn key(&self) -> Self::Key<'_>;

    /// Whether that is its key.
    fn is(&self, key: Self::Key<'_>) -> bool;
}

/// Rows by their keys.
#[derive(Clone)]
pub(super) struct Table<R> {
    shards: Box<[Arc<HashTable<R>>]>,
    /// Seeded at random. Only who writes policies brings keys that stay, so it need not be a hard one.
    hasher: DefaultHashBuilder,
    rows: usize,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        let empty = Arc::new(HashTable::new());
        let shards = (0..SHARDS).map(|_| Arc::clone(&empty)).collect();
        Self { shards, hasher: DefaultHashBuilder::default(), rows: 0 }
    }
}

impl<R: Row> Table<R> {
    pub(super) fn get(&self, key: R::Key<'_>) -> Option<&R> {
        let hash = self.hasher.hash_one(key);
        self.shards[shard_of(hash)].find(hash, |row| row.is(key))
    }

    /// Puts a row in the place of the one with its key, if there is any; gives that.
    pub(super) fn put(&mut self, row: R) -> Option<R> {
        let hash = self.hasher.hash_one(row.key());
        let shard = Arc::make_mut(&mut self.shards[shard_of(hash)]);
        let hasher = &self.hasher;
        let same = |other: &R| other.is(row.key());
        match shard.entry(hash, same, |other| hasher.hash_one(other.key())) {
            Entry::Occupied(mut found) => Some(std::mem::replace(found.get_mut(), row)),
            Entry::Vacant(place) => {
                place.insert(row);
                self.rows += 1;
                None
            }
        }
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, key: R::Key<'_>) -> Option<R> {
        let hash = self.hasher.hash_one(key);
        let shard = &mut self.shards[shard_of(hash)];
        shard.find(hash, |row| row.is(key))?;
        let found = Arc::make_mut(shard).find_entry(hash, |row| row.is(key)).ok()?;
        self.rows -= 1;
        Some(found.remove().0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &R> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }
}

/// By bits that a shard does not look at first.
fn shard_of(hash: u64) -> usize {
    usize::try_from(hash >> 40).unwrap_or_default() % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Word(Arc<str>, usize);

    impl Row for Word {
        type Key<'a> = &'a str;

        fn key(&self) -> &str {
            &self.0
        }

        fn is(&self, key: &str) -> bool {
            *self.0 == *key
        }
    }

    #[test]
    fn a_changed_copy_leaves_the_original_as_it_was_and_shares_almost_all_of_it() {
        let mut table = Table::default();
        for number in 0..10_000 {
            assert_eq!(table.put(Word(number.to_string().into(), number)), None);
        }
        let before = table.clone();
        assert_eq!(table.put(Word("7".into(), 70)), Some(Word("7".into(), 7)));
        assert_eq!(table.remove("8"), Some(Word("8".into(), 8)));
        assert_eq!(table.remove("8"), None);
        assert_eq!((before.len(), table.len(), table.iter().count()), (10_000, 9_999, 9_999));
        assert_eq!(before.get("7").map(|word| word.1), Some(7));
        assert_eq!(before.get("8").map(|word| word.1), Some(8));
        assert_eq!(table.get("7").map(|word| word.1), Some(70));
        assert_eq!(table.get("8"), None);
        let shards = before.shards.iter().zip(&table.shards);
        assert!(shards.filter(|(old, new)| !Arc::ptr_eq(old, new)).count() <= 2);
    }
}
