//! Thresholds and the joint verdict: from held-out scores to alerts at a stated false-alarm rate.
//!
//! What the rate means. If a new frame is exchangeable with the training frames and scored by a fit that
//! saw neither, a rank threshold alerts on it with probability at most α (split conformal prediction, Vovk
//! et al., 2005). The shipped detector is refitted on all frames, so that the rate is met approximately, as
//! in cross-conformal prediction (Vovk, 2015; Barber et al., 2021, whose worst case is 2α). Frames of one
//! exam are not exchangeable one by one: with few exams the rate per exam can be far off, whatever the
//! frame count.
use super::DetectError;
use super::score::{Combined, ScoreScale, combine, log_score};

/// The fitted verdict over one or more detectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Scale and own threshold of each detector, in the order of the scores.
    pub scales: Vec<ScoreScale>,
    /// The frame alerts when the joint score lies strictly above this.
    pub threshold: f64,
    /// Held-out scores of each detector, ascending, for p-values.
    pub held_out: Vec<Vec<f64>>,
    /// Held-out joint scores, ascending, for p-values.
    pub held_out_combined: Vec<f64>,
}

impl Verdict {
    /// Joint score of a frame and whether it alerts.
    ///
    /// # Errors
    /// [`DetectError::Length`] unless there is one score per detector.
    pub fn judge(&self, scores: &[f64]) -> Result<(Combined, bool), DetectError> {
        let combined = combine(&self.scales, scores)?;
        Ok((combined, combined.value > self.threshold))
    }
}

/// Rank threshold: the ⌈(n+1)(1−α)⌉-th smallest held-out score; alerts are scores strictly above it.
///
/// # Errors
/// An α outside (0, 1), a score that is not finite, or fewer than ⌈1/α⌉ − 1 scores, with which no threshold
/// could hold the rate except one that never alerts.
pub fn rank_threshold(held_out: &[f64], alpha: f64) -> Result<f64, DetectError> {
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(DetectError::Range { what: "alpha", range: "(0, 1)" });
    }
    let ascending = ascending(held_out)?;
    // The small slack keeps products such as 100·0.99 from being rounded up a whole rank.
    let rank = ((ascending.len() + 1) as f64 * (1.0 - alpha) - 1e-9).ceil().max(1.0) as usize;
    ascending.get(rank - 1).copied().ok_or(DetectError::TooFewScores {
        needed: (1.0 / alpha - 1.0 - 1e-9).ceil() as usize,
        found: ascending.len(),
    })
}

fn ascending(scores: &[f64]) -> Result<Vec<f64>, DetectError> {
    if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
        return Err(DetectError::NotFinite { what: "held-out scores", index });
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted)
}

/// Fits the joint verdict of several detectors from their held-out scores on the same frames, in one order.
///
/// The log of each score is standardised by its own held-out median and 90th percentile, the mean is taken
/// ([`combine`]), and the joint score of every held-out frame sets the joint threshold by the same rank
/// rule; so the joint false-alarm rate is α itself, however the detectors depend on each other, without a
/// correction for their number. A detector with constant scores gets the least spread that tells any
/// increase apart.
///
/// # Errors
/// Lists of different length, no detector, or those of [`rank_threshold`].
pub fn fit_verdict(held_out: &[&[f64]], alpha: f64) -> Result<Verdict, DetectError> {
    let frames = held_out.first().map_or(0, |scores| scores.len());
    if let Some(other) = held_out.iter().find(|scores| scores.len() != frames) {
        let (expected, found) = (frames, other.len());
        return Err(DetectError::Length { what: "held-out scores", expected, found });
    }
    if held_out.is_empty() {
        return Err(DetectError::Range { what: "detectors", range: "1 or more" });
    }
    let (mut scales, mut sorted) = (Vec::new(), Vec::new());
    for scores in held_out {
        let ordered = ascending(scores)?;
        let threshold = rank_threshold(&ordered, alpha)?;
        let at = |share: f64| log_score(ordered[((ordered.len() - 1) as f64 * share).round() as usize]);
        let median = at(0.5);
        let least = 1e-12 * (1.0 + median.abs());
        scales.push(ScoreScale { median, spread: (at(0.9) - median).max(least), threshold });
        sorted.push(ordered);
    }
    let mut joint = Vec::with_capacity(frames);
    for frame in 0..frames {
        let scores: Vec<f64> = held_out.iter().map(|scores| scores[frame]).collect();
        joint.push(combine(&scales, &scores)?.value);
    }
    let threshold = rank_threshold(&joint, alpha)?;
    Ok(Verdict { scales, threshold, held_out: sorted, held_out_combined: ascending(&joint)? })
}
