//! From values to places on the axis of a chart. It always holds zero, where bars begin.

use crate::bench::table::thousands;

/// A linear axis with round numbers on it.
pub(super) struct Scale {
    least: f64,
    most: f64,
    left: f64,
    right: f64,
    step: f64,
}

impl Scale {
    /// An axis that holds all `values`, between two places.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, left: f64, right: f64) -> Self {
        let (least, most) = values
            .into_iter()
            .filter(|value| value.is_finite())
            .fold((0.0_f64, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
        let most = if most - least > 0.0 { most } else { least + 1.0 };
        Self { least, most, left, right, step: round_step((most - least) / 5.0) }
    }

    /// Where a value is.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = (value - self.least) / (self.most - self.least);
        self.left + share * (self.right - self.left)
    }

    /// The round numbers within.
    pub(super) fn ticks(&self) -> impl Iterator<Item = f64> {
        #[expect(clippy::cast_possible_truncation, reason = "some five steps long")]
        let (first, last) =
            ((self.least / self.step).ceil() as i32, (self.most / self.step).floor() as i32);
        (first..=last).map(|number| f64::from(number) * self.step)
    }

    /// A round number, without decimals that it does not need.
    pub(super) fn label(&self, tick: f64) -> String {
        let decimals = usize::from(self.step < 0.95) + usize::from(self.step < 0.095);
        if decimals == 0 { thousands(tick) } else { format!("{:.decimals$}", tick + 0.0) }
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least * 0.999_999)
        .unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::{Scale, round_step};

    #[test]
    fn steps_are_one_two_or_five_of_something() {
        let steps: Vec<f64> = [0.3, 1.0, 1.2, 3.0, 72.0].into_iter().map(round_step).collect();
        assert_eq!(steps, [0.5, 1.0, 2.0, 5.0, 100.0]);
    }

    #[test]
    fn the_axis_holds_zero_and_everything() {
        let scale = Scale::over([2.0, 10.0], 100.0, 200.0);
        assert!((scale.place(0.0) - 100.0).abs() < 1e-9);
        assert!((scale.place(10.0) - 200.0).abs() < 1e-9);
        assert_eq!(scale.ticks().collect::<Vec<_>>(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn negative_values_are_left_of_zero() {
        let scale = Scale::over([-5.0, 20.0], 100.0, 200.0);
        assert!((scale.place(0.0) - 120.0).abs() < 1e-9);
        let labels: Vec<String> = scale.ticks().map(|tick| scale.label(tick)).collect();
        assert_eq!(labels, ["-5", "0", "5", "10", "15", "20"]);
    }

    #[test]
    fn an_axis_without_values_is_one_long() {
        let scale = Scale::over([f64::NAN], 0.0, 50.0);
        assert!((scale.place(1.0) - 50.0).abs() < 1e-9);
    }
}
