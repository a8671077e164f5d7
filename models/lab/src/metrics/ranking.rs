//! How well a score separates two groups of frames, and how it follows a third quantity.
use super::error::MetricError;

fn sorted(what: &'static str, scores: &[f64]) -> Result<Vec<f64>, MetricError> {
    if scores.is_empty() {
        return Err(MetricError::Empty { what });
    }
    if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
        return Err(MetricError::NotFinite { what, index });
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted)
}

/// Area under the ROC curve: the probability that a random positive scores above a random negative, ties
/// counting one half (Mann–Whitney U / (n·m); Hanley & McNeil, 1982). Higher scores mean positive (alert).
///
/// # Errors
/// An empty list or a score that is not finite.
pub fn area_under_roc(negatives: &[f64], positives: &[f64]) -> Result<f64, MetricError> {
    let negatives = sorted("negatives", negatives)?;
    let positives = sorted("positives", positives)?;
    let halves: u128 = positives
        .iter()
        .map(|positive| {
            let below = negatives.partition_point(|negative| negative < positive);
            let not_above = negatives.partition_point(|negative| negative <= positive);
            (below + not_above) as u128
        })
        .sum();
    Ok(halves as f64 / (2.0 * negatives.len() as f64 * positives.len() as f64))
}

/// False-positive rate at the highest threshold whose true-positive rate is at least `rate` (FPR95 for
/// `rate` = 0.95; Hendrycks & Gimpel, 2017). A frame is called positive when its score is at or above the
/// threshold, thresholds are the observed scores, and there is no interpolation.
///
/// # Errors
/// An empty list, a score that is not finite, or a `rate` outside (0, 1].
pub fn false_positive_rate_at(rate: f64, negatives: &[f64], positives: &[f64]) -> Result<f64, MetricError> {
    if !(rate > 0.0 && rate <= 1.0) {
        return Err(MetricError::Range { what: "rate", range: "(0, 1]" });
    }
    let negatives = sorted("negatives", negatives)?;
    let positives = sorted("positives", positives)?;
    let count = positives.len();
    let needed = (1..count).find(|&found| found as f64 / count as f64 >= rate).unwrap_or(count);
    let threshold = positives[count - needed];
    let called = negatives.len() - negatives.partition_point(|negative| *negative < threshold);
    Ok(called as f64 / negatives.len() as f64)
}

/// Share of scores strictly above `threshold`: the rule every alert follows. NaN counts as above, since a
/// frame whose score is no number must not pass as normal. `None` without scores.
pub fn alert_rate(scores: &[f64], threshold: f64) -> Option<f64> {
    let alerts = scores.iter().filter(|score| score.is_nan() || **score > threshold).count();
    (!scores.is_empty()).then(|| alerts as f64 / scores.len() as f64)
}

/// Ranks from 1, equal values sharing the mean of their ranks.
fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |value: &f64| {
        let below = sorted.partition_point(|other| other < value);
        let not_above = sorted.partition_point(|other| other <= value);
        (below + not_above + 1) as f64 / 2.0
    };
    values.iter().map(rank).collect()
}

/// Spearman's rank correlation with mid-ranks for ties, in −1..=1: does an OOD score follow the Dice drop?
/// `None` when either list is constant.
///
/// # Errors
/// Empty lists, lists of different length, or a value that is not finite.
pub fn spearman(first: &[f64], second: &[f64]) -> Result<Option<f64>, MetricError> {
    if first.len() != second.len() {
        return Err(MetricError::Unpaired { first: first.len(), second: second.len() });
    }
    sorted("first", first)?;
    sorted("second", second)?;
    let centre = (first.len() as f64 + 1.0) / 2.0;
    let (mut cross, mut squares) = (0.0, [0.0; 2]);
    for (a, b) in mid_ranks(first).into_iter().zip(mid_ranks(second)) {
        let (a, b) = (a - centre, b - centre);
        cross += a * b;
        squares = [squares[0] + a * a, squares[1] + b * b];
    }
    let scale = (squares[0] * squares[1]).sqrt();
    Ok((scale > 0.0).then(|| (cross / scale).clamp(-1.0, 1.0)))
}
