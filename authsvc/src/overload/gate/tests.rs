//! A queue that is answered one after the other, as the runtime does, simulated: what is let in, how
//! long answers take, and how soon all is as before.

use std::collections::VecDeque;

use super::*;

const SECOND: f64 = 1e6;
const PROBE_EVERY: f64 = 5000.0;
const MEASURE: Measure =
    Measure { longest: Duration::from_millis(20), least: 64, refusing: Some(0.2) };
/// So many requests are under way at most; who asks waits with more.
const CONNECTIONS: usize = 1000;

/// What requests cost, in microseconds of the processor.
#[derive(Clone, Copy)]
struct Cost {
    answer: f64,
    refusal: f64,
}

/// A pass that took far too long.
const SLOW: Pass = Pass {
    queued: Duration::from_secs(1),
    lasted: Duration::from_secs(1),
    spent: Duration::from_secs(1),
};

enum Waiting {
    Request(f64),
    Probe(f64),
}

#[derive(Default)]
struct Counted {
    answered: u32,
    refused: u32,
    /// How long refusals took, in microseconds.
    times: Vec<f64>,
    last_refusal: f64,
}

impl Counted {
    fn percentile(&mut self, per_cent: usize) -> f64 {
        self.times.sort_by(f64::total_cmp);
        self.times.get(self.times.len() * per_cent / 100).copied().unwrap_or_default()
    }
}

/// A server and its time.
struct Simulated {
    cost: Cost,
    now: f64,
    next_arrival: f64,
    probe_due: Option<f64>,
    last_turn: f64,
    /// Time of the processor since then.
    spent: f64,
    queue: VecDeque<Waiting>,
    gate: Gate,
    control: Control,
}

impl Simulated {
    fn new(cost: Cost) -> Self {
        let gate = Gate::default();
        gate.connected(CONNECTIONS);
        Self {
            cost,
            now: 0.0,
            next_arrival: 0.0,
            probe_due: Some(PROBE_EVERY),
            last_turn: 0.0,
            spent: 0.0,
            queue: VecDeque::new(),
            gate,
            control: Control::new(MEASURE),
        }
    }

    /// Requests come at `factor` times what could be answered, for that long.
    fn run(&mut self, factor: f64, lasts: f64) -> Counted {
        let gap = self.cost.answer / factor;
        let (mut counted, end) = (Counted::default(), self.now + lasts);
        self.next_arrival = self.now;
        while self.now < end {
            while self.next_arrival <= self.now {
                if self.queue.len() < CONNECTIONS {
                    self.queue.push_back(Waiting::Request(self.now));
                }
                self.next_arrival += gap;
            }
            if let Some(due) = self.probe_due.filter(|due| *due <= self.now) {
                self.probe_due = None;
                self.queue.push_back(Waiting::Probe(due));
            }
            match self.queue.pop_front() {
                Some(Waiting::Request(came)) => self.answer(came, &mut counted),
                Some(Waiting::Probe(due)) => {
                    let since = |then| Duration::from_secs_f64((self.now - then) / SECOND);
                    let spent = Duration::from_secs_f64(std::mem::take(&mut self.spent) / SECOND);
                    let pass = Pass { queued: since(due), lasted: since(self.last_turn), spent };
                    self.gate.turn(&mut self.control, pass);
                    self.last_turn = self.now;
                    self.probe_due = Some(self.now + PROBE_EVERY);
                }
                None => {
                    self.now = self.next_arrival.min(self.probe_due.unwrap_or(f64::INFINITY));
                }
            }
        }
        counted
    }

    fn answer(&mut self, came: f64, counted: &mut Counted) {
        if self.gate.is_full() {
            self.gate.refused(Duration::from_secs_f64(self.cost.refusal / SECOND));
            self.now += self.cost.refusal;
            self.spent += self.cost.refusal;
            counted.refused += 1;
            counted.times.push(self.now - came);
            counted.last_refusal = self.now;
        } else {
            assert!(self.gate.admits());
            self.now += self.cost.answer;
            self.spent += self.cost.answer;
            counted.answered += 1;
        }
    }
}

