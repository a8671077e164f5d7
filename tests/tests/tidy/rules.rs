//! The house rules by name, each with the fix that a failure prints.

use std::fmt;

/// A rule that the tidy tests enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Purpose,
    FileLength,
    FunctionLength,
    LineWidth,
    FileName,
    NoPanic,
    NoLeftovers,
    UnsafePlace,
    SafetyComment,
    TestsApart,
    CoreTarget,
    CoreFloat,
    CoreBare,
    Arrow,
    SharedSettings,
    MachinePath,
    RegistryHost,
    LiveLink,
    LiveCommand,
    RulesNamed,
}

impl Rule {
    pub const ALL: [Self; 20] = [
        Self::Purpose,
        Self::FileLength,
        Self::FunctionLength,
        Self::LineWidth,
        Self::FileName,
        Self::NoPanic,
        Self::NoLeftovers,
        Self::UnsafePlace,
        Self::SafetyComment,
        Self::TestsApart,
        Self::CoreTarget,
        Self::CoreFloat,
        Self::CoreBare,
        Self::Arrow,
        Self::SharedSettings,
        Self::MachinePath,
        Self::RegistryHost,
        Self::LiveLink,
        Self::LiveCommand,
        Self::RulesNamed,
    ];

    /// The name by which a failure and CONTRIBUTING.md call the rule, and what to do when it is broken.
    pub fn name_and_fix(self) -> (&'static str, &'static str) {
        match self {
            Self::Purpose => ("purpose", "open the file with `//!` and its one purpose in a sentence"),
            Self::FileLength => ("file-length", "split it where a second purpose begins"),
            Self::FunctionLength => {
                ("function-length", "give a part that has a name of its own its own function")
            }
            Self::LineWidth => ("line-width", "wrap it; rustfmt cannot break strings and comments for you"),
            Self::FileName => ("file-name", "name the file after what it holds, in the field's own words"),
            Self::NoPanic => {
                ("no-panic", "return a typed error, or restructure so that the case cannot arise")
            }
            Self::NoLeftovers => {
                ("no-leftovers", "finish it, delete it, or file an issue and say nothing here")
            }
            Self::UnsafePlace => {
                ("unsafe-place", "write it safely, or move it to a file on the unsafe allow-list")
            }
            Self::SafetyComment => {
                ("safety-comment", "say in `// SAFETY:` just above why the contract holds")
            }
            Self::TestsApart => {
                ("tests-apart", "put tests in `foo/tests.rs`, declared `#[cfg(test)] mod tests;`")
            }
            Self::CoreTarget => {
                ("core-target", "keep core the same everywhere; a target's own code is candor-cpu's")
            }
            Self::CoreFloat => ("core-float", "move the float step to arithmetic.rs, or compute in integers"),
            Self::CoreBare => ("core-bare", "core is no_std, without allocation, and forbids unsafe code"),
            Self::Arrow => {
                ("arrow", "turn the dependency round, or move the code to where the arrows allow it")
            }
            Self::SharedSettings => {
                ("shared-settings", "the root manifest holds only shared settings; members inherit them")
            }
            Self::MachinePath => ("machine-path", "take the path as an argument, or make it relative"),
            Self::RegistryHost => {
                ("registry-host", "name the package and leave the host to the client's settings")
            }
            Self::LiveLink => ("live-link", "point the link at a file that exists"),
            Self::LiveCommand => ("live-command", "write a command that works from the workspace root"),
            Self::RulesNamed => {
                ("rules-named", "CONTRIBUTING.md names each rule as `tidy: NAME`, and no others")
            }
        }
    }
}

/// One breach of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub path: String,
    /// Counted from 1.
    pub line: usize,
    pub rule: Rule,
    pub what: String,
}

impl Fault {
    pub fn new(path: &str, line: usize, rule: Rule, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}:{}: {}", self.path, self.line, self.what)
    }
}
