//! The sessions that ended lately, so that no failover of the store brings one back.
//!
//! It must not grow without bound, and holds nothing but keys.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::session::StoreKey;

/// How long an end is remembered: far longer than any replica of a store lags behind.
const REMEMBER: Duration = Duration::from_hours(1);
/// How many at most, the oldest forgotten first; some 10 MiB.
const AT_MOST: usize = 65_536;

/// Keys of ended sessions.
#[derive(Default)]
pub(super) struct Ends {
    keys: HashSet<StoreKey>,
    /// In the order of their ends.
    order: VecDeque<(Instant, StoreKey)>,
}

impl Ends {
    pub(super) fn remember(&mut self, key: StoreKey, now: Instant) {
        self.drop_old(now);
        if !self.keys.insert(key) {
            return;
        }
        self.order.push_back((now, key));
        if self.order.len() > AT_MOST {
            self.drop_first();
        }
    }

    pub(super) fn contains(&mut self, key: &StoreKey, now: Instant) -> bool {
        self.drop_old(now);
        self.keys.contains(key)
    }

    pub(super) fn all(&mut self, now: Instant) -> Vec<StoreKey> {
        self.drop_old(now);
        self.order.iter().map(|(_, key)| *key).collect()
    }

    fn drop_old(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(ended, _)| now.duration_since(*ended) > REMEMBER) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.keys.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use crate::session::{Purpose, SecretId};

    fn fresh() -> StoreKey {
        SecretId::generate(&SystemRandom).store_key(Purpose::Session, "default/shop")
    }

    #[test]
    fn an_end_is_remembered_for_an_hour() {
        let (mut ends, now, key) = (Ends::default(), Instant::now(), fresh());
        ends.remember(key, now);
        ends.remember(key, now + REMEMBER / 2);
        assert!(ends.contains(&key, now + REMEMBER));
        assert!(!ends.contains(&fresh(), now));
        let later = now + REMEMBER + Duration::from_secs(1);
        assert!(!ends.contains(&key, later));
        assert!(ends.keys.is_empty() && ends.all(later).is_empty());
    }

    #[test]
    fn the_oldest_ends_are_forgotten_first_when_there_are_too_many() {
        let (mut ends, now) = (Ends::default(), Instant::now());
        let keys: Vec<StoreKey> = (0..=AT_MOST).map(|_| fresh()).collect();
        for key in &keys {
            ends.remember(*key, now);
        }
        assert_eq!(ends.all(now), keys[1..]);
        assert_eq!(ends.keys.len(), AT_MOST);
    }
}
