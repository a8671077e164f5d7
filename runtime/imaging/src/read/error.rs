//! Why a file could not be read: the file, the place in it, the problem and what would fix it.

use std::fmt;
use std::io;

use crate::frame::FrameError;

/// The class of a [`ReadError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// No such file, or no permission.
    NotFound,
    /// A folder, pipe or device where a file is needed.
    NotAFile,
    /// The operating system could not deliver the bytes.
    Io,
    /// The first bytes are of no format that is read.
    UnknownFormat,
    /// The format is known, this variety of it is not read.
    Unsupported,
    /// The bytes contradict the format.
    Damaged,
    /// The file ends too early, or is longer than it declares.
    Length,
    /// Larger than the limits allow.
    TooLarge,
    /// No pixels, no bytes, or a folder without images.
    Empty,
    /// NaN or infinity.
    NonFinite,
}

/// A file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    kind: ReadErrorKind,
    name: String,
    place: String,
    problem: String,
    fix: String,
}

impl ReadError {
    pub(crate) fn new(
        kind: ReadErrorKind,
        name: &str,
        place: &str,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { kind, name: name.into(), place: place.into(), problem: problem.into(), fix: fix.into() }
    }

    pub(crate) fn io(name: &str, place: &str, error: &io::Error) -> Self {
        let (kind, fix) = match error.kind() {
            io::ErrorKind::NotFound => (ReadErrorKind::NotFound, "check the path"),
            io::ErrorKind::PermissionDenied => (ReadErrorKind::NotFound, "allow this user to read it"),
            io::ErrorKind::UnexpectedEof => (ReadErrorKind::Length, "copy the file again, it ends too early"),
            // What decoders report of the content, as against the storage.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                (ReadErrorKind::Damaged, "export the image again")
            }
            _ => (ReadErrorKind::Io, "check the storage and try again"),
        };
        Self::new(kind, name, place, error.to_string(), fix)
    }

    pub(crate) fn frame(name: &str, place: &str, error: &FrameError) -> Self {
        let (kind, fix) = match error {
            FrameError::Empty { .. } => (ReadErrorKind::Empty, "export an image that has pixels"),
            FrameError::SideTooLong { .. } | FrameError::TooManySamples { .. } => {
                (ReadErrorKind::TooLarge, "crop, tile or downsample the image")
            }
            FrameError::NonFinite { .. } => (
                ReadErrorKind::NonFinite,
                "replace such samples before saving, for instance by numpy.nan_to_num",
            ),
            FrameError::Channels(_) => (ReadErrorKind::Unsupported, "convert it to gray or RGB"),
            _ => (ReadErrorKind::Damaged, "export the image again"),
        };
        Self::new(kind, name, place, error.to_string(), fix)
    }

    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ReadErrorKind {
        self.kind
    }

    /// The file, or the name given for the bytes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The field, byte, row or index where it shows.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong there.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What would fix it.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.fix
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}: {}; fix: {}", self.name, self.place, self.problem, self.fix)
    }
}

impl std::error::Error for ReadError {}
