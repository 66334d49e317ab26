//! How long work takes, so that what would wait too long can be refused at once.

use std::sync::Mutex;
use std::time::Duration;

use crate::metrics::lock;

/// What one unit of work takes: a mean in which the past fades.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Option<f64>>);

/// What a new measurement weighs.
const NEW: f64 = 0.2;

impl Pace {
    /// `units` were done in `took`.
    pub(crate) fn measured(&self, units: usize, took: Duration) {
        if units == 0 {
            return;
        }
        let seconds = took.as_secs_f64() / units as f64;
        let mut mean = lock(&self.0);
        *mean = Some(mean.map_or(seconds, |old| old + NEW * (seconds - old)));
    }

    /// How long this many units will take; nothing is known at first.
    pub(crate) fn expected(&self, units: usize) -> Duration {
        let seconds = lock(&self.0).unwrap_or(0.0) * units as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// What a client that is turned away is told to wait: whole seconds, at least one.
pub(crate) fn retry_after(expected: Duration) -> Duration {
    Duration::from_secs(expected.as_secs().saturating_add(1).min(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_follows_what_is_measured() {
        let pace = Pace::default();
        assert_eq!(pace.expected(1000), Duration::ZERO);
        pace.measured(0, Duration::from_secs(9));
        pace.measured(10, Duration::from_millis(10));
        assert_eq!(pace.expected(500).as_millis(), 500);
        for _ in 0..50 {
            pace.measured(1, Duration::from_millis(3));
        }
        assert!((pace.expected(100).as_secs_f64() - 0.3).abs() < 0.001);
        assert_eq!(retry_after(Duration::from_millis(1500)).as_secs(), 2);
        assert_eq!(retry_after(Duration::MAX).as_secs(), 60);
    }
}
