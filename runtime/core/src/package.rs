//! The package: one file holding a model and everything needed to run and trust it, read in place.
//!
//! Layout, little-endian: a 192-byte header (magic, version, section count, file length, package digest,
//! signature slot), 64 bytes per section (kind, offset, length, SHA-256), then the sections, each aligned
//! to 64 bytes with zero padding between. The package digest is the SHA-256 of the header's first 32 bytes
//! and the section table, so it names every byte of the file except the signature, which signs it.

mod head;
mod preprocess;
mod section;

pub use head::{Activation, Head, HeadCodes, INDEX_CENTRE, INDEX_COUNT, SOFTMAX_CENTRE};
pub use preprocess::{ChannelOrder, Geometry, Normalize, Preprocess};
pub(crate) use section::word;
pub use section::{Entry, Section};

use crate::plan::{Plan, PlanError};
use sha2::{Digest, Sha256};

/// First bytes of every package.
pub const MAGIC: [u8; 8] = *b"CANDOR\r\n";
/// Format version this runtime reads.
pub const VERSION: u32 = 2;
/// Bytes before the section table.
pub const HEADER_BYTES: usize = 192;
/// Header bytes that the package digest covers.
pub const DIGESTED_HEADER: usize = 32;
/// Bytes per entry of the section table.
pub const ENTRY_BYTES: usize = 64;
/// Alignment of sections.
pub const ALIGNMENT: usize = 64;
/// Greatest number of sections.
pub const SECTION_LIMIT: usize = 32;

/// Why a package was refused, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageError {
    /// The file does not start with [`MAGIC`].
    NotAPackage,
    /// The format version is not [`VERSION`].
    Version(u32),
    /// The file is shorter or longer than its header says.
    Length {
        /// Bytes the header states.
        stated: u64,
        /// Bytes there are.
        actual: u64,
    },
    /// The buffer does not start at a multiple of 64 bytes.
    Misaligned,
    /// The section table is damaged: entry `index` (or the header, when it equals the count) is out of
    /// order, overlaps, or reaches outside the file, or the table's digest does not match.
    Table(u32),
    /// The bytes of a section do not match their SHA-256.
    Digest(Section),
    /// A required section is absent.
    Missing(Section),
    /// A section appears twice.
    Repeated(Section),
    /// A word of a section is out of range: the section and the word's index.
    Content(Section, u32),
    /// A section that must be text is not UTF-8.
    Text(Section),
    /// The plan is refused.
    Plan(PlanError),
}

impl From<PlanError> for PackageError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

/// A checked view of a package.
#[derive(Debug, Clone, Copy)]
pub struct Package<'p> {
    bytes: &'p [u8],
    entries: &'p [u8],
}

impl<'p> Package<'p> {
    /// Checks every length, offset and digest of `bytes`, which must be the whole file and start 64-byte
    /// aligned.
    ///
    /// # Errors
    /// [`PackageError`] names the section that is damaged.
    pub fn parse(bytes: &'p [u8]) -> Result<Self, PackageError> {
        let package = Self::reopen(bytes)?;
        for entry in package.entries().flatten() {
            let body = &bytes[entry.offset..entry.offset + entry.length];
            if Sha256::digest(body)[..] != entry.digest[..] {
                return Err(PackageError::Digest(entry.section));
            }
        }
        Ok(package)
    }

