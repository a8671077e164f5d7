//! The section table of a package.

use sha2::{Digest, Sha256};

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Section {
    /// Name and source of the model, text.
    Model = 1,
    /// Tensors and steps.
    Plan = 2,
    /// Packed weights, biases, multipliers, tables, maps.
    Weights = 3,
    /// How frames become codes.
    Preprocess = 4,
    /// What the output means, with the uncalibrated tables.
    Head = 5,
    /// Class names, one per line.
    Classes = 6,
    /// Operating points.
    Operating = 7,
    /// Calibrated tables.
    Calibration = 8,
    /// Out-of-distribution profile.
    Ood = 9,
    /// Golden input and digests.
    Golden = 10,
    /// Model card, Markdown.
    Card = 11,
    /// Digest of the parent package and the command that made this one.
    Lineage = 12,
}

impl Section {
    /// All kinds, in the order they are written.
    pub const ALL: [Self; 12] = [
        Self::Model,
        Self::Plan,
        Self::Weights,
        Self::Preprocess,
        Self::Head,
        Self::Classes,
        Self::Operating,
        Self::Calibration,
        Self::Ood,
        Self::Golden,
        Self::Card,
        Self::Lineage,
    ];

    /// The kind with number `number`.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|section| *section as u32 == number)
    }

    /// Name as reports print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Plan => "plan",
            Self::Weights => "weights",
            Self::Preprocess => "preprocess",
            Self::Head => "head",
            Self::Classes => "classes",
            Self::Operating => "operating",
            Self::Calibration => "calibration",
            Self::Ood => "ood",
            Self::Golden => "golden",
            Self::Card => "card",
            Self::Lineage => "lineage",
        }
    }
}

/// One entry of the section table.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'p> {
    /// Kind.
    pub section: Section,
    /// Byte offset in the file, a multiple of 64.
    pub offset: usize,
    /// Bytes.
    pub length: usize,
    /// SHA-256 of the section's bytes.
    pub digest: &'p [u8],
}

impl<'p> Entry<'p> {
    /// Reads an entry: kind, flags (zero), offset, length, eight zero bytes, digest.
    pub(super) fn read(bytes: &'p [u8]) -> Option<Self> {
        let section = Section::from_number(word(bytes, 0))?;
        let offset = usize::try_from(long(bytes, 8)).ok()?;
        let length = usize::try_from(long(bytes, 16)).ok()?;
        let reserved = word(bytes, 1) == 0 && long(bytes, 24) == 0;
        reserved.then_some(Self { section, offset, length, digest: &bytes[32..64] })
    }
}

/// The little-endian word at word index `index`; zero beyond the end.
pub(crate) fn word(bytes: &[u8], index: usize) -> u32 {
    let word = bytes.get(index * 4..index * 4 + 4).and_then(|b| b.try_into().ok());
    u32::from_le_bytes(word.unwrap_or_default())
}

/// The little-endian 64-bit value at byte offset `at`; zero beyond the end.
pub(super) fn long(bytes: &[u8], at: usize) -> u64 {
    let long = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
    u64::from_le_bytes(long.unwrap_or_default())
}

/// SHA-256 of two pieces in a row.
pub(super) fn digest_of(first: &[u8], second: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(first);
    hasher.update(second);
    hasher.finalize().into()
}
