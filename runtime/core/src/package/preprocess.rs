//! How frames become codes: geometry, channel order and normalisation, as the package states them.

use super::PackageError;
use super::section::{Section, word};
use crate::arithmetic::Multiplier;

/// How a frame of another size meets the model's extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Geometry {
    /// Resized with an antialiased triangle filter, aspect ratio not kept.
    Resize,
    /// Cut into tiles at the frame's own scale that overlap by this many pixels; smaller frames are
    /// mirrored out.
    Tile {
        /// Pixels shared by neighbouring tiles, even.
        overlap: usize,
    },
}

/// Which frame samples become which model channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    /// One channel; colour frames become Rec. 601 luma.
    Gray,
    /// Three channels, red first; gray frames are repeated.
    Rgb,
    /// Three channels, blue first.
    Bgr,
}

/// From sample values to real network inputs; constants are IEEE f32 bit patterns, one per model channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Normalize {
    /// `(v − mean) / √(variance + epsilon²)` over the whole frame, population variance.
    Standardize {
        /// Deviation floor, in sample units.
        epsilon: Multiplier,
    },
    /// `v·slope + offset` with v in `0..=1` of the frame's full scale.
    Affine {
        /// Per channel.
        slope: [Multiplier; 3],
        /// Per channel.
        offset: [Multiplier; 3],
    },
    /// Samples clamped to `low..=high` (in sample units), then mapped linearly to 0..1.
    Window {
        /// Sample value that becomes 0.
        low: u32,
        /// Sample value that becomes 1.
        high: u32,
    },
}

/// The preprocess section: words mode, order, geometry, overlap, then eight constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocess {
    /// Geometry.
    pub geometry: Geometry,
    /// Channels.
    pub order: ChannelOrder,
    /// Values.
    pub normalize: Normalize,
}

impl Preprocess {
    /// Words in the section.
    pub const WORDS: usize = 12;

    /// Reads the section.
    ///
    /// # Errors
    /// [`PackageError::Content`] names the first word out of range.
    pub fn parse(bytes: &[u8]) -> Result<Self, PackageError> {
        let fault = |index: u32| PackageError::Content(Section::Preprocess, index);
        if bytes.len() != Self::WORDS * 4 {
            return Err(fault(Self::WORDS as u32));
        }
        let order = match word(bytes, 1) {
            0 => ChannelOrder::Gray,
            1 => ChannelOrder::Rgb,
            2 => ChannelOrder::Bgr,
            _ => return Err(fault(1)),
        };
        let overlap = word(bytes, 3) as usize;
        let geometry = match word(bytes, 2) {
            0 => Geometry::Resize,
            1 if overlap < 4096 && overlap.is_multiple_of(2) => Geometry::Tile { overlap },
            1 => return Err(fault(3)),
            _ => return Err(fault(2)),
        };
        let constant = |index: usize| {
            let value = Multiplier::from_bits(word(bytes, index));
            if value.is_valid() { Ok(value) } else { Err(fault(index as u32)) }
        };
        let normalize = match word(bytes, 0) {
            0 => Normalize::Standardize { epsilon: constant(4)? },
            1 => Normalize::Affine {
                slope: [constant(4)?, constant(5)?, constant(6)?],
                offset: [constant(7)?, constant(8)?, constant(9)?],
            },
            2 if word(bytes, 4) < word(bytes, 5) && word(bytes, 5) <= 65535 => {
                Normalize::Window { low: word(bytes, 4), high: word(bytes, 5) }
            }
            2 => return Err(fault(5)),
            _ => return Err(fault(0)),
        };
        Ok(Self { geometry, order, normalize })
    }

    /// The section's words.
    pub fn to_words(self) -> [u32; Self::WORDS] {
        let mut words = [0; Self::WORDS];
        words[1] = self.order as u32;
        if let Geometry::Tile { overlap } = self.geometry {
            words[2] = 1;
            words[3] = overlap as u32;
        }
        match self.normalize {
            Normalize::Standardize { epsilon } => words[4] = epsilon.to_bits(),
            Normalize::Affine { slope, offset } => {
                words[0] = 1;
                for (word, value) in words[4..10].iter_mut().zip(slope.into_iter().chain(offset)) {
                    *word = value.to_bits();
                }
            }
            Normalize::Window { low, high } => {
                words[0] = 2;
                words[4] = low;
                words[5] = high;
            }
        }
        words
    }
}
