//! A frame: the pixels a model is given, with what is known of where they came from.

#[cfg(test)]
mod tests;

use std::fmt;

/// The samples of a [`Frame`], with the layout that goes with each type.
#[derive(Clone, Debug, PartialEq)]
pub enum Samples {
    /// Row-major, interleaved (HWC); 255 is full scale. Files of 1, 2 and 4 bits are stretched to 0..=255.
    U8(Vec<u8>),
    /// Row-major, interleaved (HWC); full scale is `2^bit_depth - 1` of the [`Source`].
    U16(Vec<u16>),
    /// Planar (CHW), finite: a prepared tensor that is fed to the model as it is, without preprocessing.
    F32(Vec<f32>),
}

impl Samples {
    /// Number of samples (not bytes).
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a reader did to a file that its user should know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The picture was partly transparent and was composited on black.
    CompositedOnBlack,
    /// The file holds more pages, arrays or animation frames; only the first was read.
    FirstImageOnly,
    /// Values were rounded to f32 (from f64).
    RoundedToF32,
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::CompositedOnBlack => "partly transparent: composited on black",
            Self::FirstImageOnly => "holds more than one image: only the first was read",
            Self::RoundedToF32 => "64-bit floats were rounded to 32 bits",
        })
    }
}

/// Where a frame came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A name for messages and findings, such as the file's path.
    pub name: String,
    /// Bits per sample that carry information at the source: 1..=8 for `U8`, 9..=16 for `U16`, at most 64
    /// for `F32`.
    pub bit_depth: u8,
    /// What was done on reading.
    pub notes: Vec<Note>,
}

impl Source {
    /// A source without notes.
    #[must_use]
    pub fn new(name: impl Into<String>, bit_depth: u8) -> Self {
        Self { name: name.into(), bit_depth, notes: Vec::new() }
    }
}

/// The largest frame that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest side in pixels.
    pub side: usize,
    /// Most samples: width × height × channels.
    pub samples: usize,
}

impl Limits {
    /// 16,384 pixels a side and 2^28 samples.
    pub const DEFAULT: Self = Self { side: 16_384, samples: 1 << 28 };

    /// The number of samples of a `width × height × channels` image.
    ///
    /// # Errors
    /// [`FrameError::Empty`], [`FrameError::SideTooLong`] or [`FrameError::TooManySamples`].
    pub fn check(&self, width: usize, height: usize, channels: usize) -> Result<usize, FrameError> {
        if width == 0 || height == 0 || channels == 0 {
            return Err(FrameError::Empty { width, height, channels });
        }
        if width > self.side || height > self.side {
            return Err(FrameError::SideTooLong { width, height, limit: self.side });
        }
        width
            .checked_mul(height)
            .and_then(|pixels| pixels.checked_mul(channels))
            .filter(|&samples| samples <= self.samples)
            .ok_or(FrameError::TooManySamples { width, height, channels, limit: self.samples })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why samples do not make a frame.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FrameError {
    /// A side or the channel count is zero.
    Empty {
        /// Columns asked for.
        width: usize,
        /// Rows asked for.
        height: usize,
        /// Channels asked for.
        channels: usize,
    },
    /// A side exceeds [`Limits::side`].
    SideTooLong {
        /// Columns asked for.
        width: usize,
        /// Rows asked for.
        height: usize,
        /// The longest side allowed.
        limit: usize,
    },
    /// The product of the extents exceeds [`Limits::samples`].
    TooManySamples {
        /// Columns asked for.
        width: usize,
        /// Rows asked for.
        height: usize,
        /// Channels asked for.
        channels: usize,
        /// The most samples allowed.
        limit: usize,
    },
    /// An integer picture with neither one channel nor three.
    Channels(usize),
    /// The number of samples does not match the extents.
    Length {
        /// width × height × channels.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A bit depth that the sample type cannot have.
    BitDepth(u8),
    /// A 16-bit sample above `2^bit_depth - 1`.
    AboveFullScale {
        /// Index of the first such sample in its buffer.
        index: usize,
        /// Its value.
        value: u16,
        /// Full scale.
        max: u16,
    },
    /// NaN or infinity, which would quantize silently to some integer.
    NonFinite {
        /// Index of the first such sample in its buffer.
        index: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { width, height, channels } => {
                write!(out, "{width}x{height} pixels with {channels} channels: no samples")
            }
            Self::SideTooLong { width, height, limit } => {
                write!(out, "{width}x{height} pixels exceed the limit of {limit} a side")
            }
            Self::TooManySamples { width, height, channels, limit } => {
                write!(
                    out,
                    "{width}x{height} pixels with {channels} channels exceed the limit of {limit} samples"
                )
            }
            Self::Channels(channels) => {
                write!(out, "{channels} channels: a picture has 1 (gray) or 3 (RGB)")
            }
            Self::Length { expected, found } => write!(out, "{found} samples where {expected} are needed"),
            Self::BitDepth(bits) => write!(out, "a bit depth of {bits} does not fit the sample type"),
            Self::AboveFullScale { index, value, max } => {
                write!(out, "sample {index} is {value}, above the full scale of {max}")
            }
            Self::NonFinite { index } => write!(out, "sample {index} is not a finite number"),
        }
    }
}

impl std::error::Error for FrameError {}

/// One image, checked: extents within [`Limits::DEFAULT`] or the limits it was read under, samples that
/// match them, integer samples within full scale, float samples finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    width: usize,
    height: usize,
    channels: usize,
    samples: Samples,
    source: Source,
}

impl Frame {
    /// A frame under the default limits.
    ///
    /// # Errors
    /// See [`Frame::with_limits`].
    pub fn new(
        width: usize,
        height: usize,
        channels: usize,
        samples: Samples,
        source: Source,
    ) -> Result<Self, FrameError> {
        Self::with_limits(width, height, channels, samples, source, Limits::DEFAULT)
    }

