//! The byte form of a package.

use candor_core::package::{
    ALIGNMENT, DIGESTED_HEADER, ENTRY_BYTES, HEADER_BYTES, MAGIC, Package, PackageError, Section, VERSION,
};
use sha2::{Digest, Sha256};

/// The sections of a package under construction.
#[derive(Debug, Clone, Default)]
pub struct Sections(Vec<(Section, Vec<u8>)>);

impl Sections {
    /// All sections of an existing package, to make another from it.
    ///
    /// # Errors
    /// [`PackageError`] when it is damaged.
    pub fn of(package: &Package<'_>) -> Result<Self, PackageError> {
        let present = Section::ALL.into_iter().filter_map(|s| Some((s, package.section(s)?.to_vec())));
        Ok(Self(present.collect()))
    }

    /// Adds or replaces a section.
    pub fn set(&mut self, section: Section, bytes: Vec<u8>) {
        self.0.retain(|(own, _)| *own != section);
        self.0.push((section, bytes));
        self.0.sort_by_key(|(own, _)| *own as u32);
    }

    /// Removes a section.
    pub fn remove(&mut self, section: Section) {
        self.0.retain(|(own, _)| *own != section);
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let table_end = HEADER_BYTES + self.0.len() * ENTRY_BYTES;
        let mut table = Vec::new();
        let mut body: Vec<u8> = Vec::new();
        for (section, bytes) in &self.0 {
            body.resize((table_end + body.len()).next_multiple_of(ALIGNMENT) - table_end, 0);
            table.extend((*section as u32).to_le_bytes());
            table.extend([0; 4]);
            table.extend(((table_end + body.len()) as u64).to_le_bytes());
            table.extend((bytes.len() as u64).to_le_bytes());
            table.extend([0; 8]);
            table.extend(Sha256::digest(bytes));
            body.extend(bytes);
        }
        let mut file = MAGIC.to_vec();
        file.extend(VERSION.to_le_bytes());
        file.extend((self.0.len() as u32).to_le_bytes());
        file.extend(((table_end + body.len()) as u64).to_le_bytes());
        file.resize(DIGESTED_HEADER, 0);
        let digest = Sha256::new().chain_update(&file).chain_update(&table).finalize();
        file.extend(digest);
        file.resize(HEADER_BYTES, 0);
        file.extend(table);
        file.extend(body);
        file
    }
}
