//! What can be wrong with the input of a measurement, each with what would fix it.
use std::fmt;

/// One thing wrong with a frame handed to the accumulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The class count is outside 2..=256.
    Classes {
        /// Class count given.
        classes: usize,
    },
    /// A side is 0 or above 65535 pixels.
    Side {
        /// Which side: `height` or `width`.
        side: &'static str,
        /// Pixels given.
        pixels: usize,
    },
    /// A slice does not hold one value per pixel (per class and pixel for `probabilities`).
    Length {
        /// Which slice.
        what: &'static str,
        /// Values its shape asks for.
        expected: usize,
        /// Values it holds.
        found: usize,
    },
    /// A label is not below the class count.
    Label {
        /// Which label map: `predicted` or `truth`.
        what: &'static str,
        /// Row-major index of the first such pixel.
        pixel: usize,
        /// The label there.
        label: u8,
        /// Class count of the frame.
        classes: usize,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classes { classes } => {
                write!(out, "{classes} classes; needs 2..=256, background as class 0")
            }
            Self::Side { side, pixels } => write!(out, "{side} is {pixels} px; needs 1..=65535"),
            Self::Length { what, expected, found } => {
                write!(out, "`{what}` holds {found} values; its shape needs {expected}")
            }
            Self::Label { what, pixel, label, classes } => write!(
                out,
                "`{what}` has label {label} at pixel {pixel}; must be below {classes} (remap the masks)"
            ),
        }
    }
}

/// Why a figure could not be computed.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricError {
    /// A frame is malformed; every problem found is listed.
    Frame(Vec<Problem>),
    /// The frame has another class count than the accumulator.
    ClassCount {
        /// Classes of the accumulator.
        expected: usize,
        /// Classes of the frame.
        found: usize,
    },
    /// A score list that must not be empty is.
    Empty {
        /// Which list.
        what: &'static str,
    },
    /// A score is NaN or infinite.
    NotFinite {
        /// Which list.
        what: &'static str,
        /// Index of the first such score.
        index: usize,
    },
    /// Two lists that are paired differ in length.
    Unpaired {
        /// Length of the first.
        first: usize,
        /// Length of the second.
        second: usize,
    },
    /// A rate, level or count is outside its range.
    Range {
        /// Which argument.
        what: &'static str,
        /// The range it must lie in.
        range: &'static str,
    },
    /// There are too few units for what is to be promised of the next one.
    TooFew {
        /// Which units.
        what: &'static str,
        /// Units needed.
        needed: usize,
        /// Units given.
        found: usize,
    },
    /// The statistic was undefined (NaN) on every resample.
    Undefined,
}

impl fmt::Display for MetricError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(problems) => {
                write!(out, "malformed frame")?;
                problems.iter().try_for_each(|problem| write!(out, "; {problem}"))
            }
            Self::ClassCount { expected, found } => {
                write!(
                    out,
                    "frame has {found} classes, earlier ones {expected}; use one accumulator per model"
                )
            }
            Self::Empty { what } => write!(out, "`{what}` is empty; give at least one score"),
            Self::NotFinite { what, index } => {
                write!(out, "`{what}`[{index}] is not finite; drop the frame or repair its score")
            }
            Self::Unpaired { first, second } => {
                write!(out, "paired lists have {first} and {second} values; give one of each per frame")
            }
            Self::Range { what, range } => write!(out, "`{what}` must lie in {range}"),
            Self::TooFew { what, needed, found } => {
                write!(out, "{found} {what}; the level asked for needs {needed}: give more or a higher level")
            }
            Self::Undefined => write!(out, "the statistic is undefined on every resample; give more frames"),
        }
    }
}

impl std::error::Error for MetricError {}
