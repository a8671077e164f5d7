//! Raw frames: bare samples as a grabber or pipe delivers them, their geometry told beside them.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use super::error::{ReadError, ReadErrorKind};
use crate::frame::{Frame, Limits, Samples, Source};

/// The layout of one raw pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// One byte, gray.
    Gray8,
    /// Two bytes, least significant first, gray.
    Gray16Le,
    /// Three bytes: red, green, blue.
    Rgb24,
}

impl PixelFormat {
    const ALL: [(&'static str, Self); 3] =
        [("gray8", Self::Gray8), ("gray16le", Self::Gray16Le), ("rgb24", Self::Rgb24)];

    fn channels(self) -> usize {
        if self == Self::Rgb24 { 3 } else { 1 }
    }

    fn bytes_per_pixel(self) -> usize {
        match self {
            Self::Gray8 => 1,
            Self::Gray16Le => 2,
            Self::Rgb24 => 3,
        }
    }
}

/// Geometry and pixel format of raw frames, written `WxH:FORMAT`, for instance `640x480:gray16le`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSpec {
    width: usize,
    height: usize,
    format: PixelFormat,
}

impl RawSpec {
    /// Rows without padding, `width × height` pixels, within [`Limits::DEFAULT`].
    ///
    /// # Errors
    /// A [`ReadError`] named `raw frame` when the extents are zero or exceed the limits.
    pub fn new(width: usize, height: usize, format: PixelFormat) -> Result<Self, ReadError> {
        Limits::DEFAULT
            .check(width, height, format.channels())
            .map_err(|error| ReadError::frame("raw frame", "size", &error))?;
        Ok(Self { width, height, format })
    }

    /// Bytes of one frame.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.width * self.height * self.format.bytes_per_pixel()
    }

    /// One frame from exactly [`RawSpec::frame_bytes`] bytes.
    ///
    /// # Errors
    /// A [`ReadError`] under `name` when the length differs.
    pub fn decode(&self, bytes: Vec<u8>, name: &str) -> Result<Frame, ReadError> {
        if bytes.len() != self.frame_bytes() {
            return Err(self.length_error(name, bytes.len()));
        }
        let (samples, bits) = match self.format {
            PixelFormat::Gray8 | PixelFormat::Rgb24 => (Samples::U8(bytes), 8),
            PixelFormat::Gray16Le => {
                (Samples::U16(bytes.as_chunks().0.iter().map(|&pair| u16::from_le_bytes(pair)).collect()), 16)
            }
        };
        Frame::new(self.width, self.height, self.format.channels(), samples, Source::new(name, bits))
            .map_err(|error| ReadError::frame(name, "frame", &error))
    }

    fn length_error(&self, name: &str, found: usize) -> ReadError {
        let problem = format!("{found} bytes where {self} needs {}", self.frame_bytes());
        let fix = "give the size and pixel format that the source delivers, rows without padding";
        ReadError::new(ReadErrorKind::Length, name, "frame", problem, fix)
    }
}

impl fmt::Display for RawSpec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            PixelFormat::ALL.iter().find(|(_, format)| *format == self.format).map_or("", |(name, _)| name);
        write!(out, "{}x{}:{name}", self.width, self.height)
    }
}

impl FromStr for RawSpec {
    type Err = ReadError;

    fn from_str(text: &str) -> Result<Self, ReadError> {
        let parse = || {
            let (size, format) = text.split_once(':')?;
            let (width, height) = size.split_once('x')?;
            let (_, format) = PixelFormat::ALL.iter().find(|(name, _)| *name == format)?;
            Some((width.parse().ok()?, height.parse().ok()?, *format))
        };
        let (width, height, format) = parse().ok_or_else(|| {
            let fix =
                "write WxH:FORMAT with FORMAT one of gray8, gray16le, rgb24, for instance 640x480:gray8";
            ReadError::new(ReadErrorKind::Unsupported, "raw frame", "specification", format!("'{text}'"), fix)
        })?;
        Self::new(width, height, format)
    }
}

/// Frames one after another from a byte stream, named `NAME#0`, `NAME#1`, …; ends cleanly only between
/// frames.
pub struct RawFrames<R> {
    reader: R,
    spec: RawSpec,
    name: String,
    next: u64,
    ended: bool,
}

impl<R: Read> RawFrames<R> {
    /// Frames of `spec` from `reader`; `name` is for messages.
    pub fn new(reader: R, spec: RawSpec, name: impl Into<String>) -> Self {
        Self { reader, spec, name: name.into(), next: 0, ended: false }
    }

    fn read(&mut self) -> Option<Result<Frame, ReadError>> {
        let name = format!("{}#{}", self.name, self.next);
        let needed = self.spec.frame_bytes();
        let mut bytes = vec![0; needed];
        let mut filled = 0;
        while filled < needed {
            match self.reader.read(&mut bytes[filled..]) {
                Ok(0) if filled == 0 => return None,
                Ok(0) => return Some(Err(self.spec.length_error(&name, filled))),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Some(Err(ReadError::io(&name, "stream", &error))),
            }
        }
        self.next += 1;
        Some(self.spec.decode(bytes, &name))
    }
}

impl<R: Read> Iterator for RawFrames<R> {
    type Item = Result<Frame, ReadError>;

    /// The next frame; after an error or the end, `None` for good.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.read();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}
