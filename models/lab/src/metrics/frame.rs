//! One measured frame: probabilities, predicted and true labels, checked once so that figures need not.
use super::error::{MetricError, Problem};

/// Most classes a frame can have: labels are bytes.
pub const MAX_CLASSES: usize = 256;
/// Longest side of a frame in pixels.
pub const MAX_SIDE: usize = 65_535;

/// A frame with its ground truth; every slice is row-major and of the length its shape asks for.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub(super) classes: usize,
    pub(super) width: usize,
    pub(super) probabilities: &'a [u16],
    pub(super) predicted: &'a [u8],
    pub(super) truth: &'a [u8],
    pub(super) boundary: &'a [bool],
}

impl<'a> Frame<'a> {
    /// Checks and binds one frame.
    ///
    /// * `shape`: `[classes, height, width]`, classes in 2..=256 with background as class 0, sides in
    ///   1..=65535.
    /// * `probabilities`: planar `[classes][height·width]`, probability = value / 65535. Planes need not
    ///   sum to exactly 65535 per pixel. A binary model gives two planes, `65535 − p` and `p`.
    /// * `predicted`, `truth`: labels below `classes`, `[height·width]`.
    /// * `boundary`: pixels of the ground truth's boundary band, see [`super::boundary_band`].
    ///
    /// # Errors
    /// [`MetricError::Frame`] with every problem found.
    pub fn new(
        shape: [usize; 3],
        probabilities: &'a [u16],
        predicted: &'a [u8],
        truth: &'a [u8],
        boundary: &'a [bool],
    ) -> Result<Self, MetricError> {
        let [classes, height, width] = shape;
        let mut problems = Vec::new();
        if !(2..=MAX_CLASSES).contains(&classes) {
            problems.push(Problem::Classes { classes });
        }
        for (side, pixels) in [("height", height), ("width", width)] {
            if !(1..=MAX_SIDE).contains(&pixels) {
                problems.push(Problem::Side { side, pixels });
            }
        }
        if !problems.is_empty() {
            return Err(MetricError::Frame(problems));
        }
        let pixels = height * width;
        let lengths = [
            ("probabilities", classes.saturating_mul(pixels), probabilities.len()),
            ("predicted", pixels, predicted.len()),
            ("truth", pixels, truth.len()),
            ("boundary", pixels, boundary.len()),
        ];
        for (what, expected, found) in lengths {
            if expected != found {
                problems.push(Problem::Length { what, expected, found });
            }
        }
        for (what, labels) in [("predicted", predicted), ("truth", truth)] {
            let wrong = labels.iter().enumerate().find(|(_, label)| usize::from(**label) >= classes);
            if let Some((pixel, &label)) = wrong {
                problems.push(Problem::Label { what, pixel, label, classes });
            }
        }
        if problems.is_empty() {
            Ok(Self { classes, width, probabilities, predicted, truth, boundary })
        } else {
            Err(MetricError::Frame(problems))
        }
    }

    /// Number of pixels, `height · width`.
    pub fn pixels(&self) -> usize {
        self.truth.len()
    }

    /// Probabilities of one class, `[height·width]`; empty past the last class.
    pub fn plane(&self, class: usize) -> &'a [u16] {
        let pixels = self.pixels();
        self.probabilities.chunks_exact(pixels).nth(class).unwrap_or_default()
    }
}
