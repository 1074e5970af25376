//! The rounds: a window of every contender in each, in an order that is another one each time and turned
//! round the next, so that what drifts on the machine meets all alike. It must not go on with a contender
//! that answers otherwise than it should.

use std::time::Duration;

use super::contender::{Contender, Running};
use super::results::{Measured, Method, Sample};
use super::table::in_micros;
use crate::load::{Meter, Outcome, Repeatable, closed, resident_with_children, tcp_accepts};

/// Before each window, so that it begins with warm caches.
const WARM_UP: Duration = Duration::from_millis(200);

/// Measures all contenders. `told` hears of each round when it is over.
#[must_use]
pub fn measure(
    contenders: &[(Contender, Running)],
    method: &Method,
    told: impl Fn(usize),
) -> Vec<Measured> {
    let mut samples: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    let mut random = Repeatable::default();
    for round in 0..method.rounds {
        if round % 2 == 0 {
            random.shuffle(&mut order);
        } else {
            order.reverse();
        }
        for place in order.iter().copied() {
            let (contender, running) = &contenders[place];
            samples[place].push(window(contender, running, method));
        }
        told(round + 1);
    }
    let measured = contenders.iter().zip(samples);
    measured.map(|((contender, running), samples)| account(contender, running, samples)).collect()
}

fn account(contender: &Contender, running: &Running, samples: Vec<Sample>) -> Measured {
    Measured {
        name: contender.name.to_owned(),
        title: contender.title.to_owned(),
        note: contender.note.to_owned(),
        group: contender.group,
        without: contender.without.map(str::to_owned),
        status: running.expected,
        resident_bytes: running.pids.iter().map(|pid| resident_with_children(*pid)).sum(),
        samples,
    }
}

fn window(contender: &Contender, running: &Running, method: &Method) -> Sample {
    let load = running.load(method.connections);
    must_be_expected(contender, running, &closed(&load, WARM_UP));
    let (own, beside) = (Meter::start(&running.pids), Meter::start(&running.beside));
    let accepts = tcp_accepts();
    let outcome = closed(&load, Duration::from_secs_f64(method.window_seconds));
    let (own, beside) = (own.spent(), beside.spent());
    let accepts = tcp_accepts() - accepts;
    must_be_expected(contender, running, &outcome);
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let each = |count: u64| count as f64 / outcome.latency.count() as f64;
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let time_each = |time: Duration| in_micros(time) / outcome.latency.count() as f64;
    Sample {
        per_second: outcome.per_second(),
        cpu: time_each(own),
        beside: time_each(beside),
        accepts: each(accepts.saturating_sub(outcome.connects)),
        reconnects: each(outcome.connects.saturating_sub(method.connections as u64)),
        p50: in_micros(outcome.latency.percentile(50.0)),
        p99: in_micros(outcome.latency.percentile(99.0)),
    }
}

/// Fails unless every request was answered, each with the expected status.
///
/// # Panics
/// If one was not: its contender must not be compared.
pub fn must_be_expected(contender: &Contender, running: &Running, outcome: &Outcome) {
    let others = outcome.statuses.keys().any(|status| *status != running.expected);
    assert!(
        !others && outcome.failed == 0 && outcome.latency.count() > 0,
        "{}: every answer must be {}, but there were {:?}, and {} requests had none",
        contender.name,
        running.expected,
        outcome.statuses,
        outcome.failed
    );
}
