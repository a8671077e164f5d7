//! Failures and the documented exit codes: 0 done, 2 usage, 3 invalid model, package or input, 4 memory
//! budget, 5 device unavailable, 6 self-test failed, 10 an alert with `--fail-on-alert`.

use candor::{Error, ErrorKind};
use std::fmt;
use std::process::ExitCode;

/// A failure that ends the command: one line and an exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

/// Exit code of an alert with `--fail-on-alert`.
pub const ALERT: u8 = 10;
/// Exit code of invalid input.
pub const INVALID: u8 = 3;
/// Exit code of a memory budget that cannot be met.
pub const MEMORY: u8 = 4;
/// Exit code of a failed self-test.
pub const SELF_TEST: u8 = 6;

impl Failure {
    /// A usage error.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// An input or output file that cannot be used.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { code: INVALID, message: message.into() }
    }

    /// Whether a greater memory budget would do.
    pub const fn is_memory(&self) -> bool {
        self.code == MEMORY
    }

    /// The process exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::Package | ErrorKind::Input | ErrorKind::File => INVALID,
            ErrorKind::Memory => MEMORY,
            ErrorKind::Device => 5,
            ErrorKind::SelfTest => SELF_TEST,
        };
        Self { code, message: error.to_string() }
    }
}

impl From<candor_imaging::write::WriteError> for Failure {
    fn from(error: candor_imaging::write::WriteError) -> Self {
        Self::invalid(error.to_string())
    }
}
