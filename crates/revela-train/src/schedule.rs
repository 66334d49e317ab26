//! The learning rate over a stage.

use crate::choices::Decay;

/// A number that goes geometrically from one value to another over a stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Annealed {
    /// At the beginning.
    pub start: f64,
    /// At the end.
    pub end: f64,
}

impl Annealed {
    /// Its value when this part of the stage, 0 to 1, is done.
    pub fn at(&self, part: f64) -> f64 {
        self.start * (self.end / self.start).powf(part.clamp(0.0, 1.0))
    }
}

/// Rises over the warm-up, falls afterwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Highest learning rate.
    pub peak: f64,
    /// Steps over which it rises.
    pub warmup: u64,
    /// How it falls.
    pub decay: Decay,
    /// Share of the peak at the end.
    pub last_share: f64,
}

impl Schedule {
    /// The share of the peak at a step (counted from 0) when this part of the stage, 0 to 1, is done.
    pub fn share(&self, step: u64, part: f64) -> f64 {
        // A stage shorter than its warm-up would never learn at its rate: a tenth of it is enough then.
        let by_steps = (step + 1) as f64 / (self.warmup.max(1)) as f64;
        let rise = by_steps.max(part * 10.0).min(1.0);
        let part = part.clamp(0.0, 1.0);
        let fall = match self.decay {
            Decay::Linear => 1.0 - part,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * part).cos()),
            Decay::Constant => 1.0,
        };
        let floor = if self.decay == Decay::Constant { 0.0 } else { self.last_share };
        rise * (floor + (1.0 - floor) * fall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_to_the_last_share() {
        let schedule = |decay| Schedule { peak: 1.0, warmup: 10, decay, last_share: 0.1 };
        for decay in [Decay::Linear, Decay::Cosine] {
            let share = |step, part| schedule(decay).share(step, part);
            assert!((share(0, 0.0) - 0.1).abs() < 1e-12 && (share(9, 0.0) - 1.0).abs() < 1e-12);
            assert!((share(1000, 1.0) - 0.1).abs() < 1e-12);
            assert!((share(1000, 0.5) - 0.55).abs() < 1e-12);
        }
        assert_eq!(schedule(Decay::Constant).share(1000, 1.0), 1.0);
        let short = Schedule { warmup: 1000, ..schedule(Decay::Constant) };
        assert_eq!(short.share(3, 0.1), 1.0, "a short stage warms up over a tenth of it");
    }
}
