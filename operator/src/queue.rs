//! The work queue: which policy is worked on next, and when a failed one is tried again.
//!
//! A policy waits at most once, is never worked on twice at a time, and a change during the work
//! makes it wait again. It knows neither policies nor the API: keys go in, keys come out.

mod runner;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::api::Category;
pub use runner::run;

/// How much is to be done. The larger one wins where both wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// The replicas told something: only the status may change.
    Status,
    /// Anything may have changed.
    Full,
}

/// How some work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Done,
    /// Well, and it is to be looked at again after this time.
    Again(Duration),
    /// It failed.
    Failed(Category),
}

/// Keys that wait, are worked on, or wait for their next try.
pub struct Queue<K> {
    inner: Mutex<Inner<K>>,
    changed: Notify,
    jitter: fn() -> f64,
}

struct Inner<K> {
    order: VecDeque<K>,
    waiting: HashMap<K, Work>,
    running: HashMap<K, Option<Work>>,
    delayed: BTreeMap<(Instant, u64), (K, Work)>,
    delayed_at: HashMap<K, (Instant, u64)>,
    failures: HashMap<K, u32>,
    count: u64,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// An empty queue; `jitter` gives numbers from 0 to below 1.
    #[must_use]
    pub fn new(jitter: fn() -> f64) -> Self {
        let inner = Inner {
            order: VecDeque::new(),
            waiting: HashMap::new(),
            running: HashMap::new(),
            delayed: BTreeMap::new(),
            delayed_at: HashMap::new(),
            failures: HashMap::new(),
            count: 0,
        };
        Self { inner: Mutex::new(inner), changed: Notify::new(), jitter }
    }

    /// Lets the key wait for work, now: a change may have mended what failed.
    pub fn add(&self, key: &K, work: Work) {
        let mut inner = self.lock();
        if work == Work::Status && inner.delayed_at.contains_key(key) {
            return; // It failed: the next try writes the status as well.
        }
        inner.undelay(key);
        inner.add(key, work);
        drop(inner);
        self.changed.notify_one();
    }

    /// The next key; it counts as worked on until `finish`.
    pub async fn next(&self) -> (K, Work) {
        loop {
            let changed = self.changed.notified();
            let wake = {
                let mut inner = self.lock();
                inner.promote(Instant::now());
                if let Some(next) = inner.take() {
                    return next;
                }
                inner.delayed.keys().next().map(|(at, _)| *at)
            };
            match wake {
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(at) => {}
                },
                None => changed.await,
            }
        }
    }

    /// The work on the key ended.
    pub fn finish(&self, key: &K, work: Work, outcome: Outcome) {
        let mut inner = self.lock();
        let again = inner.running.remove(key).flatten();
        let delay = match outcome {
            Outcome::Done => {
                inner.failures.remove(key);
                None
            }
            Outcome::Again(after) => {
                inner.failures.remove(key);
                Some(after)
            }
            Outcome::Failed(category) => {
                let failures = inner.failures.entry(key.clone()).or_insert(0);
                *failures = failures.saturating_add(1);
                let failures = *failures;
                Some(delay(category, failures, (self.jitter)()))
            }
        };
        match (again, delay) {
            (Some(again), _) => inner.add(key, again.max(work)),
            (None, Some(delay)) => inner.delay(key, work, Instant::now() + delay),
            (None, None) => {}
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// How many keys wait to be worked on.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Forgets everything: another process did this work meanwhile.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.order.clear();
        inner.waiting.clear();
        inner.running.clear();
        inner.delayed.clear();
        inner.delayed_at.clear();
        inner.failures.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Inner<K> {
    fn add(&mut self, key: &K, work: Work) {
        if let Some(again) = self.running.get_mut(key) {
            *again = Some(again.map_or(work, |earlier| earlier.max(work)));
        } else if let Some(waiting) = self.waiting.get_mut(key) {
            *waiting = work.max(*waiting);
        } else {
            self.waiting.insert(key.clone(), work);
            self.order.push_back(key.clone());
        }
    }

    fn take(&mut self) -> Option<(K, Work)> {
        let key = self.order.pop_front()?;
        let work = self.waiting.remove(&key)?;
        self.running.insert(key.clone(), None);
        Some((key, work))
    }

    fn delay(&mut self, key: &K, work: Work, at: Instant) {
        self.undelay(key);
        self.count += 1;
        self.delayed.insert((at, self.count), (key.clone(), work));
        self.delayed_at.insert(key.clone(), (at, self.count));
    }

    fn undelay(&mut self, key: &K) {
        if let Some(at) = self.delayed_at.remove(key) {
            self.delayed.remove(&at);
        }
    }

    fn promote(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let (key, work) = entry.remove();
            self.delayed_at.remove(&key);
            self.add(&key, work);
        }
    }
}

/// How long to wait after so many failures in a row.
fn delay(category: Category, failures: u32, jitter: f64) -> Duration {
    let doubled = |first: Duration, most: Duration| {
        first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most)
    };
    let spread = |delay: Duration| delay.mul_f64(0.75 + jitter / 2.0);
    match category {
        // At once, unless it goes on: then somebody fights with us.
        Category::Conflict if failures < 4 => Duration::ZERO,
        Category::Conflict => spread(doubled(Duration::from_millis(10), Duration::from_secs(10))),
        Category::Busy(after) => {
            let own = spread(doubled(Duration::from_millis(500), Duration::from_mins(1)));
            after.map_or(own, |after| own.max(after))
        }
        Category::Forbidden => spread(Duration::from_secs(30)),
        Category::Other => spread(doubled(Duration::from_secs(5), Duration::from_mins(5))),
    }
}

#[cfg(test)]
mod tests;
