//! The golden vector of a package: a generated input, and the digest every step must give for it on any
//! device.

use crate::package::{PackageError, Section};

/// Golden section: words format (1), seed, step count, 0, then the output's SHA-256, then eight bytes per
/// step.
#[derive(Debug, Clone, Copy)]
pub struct Golden<'p> {
    /// Seed of the input.
    pub seed: u32,
    /// SHA-256 of the output tensor.
    pub output: &'p [u8],
    steps: &'p [u8],
}

impl<'p> Golden<'p> {
    /// Bytes before the step digests.
    pub const HEADER_BYTES: usize = 48;

    /// Reads the section.
    ///
    /// # Errors
    /// [`PackageError::Content`] when its length does not match its count.
    pub fn parse(section: &'p [u8]) -> Result<Self, PackageError> {
        let fault = |word: u32| PackageError::Content(Section::Golden, word);
        let count = crate::package::word(section, 2) as usize;
        if section.len() < Self::HEADER_BYTES || crate::package::word(section, 0) != 1 {
            return Err(fault(0));
        }
        let (header, steps) = section.split_at(Self::HEADER_BYTES);
        if !steps.len().is_multiple_of(8) || steps.len() / 8 != count {
            return Err(fault(2));
        }
        Ok(Self { seed: crate::package::word(section, 1), output: &header[16..], steps })
    }

    /// The short digest of step `index`, if the section has one.
    pub fn step(&self, index: usize) -> Option<u64> {
        let bytes = self.steps.chunks_exact(8).nth(index)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    }
}

/// The code of element `index` of the generated input: noise over a coarse pattern, so that activations are
/// neither constant nor pure noise. SplitMix64 (Steele, Lea & Flood 2014) in integers only.
pub fn input_code(seed: u32, index: usize, width: usize) -> u8 {
    let (row, column) = (index / width, index % width);
    let coarse = mix(u64::from(seed) << 32 | (row / 16 * 4096 + column / 16) as u64) as u8;
    let fine = mix(!u64::from(seed) ^ (index as u64) << 8) as u8;
    ((u16::from(coarse) * 3 + u16::from(fine)) / 4) as u8
}

const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
