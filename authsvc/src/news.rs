//! Tells readers what changed since each of them looked last: each thing once, however often it did.
//!
//! Why it exists: of ten thousand things one changes at a time, and nobody should compare all of them.
//! It must not say what became of a thing: who is told looks for itself.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// Where changes are told.
pub struct News<T> {
    readers: Mutex<Vec<Weak<Waiting<T>>>>,
}

/// One who is told.
pub struct Reader<T>(Arc<Waiting<T>>);

struct Waiting<T> {
    changed: Mutex<HashSet<T>>,
    told: Notify,
}

impl<T> Default for News<T> {
    fn default() -> Self {
        Self { readers: Mutex::default() }
    }
}

impl<T: Clone + Eq + Hash> News<T> {
    /// Tells of what changes from now on.
    #[must_use]
    pub fn reader(&self) -> Reader<T> {
        let waiting = Arc::new(Waiting { changed: Mutex::default(), told: Notify::new() });
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|one| one.strong_count() > 0);
        readers.push(Arc::downgrade(&waiting));
        Reader(waiting)
    }

    /// Tells every reader; also of nothing, so that they look.
    pub fn tell(&self, changed: &[T]) {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        for reader in readers.iter().filter_map(Weak::upgrade) {
            let mut known = reader.changed.lock().unwrap_or_else(PoisonError::into_inner);
            known.extend(changed.iter().cloned());
            drop(known);
            reader.told.notify_one();
        }
    }
}

impl<T> Reader<T> {
    /// What changed since it was asked last; waits for some news. Dropping the future loses none.
    pub async fn next(&self) -> HashSet<T> {
        self.0.told.notified().await;
        self.take()
    }

    /// What changed since it was asked last.
    #[must_use]
    pub fn take(&self) -> HashSet<T> {
        std::mem::take(&mut *self.0.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_reader_is_told_each_change_once_and_only_those_after_its_beginning() {
        let news = News::default();
        news.tell(&["before"]);
        let (one, other) = (news.reader(), news.reader());
        assert!(one.next().now_or_never().is_none());
        news.tell(&["a", "b"]);
        news.tell(&["a"]);
        assert_eq!(one.next().now_or_never(), Some(HashSet::from(["a", "b"])));
        assert!(one.next().now_or_never().is_none());
        drop(one);
        news.tell(&[]);
        assert_eq!(other.next().now_or_never(), Some(HashSet::from(["a", "b"])));
    }
}
