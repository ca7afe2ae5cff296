//! Axes that start at zero and have round ticks.

/// An axis. Its ticks are multiples of a round step, from zero to the first multiple that reaches the
/// maximum value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    /// Values of the ticks in ascending order. The first value is zero.
    pub(super) ticks: Vec<f64>,
}

impl Axis {
    /// An axis up to `max` with one to five steps. A step is 1, 2 or 5 times a power of ten, or
    /// `min_step` if `min_step` is larger.
    pub(super) fn up_to(max: f64, min_step: f64) -> Self {
        let max = if max.is_finite() { max.max(min_step) } else { min_step };
        let power = 10_f64.powf((max / 5.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = steps.into_iter().find(|step| step * 5.0 >= max * (1.0 - 1e-9)).unwrap_or(10.0 * power);
        let step = step.max(min_step);
        let count = (max / step - 1e-9).ceil().max(1.0) as usize;
        Self { ticks: (0..=count).map(|tick| tick as f64 * step).collect() }
    }

    /// Value of the last tick.
    pub(super) fn end(&self) -> f64 {
        self.ticks.last().copied().unwrap_or(1.0)
    }
}

/// Writes a number with few characters: `0.5`, `250`, `1.5k`, `20M`.
pub(super) fn short(number: f64) -> String {
    let (factor, unit) = match number.abs() {
        size if size >= 1e12 => (1e12, "T"),
        size if size >= 1e9 => (1e9, "G"),
        size if size >= 1e6 => (1e6, "M"),
        size if size >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let digits = format!("{:.2}", number / factor);
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(Axis::up_to(35.0, 1.0).ticks, [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(Axis::up_to(0.0, 1.0).ticks, [0.0, 1.0]);
        assert_eq!(Axis::up_to(3.0, 1.0).ticks, [0.0, 1.0, 2.0, 3.0]);
        assert!((Axis::up_to(0.7, 0.1).end() - 0.8).abs() < 1e-9);
        for max in [1e-3, 0.3, 1.0, 9.99, 10.0, 51.0, 1e6 + 1.0, 1.8e19, f64::NAN, f64::INFINITY] {
            let axis = Axis::up_to(max, 1e-3);
            assert!(
                (2..=6).contains(&axis.ticks.len()) && (axis.end() >= max * 0.999 || !max.is_finite()),
                "{max}"
            );
        }
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.25, 5.0, 999.0, 1500.0, 20e6, 3e9, 1.8e19].map(short);
        assert_eq!(numbers, ["0", "0.25", "5", "999", "1.5k", "20M", "3G", "18000000T"]);
    }
}
