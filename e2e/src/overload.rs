//! More than can be answered, on purpose: an authsvc that may use only a part of a core, and a load that
//! exceeds it. `make overload` and a test are made of it. It must not judge a figure.

mod quota;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use quota::Quota;

use crate::http::Request;
use crate::load::{Ask, Latencies, Load, Meter, Outcome, closed, open};

/// Connections of the load that finds the peak: so many that each finds the processor's cache as cold as
/// above it, and so few that nothing is refused.
const AT_PEAK: usize = 256;
/// How often health is asked for meanwhile.
const HEALTH_EVERY: Duration = Duration::from_millis(50);
/// Who finds no free connection for this long gives up, as a gateway or a user would.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How long half the peak is offered before it.
const BEFORE: Duration = Duration::from_secs(2);
/// How long one look at the recovery takes, and how many connections it makes: few, as each new one is
/// work that nobody has who was connected before.
const LOOK: Duration = Duration::from_millis(250);
const LOOKING: usize = 32;
/// So many good looks in a row are a recovery.
const GOOD_LOOKS: u32 = 4;

/// What is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it is asked.
    pub addr: SocketAddr,
    /// Where health is.
    pub admin: SocketAddr,
    /// What is asked; each is allowed, with this status.
    pub asks: Vec<Ask>,
    /// The status of what is answered as usual.
    pub expected: u16,
    /// The process of the server.
    pub pid: u32,
    /// How long the peak is measured.
    pub peak_for: Duration,
    /// By how much the load exceeds the peak.
    pub factor: f64,
    /// How many connections the load may have.
    pub connections: usize,
    /// How long it lasts.
    pub lasts: Duration,
    /// How long half the peak is offered after it at most, in looks.
    pub looks: u32,
    /// A look is good where all is allowed, and 99 of 100 answers are there within this.
    pub quick: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Answers per second at the pace of the answers.
    pub peak: f64,
    /// Processor time per answer then.
    pub per_answer: Duration,
    /// Requests per second that were offered.
    pub offered: f64,
    /// The load above the peak.
    pub overload: Outcome,
    /// Processor time per refusal, if answers cost what they cost at the peak.
    pub per_refusal: Duration,
    /// How long health took meanwhile.
    pub health: Latencies,
    /// How often health did not answer, or not with 200.
    pub unhealthy: u64,
    /// How long after the load the first of several good looks began; `None`: none did.
    pub recovery: Option<Duration>,
    expected: u16,
}

impl Figures {
    /// Of the peak, what was answered as usual above it.
    #[must_use]
    pub fn goodput(&self) -> f64 {
        self.overload.per_second_with(self.expected) / self.peak
    }

    /// Of the peak, what can be answered as usual where each other request is refused: the rest of the
    /// time goes to refusals.
    #[must_use]
    pub fn possible(&self) -> f64 {
        let refusal = self.per_refusal.as_secs_f64() / self.per_answer.as_secs_f64();
        let factor = self.offered / self.peak;
        ((1.0 - factor * refusal) / (1.0 - refusal)).max(0.0)
    }

    /// How long the answers with that status took, since they were asked for.
    #[must_use]
    pub fn latency(&self, status: u16) -> Latencies {
        self.overload.since_sent.get(&status).cloned().unwrap_or_default()
    }
}

impl Plan {
    /// Finds the peak, exceeds it, and looks how soon all is as before.
    #[must_use]
    pub fn run(&self) -> Figures {
        let meter = Meter::start(&[self.pid]);
        let at_peak = closed(&self.load(AT_PEAK), self.peak_for);
        let per_answer = each(meter.spent(), at_peak.latency.count());
        let peak = at_peak.per_second_with(self.expected);
        let offered = self.factor * peak;
        // What comes is more than came before, not as much: else it may as well be a slow moment.
        let _ = open(&self.load(AT_PEAK), peak / 2.0, BEFORE);
        let meter = Meter::start(&[self.pid]);
        let (overload, (health, unhealthy)) = while_asking_health(self.admin, || {
            open(&self.load(self.connections), offered, self.lasts)
        });
        let of = |status| overload.statuses.get(&status).copied().unwrap_or_default();
        let for_answers = per_answer.mul_f64(count(of(self.expected)));
        let per_refusal = each(meter.spent().saturating_sub(for_answers), of(503));
        let late = overload.elapsed.saturating_sub(self.lasts);
        let recovery = self.recovery(peak / 2.0).map(|looked| late + looked);
        Figures {
            peak,
            per_answer,
            offered,
            overload,
            per_refusal,
            health,
            unhealthy,
            recovery,
            expected: self.expected,
        }
    }

    fn load(&self, connections: usize) -> Load {
        let (addr, asks) = (self.addr, self.asks.clone());
        Load { addr, asks, connections, awake: false, patience: Some(PATIENCE) }
    }

    /// How long half the peak was offered until the first of several good looks in a row.
    fn recovery(&self, per_second: f64) -> Option<Duration> {
        let begun = Instant::now();
        let (mut since, mut good) = (Duration::ZERO, 0);
        for _ in 0..self.looks {
            if !self.is_good(&open(&self.load(LOOKING), per_second, LOOK)) {
                (since, good) = (begun.elapsed(), 0);
                continue;
            }
            good += 1;
            if good == GOOD_LOOKS {
                return Some(since);
            }
        }
        None
    }

    fn is_good(&self, look: &Outcome) -> bool {
        look.statuses.keys().all(|status| *status == self.expected)
            && look.failed + look.given_up == 0
            && look.latency.percentile(99.0) <= self.quick
    }
}

/// Does something while health is asked for: how long that took, and how often it was not 200.
fn while_asking_health<T>(admin: SocketAddr, during: impl FnOnce() -> T) -> (T, (Latencies, u64)) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut took, mut unhealthy) = (Latencies::default(), 0);
            while !ended.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let answer = Request::get("/healthz", "admin").try_send(admin);
                took.record(begun.elapsed());
                unhealthy += u64::from(answer.is_none_or(|answer| answer.status != 200));
                std::thread::sleep(HEALTH_EVERY);
            }
            (took, unhealthy)
        });
        let done = during();
        ended.store(true, Ordering::Relaxed);
        (done, asking.join().expect("asking for health does not panic"))
    })
}

fn each(spent: Duration, number: u64) -> Duration {
    spent.div_f64(count(number.max(1)))
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}
