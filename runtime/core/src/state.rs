//! States of fixed size as bytes: little-endian fields between a header and a digest.
//!
//! A state that was damaged, cut short or written by another version is told apart from a good one, and no
//! field of it is used.

use sha2::{Digest, Sha256};

/// Bytes before the fields: kind (4), version (2), zero (2), length of the whole (8).
pub const HEADER_BYTES: usize = 16;
/// Bytes after the fields: the beginning of the SHA-256 of all that stands before.
pub const DIGEST_BYTES: usize = 8;

/// Why bytes are not the state that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateError {
    /// They are another kind of state, or none.
    Kind,
    /// They were written by this other version.
    Version(u16),
    /// They should be so many.
    Length {
        /// Bytes of the state.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// Their digest differs: they are damaged.
    Digest,
    /// The field that begins at this byte holds a value it cannot have.
    Field(usize),
    /// They belong to other settings (other rules, series or classes).
    Settings,
}

impl core::fmt::Display for StateError {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let fresh = "start from a fresh state";
        match self {
            Self::Kind => write!(out, "not a state of this kind; {fresh}"),
            Self::Version(version) => write!(out, "a state of version {version}; {fresh}"),
            Self::Length { expected, found } => {
                write!(out, "the state takes {expected} bytes but there are {found}; {fresh}")
            }
            Self::Digest => write!(out, "the state does not match its digest; {fresh}"),
            Self::Field(offset) => write!(out, "the state is malformed at byte {offset}; {fresh}"),
            Self::Settings => write!(out, "the state was kept under other settings; {fresh}"),
        }
    }
}

impl core::error::Error for StateError {}

/// Writes the fields of a state one after another.
#[derive(Debug)]
pub struct Writer<'b> {
    bytes: &'b mut [u8],
    at: usize,
}

impl<'b> Writer<'b> {
    /// Begins a state of `kind` in `bytes`, which it must fill exactly.
    pub fn new(bytes: &'b mut [u8], kind: [u8; 4], version: u16) -> Self {
        let mut writer = Self { bytes, at: 0 };
        let length = writer.bytes.len() as u64;
        writer.raw(&kind);
        writer.raw(&version.to_le_bytes());
        writer.raw(&[0; 2]);
        writer.raw(&length.to_le_bytes());
        writer
    }

    /// Appends bytes as they are; those past the end are counted, not written.
    pub fn raw(&mut self, field: &[u8]) {
        if let Some(slot) = self.bytes.get_mut(self.at..self.at + field.len()) {
            slot.copy_from_slice(field);
        }
        self.at += field.len();
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) {
        self.raw(&[value]);
    }

    /// Appends a `u16`.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Appends a `u32`.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Appends a `u64`.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// Appends an `i64`.
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_le_bytes());
    }

    /// Ends the state with its digest.
    ///
    /// # Errors
    /// [`StateError::Length`] when the fields and the digest do not fill the bytes.
    pub fn finish(self) -> Result<(), StateError> {
        let (expected, found) = (self.at + DIGEST_BYTES, self.bytes.len());
        if expected != found {
            return Err(StateError::Length { expected, found });
        }
        let (fields, digest) = self.bytes.split_at_mut(self.at);
        digest.copy_from_slice(&Sha256::digest(fields)[..DIGEST_BYTES]);
        Ok(())
    }
}

/// Reads the fields of a state, once its kind, version, length and digest are known to be right.
#[derive(Debug)]
pub struct Reader<'b> {
    fields: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    /// Checks `bytes`.
    ///
    /// # Errors
    /// [`StateError`], but never of a field.
    pub fn new(bytes: &'b [u8], kind: [u8; 4], version: u16) -> Result<Self, StateError> {
        let found = bytes.len();
        let expected = HEADER_BYTES + DIGEST_BYTES;
        if found < expected {
            return Err(StateError::Length { expected, found });
        }
        let (fields, digest) = bytes.split_at(found - DIGEST_BYTES);
        let mut reader = Self { fields, at: 0 };
        if reader.raw::<4>()? != kind {
            return Err(StateError::Kind);
        }
        let stated = reader.u16()?;
        if stated != version {
            return Err(StateError::Version(stated));
        }
        reader.u16()?;
        let length = reader.u64()?;
        if length != found as u64 {
            return Err(StateError::Length { expected: length as usize, found });
        }
        if Sha256::digest(fields)[..DIGEST_BYTES] != *digest {
            return Err(StateError::Digest);
        }
        Ok(reader)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`StateError::Field`] past the end.
    pub fn raw<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let field = self.fields.get(self.at..).and_then(<[u8]>::first_chunk);
        let field = *field.ok_or(StateError::Field(self.at))?;
        self.at += N;
        Ok(field)
    }

    /// The next byte.
    ///
    /// # Errors
    /// As [`Reader::raw`].
    pub fn u8(&mut self) -> Result<u8, StateError> {
        self.raw::<1>().map(|[byte]| byte)
    }

    /// The next `u16`.
    ///
    /// # Errors
    /// As [`Reader::raw`].
    pub fn u16(&mut self) -> Result<u16, StateError> {
        self.raw().map(u16::from_le_bytes)
    }

    /// The next `u32`.
    ///
    /// # Errors
    /// As [`Reader::raw`].
    pub fn u32(&mut self) -> Result<u32, StateError> {
        self.raw().map(u32::from_le_bytes)
    }

    /// The next `u64`.
    ///
    /// # Errors
    /// As [`Reader::raw`].
    pub fn u64(&mut self) -> Result<u64, StateError> {
        self.raw().map(u64::from_le_bytes)
    }

    /// The next `i64`.
    ///
    /// # Errors
    /// As [`Reader::raw`].
    pub fn i64(&mut self) -> Result<i64, StateError> {
        self.raw().map(i64::from_le_bytes)
    }

    /// The next byte as a truth value.
    ///
    /// # Errors
    /// [`StateError::Field`] for any byte but 0 and 1.
    pub fn flag(&mut self) -> Result<bool, StateError> {
        let at = self.at;
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StateError::Field(at)),
        }
    }

    /// The fault of the field that was read last and took `bytes`.
    pub const fn fault(&self, bytes: usize) -> StateError {
        StateError::Field(self.at - bytes)
    }

    /// Checks that every field was read.
    ///
    /// # Errors
    /// [`StateError::Field`] naming the first that was not.
    pub const fn finish(self) -> Result<(), StateError> {
        if self.at == self.fields.len() { Ok(()) } else { Err(StateError::Field(self.at)) }
    }
}

#[cfg(test)]
mod tests;
