//! A change while checks arrive as fast as they are answered, each with one answer that is right. It must
//! not overlook a single other one, or a connection that broke.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::load::{Load, closed};

/// The answers are looked at so often.
const STRETCH: Duration = Duration::from_secs(2);

/// Makes the change under these loads, whose answers must all have the status that goes with it. Gives how
/// many there were.
pub fn under_load(loads: &[(u16, Load)], change: impl FnOnce()) -> u64 {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pressing: Vec<_> = loads
            .iter()
            .map(|(status, load)| scope.spawn(|| press(load, *status, &done)))
            .collect();
        // The load ends also where the change fails.
        let changed = catch_unwind(AssertUnwindSafe(change));
        done.store(true, Ordering::Release);
        let answered =
            pressing.into_iter().map(|one| one.join().unwrap_or_else(|why| resume_unwind(why)));
        let answered = answered.sum();
        changed.unwrap_or_else(|why| resume_unwind(why));
        answered
    })
}

fn press(load: &Load, expected: u16, done: &AtomicBool) -> u64 {
    let mut answered = 0;
    while !done.load(Ordering::Acquire) {
        let outcome = closed(load, STRETCH);
        let count = outcome.statuses.get(&expected).copied().unwrap_or_default();
        assert_eq!(outcome.statuses, BTreeMap::from([(expected, count)]), "of {:?}", load.asks);
        let broken = (outcome.failed, outcome.connects - load.connections as u64);
        assert_eq!(broken, (0, 0), "requests without an answer, connections that broke");
        answered += count;
    }
    answered
}
