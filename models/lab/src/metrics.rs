//! Measurement: every figure `evaluate` reports on masks, confidences and alerts, with its definition.
//!
//! Probabilities are `u16` (probability = value / 65535), labels `u8` with 0 as background, frames
//! row-major. Whatever can be summed is summed in integers, so the figures do not depend on the order of
//! the frames; per-frame means (DSC, IoU, HD95, ACE, MCE) are added in the order in which the frames come.
mod accumulate;
mod bootstrap;
mod boundary;
mod distance;
mod error;
mod frame;
mod ranking;
mod reliability;
mod similarity;
mod threshold;

pub use accumulate::{Accumulator, FrameScores, PerClass, Summary};
pub use bootstrap::{Interval, Resampling, SplitMix64, bootstrap, paired_difference};
pub use boundary::{BOUNDARY_RADIUS, boundary_band};
pub use distance::{hausdorff_95, squared_distances};
pub use error::{MetricError, Problem};
pub use frame::{Frame, MAX_CLASSES, MAX_SIDE};
pub use ranking::{alert_rate, area_under_roc, false_positive_rate_at, spearman};
pub use reliability::{Bin, Bins, ConfidenceHistogram, FULL};
pub use similarity::linear_cka;
pub use threshold::{ControlledThreshold, OperatingPoint, Risk, ThresholdCurve, control_risk};

#[cfg(test)]
mod tests;
