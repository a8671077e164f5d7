//! How the learning rate changes over a run.

use serde::Deserialize;

/// The share of the largest learning rate over the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Falls to zero as half a cosine (Loshchilov & Hutter 2017).
    #[default]
    Cosine,
    /// Stays.
    Constant,
    /// A tenth after half of the steps, a hundredth after three quarters.
    Steps,
}

impl Schedule {
    /// The factor of `step` out of `steps`, 0..=1, after a linear rise over the first `warm_up` steps.
    #[must_use]
    pub fn factor(self, step: usize, steps: usize, warm_up: usize) -> f64 {
        let rise = if step < warm_up { (step + 1) as f64 / warm_up as f64 } else { 1.0 };
        let progress = step as f64 / steps.max(1) as f64;
        rise * match self {
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            Self::Constant => 1.0,
            Self::Steps if progress < 0.5 => 1.0,
            Self::Steps if progress < 0.75 => 0.1,
            Self::Steps => 0.01,
        }
    }
}
