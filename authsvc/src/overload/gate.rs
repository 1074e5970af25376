//! How many requests may come in during one pass of the probe, and how that number follows from how long
//! the pass took.
//!
//! It must not know what the requests are. The numbers are simulated in `tests`.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// No limit.
const ALL: u32 = u32::MAX;
/// After so many passes in a row that refused nothing the limit goes.
const CALM_PASSES: u32 = 40;
/// By how much the number may grow or shrink from one pass to the next.
const GROWTH: f64 = 1.25;
const SHRINKAGE: f64 = 0.25;
/// No refusal takes longer, without the time in which the process stands still.
const LONGEST_REFUSAL: Duration = Duration::from_micros(100);
/// What a refusal costs of an answer, before it is known, and how quickly that follows what is measured.
const USUAL_SHARE: f64 = 0.2;
const FOLLOWING: f64 = 0.1;
/// Where so many times as many come per time as in the last second, it is no stall.
const SURGE: f64 = 1.5;
const LAST_SECOND: Duration = Duration::from_secs(1);
/// Else the queue must have been too long for this time without a break: what waited for a stall is
/// answered soon after it.
const LONG_ENOUGH: Duration = Duration::from_millis(100);
/// With so few connections nothing is refused: each has one request at a time, so no queue grows beyond
/// that, and it is soon through.
const FEW_CONNECTIONS: usize = 256;

/// What a gate is set by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// How long a pass may take.
    pub(super) longest: Duration,
    /// So many are let in per pass in any case: a few requests are no overload, however slow it is.
    pub(super) least: u32,
    /// Refusals may take so much of the time, where that is bounded. Where they cost nearly as much as
    /// answers, refusing all that is too much would leave no time for any.
    pub(super) refusing: Option<f64>,
}

/// Lets requests in, up to a number per pass.
#[derive(Debug)]
pub(super) struct Gate {
    limit: AtomicU32,
    came: AtomicU32,
    connections: AtomicUsize,
    /// Of those that came, so many had their refusals timed, and these took so many nanoseconds.
    timed: AtomicU32,
    refusing: AtomicU64,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            limit: AtomicU32::new(ALL),
            came: AtomicU32::new(0),
            connections: AtomicUsize::new(0),
            timed: AtomicU32::new(0),
            refusing: AtomicU64::new(0),
        }
    }
}

impl Gate {
    /// Counts a request; whether it may come in.
    pub(super) fn admits(&self) -> bool {
        self.came.fetch_add(1, Ordering::Relaxed) < self.limit.load(Ordering::Relaxed)
    }

    /// Whether the next request may not come in.
    pub(super) fn is_full(&self) -> bool {
        self.came.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed)
    }

    /// Counts a request that was refused since the gate is full, and how long that took.
    pub(super) fn refused(&self, took: Duration) {
        self.came.fetch_add(1, Ordering::Relaxed);
        self.timed.fetch_add(1, Ordering::Relaxed);
        self.refusing.fetch_add(nanoseconds(took.min(LONGEST_REFUSAL)), Ordering::Relaxed);
    }

    /// A pass is over. How many came in it, and were refused.
    pub(super) fn turn(&self, control: &mut Control, pass: Pass) -> Turned {
        let came = self.came.swap(0, Ordering::Relaxed);
        let refused = came.saturating_sub(self.limit.load(Ordering::Relaxed));
        let timed = self.timed.swap(0, Ordering::Relaxed);
        let refusing = Duration::from_nanos(self.refusing.swap(0, Ordering::Relaxed));
        let few = self.connections.load(Ordering::Relaxed) <= FEW_CONNECTIONS;
        if !few {
            control.learn(pass.spent, Refusals { came, refused, timed, took: refusing });
        }
        self.set(if few { control.reset() } else { control.next(pass, came) });
        Turned { came, refused }
    }

    /// Notes how many connections there are.
    pub(super) fn connected(&self, connections: usize) {
        self.connections.store(connections, Ordering::Relaxed);
    }

    /// Lets all in.
    pub(super) fn open(&self) {
        self.set(ALL);
    }

    pub(super) fn set(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What happened in one pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turned {
    pub(super) came: u32,
    pub(super) refused: u32,
}

/// How long the probe took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// Through the queue.
    pub(super) queued: Duration,
    /// Since the end of the pass before.
    pub(super) lasted: Duration,
    /// Of the processor, since then.
    pub(super) spent: Duration,
}

