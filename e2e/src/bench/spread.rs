//! What the measuring programs make of the samples of many rounds: a median, with how far the rounds
//! lay apart. It must not be given one round's figure as if it were more: a machine shared with others
//! is too noisy for that.

use serde::{Deserialize, Serialize};

/// The median of the rounds, and the tenth and ninetieth percentile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of the rounds were below it.
    pub median: f64,
    /// A tenth of the rounds was below it.
    pub p10: f64,
    /// A tenth of the rounds was above it.
    pub p90: f64,
}

impl Spread {
    /// Of the samples that are numbers; `None` if there is none.
    #[must_use]
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().filter(|one| one.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        (!sorted.is_empty()).then(|| Self {
            median: percentile(&sorted, 50.0),
            p10: percentile(&sorted, 10.0),
            p90: percentile(&sorted, 90.0),
        })
    }

    /// Of the quotients of samples that were taken in the same rounds.
    #[must_use]
    pub fn of_ratios(these: &[f64], to: &[f64]) -> Option<Self> {
        Self::of(these.iter().zip(to).map(|(this, to)| this / to))
    }

    /// Whether all three are numbers, so that it can be drawn and printed.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        [self.median, self.p10, self.p90].iter().all(|one| one.is_finite())
    }
}

/// The percentile of samples in ascending order, between the two that lie nearest; 0 if there is none.
#[must_use]
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    #[expect(clippy::cast_precision_loss, reason = "nobody takes 2^52 samples")]
    let place = (percent / 100.0).clamp(0.0, 1.0) * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the last index"
    )]
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::{Spread, percentile};

    #[test]
    fn the_median_of_an_even_number_of_rounds_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).expect("samples");
        assert!((spread.median - 2.5).abs() < 1e-9, "{spread:?}");
    }

    #[test]
    fn the_spread_leaves_a_tenth_out_at_each_end() {
        let spread = Spread::of((0..=10).map(f64::from)).expect("samples");
        assert_eq!(spread, Spread { median: 5.0, p10: 1.0, p90: 9.0 });
    }

    #[test]
    fn what_is_no_number_is_no_sample() {
        assert_eq!(Spread::of([f64::NAN, f64::INFINITY]), None);
        let spread = Spread::of([f64::NAN, 2.0]).expect("one sample");
        assert_eq!(spread, Spread { median: 2.0, p10: 2.0, p90: 2.0 });
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The second round was half as fast for both: their ratio knows nothing of it.
        let spread = Spread::of_ratios(&[30.0, 60.0], &[20.0, 40.0]).expect("samples");
        assert_eq!(spread, Spread { median: 1.5, p10: 1.5, p90: 1.5 });
    }

    #[test]
    fn a_percentile_of_nothing_is_zero() {
        assert!(percentile(&[], 50.0).abs() < f64::EPSILON);
    }
}
