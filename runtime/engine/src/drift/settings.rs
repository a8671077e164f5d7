//! What the detector watches, and the share of false alarms it may raise.

use crate::error::{Error, ErrorKind};
use crate::statistics::SERIES_MAX;

/// Fewest warm-up frames.
pub const WARMUP_MIN: u32 = 64;

/// What is watched and how surely.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftSettings {
    /// Score series, 1 to [`SERIES_MAX`].
    pub series: usize,
    /// Frames that show what is normal, at least [`WARMUP_MIN`].
    pub warmup: u32,
    /// Greatest probability of a false alarm within `horizon` blocks, above 0 and at most 0.5.
    pub share: f64,
    /// Blocks for which `share` is stated, at least 1.
    pub horizon: u32,
    /// Seed of the numbers that break ties between ranks; the same seed and scores give the same alarms.
    pub seed: u64,
}

impl DriftSettings {
    /// A warm-up of 2,000 frames, and one false alarm in a hundred runs of 10,000 blocks.
    pub const fn new(series: usize) -> Self {
        Self { series, warmup: 2000, share: 0.01, horizon: 10_000, seed: 0x000C_A4D0 }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let fault = |what: String| Err(Error::new(ErrorKind::Input, format!("drift: {what}")));
        if !(1..=SERIES_MAX).contains(&self.series) {
            return fault(format!("{} series; watch 1 to {SERIES_MAX}", self.series));
        }
        if self.warmup < WARMUP_MIN {
            return fault(format!("a warm-up of {} frames; give at least {WARMUP_MIN}", self.warmup));
        }
        if !(self.share > 0.0 && self.share <= 0.5) {
            return fault(format!("a share of {} false alarms; give more than 0, at most 0.5", self.share));
        }
        if self.horizon == 0 {
            return fault("a horizon of 0 blocks; give at least 1".into());
        }
        Ok(())
    }
}
