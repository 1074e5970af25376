//! Parts that many policies have in common, kept once.
//!
//! Why it exists: of ten thousand policies most name the same provider, ask for the same login and have
//! the rules of a few templates, and each would keep a copy of its own. It must not keep what no policy
//! has any more; a change is of the policy alone that is changed.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A part of a policy; equal ones are one in memory.
pub struct Shared<T>(Arc<T>);

/// What many policies may have in common.
pub trait Common: Clone + Eq + Hash + Send + Sync + 'static {
    /// All of this kind that are in use.
    fn in_use() -> &'static InUse<Self>;

    /// Gives back memory that it was read with and has no use for.
    fn shrink(&mut self) {}
}

/// All of one kind that are in use.
pub struct InUse<T>(Mutex<Table<T>>);

struct Table<T> {
    /// Two that differ under one hash are not shared: that costs memory, and hardly ever happens.
    by_hash: BTreeMap<u64, Weak<T>>,
    /// At how many it is looked for what nobody has any more.
    sweep_at: usize,
}

impl<T: Common> InUse<T> {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Table { by_hash: BTreeMap::new(), sweep_at: 0 }))
    }

    /// The equal one that is in use, or else this.
    fn or(&self, mut value: T) -> Arc<T> {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        let hash = hasher.finish();
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = table.by_hash.get(&hash).and_then(Weak::upgrade)
            && *known == value
        {
            return known;
        }
        value.shrink();
        let kept = Arc::new(value);
        if table.by_hash.len() >= table.sweep_at {
            table.by_hash.retain(|_, one| one.strong_count() > 0);
            table.sweep_at = 2 * table.by_hash.len() + 64;
        }
        table.by_hash.insert(hash, Arc::downgrade(&kept));
        kept
    }
}

impl<T: Common> Default for InUse<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Common> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(T::in_use().or(value))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What is changed is no others' any more.
impl<T: Common> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl<T: Eq> Eq for Shared<T> {}

impl<T: Hash> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Common + Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Part {
        text: String,
    }

    impl Common for Part {
        fn in_use() -> &'static InUse<Self> {
            static IN_USE: InUse<Part> = InUse::new();
            &IN_USE
        }

        fn shrink(&mut self) {
            self.text.shrink_to_fit();
        }
    }

    fn part(text: &str) -> Shared<Part> {
        Part { text: text.to_owned() }.into()
    }

    #[test]
    fn equal_parts_are_one_and_a_change_is_of_one_alone() {
        let (first, mut second, other) = (part("a"), part("a"), part("b"));
        assert!(Arc::ptr_eq(&first.0, &second.0));
        assert_ne!(first, other);
        second.text.push('c');
        assert_eq!((first.text.as_str(), second.text.as_str()), ("a", "ac"));
        assert!(Arc::ptr_eq(&part("a").0, &first.0), "it is still the one in use");
    }

    #[test]
    fn what_nobody_has_is_forgotten() {
        for number in 0..10_000 {
            drop(part(&format!("gone {number}")));
        }
        let kept = Part::in_use().0.lock().unwrap().by_hash.len();
        assert!(kept <= 200, "{kept}");
    }
}
