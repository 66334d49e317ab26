//! Axes: from numbers to places, and where the ticks are.

/// How an axis spaces its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// Equal steps for equal differences.
    #[default]
    Linear,
    /// Equal steps for equal ratios; shows positive numbers only.
    Log,
}

/// An axis: what it shows, with the unit, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Axis {
    /// Quantity and unit, such as "loss (nats per token)".
    pub label: String,
    /// The spacing.
    pub scale: Scale,
}

impl Axis {
    /// A linear axis.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Linear }
    }

    /// A logarithmic axis.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Log }
    }
}

/// Numbers further from 0 than this (or nearer, on a logarithmic axis) count as not finite: the arithmetic of
/// places would overflow.
const EXTREME: f64 = 1e100;

impl Scale {
    /// Whether the number can be shown.
    pub(super) fn shows(self, value: f64) -> bool {
        value.is_finite() && value.abs() < EXTREME && (self == Self::Linear || value > 1.0 / EXTREME)
    }

    fn forward(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.log10(),
        }
    }
}

/// How far the numbers of an axis reach past the data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// To the next tick.
    Tick,
    /// Not at all.
    Data,
    /// A little, so that marks at the ends do not lie on the axes.
    Margin,
}

/// An axis laid over numbers.
pub(super) struct Mapping {
    scale: Scale,
    /// Ends in scaled numbers, low < high.
    low: f64,
    high: f64,
    /// Numbers that get a tick, with their labels.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Mapping {
    /// An axis that shows all the numbers (those that can be shown), with about `count` ticks.
    pub(super) fn over(values: impl Iterator<Item = f64>, scale: Scale, reach: Reach, count: usize) -> Self {
        let shown = values.filter(|&value| scale.shows(value));
        let (low, high) = shown.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = match (low <= high, scale) {
            (true, _) => spread(low, high, scale),
            (false, Scale::Linear) => (0.0, 1.0),
            (false, Scale::Log) => (1.0, 10.0),
        };
        let ticks = match scale {
            Scale::Linear => linear_ticks(low, high, count, reach),
            Scale::Log => log_ticks(low, high, count, reach),
        };
        let (mut low, mut high) = (scale.forward(low), scale.forward(high));
        if reach == Reach::Tick {
            for tick in &ticks {
                low = low.min(scale.forward(*tick));
                high = high.max(scale.forward(*tick));
            }
        }
        if reach == Reach::Margin {
            let margin = 0.05 * (high - low);
            (low, high) = (low - margin, high + margin);
        }
        let labels = labels(&ticks, scale);
        Self { scale, low, high, ticks: ticks.into_iter().zip(labels).collect() }
    }

    /// Where a number lies, as a share of the axis.
    pub(super) fn place(&self, value: f64) -> f64 {
        (self.scale.forward(value) - self.low) / (self.high - self.low)
    }
}

/// Ends that differ, for data that are all the same.
fn spread(low: f64, high: f64, scale: Scale) -> (f64, f64) {
    if high - low > 1e-12 * low.abs().max(high.abs()) {
        return (low, high);
    }
    match (scale, low.abs()) {
        (Scale::Log, _) => (low / 2.0, high * 2.0),
        (Scale::Linear, size) if size < 1.0 / EXTREME => (low - 1.0, high + 1.0),
        (Scale::Linear, size) => (low - 0.1 * size, high + 0.1 * size),
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64, count: usize, reach: Reach) -> Vec<f64> {
    let rough = (high - low) / count.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * 0.999).unwrap_or(10.0);
    let step = factor * power;
    let (first, last) = match reach {
        // A hair of rounding must not add a tick, and an end just short of a round number gets it.
        Reach::Tick => ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil()),
        Reach::Data | Reach::Margin => ((low / step - 0.02).ceil(), (high / step + 0.02).floor()),
    };
    let steps = (last - first).clamp(0.0, 100.0) as usize;
    (0..=steps).map(|index| (first + index as f64) * step).collect()
}

/// Powers of ten where there are enough of them or the axis is long, else also 2 and 5 times those, else as if linear.
fn log_ticks(low: f64, high: f64, count: usize, reach: Reach) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let inside = |tick: &f64| *tick >= low * 0.999 && *tick <= high * 1.001;
    let stride = ((last - first) as usize).div_ceil(count + 1).max(1);
    let powers: Vec<f64> = (first..=last).step_by(stride).map(|power| 10f64.powi(power)).collect();
    let inner: Vec<f64> = powers.iter().copied().filter(inside).collect();
    if inner.len() >= 3 || last - first > 4 {
        return if reach == Reach::Tick { powers } else { inner };
    }
    let finer = (first..=last).flat_map(|p| [1.0, 2.0, 5.0].map(|factor| factor * 10f64.powi(p)));
    let finer: Vec<f64> = finer.filter(inside).collect();
    if finer.len() >= 3 { finer } else { linear_ticks(low, high, 2 * count, Reach::Data) }
}

