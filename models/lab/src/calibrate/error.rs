//! Why a calibrator could not be fitted, and what would fix it.
use std::fmt;

/// A refused fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CalibrateError {
    /// The logit step is not a finite number above 0.
    Step {
        /// Step given, in logits per index.
        step: f64,
    },
    /// Two histograms have different steps.
    StepMismatch {
        /// Step of the histogram merged into.
        expected: f64,
        /// Step of the other.
        found: f64,
    },
    /// A count list does not hold one count per logit index.
    Length {
        /// Which list.
        what: &'static str,
        /// Values needed.
        expected: usize,
        /// Values found.
        found: usize,
    },
    /// There are no pixels to fit on.
    Empty,
    /// All pixels have the same label, so no probability can be learned.
    SingleClass {
        /// Whether that label is the class in question.
        positive: bool,
    },
    /// Too few images to hold any out.
    TooFewFolds {
        /// Images or folds given.
        found: usize,
    },
    /// The class count is outside 2..=256, or two samples differ in it.
    Classes {
        /// Class count found.
        found: usize,
    },
    /// A label is not below the class count.
    Label {
        /// Row-major index of the first such pixel.
        pixel: usize,
        /// The label there.
        label: u8,
    },
    /// A logit is NaN or infinite.
    NotFinite {
        /// Index of the first such logit.
        index: usize,
    },
}

impl fmt::Display for CalibrateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { step } => write!(out, "logit step {step}; needs a finite number above 0"),
            Self::StepMismatch { expected, found } => {
                write!(out, "histograms with logit steps {expected} and {found} cannot be added; rebin one")
            }
            Self::Length { what, expected, found } => {
                write!(out, "`{what}` holds {found} values; needs {expected}")
            }
            Self::Empty => write!(out, "no pixels to calibrate on; give images with masks"),
            Self::SingleClass { positive } => {
                let which = if *positive { "inside" } else { "outside" };
                write!(out, "every pixel is {which} the class; add images that show the other case")
            }
            Self::TooFewFolds { found } => {
                write!(out, "{found} image(s); held-out selection needs 2 or more, ideally 20")
            }
            Self::Classes { found } => write!(out, "{found} classes; needs one count in 2..=256 throughout"),
            Self::Label { pixel, label } => {
                write!(out, "label {label} at pixel {pixel} is not below the class count; remap the masks")
            }
            Self::NotFinite { index } => write!(out, "logit {index} is not finite; check the model's output"),
        }
    }
}

impl std::error::Error for CalibrateError {}
