//! One error type: what failed, where, and what would fix it.

use candor_core::ops::Fault;
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
        PackageError::NotAPackage => {
            "not a candor package (its first bytes are not CANDOR); name a file that candor-lab pack wrote"
                .into()
        }
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
        PlanError::Length => "section 'plan' has another length than its counts say; pack it again".into(),
        PlanError::Header(word) => {
            format!("section 'plan': header word {word} is out of range; pack it again")
        }
        PlanError::Tensor { tensor, word } => {
            format!("section 'plan': tensor {tensor}, word {word} is out of range; pack it again")
        }
        PlanError::Step { step, fault: Fault::UnknownOperator(number) } => {
            format!("section 'plan': step {step}: no operator has number {number}; update this runtime")
        }
        PlanError::Step { step, fault } => {
            format!("section 'plan': step {step}: {}; pack it again", describe_fault(fault))
        }
    }
}

fn describe_fault(fault: Fault) -> String {
    match fault {
        Fault::UnknownOperator(number) => format!("no operator has number {number}"),
        Fault::TensorIndex(index) => format!("tensor {index} does not exist or cannot be written"),
        Fault::Shape => "the extents of input and output do not belong together".into(),
        Fault::Halo => "the input's halo is too small for the window".into(),
        Fault::Parameter(word) => format!("parameter word {word} is out of range"),
        Fault::Constants(word) => {
            format!("parameter word {word} points at constants outside section 'weights' or misaligned")
        }
        Fault::ConstantValue => {
            "a multiplier, bias, weight or table entry has a value that is not allowed".into()
        }
        Fault::Overlap => "input, output or scratch share bytes of the arena".into(),
        Fault::Element => "the operator does not take accumulators".into(),
    }
}
