//! How long many requests took, in little memory and without sorting. It must not lose an outlier: the
//! longest time is kept as it was.

use std::fmt;
use std::time::Duration;

/// So many steps per doubling, as a power of two: a percentile is within 1 % of the truth.
const BITS: u32 = 7;
const STEPS: u64 = 1 << BITS;

/// Times, counted in steps that grow with the time.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Latencies {
    counts: Vec<u64>,
    count: u64,
    sum: Duration,
    max: Duration,
}

impl Latencies {
    /// Counts one more.
    pub fn record(&mut self, time: Duration) {
        let index = index_of(nanoseconds(time));
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
        self.count += 1;
        self.sum += time;
        self.max = self.max.max(time);
    }

    /// Adds all of another's.
    pub fn add(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// The time within which so many per cent of the requests were answered, such as 99.9; zero where
    /// there were none. Rounded up, by less than 1 %.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        let mut left = self.rank(percent);
        for (index, count) in self.counts.iter().enumerate() {
            if *count >= left {
                return Duration::from_nanos(last_of(index)).min(self.max);
            }
            left -= count;
        }
        self.max
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "counts are far below 2^52, and the product is between 0 and the count"
    )]
    fn rank(&self, percent: f64) -> u64 {
        let rank = (percent.clamp(0.0, 100.0) / 100.0 * self.count as f64).ceil() as u64;
        rank.clamp(1, self.count.max(1))
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The mean; zero where there were none.
    #[must_use]
    pub fn mean(&self) -> Duration {
        u32::try_from(self.count)
            .map_or(Duration::ZERO, |count| self.sum.checked_div(count).unwrap_or_default())
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = [50.0, 99.0].map(|percent| self.percentile(percent));
        write!(f, "{} in p50 {p50:?}, p99 {p99:?}, max {:?}", self.count, self.max)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Below `STEPS` each nanosecond has a step of its own; from there on each doubling has `STEPS`.
fn index_of(nanoseconds: u64) -> usize {
    let shift = (u64::BITS - nanoseconds.leading_zeros()).saturating_sub(BITS + 1);
    let index = u64::from(shift) * STEPS + (nanoseconds >> shift);
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The longest time that is counted there.
fn last_of(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / STEPS).saturating_sub(1);
    let first = index - shift * STEPS;
    ((first + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_counted_where_it_belongs_and_the_step_is_below_one_per_cent() {
        let mut before = None;
        for nanoseconds in (0..2_000).chain([1 << 20, (1 << 30) + 12_345, u64::from(u32::MAX)]) {
            let index = index_of(nanoseconds);
            let last = last_of(index);
            assert!(last >= nanoseconds, "{nanoseconds} is counted below");
            assert!(last - nanoseconds <= nanoseconds / 100, "{nanoseconds} is told as {last}");
            assert!(before <= Some(index), "{nanoseconds} is counted before a shorter one");
            before = Some(index);
        }
    }

    #[test]
    fn percentiles_are_those_of_the_times_and_the_longest_is_kept() {
        let mut latencies = Latencies::default();
        (1..=1_000).map(Duration::from_micros).for_each(|time| latencies.record(time));
        for (percent, micros) in [(50.0, 500), (99.0, 990), (99.9, 999), (0.0, 1)] {
            let (told, truth) = (latencies.percentile(percent), Duration::from_micros(micros));
            assert!(told >= truth && told <= truth.mul_f64(1.01), "{percent}: {told:?}");
        }
        assert_eq!(latencies.percentile(100.0), Duration::from_millis(1));
        assert_eq!(latencies.max(), Duration::from_millis(1));
        assert_eq!(latencies.mean(), Duration::from_nanos(500_500));
    }

    #[test]
    fn added_accounts_are_one() {
        let (mut one, mut other) = (Latencies::default(), Latencies::default());
        one.record(Duration::from_micros(3));
        other.record(Duration::from_secs(4));
        one.add(&other);
        assert_eq!((one.count(), one.max()), (2, Duration::from_secs(4)));
        assert!(one.percentile(50.0) < Duration::from_micros(4));
    }

    #[test]
    fn no_requests_took_no_time() {
        assert_eq!(Latencies::default().percentile(99.0), Duration::ZERO);
        assert_eq!(Latencies::default().mean(), Duration::ZERO);
    }
}