    /// A frame of `width × height` pixels (H and W may differ) with 1 or 3 channels, any number for `F32`.
    ///
    /// # Errors
    /// A [`FrameError`] naming the first invariant that does not hold.
    pub fn with_limits(
        width: usize,
        height: usize,
        channels: usize,
        samples: Samples,
        source: Source,
        limits: Limits,
    ) -> Result<Self, FrameError> {
        let expected = limits.check(width, height, channels)?;
        if expected != samples.len() {
            return Err(FrameError::Length { expected, found: samples.len() });
        }
        let depths = match samples {
            Samples::U8(_) => 1..=8,
            Samples::U16(_) => 9..=16,
            Samples::F32(_) => 1..=64,
        };
        if !depths.contains(&source.bit_depth) {
            return Err(FrameError::BitDepth(source.bit_depth));
        }
        if !matches!((&samples, channels), (Samples::F32(_), _) | (_, 1 | 3)) {
            return Err(FrameError::Channels(channels));
        }
        match &samples {
            Samples::U8(_) => {}
            Samples::U16(values) => {
                let max = u16::MAX >> (16 - source.bit_depth);
                if let Some((index, &value)) = values.iter().enumerate().find(|&(_, &value)| value > max) {
                    return Err(FrameError::AboveFullScale { index, value, max });
                }
            }
            Samples::F32(values) => {
                if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                    return Err(FrameError::NonFinite { index });
                }
            }
        }
        Ok(Self { width, height, channels, samples, source })
    }

    /// A gray frame from a renderer whose extents and samples are right by construction.
    pub(crate) fn from_valid(width: usize, height: usize, samples: Samples, source: Source) -> Self {
        debug_assert_eq!(samples.len(), width * height);
        Self { width, height, channels: 1, samples, source }
    }

    /// The same frame with other samples of the same type, number and scale.
    pub(crate) fn with_samples(&self, samples: Samples) -> Self {
        debug_assert_eq!(samples.len(), self.samples.len());
        Self { samples, source: self.source.clone(), ..*self }
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

    /// Samples per pixel: 1 (gray) or 3 (RGB), any number for `F32`.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The samples, in the layout of their type.
    #[must_use]
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Where the frame came from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The sample value that means full scale; `None` for `F32`, which has none.
    #[must_use]
    pub fn max_value(&self) -> Option<u16> {
        match self.samples {
            Samples::U8(_) => Some(255),
            Samples::U16(_) => Some(u16::MAX >> (16 - self.source.bit_depth)),
            Samples::F32(_) => None,
        }
    }

    /// The samples, taken out.
    #[must_use]
    pub fn into_samples(self) -> Samples {
        self.samples
    }

    /// One channel: integer Rec. 601 luma, `(77 R + 150 G + 29 B + 128) / 256`, exact where R = G = B.
    ///
    /// A gray frame comes back as it is. `None` for an `F32` frame with more than one channel: its channels
    /// are the model's, not colours.
    #[must_use]
    pub fn to_gray(&self) -> Option<Self> {
        if self.channels == 1 {
            return Some(self.clone());
        }
        let samples = match &self.samples {
            Samples::U8(values) => Samples::U8(luma(values).map(|value| value as u8).collect()),
            Samples::U16(values) => Samples::U16(luma(values).map(|value| value as u16).collect()),
            Samples::F32(_) => return None,
        };
        Some(Self { channels: 1, samples, source: self.source.clone(), ..*self })
    }

    /// The picture at 8 bits, gray or RGB (HWC), for display: `round(value · 255 / full scale)`.
    ///
    /// The first channel of an `F32` frame is stretched from its own minimum..maximum to 0..=255 and comes
    /// back as one channel; a constant one is 0. Returns the samples and their channel count.
    #[must_use]
    pub fn to_display(&self) -> (Vec<u8>, usize) {
        match &self.samples {
            Samples::U8(values) => (values.clone(), self.channels),
            Samples::U16(values) => {
                let max = u32::from(u16::MAX >> (16 - self.source.bit_depth));
                let scaled = values.iter().map(|&value| ((u32::from(value) * 255 + max / 2) / max) as u8);
                (scaled.collect(), self.channels)
            }
            Samples::F32(values) => {
                let plane = &values[..self.width * self.height];
                let low = plane.iter().copied().fold(f32::INFINITY, f32::min);
                let high = plane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let span = f64::from(high) - f64::from(low);
                let scale = if span > 0.0 { 255.0 / span } else { 0.0 };
                let level = |&value: &f32| ((f64::from(value) - f64::from(low)) * scale + 0.5) as u8;
                (plane.iter().map(level).collect(), 1)
            }
        }
    }
}

fn luma<T: Copy + Into<u32>>(values: &[T]) -> impl Iterator<Item = u32> {
    values
        .chunks_exact(3)
        .map(|rgb| (77 * rgb[0].into() + 150 * rgb[1].into() + 29 * rgb[2].into() + 128) >> 8)
}
