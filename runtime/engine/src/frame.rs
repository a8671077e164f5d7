//! A frame as a device hands it over: borrowed samples with their meaning.

pub(crate) mod plane;

use crate::error::{Error, ErrorKind};

/// Greatest width or height of a frame.
pub const EXTENT_LIMIT: usize = 16384;

/// Sample values, row-major, channels interleaved.
#[derive(Debug, Clone, Copy)]
pub enum Samples<'a> {
    /// Eight bits, full scale 255.
    U8(&'a [u8]),
    /// Sixteen bits, native endian; full scale is the frame's.
    U16(&'a [u16]),
}

/// A frame: `height · width · channels` samples.
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 (gray) or 3 (red, green, blue).
    pub channels: usize,
    /// Greatest value a sample can take: 255, 4095, 65535.
    pub full_scale: u16,
    /// The samples.
    pub samples: Samples<'a>,
}

impl FrameView<'_> {
    /// Checks extents and sample count.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the frame is empty, too large, of another channel count than 1 or 3, or
    /// short.
    pub fn check(&self) -> Result<(), Error> {
        let refused = |what: String| Err(Error::new(ErrorKind::Input, what));
        let (width, height) = (self.width, self.height);
        if width == 0 || height == 0 || width > EXTENT_LIMIT || height > EXTENT_LIMIT {
            return refused(format!("frame of {width}x{height}: each side must be 1..={EXTENT_LIMIT}"));
        }
        if self.channels != 1 && self.channels != 3 {
            return refused(format!("frame of {} channels: give gray (1) or RGB (3)", self.channels));
        }
        let samples = match self.samples {
            Samples::U8(samples) => samples.len(),
            Samples::U16(samples) => samples.len(),
        };
        let expected = width * height * self.channels;
        if samples != expected || self.full_scale == 0 {
            return refused(format!(
                "frame of {width}x{height}x{} needs {expected} samples, not {samples}",
                self.channels
            ));
        }
        Ok(())
    }
}