/// What was refused in one pass.
#[derive(Clone, Copy, Debug)]
struct Refusals {
    came: u32,
    refused: u32,
    /// Of those refused, so many took so long; the others went through HTTP.
    timed: u32,
    took: Duration,
}

/// Finds the limit of the next pass.
#[derive(Debug)]
pub(super) struct Control {
    measure: Measure,
    limit: u32,
    /// How many came per second in about the last second, while there is no limit.
    rate: f64,
    /// For how long each pass was too long, while there is no limit.
    long_for: Duration,
    /// Passes in a row that refused nothing, while there is a limit.
    calm: u32,
    /// What a refusal costs of an answer.
    share: f64,
}

impl Control {
    pub(super) fn new(measure: Measure) -> Self {
        Self {
            measure,
            limit: ALL,
            rate: 0.0,
            long_for: Duration::ZERO,
            calm: 0,
            share: USUAL_SHARE,
        }
    }

    /// No limit, and nothing remembered.
    fn reset(&mut self) -> u32 {
        *self = Self::new(self.measure);
        ALL
    }

    /// Learns from a pass what a refusal costs.
    fn learn(&mut self, spent: Duration, of: Refusals) {
        let answered = of.came.saturating_sub(of.refused);
        if of.refused == 0 || answered == 0 {
            return;
        }
        // One that went through HTTP costs about as much as any other request.
        let untimed = spent
            .mul_f64(f64::from(of.refused.saturating_sub(of.timed)))
            .div_f64(f64::from(of.came));
        let refusing = (of.took + untimed).min(spent);
        let refusal = refusing.div_f64(f64::from(of.refused));
        let answer = spent.saturating_sub(refusing).div_f64(f64::from(answered));
        let share = refusal.as_secs_f64() / answer.as_secs_f64().max(1e-9);
        self.share += FOLLOWING * (share.min(1.0) - self.share);
    }

    /// Of those that come, so many must be let in for refusals to take no more of the time than they may.
    fn floor(&self) -> f64 {
        let Some(refusing) = self.measure.refusing else { return 0.0 };
        let answering = (1.0 - refusing) * self.share;
        answering / (refusing + answering)
    }

    /// The limit after a pass in which so many came.
    pub(super) fn next(&mut self, pass: Pass, came: u32) -> u32 {
        let is_long = pass.queued > self.measure.longest;
        let rate = f64::from(came) / pass.lasted.as_secs_f64().max(1e-6);
        if self.limit == ALL {
            self.long_for = if is_long { self.long_for + pass.lasted } else { Duration::ZERO };
            let lasts = self.long_for > LONG_ENOUGH.max(pass.lasted);
            let is_overload = is_long && (lasts || rate > SURGE * self.rate);
            let weight = pass.lasted.div_duration_f64(LAST_SECOND).min(1.0);
            self.rate += weight * (rate - self.rate);
            if !is_overload {
                return ALL;
            }
        } else if came <= self.limit && !is_long {
            self.calm += 1;
            if self.calm >= CALM_PASSES {
                return self.reset();
            }
        } else {
            self.calm = 0;
        }
        self.limit = self.fitting(pass.queued, came);
        self.limit
    }

    /// As many as make the next pass as long as it may be: a pass is about as long as what it let in.
    fn fitting(&self, queued: Duration, came: u32) -> u32 {
        let admitted = came.min(self.limit);
        // Where fewer came than might have, their number says nothing about what would have fitted.
        let base = if came < self.limit && self.limit != ALL { self.limit } else { admitted };
        let wanted = self.measure.longest.as_secs_f64() / queued.as_secs_f64().max(1e-6);
        let factor = wanted.clamp(SHRINKAGE, GROWTH);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float becomes the nearest number that there is"
        )]
        let fitting = (f64::from(base) * factor).max(f64::from(came) * self.floor()) as u32;
        fitting.clamp(self.measure.least, ALL - 1)
    }
}

#[cfg(test)]
mod tests;
