//! Frames of one format, one after the other, on standard input.

use super::feed::{Feed, Supply};
use super::{Arrival, Source, floats};
use candor::stream::event::SourceFault;
use candor::stream::slot::Slot;
use std::io::Read;

/// How a sample is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// One byte a pixel.
    Gray8,
    /// Two bytes a pixel, little-endian, full scale 65535.
    Gray16,
    /// Three bytes a pixel: red, green, blue.
    Rgb8,
    /// Four bytes a pixel, little-endian IEEE 754, 0 to 1.
    Gray32f,
}

impl Sample {
    /// Its name in a specification.
    pub const ALL: [(&'static str, Self); 4] = [
        ("gray8", Self::Gray8),
        ("gray16le", Self::Gray16),
        ("rgb8", Self::Rgb8),
        ("gray32f", Self::Gray32f),
    ];

    const fn pixel_bytes(self) -> usize {
        match self {
            Self::Gray8 => 1,
            Self::Gray16 => 2,
            Self::Rgb8 => 3,
            Self::Gray32f => 4,
        }
    }
}

/// Extent, sample and stated rate of raw frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Format {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// How samples are stored.
    pub sample: Sample,
    /// Frames a second, when stated.
    pub rate: Option<f64>,
}

impl Format {
    /// Bytes of a frame.
    pub const fn bytes(&self) -> usize {
        self.width * self.height * self.sample.pixel_bytes()
    }
}

/// The source. Raw frames have no marks between them: bytes that are lost on the way shift every later
/// frame, which only a source with marks, such as y4m, can mend.
pub struct Raw {
    feed: Feed,
    format: Format,
}

impl Raw {
    /// Frames of `format` from `reader`.
    pub fn new(reader: Box<dyn Read + Send>, format: Format) -> Self {
        Self { feed: Feed::new(reader, format.bytes()), format }
    }
}

impl Source for Raw {
    fn next(&mut self, slot: &mut Slot) -> Arrival {
        let expected = self.format.bytes();
        match self.feed.ensure(expected) {
            Supply::Enough => {}
            Supply::Failed(errno) => return Arrival::Trouble(SourceFault::ReadFailed { errno }),
            Supply::Ended => {
                let bytes = self.feed.bytes().len();
                self.feed.consume(bytes);
                let (bytes, expected) = (bytes as u64, expected as u64);
                let short = SourceFault::ShortFrame { bytes, expected };
                return if bytes == 0 { Arrival::End } else { Arrival::Rejected(short) };
            }
        }
        let (width, height) = (self.format.width, self.format.height);
        let bytes = &self.feed.bytes()[..expected];
        let mut outcome = Ok(());
        (slot.width, slot.height, slot.channels, slot.full_scale) = (width, height, 1, 255);
        match self.format.sample {
            Sample::Gray8 | Sample::Rgb8 => {
                slot.channels = self.format.sample.pixel_bytes();
                slot.narrow.clear();
                slot.narrow.extend_from_slice(bytes);
            }
            Sample::Gray16 => {
                slot.full_scale = u16::MAX;
                slot.wide.clear();
                slot.wide.extend(bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)));
            }
            Sample::Gray32f => outcome = floats::fill(slot, [width, height], bytes),
        }
        self.feed.consume(expected);
        match outcome {
            Ok(()) => Arrival::Frame,
            Err(fault) => Arrival::Rejected(fault),
        }
    }
}
