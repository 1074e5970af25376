//! How many may wait for something that may never answer: a fixed number, or one that follows from how
//! long the answers take.
//!
//! Whoever finds no room is told so at once. It must not queue: what waits for a part that hangs holds
//! memory and a connection, and the next one would wait longer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Room for a fixed number.
#[derive(Debug)]
pub(crate) struct Room {
    taken: AtomicUsize,
    most: usize,
}

/// A place in it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    pub(crate) const fn new(most: usize) -> Self {
        Self { taken: AtomicUsize::new(0), most }
    }

    /// A place, if there is one.
    pub(crate) fn enter(&self) -> Option<Place<'_>> {
        take(&self.taken, self.most)
    }
}

fn take(taken: &AtomicUsize, most: usize) -> Option<Place<'_>> {
    // The place is given back where there was none: it is counted for that moment only.
    let place = Place(taken);
    (taken.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
}

/// An answer that takes longer means that too many wait.
const SLOW: Duration = Duration::from_millis(100);
/// So many may wait in any case.
const LEAST: usize = 64;
/// So many may wait at the beginning.
const FIRST: usize = 512;
/// So many may wait at most.
const MOST: usize = 8192;

/// Room for as many as get their answers soon: one more while they do, half as many after one did not.
#[derive(Debug)]
pub(crate) struct AdaptiveRoom {
    taken: AtomicUsize,
    most: AtomicUsize,
    /// Counts how often the room was halved.
    halved: AtomicUsize,
}

/// A place in it, until it is dropped; also without an answer.
#[derive(Debug)]
pub(crate) struct TimedPlace<'a> {
    room: &'a AdaptiveRoom,
    since: Instant,
    halved: usize,
    _place: Place<'a>,
}

impl AdaptiveRoom {
    pub(crate) const fn new() -> Self {
        Self {
            taken: AtomicUsize::new(0),
            most: AtomicUsize::new(FIRST),
            halved: AtomicUsize::new(0),
        }
    }

    /// A place, if there is one.
    pub(crate) fn enter(&self) -> Option<TimedPlace<'_>> {
        let place = take(&self.taken, self.most.load(Ordering::Relaxed))?;
        let halved = self.halved.load(Ordering::Relaxed);
        Some(TimedPlace { room: self, since: Instant::now(), halved, _place: place })
    }

    fn adapt(&self, took: Duration, halved: usize) {
        let most = self.most.load(Ordering::Relaxed);
        if took <= SLOW {
            // Only where the room is used does it say that more would do.
            if self.taken.load(Ordering::Relaxed) * 2 > most && most < MOST {
                self.most.store(most + 1, Ordering::Relaxed);
            }
            return;
        }
        // What began before it was halved says nothing about how it is now.
        let (now, next) = (Ordering::Relaxed, halved.wrapping_add(1));
        if self.halved.compare_exchange(halved, next, now, now).is_ok() {
            self.most.store(LEAST.max(most / 2), Ordering::Relaxed);
        }
    }
}

impl Drop for TimedPlace<'_> {
    fn drop(&mut self) {
        self.room.adapt(self.since.elapsed(), self.halved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_room_takes_none() {
        let room = Room::new(2);
        let (first, second) = (room.enter(), room.enter());
        assert!(first.is_some() && second.is_some());
        assert!(room.enter().is_none() && room.enter().is_none());
        drop(first);
        assert!(room.enter().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_answers_make_room_for_few_and_quick_ones_for_more() {
        let room = AdaptiveRoom::new();
        // All that wait when it becomes slow count once together.
        for _ in 0..2 {
            let waiting: Vec<_> = std::iter::from_fn(|| room.enter()).collect();
            tokio::time::advance(2 * SLOW).await;
            drop(waiting);
        }
        assert_eq!(room.most.load(Ordering::Relaxed), FIRST / 4);
        for _ in 0..10 {
            let place = room.enter();
            tokio::time::advance(2 * SLOW).await;
            drop(place);
        }
        assert_eq!(room.most.load(Ordering::Relaxed), LEAST);
        // One at a time is no reason to let in more; many that are quick are.
        drop(room.enter());
        assert_eq!(room.most.load(Ordering::Relaxed), LEAST);
        for _ in 0..100 {
            drop(std::iter::from_fn(|| room.enter()).collect::<Vec<_>>());
        }
        assert!(room.most.load(Ordering::Relaxed) > 4 * LEAST);
    }
}
