//! A label map: one class index per pixel.

#[cfg(test)]
mod tests;

use crate::frame::{FrameError, Limits};

/// One u8 class index (or raw mask value) per pixel, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    width: usize,
    height: usize,
    values: Vec<u8>,
}

impl Labels {
    /// A label map of `width × height` pixels.
    ///
    /// # Errors
    /// [`FrameError`] when the extents are zero, exceed `Limits::DEFAULT` or do not match `values`.
    pub fn new(width: usize, height: usize, values: Vec<u8>) -> Result<Self, FrameError> {
        let expected = Limits::DEFAULT.check(width, height, 1)?;
        if expected != values.len() {
            return Err(FrameError::Length { expected, found: values.len() });
        }
        Ok(Self { width, height, values })
    }

    /// A label map from a renderer whose extents are right by construction.
    pub(crate) fn from_valid(width: usize, height: usize, values: Vec<u8>) -> Self {
        debug_assert_eq!(values.len(), width * height);
        Self { width, height, values }
    }

    /// Columns, at least 1.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows, at least 1.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// The values, row-major, `width × height` of them.
    #[must_use]
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// The values, taken out.
    #[must_use]
    pub fn into_values(self) -> Vec<u8> {
        self.values
    }

    /// How many pixels hold each value; the counts sum to width × height.
    #[must_use]
    pub fn counts(&self) -> [usize; 256] {
        let mut counts = [0; 256];
        for &value in &self.values {
            counts[usize::from(value)] += 1;
        }
        counts
    }

    /// The values that occur, ascending: `[0, 255]` for a binary mask, `[0, 1, 2]` for three classes.
    #[must_use]
    pub fn distinct(&self) -> Vec<u8> {
        let counts = self.counts();
        (0..=255).filter(|&value| counts[usize::from(value)] > 0).collect()
    }

    /// The map with each value replaced by `class(value)`, for instance 0/255 by 0/1.
    #[must_use]
    pub fn mapped(&self, class: impl Fn(u8) -> u8) -> Self {
        Self { values: self.values.iter().map(|&value| class(value)).collect(), ..*self }
    }
}