/// The ticks as text: in thousands or millions where they are large, with as many decimals as tell
/// them apart.
fn labels(ticks: &[f64], scale: Scale) -> Vec<String> {
    let largest = ticks.iter().fold(0.0f64, |largest, tick| largest.max(tick.abs()));
    let gaps = ticks.windows(2).filter_map(|pair| Some(pair.get(1)? - pair.first()?));
    let step = gaps.fold(largest, f64::min);
    let extreme = |size: f64| !(1e-4..1e12).contains(&size);
    let label = |&tick: &f64| match scale {
        Scale::Linear if largest > 0.0 && extreme(largest) => scientific(tick),
        Scale::Linear => number(tick, unit(largest), step),
        Scale::Log if extreme(tick) => scientific(tick),
        Scale::Log => trimmed(&number(tick, unit(tick), step.min(tick))),
    };
    ticks.iter().map(label).collect()
}

/// What a number of this size is counted in.
fn unit(size: f64) -> (f64, &'static str) {
    match size.abs() {
        size if size >= 1e9 => (1e9, "G"),
        size if size >= 1e6 => (1e6, "M"),
        size if size >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    }
}

/// A number with the decimals that a step of this size needs.
fn number(value: f64, (unit, suffix): (f64, &str), step: f64) -> String {
    let decimals = (-(step / unit).log10().floor()).clamp(0.0, 8.0) as usize;
    match value {
        0.0 => "0".to_owned(),
        _ => format!("{:.decimals$}{suffix}", value / unit),
    }
}

/// Without zeros at the end of decimals.
fn trimmed(text: &str) -> String {
    let (digits, rest) = text.split_at(text.find(char::is_alphabetic).unwrap_or(text.len()));
    match digits.contains('.') {
        true => format!("{}{rest}", digits.trim_end_matches('0').trim_end_matches('.')),
        false => text.to_owned(),
    }
}

fn scientific(tick: f64) -> String {
    if tick == 0.0 { "0".to_owned() } else { trimmed(&format!("{tick:.2e}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels_of(low: f64, high: f64, scale: Scale, reach: Reach) -> String {
        let mapping = Mapping::over([low, high].into_iter(), scale, reach, 5);
        mapping.ticks.iter().map(|tick| tick.1.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_round_numbers() {
        let linear = |low, high| labels_of(low, high, Scale::Linear, Reach::Tick);
        assert_eq!(linear(0.0, 0.93), "0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(linear(3.1, 10.9), "2 4 6 8 10 12");
        assert_eq!(linear(-0.02, 0.03), "-0.02 -0.01 0 0.01 0.02 0.03");
        assert_eq!(linear(0.0, 48_000.0), "0 10k 20k 30k 40k 50k");
        assert_eq!(linear(0.0, 0.000_02), "0 5e-6 1e-5 1.5e-5 2e-5");
        assert_eq!(labels_of(17.0, 480.0, Scale::Linear, Reach::Data), "100 200 300 400");
    }

    #[test]
    fn logarithmic_ticks_are_powers_of_ten_or_near() {
        let log = |low, high| labels_of(low, high, Scale::Log, Reach::Data);
        assert_eq!(log(1.0, 100_000.0), "1 10 100 1000 10k 100k");
        assert_eq!(log(0.002, 3.0), "0.01 0.1 1");
        assert_eq!(log(3.0, 60.0), "5 10 20 50");
        assert_eq!(log(3.1, 4.2), "3.2 3.4 3.6 3.8 4 4.2");
        assert_eq!(log(1.0, 1e20), "1 10k 100M 1e12 1e16 1e20");
    }

    #[test]
    fn the_same_number_over_and_over_still_has_an_axis() {
        for value in [0.0, 1.0, -3.5, 1e90, 1e-90] {
            for scale in [Scale::Linear, Scale::Log] {
                let mapping = Mapping::over([value; 3].into_iter(), scale, Reach::Tick, 5);
                assert!(
                    !scale.shows(value) || (0.0..=1.0).contains(&mapping.place(value)),
                    "{value} {scale:?}"
                );
            }
        }
        let empty = Mapping::over([f64::NAN, f64::INFINITY].into_iter(), Scale::Log, Reach::Tick, 5);
        assert!(!empty.ticks.is_empty());
    }

    proptest! {
        #[test]
        fn every_number_shown_has_a_place(
            values in proptest::collection::vec(proptest::num::f64::ANY, 1..8),
            log: bool, reach: bool, count in 0..12usize,
        ) {
            let scale = if log { Scale::Log } else { Scale::Linear };
            let reach = if reach { Reach::Tick } else { Reach::Data };
            let mapping = Mapping::over(values.iter().copied(), scale, reach, count);
            prop_assert!(mapping.ticks.len() <= 110);
            for value in values.into_iter().filter(|&value| scale.shows(value)) {
                let place = mapping.place(value);
                prop_assert!((-1e-6..=1.0 + 1e-6).contains(&place), "{value} at {place}");
            }
        }
    }
}
