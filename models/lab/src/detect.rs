//! Out-of-distribution detection per frame: fitted off-device (`fit`, `verdict`), applied on it (`score`).
//!
//! Four detectors, each scoring a frame the higher the less it looks like the training frames: the
//! intensity histogram (a mandatory baseline), multi-layer Mahalanobis distance, Gram spectrum, and mean
//! entropy (a control, near chance in medical imaging). Their held-out scores set thresholds at a stated
//! false-alarm rate.
pub mod fit;
pub(crate) mod linear;

pub mod verdict;

pub use candor::ood::score;

use std::fmt;

/// Why a detector or a threshold could not be fitted, and what would fix it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DetectError {
    /// A feature list does not hold one row per frame.
    Length {
        /// Which list.
        what: &'static str,
        /// Values needed.
        expected: usize,
        /// Values found.
        found: usize,
    },
    /// A feature or score is NaN or infinite.
    NotFinite {
        /// Which list.
        what: &'static str,
        /// Index of the first such value.
        index: usize,
    },
    /// All frames come from one group, so none can be held out.
    OneGroup,
    /// There are too few held-out scores for the false-alarm rate asked for.
    TooFewScores {
        /// Scores needed.
        needed: usize,
        /// Scores found.
        found: usize,
    },
    /// A size or rate is outside its range.
    Range {
        /// Which argument.
        what: &'static str,
        /// The range it must lie in.
        range: &'static str,
    },
    /// A correlation matrix could not be factorized.
    Singular {
        /// Index of the layer.
        layer: usize,
    },
}

impl fmt::Display for DetectError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { what, expected, found } => {
                write!(out, "`{what}` holds {found} values; needs {expected}, the same for every frame")
            }
            Self::NotFinite { what, index } => {
                write!(out, "`{what}`[{index}] is not finite; drop the frame or repair its features")
            }
            Self::OneGroup => {
                write!(
                    out,
                    "all frames belong to one group; give frames of at least 2 exams, ideally 20 or more"
                )
            }
            Self::TooFewScores { needed, found } => write!(
                out,
                "{found} held-out scores; the false-alarm rate asked for needs {needed}: \
                 give more training frames or a higher rate"
            ),
            Self::Range { what, range } => write!(out, "`{what}` must lie in {range}"),
            Self::Singular { layer } => {
                write!(out, "features of layer {layer} cannot be factorized; check them for extreme values")
            }
        }
    }
}

impl std::error::Error for DetectError {}

#[cfg(test)]
mod tests;
