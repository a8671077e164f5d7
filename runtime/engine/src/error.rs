//! One error type: what failed, where, and what would fix it.

use candor_core::package::PackageError;
use candor_core::plan::PlanError;
use std::fmt;

/// What kind of failure it was; the binary maps each to an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The package is damaged or of another version.
    Package,
    /// A frame or array cannot be used with this package.
    Input,
    /// The memory budget cannot be met.
    Memory,
    /// A tier or device is not available here.
    Device,
    /// A file could not be read or written.
    File,
    /// A self-test digest differs.
    SelfTest,
}

/// A failure with its place and remedy, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of `kind`; `message` names the place, what is wrong and what would fix it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What kind of failure it was.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same error with the file it concerns in front.
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { kind: self.kind, message: format!("{place}: {}", self.message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<PackageError> for Error {
    fn from(error: PackageError) -> Self {
        Self::new(ErrorKind::Package, describe(error))
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        PackageError::Plan(error).into()
    }
}

impl From<candor_core::interpreter::RunError> for Error {
    fn from(error: candor_core::interpreter::RunError) -> Self {
        Self::new(ErrorKind::Input, format!("the frame does not fit the plan ({error:?})"))
    }
}

fn describe(error: PackageError) -> String {
    let again = "copy or pack it again";
    match error {
        PackageError::NotAPackage => "not a candor package (its first bytes are not CANDOR)".into(),
        PackageError::Version(version) => format!(
            "package format {version}; this runtime reads format {}; pack it again",
            candor_core::package::VERSION
        ),
        PackageError::Length { stated, actual } => {
            format!("the header states {stated} bytes but the file has {actual}; {again}")
        }
        PackageError::Misaligned => "the package bytes are not aligned to 64 bytes".into(),
        PackageError::Table(entry) => format!("the section table is damaged at entry {entry}; {again}"),
        PackageError::Digest(section) => {
            format!("section '{}' does not match its SHA-256; {again}", section.name())
        }
        PackageError::Missing(section) => format!("section '{}' is missing; {again}", section.name()),
        PackageError::Repeated(section) => format!("section '{}' appears twice; {again}", section.name()),
        PackageError::Content(section, word) => {
            format!("section '{}' is malformed at word {word}; {again}", section.name())
        }
        PackageError::Text(section) => format!("section '{}' is not UTF-8 text; {again}", section.name()),
        PackageError::Plan(plan) => describe_plan(plan),
    }
}

fn describe_plan(error: PlanError) -> String {
    match error {
        PlanError::Length => "section 'plan' has another length than its counts say".into(),
        PlanError::Header(word) => format!("section 'plan': header word {word} is out of range"),
        PlanError::Tensor { tensor, word } => {
            format!("section 'plan': tensor {tensor}, word {word} is out of range")
        }
        PlanError::Step { step, fault } => format!("section 'plan': step {step} is refused ({fault:?})"),
    }
}
