//! What a service has at a moment, and whether it has more in the last quarter of the time than in the
//! second: in the first, caches and pools fill.

use super::place::Service;
use crate::capacity::{Memory, median};
use crate::redis::Redis;

/// KiB that are no growth: what allocators keep differs by more from moment to moment.
const MEMORY: u64 = 2 * 1024;
/// Hundredths that are none.
const SHARE: u64 = 5;
/// Files, sockets and threads come and go with the pools.
const HANDLES: u64 = 8;
/// Records come and go too.
const RECORDS: u64 = 100;

/// What a service has at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Of the process.
    pub memory: Memory,
    /// Keys in its store.
    pub keys: u64,
    /// KiB that its store uses.
    pub store: u64,
}

/// What is looked at: its name, how to get it, and how much more of it is none.
type Measure = (&'static str, fn(&Sample) -> u64, u64);

const MEASURES: [Measure; 6] = [
    ("anonymous memory, KiB", |sample| sample.memory.anonymous, MEMORY),
    ("resident memory, KiB", |sample| sample.memory.resident, MEMORY),
    ("open files", |sample| sample.memory.files, HANDLES),
    ("threads", |sample| sample.memory.threads, HANDLES),
    ("keys in the store", |sample| sample.keys, RECORDS),
    ("memory of the store, KiB", |sample| sample.store, MEMORY),
];

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What.
    pub name: &'static str,
    /// The median of each quarter of the time.
    pub quarters: [u64; 4],
    /// How much more there is after an hour, by a line through all but the first quarter.
    pub per_hour: f64,
    /// Whether it grew.
    pub grew: bool,
}

impl Sample {
    /// Takes one.
    #[must_use]
    pub fn of(service: &Service) -> Self {
        let (keys, store) = service.redis.as_ref().map_or((0, 0), store);
        Self { memory: Memory::of(service.authsvc.id()), keys, store }
    }

    /// What became of samples that were taken so many seconds apart.
    #[must_use]
    pub fn judge(samples: &[Self], seconds: f64) -> Vec<Verdict> {
        MEASURES
            .iter()
            .map(|(name, get, slack)| {
                let values: Vec<u64> = samples.iter().map(get).collect();
                let quarter = |number: usize| {
                    let [from, to] = [number, number + 1].map(|edge| values.len() * edge / 4);
                    median(values[from..to].to_vec())
                };
                let quarters = [0, 1, 2, 3].map(quarter);
                let bound = quarters[1] + (quarters[1] * SHARE / 100).max(*slack);
                let per_hour = slope(&values[values.len() / 4..]) * 3600.0 / seconds;
                Verdict { name, quarters, per_hour, grew: quarters[3] > bound }
            })
            .collect()
    }
}

/// How many keys a store has, and how many KiB it uses.
fn store(redis: &Redis) -> (u64, u64) {
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_default();
    let info = redis.cli(&["INFO", "memory"]);
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    (number(&redis.cli(&["DBSIZE"])), number(used.unwrap_or_default()) / 1024)
}

/// By how much values grow from one to the next: least squares.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn slope(values: &[u64]) -> f64 {
    let count = values.len() as f64;
    let middle = (count - 1.0) / 2.0;
    let mean = values.iter().map(|value| *value as f64).sum::<f64>() / count;
    let (mut above, mut below) = (0.0, 0.0);
    for (index, value) in values.iter().enumerate() {
        let distance = index as f64 - middle;
        above += distance * (*value as f64 - mean);
        below += distance * distance;
    }
    if below > 0.0 { above / below } else { 0.0 }
}