    /// As [`Package::parse`] without hashing the sections again, for bytes that it accepted before.
    ///
    /// # Errors
    /// [`PackageError`] when the header or the section table is damaged.
    pub fn reopen(bytes: &'p [u8]) -> Result<Self, PackageError> {
        if bytes.len() < HEADER_BYTES || bytes[..8] != MAGIC {
            return Err(PackageError::NotAPackage);
        }
        let version = section::word(bytes, 2);
        if version != VERSION {
            return Err(PackageError::Version(version));
        }
        let stated = section::long(bytes, 16);
        if stated != bytes.len() as u64 {
            return Err(PackageError::Length { stated, actual: bytes.len() as u64 });
        }
        if !bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            return Err(PackageError::Misaligned);
        }
        let count = section::word(bytes, 3) as usize;
        let table_end = HEADER_BYTES + count.min(SECTION_LIMIT + 1) * ENTRY_BYTES;
        let damaged = PackageError::Table(count as u32);
        let entries = bytes.get(HEADER_BYTES..table_end).ok_or(damaged)?;
        if count > SECTION_LIMIT || section::digest_of(&bytes[..DIGESTED_HEADER], entries) != bytes[32..64] {
            return Err(damaged);
        }
        let package = Self { bytes, entries };
        package.check_sections(table_end)?;
        Ok(package)
    }

    fn check_sections(&self, table_end: usize) -> Result<(), PackageError> {
        let mut previous_end = table_end;
        for (index, entry) in self.entries().enumerate() {
            let damaged = PackageError::Table(index as u32);
            let entry = entry.ok_or(damaged)?;
            let end = entry.offset.checked_add(entry.length).ok_or(damaged)?;
            let gap = self.bytes.get(previous_end..entry.offset).ok_or(damaged)?;
            if end > self.bytes.len()
                || !entry.offset.is_multiple_of(ALIGNMENT)
                || gap.len() >= ALIGNMENT
                || gap.iter().any(|&b| b != 0)
            {
                return Err(damaged);
            }
            if self.entries().take(index).flatten().any(|e| e.section == entry.section) {
                return Err(PackageError::Repeated(entry.section));
            }
            previous_end = end;
        }
        let count = self.entries.len() / ENTRY_BYTES;
        if previous_end != self.bytes.len() {
            return Err(PackageError::Table(count as u32));
        }
        Ok(())
    }

    /// The section table; `None` stands for an entry of unknown kind, which [`Package::parse`] refuses.
    pub fn entries(&self) -> impl Iterator<Item = Option<Entry<'p>>> + use<'p> {
        self.entries.chunks_exact(ENTRY_BYTES).map(Entry::read)
    }

    /// The bytes of `section`, if present.
    pub fn section(&self, section: Section) -> Option<&'p [u8]> {
        let entry = self.entries().flatten().find(|entry| entry.section == section)?;
        self.bytes.get(entry.offset..entry.offset + entry.length)
    }

    /// The bytes of `section`.
    ///
    /// # Errors
    /// [`PackageError::Missing`].
    pub fn require(&self, section: Section) -> Result<&'p [u8], PackageError> {
        self.section(section).ok_or(PackageError::Missing(section))
    }

    /// The text of `section`, empty when absent.
    ///
    /// # Errors
    /// [`PackageError::Text`] when it is not UTF-8.
    pub fn text(&self, section: Section) -> Result<&'p str, PackageError> {
        let bytes = self.section(section).unwrap_or_default();
        core::str::from_utf8(bytes).map_err(|_| PackageError::Text(section))
    }

    /// The plan over the weights section, checked as a whole.
    ///
    /// # Errors
    /// [`PackageError`] when a section is missing or the plan is refused.
    pub fn plan(&self) -> Result<Plan<'p>, PackageError> {
        let constants = self.require(Section::Weights)?;
        Ok(Plan::parse(self.require(Section::Plan)?, constants)?)
    }

    /// What the network's output means.
    ///
    /// # Errors
    /// [`PackageError`] when the section is missing or malformed.
    pub fn head(&self) -> Result<Head<'p>, PackageError> {
        Head::parse(self.require(Section::Head)?)
    }

    /// How frames become codes.
    ///
    /// # Errors
    /// [`PackageError`] when the section is missing or malformed.
    pub fn preprocess(&self) -> Result<Preprocess, PackageError> {
        Preprocess::parse(self.require(Section::Preprocess)?)
    }

    /// Class names in class order.
    ///
    /// # Errors
    /// [`PackageError::Text`] when they are not UTF-8.
    pub fn classes(&self) -> Result<impl Iterator<Item = &'p str>, PackageError> {
        Ok(self.text(Section::Classes)?.lines())
    }

    /// The package digest: names every byte of the file but the signature.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(&self.bytes[32..64]);
        digest
    }

    /// The signature slot: 128 bytes, all zero when unsigned.
    pub fn signature(&self) -> &'p [u8] {
        &self.bytes[64..HEADER_BYTES]
    }
}

#[cfg(test)]
mod tests;
