//! Latencies at a pace that the server does not set, as users see them. What a machine that others use
//! adds to the tail is more than what a server does, so each window has one of bare hyper beside it, at
//! the same rate in the same round, and only the difference counts. It must not stop where answers fail:
//! how many did is part of what was found.

use std::time::Duration;

use super::contender::{Contender, Running};
use super::floor::HYPER;
use super::results::{Latency, Measured, Tail, TailSample};
use super::table::in_micros;
use crate::load::{Load, Outcome, Repeatable, closed, open};

/// Those that are measured so, where they run.
pub const CONTENDERS: [&str; 4] =
    ["ours-warm-redis", "ours-cold-redis", "ours-denial-redis", "nginx-204"];
/// The rates, in per cent of what a contender reached at the pace of its answers.
pub const PERCENT: [u8; 3] = [30, 60, 80];
/// Before each window, so that it begins with connections and warm caches.
const WARM_UP: Duration = Duration::from_millis(200);

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many rounds; each has two windows of every contender and rate.
    pub rounds: usize,
    /// How long a window is.
    pub window: Duration,
    /// How many requests are under way at most.
    pub connections: usize,
}

/// Measures those of [`CONTENDERS`] that run, after the rounds that found out what they reach. `told`
/// hears of each round when it is over.
///
/// # Panics
/// If bare hyper does not run.
#[must_use]
pub fn tails(
    running: &[(Contender, Running)],
    measured: &[Measured],
    plan: &Plan,
    told: impl Fn(usize),
) -> Vec<Tail> {
    let find = |name: &str| running.iter().find(|(contender, _)| contender.name == name);
    let (_, hyper) = find(HYPER).expect("bare hyper always runs");
    let mut cases: Vec<(Tail, &Running)> = CONTENDERS
        .into_iter()
        .filter_map(|name| Some((find(name)?, measured.iter().find(|one| one.name == name)?)))
        .flat_map(|((_, running), measured)| {
            PERCENT.map(|percent| (empty(measured, percent, plan), running))
        })
        .collect();
    let mut order: Vec<usize> = (0..cases.len()).collect();
    let mut random = Repeatable::default();
    for round in 0..plan.rounds {
        if round % 2 == 0 {
            random.shuffle(&mut order);
        } else {
            order.reverse();
        }
        for place in order.iter().copied() {
            let (tail, running) = &mut cases[place];
            let sample = pair(running, hyper, tail.rate, plan, round % 2 == 0);
            tail.samples.push(sample);
        }
        told(round + 1);
    }
    cases.into_iter().map(|(tail, _)| tail).collect()
}

fn empty(measured: &Measured, percent: u8, plan: &Plan) -> Tail {
    let peak = measured.spread(|sample| sample.per_second).map_or(1.0, |spread| spread.median);
    Tail {
        name: measured.name.clone(),
        title: measured.title.clone(),
        percent,
        rate: peak * f64::from(percent) / 100.0,
        window_seconds: plan.window.as_secs_f64(),
        samples: Vec::new(),
    }
}

/// One window of each, one after the other.
fn pair(own: &Running, hyper: &Running, rate: f64, plan: &Plan, own_first: bool) -> TailSample {
    let window = |running: &Running| {
        let load: Load = running.load(plan.connections);
        let _ = closed(&load, WARM_UP);
        open(&load, rate, plan.window)
    };
    let (outcome, beside) = if own_first {
        let outcome = window(own);
        (outcome, window(hyper))
    } else {
        let beside = window(hyper);
        (window(own), beside)
    };
    TailSample {
        own: latency(&outcome, own.expected),
        hyper: latency(&beside, hyper.expected),
        failed: outcome.failed,
        other: outcome.latency.count() - outcome.statuses.get(&own.expected).copied().unwrap_or(0),
    }
}

/// Of the answers that are as they should be: what is refused quickly must not make the rest look quick.
fn latency(outcome: &Outcome, expected: u16) -> Latency {
    let all = outcome.by_status.get(&expected).unwrap_or(&outcome.latency);
    let at = |percent| in_micros(all.percentile(percent));
    Latency { p50: at(50.0), p99: at(99.0), p999: at(99.9) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Latencies;

    #[test]
    fn what_is_refused_quickly_does_not_make_the_rest_look_quick() {
        let mut outcome = Outcome::default();
        for (status, millis) in [(200, 10), (503, 1), (503, 1), (503, 1)] {
            let time = Duration::from_millis(millis);
            outcome.by_status.entry(status).or_insert_with(Latencies::default).record(time);
            outcome.latency.record(time);
        }
        assert!(latency(&outcome, 200).p50 > 9_900.0);
    }
}
