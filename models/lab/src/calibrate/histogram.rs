//! Counts of positive and negative pixels per integer logit: all the evidence a binary calibrator needs.
use super::{CalibrateError, Table};

/// Logit indices.
pub const LEVELS: usize = 4096;
/// The index of logit 0.
pub const CENTRE: usize = 2048;
/// The highest index.
pub const MAX_LEVEL: u16 = 4095;

/// Logit an index stands for: `(index − 2048)·step`.
pub(super) fn logit(index: usize, step: f64) -> f64 {
    (index as f64 - CENTRE as f64) * step
}

/// Index of a logit: `rne(logit / step) + 2048`, saturating at 0 and 4095; a NaN gives 2048, probability ½.
pub fn logit_index(logit: f64, step: f64) -> u16 {
    let level = (logit / step).round_ties_even() + CENTRE as f64;
    if level.is_nan() { CENTRE as u16 } else { level.clamp(0.0, f64::from(MAX_LEVEL)) as u16 }
}

/// Pixels per logit index, apart for pixels of the class (positive) and others.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    step: f64,
    positives: Vec<u64>,
    negatives: Vec<u64>,
}

impl Histogram {
    /// An empty histogram; `step` is the logit width of one index, for example 16/2048 to cover ±16.
    ///
    /// # Errors
    /// [`CalibrateError::Step`] unless `step` is finite and above 0.
    pub fn new(step: f64) -> Result<Self, CalibrateError> {
        if !(step.is_finite() && step > 0.0) {
            return Err(CalibrateError::Step { step });
        }
        Ok(Self { step, positives: vec![0; LEVELS], negatives: vec![0; LEVELS] })
    }

    /// A histogram from ready counts, 4096 each.
    ///
    /// # Errors
    /// A bad step or list length.
    pub fn from_counts(step: f64, positives: Vec<u64>, negatives: Vec<u64>) -> Result<Self, CalibrateError> {
        Self::new(step)?;
        for (what, counts) in [("positives", &positives), ("negatives", &negatives)] {
            if counts.len() != LEVELS {
                return Err(CalibrateError::Length { what, expected: LEVELS, found: counts.len() });
            }
        }
        Ok(Self { step, positives, negatives })
    }

    /// Adds one pixel; indices above 4095 count as 4095, as logits beyond the range do.
    pub fn add(&mut self, index: u16, positive: bool) {
        let counts = if positive { &mut self.positives } else { &mut self.negatives };
        let count = &mut counts[usize::from(index.min(MAX_LEVEL))];
        *count = count.saturating_add(1);
    }

    /// Adds all counts of another histogram.
    ///
    /// # Errors
    /// [`CalibrateError::StepMismatch`] when the steps differ.
    pub fn merge(&mut self, other: &Self) -> Result<(), CalibrateError> {
        if self.step.to_bits() != other.step.to_bits() {
            return Err(CalibrateError::StepMismatch { expected: self.step, found: other.step });
        }
        let pairs = self.positives.iter_mut().zip(&other.positives);
        for (into, from) in pairs.chain(self.negatives.iter_mut().zip(&other.negatives)) {
            *into = into.saturating_add(*from);
        }
        Ok(())
    }

    /// Logits per index.
    pub fn step(&self) -> f64 {
        self.step
    }

    /// Pixels counted.
    pub fn count(&self) -> u64 {
        self.positives.iter().chain(&self.negatives).fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Non-empty indices in ascending order: (index, logit, positives, negatives).
    pub(super) fn occupied(&self) -> impl Iterator<Item = (usize, f64, u64, u64)> {
        self.positives
            .iter()
            .zip(&self.negatives)
            .enumerate()
            .filter(|(_, (positive, negative))| **positive > 0 || **negative > 0)
            .map(|(index, (&positive, &negative))| (index, logit(index, self.step), positive, negative))
    }

    /// Errors unless both classes occur.
    pub(super) fn require_both_classes(&self) -> Result<(), CalibrateError> {
        let positive = self.positives.iter().any(|count| *count > 0);
        let negative = self.negatives.iter().any(|count| *count > 0);
        match (positive, negative) {
            (true, true) => Ok(()),
            (false, false) => Err(CalibrateError::Empty),
            _ => Err(CalibrateError::SingleClass { positive }),
        }
    }

    /// Negative log-likelihood of the counted pixels under a table, summed, in nats; always finite.
    pub fn surprise(&self, table: &Table) -> f64 {
        self.occupied()
            .map(|(index, _, positives, negatives)| {
                let probability = table.probability(index);
                -(positives as f64 * probability.ln() + negatives as f64 * (1.0 - probability).ln())
            })
            .sum()
    }
}
