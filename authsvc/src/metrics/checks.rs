//! How many checks there were and how long they took, counted where nothing has to be looked up.
//!
//! Why it exists: every check is counted, so its counters are found once, at the start. All outcomes
//! begin at zero, as Prometheus wants series that it computes rates of.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Labels;

/// Half a millisecond to 10 s; most checks are below the first.
const LATENCY_BUCKETS: [f64; 11] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

const DIALECTS: [&str; 2] = ["nginx", "traefik"];

/// The most frequent first.
const OUTCOMES: [&str; 13] = [
    "allow",
    "allow_anonymous",
    "unauthenticated",
    "login",
    "forbidden",
    "step_up",
    "mediation_advised",
    "insufficient_scope",
    "invalid_token",
    "unavailable",
    "undecided",
    "refused_policy",
    "unknown_policy",
];

pub(super) struct Checks {
    /// For an outcome that is not among [`OUTCOMES`], and so has to be looked up: none goes uncounted.
    counts: Family<Labels<2>, Counter>,
    latency: Family<Labels<1>, Histogram>,
    by_dialect: [Dialect; DIALECTS.len()],
}

struct Dialect {
    name: &'static str,
    latency: Histogram,
    outcomes: [(&'static str, Counter); OUTCOMES.len()],
}

impl Dialect {
    fn counter(&self, outcome: &str) -> Option<&Counter> {
        self.outcomes.iter().find(|(name, _)| *name == outcome).map(|(_, counter)| counter)
    }
}

impl Checks {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let counts: Family<Labels<2>, Counter> = Family::default();
        let latency: Family<Labels<1>, Histogram> =
            Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS));
        let by_dialect = DIALECTS.map(|dialect| Dialect {
            name: dialect,
            latency: latency.get_or_create_owned(&[("dialect", dialect)]),
            outcomes: OUTCOMES.map(|outcome| {
                let labels = [("dialect", dialect), ("outcome", outcome)];
                (outcome, counts.get_or_create_owned(&labels))
            }),
        });
        registry.register("checks", "Checks answered, by dialect and outcome", counts.clone());
        registry.register_with_unit(
            "check_duration",
            "Time to answer a check",
            Unit::Seconds,
            latency.clone(),
        );
        Self { counts, latency, by_dialect }
    }

    pub(super) fn count(&self, dialect: &'static str, outcome: &'static str, elapsed: Duration) {
        let known = self.by_dialect.iter().find(|one| one.name == dialect);
        let seconds = elapsed.as_secs_f64();
        match known {
            Some(known) => known.latency.observe(seconds),
            None => self.latency.get_or_create(&[("dialect", dialect)]).observe(seconds),
        }
        match known.and_then(|known| known.counter(outcome)) {
            Some(count) => count.inc(),
            None => self.counts.get_or_create(&[("dialect", dialect), ("outcome", outcome)]).inc(),
        };
    }
}
