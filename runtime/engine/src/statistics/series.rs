//! The score series of a stream: what is sketched and watched for drift, frame by frame.

use super::{FrameCounts, SERIES_MAX};
use crate::ood::Verdict;

/// Their names: the three out-of-distribution scores on their own, for each sees changes that the joint
/// score hides; mean confidence over all pixels and over the foreground; the foreground's share of them.
pub const SERIES: [&str; SERIES_MAX] =
    ["intensity", "features", "spectrum", "confidence", "foreground_confidence", "foreground_share"];

/// The scores of one frame; not numbers where the package has no profile or the frame no foreground.
pub fn scores(verdict: Option<&Verdict>, counts: &FrameCounts) -> [f64; SERIES.len()] {
    let [intensity, features, spectrum] = verdict.map_or([f64::NAN; 3], |verdict| verdict.scores);
    let mean = |from: usize| counts.mean_confidence(from).unwrap_or(f64::NAN);
    [intensity, features, spectrum, mean(0), mean(1), counts.foreground_share()]
}
