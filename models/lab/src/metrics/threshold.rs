//! What a threshold on the foreground probability does: operating points, and thresholds that control a risk.

use super::error::MetricError;
use super::reliability::FULL;
use serde::Serialize;

/// Thresholds told apart: pixels are called at level k when their probability, of 65536 steps, reaches
/// 256·k.
pub const LEVELS: usize = 256;

/// Pixels of true foreground and background by their foreground probability; of one exam, or of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThresholdCurve {
    foreground: Vec<u64>,
    background: Vec<u64>,
}

impl Default for ThresholdCurve {
    fn default() -> Self {
        Self { foreground: vec![0; LEVELS], background: vec![0; LEVELS] }
    }
}

/// What one threshold does (softmax thresholding, Yeung et al. 2023).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// Pixels at or above this probability are called foreground.
    pub threshold: f64,
    /// TP / (TP + FN); `None` without foreground.
    pub recall: Option<f64>,
    /// TP / (TP + FP); `None` where nothing is called.
    pub precision: Option<f64>,
    /// 2 TP / (2 TP + FP + FN); `None` where there is neither foreground nor a call.
    pub dice: Option<f64>,
}

/// A loss of one exam between 0 and 1 that a threshold moves one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// Missed share of the foreground, 0 without any; grows with the threshold.
    FalseNegativeRate,
    /// Share of background among what is called, 0 where nothing is called; made to fall with the threshold
    /// by taking the largest value at any higher one.
    FalsePositiveShare,
}

/// A threshold whose expected loss on a new exam is at most the level asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ControlledThreshold {
    /// On the foreground probability.
    pub threshold: f64,
    /// Mean loss of the exams it was chosen on.
    pub mean_loss: f64,
    /// (n · mean + 1) / (n + 1).
    pub bound: f64,
}

impl ThresholdCurve {
    /// Adds a pixel of foreground probability `probability` / 65535.
    pub fn add(&mut self, probability: u16, is_foreground: bool) {
        let counts = if is_foreground { &mut self.foreground } else { &mut self.background };
        if let Some(count) = counts.get_mut(usize::from(probability >> 8)) {
            *count += 1;
        }
    }

    /// Adds all pixels of another curve.
    pub fn merge(&mut self, other: &Self) {
        self.foreground.iter_mut().zip(&other.foreground).for_each(|(own, more)| *own += more);
        self.background.iter_mut().zip(&other.background).for_each(|(own, more)| *own += more);
    }

    /// True positives, false positives and false negatives at `level`.
    fn counts(&self, level: usize) -> [u64; 3] {
        let level = level.min(LEVELS);
        let called: u64 = self.foreground[level..].iter().sum();
        [called, self.background[level..].iter().sum(), self.foreground[..level].iter().sum()]
    }

    /// What the threshold of `level`, 0..=256, does.
    #[must_use]
    pub fn point(&self, level: usize) -> OperatingPoint {
        let [right, wrong, missed] = self.counts(level);
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        OperatingPoint {
            threshold: threshold(level),
            recall: share(right, right + missed),
            precision: share(right, right + wrong),
            dice: share(2 * right, 2 * right + wrong + missed),
        }
    }

    /// Nineteen thresholds from 0.05 to 0.95.
    #[must_use]
    pub fn sweep(&self) -> Vec<OperatingPoint> {
        (1..20).map(|twentieth| self.point((twentieth * LEVELS + 10) / 20)).collect()
    }

    /// The loss at every level, 0..=256.
    fn losses(&self, risk: Risk) -> Vec<f64> {
        let loss = |level| {
            let point = self.point(level);
            match risk {
                Risk::FalseNegativeRate => 1.0 - point.recall.unwrap_or(1.0),
                Risk::FalsePositiveShare => 1.0 - point.precision.unwrap_or(1.0),
            }
        };
        let mut losses: Vec<f64> = (0..=LEVELS).map(loss).collect();
        if risk == Risk::FalsePositiveShare {
            for level in (0..LEVELS).rev() {
                losses[level] = losses[level].max(losses[level + 1]);
            }
        }
        losses
    }
}

/// The probability at which pixels of `level` are called.
fn threshold(level: usize) -> f64 {
    (level * LEVELS) as f64 / f64::from(FULL)
}

/// Conformal risk control (Angelopoulos et al. 2024): the threshold that calls as little as a
/// [`Risk::FalseNegativeRate`] of `alpha` allows, or as much as a [`Risk::FalsePositiveShare`] of it does.
/// The expected loss of a new exam exchangeable with `exams` is at most `alpha`. Frames of one exam are not
/// exchangeable with those of others: merge them first.
///
/// # Errors
/// [`MetricError::Range`] for an `alpha` outside (0, 1); [`MetricError::TooFew`] for fewer exams than
/// 1 / `alpha` − 1, with which nothing can be promised.
pub fn control_risk(
    exams: &[ThresholdCurve],
    risk: Risk,
    alpha: f64,
) -> Result<ControlledThreshold, MetricError> {
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(MetricError::Range { what: "alpha", range: "(0, 1)" });
    }
    let count = exams.len() as f64;
    if 1.0 / (count + 1.0) > alpha {
        let needed = (1.0 / alpha - 1.0).ceil() as usize;
        return Err(MetricError::TooFew { what: "exams", needed, found: exams.len() });
    }
    let mut means = vec![0.0; LEVELS + 1];
    for exam in exams {
        means.iter_mut().zip(exam.losses(risk)).for_each(|(mean, loss)| *mean += loss / count);
    }
    let bound = |level: &usize| (count * means[*level] + 1.0) / (count + 1.0);
    let fits = |level: &usize| bound(level) <= alpha;
    let level = match risk {
        Risk::FalseNegativeRate => (0..=LEVELS).rev().find(fits),
        Risk::FalsePositiveShare => (0..=LEVELS).find(fits),
    };
    // At one end of the levels the loss is 0, and its bound was compared with alpha above.
    let level = level.ok_or(MetricError::Undefined)?;
    Ok(ControlledThreshold { threshold: threshold(level), mean_loss: means[level], bound: bound(&level) })
}
