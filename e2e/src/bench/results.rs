//! What `make bench` found, as it is kept: `docs/bench/results.json`, from which tables and plots are
//! made. Every round's samples are in it, so that any two contenders can be compared within rounds. It
//! must not judge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::spread::Spread;

/// All of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Where it ran, and what.
    pub machine: Machine,
    /// How.
    pub method: Method,
    /// At the pace of the answers, in the order of the tables.
    pub contenders: Vec<Measured>,
    /// At a pace of their own; empty if that was not asked for.
    pub tails: Vec<Tail>,
}

/// Where it ran, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor, as it calls itself.
    pub cpu: String,
    /// How many cores there are.
    pub cores: usize,
    /// Its memory.
    pub memory_gib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The distribution.
    pub system: String,
    /// The day, as `2026-11-23`.
    pub date: String,
    /// The commit, with `, changed` where the tree was.
    pub commit: String,
    /// What it ran against: `nginx` to `1.22.1`.
    pub versions: BTreeMap<String, String>,
}

/// How it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// How many rounds; each has a window of every contender.
    pub rounds: usize,
    /// How long a window is.
    pub window_seconds: f64,
    /// How many connections ask at once.
    pub connections: usize,
    /// How many sessions the requests have in turn.
    pub sessions: usize,
}

/// What a contender is, so that tables can group them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// What others are compared to: servers that do nothing.
    Floor,
    /// Vestibule, asked straight.
    Vestibule,
    /// A gateway, with Vestibule or without.
    Gateway,
    /// What a user could pick instead, with its login or without.
    Peer,
}

/// A contender's samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Its name on the command line: `ours-warm-redis`.
    pub name: String,
    /// Its name in tables.
    pub title: String,
    /// What it does for a request, in a few words; may be empty.
    pub note: String,
    /// What it is.
    pub group: Group,
    /// The contender that is the same without the login: what this one adds is the difference.
    pub without: Option<String>,
    /// The status of every answer.
    pub status: u16,
    /// The memory of its processes in RAM after the last round; what they share counts for each.
    pub resident_bytes: u64,
    /// One of each round: equal places in two contenders are the same round.
    pub samples: Vec<Sample>,
}

/// One window. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Answers per second.
    pub per_second: f64,
    /// Processor time of its processes, per request.
    pub cpu: f64,
    /// Processor time per request of what it asks in turn and is not part of it, such as Redis.
    pub beside: f64,
    /// TCP connections that were accepted per request, besides those of the load itself.
    pub accepts: f64,
    /// How often the load had to connect anew, per request.
    pub reconnects: f64,
    /// Median latency at full load, which says little but that the load was.
    pub p50: f64,
    /// The 99th percentile of it.
    pub p99: f64,
}

/// A contender's latencies at a fixed rate, beside bare hyper's at that rate in the same round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// The contender's name.
    pub name: String,
    /// Its name in tables.
    pub title: String,
    /// The rate, in per cent of what it reached at the pace of its answers.
    pub percent: u8,
    /// The rate, per second.
    pub rate: f64,
    /// How long a window is.
    pub window_seconds: f64,
    /// One of each round.
    pub samples: Vec<TailSample>,
}

/// Two windows at the same rate, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TailSample {
    /// The contender's latencies.
    pub own: Latency,
    /// Bare hyper's.
    pub hyper: Latency,
    /// The contender's requests without an answer.
    pub failed: u64,
    /// Its answers with another status than they should have.
    pub other: u64,
}

/// Latencies of a window, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
}

impl Tail {
    /// Microseconds more than bare hyper in the same round.
    #[must_use]
    pub fn excess(&self, figure: fn(&Latency) -> f64) -> Option<Spread> {
        Spread::of(self.samples.iter().map(|one| figure(&one.own) - figure(&one.hyper)))
    }
}

impl Results {
    /// The contender of that name, if it ran.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Measured> {
        self.contenders.iter().find(|one| one.name == name)
    }

    /// A contender's figure over another's in the same round, such as `ratio("ours-warm-redis", "hyper",
    /// |sample| sample.cpu)`; `None` where one of them did not run.
    #[must_use]
    pub fn ratio(&self, of: &str, to: &str, figure: fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of_ratios(&self.find(of)?.figures(figure), &self.find(to)?.figures(figure))
    }
}

impl Measured {
    /// One figure of every round.
    #[must_use]
    pub fn figures(&self, figure: fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().map(figure).collect()
    }

    /// The spread of one figure.
    #[must_use]
    pub fn spread(&self, figure: fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.figures(figure))
    }
}
