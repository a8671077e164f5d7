//! What is wrong with a model file, in words a user can act on: one problem per node and attribute.

use std::fmt;

use super::wire::WireError;

/// Longest piece of file-supplied text quoted in a message, in characters.
const QUOTE_CHARACTERS_MAX: usize = 120;
/// Longest name copied from a file, and longest message, in bytes.
const TEXT_BYTES_MAX: usize = 480;

/// Most problems kept for one file; a hostile file could otherwise fill memory with messages.
pub(super) const PROBLEMS_MAX: usize = 1000;

/// One reason why a model cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Node (or tensor, input, output) name in the file; empty for the file as a whole.
    pub node: String,
    /// Operator type, or what kind of thing `node` is (`input`, `initializer`, `model`).
    pub op: String,
    /// The attribute or input that is wrong, when one can be named.
    pub attribute: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What would make it right.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", quote(&self.op))?;
        if !self.node.is_empty() {
            write!(formatter, " '{}'", quote(&self.node))?;
        }
        if let Some(attribute) = &self.attribute {
            write!(formatter, " [{}]", quote(attribute))?;
        }
        write!(formatter, ": {}; fix: {}", self.what, self.fix)
    }
}

/// Every problem of one file, never empty; `Display` prints one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportErrors(pub Vec<Problem>);

impl fmt::Display for ImportErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ImportErrors {}

impl From<WireError> for ImportErrors {
    fn from(error: WireError) -> Self {
        Self(vec![Problem {
            node: String::new(),
            op: "model".into(),
            attribute: None,
            what: error.to_string(),
            fix: "the file is damaged, cut short or not an ONNX model; export or copy it again".into(),
        }])
    }
}

/// A problem before it is known at which node it happened.
#[derive(Debug)]
pub(super) struct Fault {
    /// The attribute or input at fault.
    pub attribute: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What would make it right.
    pub fix: String,
}

impl Fault {
    /// A fault of the node as a whole.
    pub fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { attribute: None, what: short(&what.into()).to_owned(), fix: fix.into() }
    }

    /// A fault of the attribute or input called `name`.
    pub fn at(name: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { attribute: Some(short(name).to_owned()), ..Self::new(what, fix) }
    }

    /// The problem once the place is known.
    pub fn of(self, node: &str, op: &str) -> Problem {
        Problem {
            node: short(node).to_owned(),
            op: short(op).to_owned(),
            attribute: self.attribute,
            what: self.what,
            fix: self.fix,
        }
    }
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        Self::new(error.to_string(), "the file is damaged; export or copy it again")
    }
}

/// The start of `text`, as far as a copy may be kept: a long name used often would otherwise fill memory.
pub(super) fn short(text: &str) -> &str {
    let end = (0..=text.len().min(TEXT_BYTES_MAX)).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// File-supplied text made safe for one line of a terminal: control characters escaped, length bounded.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == QUOTE_CHARACTERS_MAX {
            quoted.push('…');
            break;
        }
        if character.is_control() {
            quoted.extend(character.escape_default());
        } else {
            quoted.push(character);
        }
    }
    quoted
}