fn share(counted: &Counted, cost: Cost, lasts: f64) -> f64 {
    f64::from(counted.answered) * cost.answer / lasts
}

#[test]
fn three_times_too_much_is_refused_quickly_and_most_of_the_time_goes_to_answers() {
    // What is left after the refusals is (1 - 3r) / (1 - r), where r is what one costs, but no less than four
    // fifths: then not all can be told at once.
    for (refusal, goodput) in [(2.0, 0.87), (5.0, 0.79)] {
        let cost = Cost { answer: 40.0, refusal };
        let mut server = Simulated::new(cost);
        assert_eq!(server.run(0.5, SECOND).refused, 0);
        let lasts = 10.0 * SECOND;
        let mut counted = server.run(3.0, lasts);
        let share = share(&counted, cost, lasts);
        assert!(share > goodput, "{share} of the peak with refusals of {refusal} µs");
        let p99 = counted.percentile(99);
        assert!(p99 < 50_000.0, "refusals took {p99} µs with refusals of {refusal} µs");
        let after = server.run(0.5, 4.0 * SECOND);
        let again = after.last_refusal - SECOND - lasts;
        assert!(after.refused == 0 || again < 0.1 * SECOND, "{} refused", after.refused);
        assert_eq!(server.control.limit, ALL);
    }
}

#[test]
fn where_refusals_cost_as_much_as_answers_four_fifths_of_the_time_goes_to_answers() {
    for refusal in [4.0, 8.0] {
        let cost = Cost { answer: 10.0, refusal };
        let mut server = Simulated::new(cost);
        server.run(3.0, SECOND);
        let share = share(&server.run(3.0, SECOND), cost, SECOND);
        assert!(share > 0.75, "{share} of the peak with refusals of {refusal} µs");
    }
}

#[test]
fn a_refusal_through_http_counts_as_much_as_any_other_request() {
    let mut control = Control::new(MEASURE);
    let of = Refusals { came: 400, refused: 200, timed: 0, took: Duration::ZERO };
    for _ in 0..100 {
        control.learn(Duration::from_millis(4), of);
    }
    assert!((control.share - 1.0).abs() < 0.01, "{}", control.share);
    assert!((control.floor() - 0.8).abs() < 0.01, "{}", control.floor());
}

#[test]
fn what_can_be_answered_is_never_refused() {
    for factor in [0.1, 0.5, 0.9] {
        let counted = Simulated::new(Cost { answer: 20.0, refusal: 5.0 }).run(factor, 5.0 * SECOND);
        assert_eq!(counted.refused, 0, "at {factor} of the peak");
    }
}

#[test]
fn a_stall_refuses_nothing_that_is_answered_soon_after_it() {
    for stall in [0.02, 0.05, 0.1] {
        let mut server = Simulated::new(Cost { answer: 20.0, refusal: 5.0 });
        server.run(0.3, SECOND);
        server.now += stall * SECOND;
        assert_eq!(server.run(0.3, SECOND).refused, 0, "after {stall} s");
    }
}

#[test]
fn few_requests_are_no_overload_however_slow_it_is() {
    let gate = Gate::default();
    gate.connected(1000);
    let mut control = Control::new(MEASURE);
    for _ in 0..1000 {
        assert!((0..MEASURE.least).all(|_| gate.admits()));
        assert_eq!(gate.turn(&mut control, SLOW).refused, 0);
    }
}

#[test]
fn few_connections_are_no_overload_however_much_they_ask() {
    let gate = Gate::default();
    gate.connected(FEW_CONNECTIONS);
    let mut control = Control::new(MEASURE);
    for _ in 0..100 {
        assert!((0..10_000).all(|_| gate.admits()));
        assert_eq!(gate.turn(&mut control, SLOW).refused, 0);
    }
}
