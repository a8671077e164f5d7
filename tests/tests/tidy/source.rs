//! The rules for one Rust file, checked on its tokens, so that strings and comments cannot confuse them.

use std::str::FromStr;

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

use crate::rules::{Fault, Rule};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 110;

/// Names that say nothing about what a file holds.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "manager", "common", "misc", "stuff"];

/// Words of unfinished work, spelled in two halves so that this file passes its own check.
const LEFTOVER_WORDS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// Files and folders that may hold `unsafe`.
const UNSAFE_PLACES: [&str; 5] = [
    "devices/cpu/",
    "devices/gpu/",
    "firmware/boards/",
    "runtime/engine/src/mapping.rs",
    // Counting allocations takes an implementation of the unsafe trait `GlobalAlloc`.
    "tests/src/",
];

const CORE: &str = "runtime/core/";

/// The one file of core with the float step of requantization.
const CORE_FLOAT_FILE: &str = "runtime/core/src/arithmetic.rs";

/// Every fault of the file at `path` (from the workspace root) that holds `text`.
///
/// # Panics
/// If the text is not made of Rust tokens.
pub fn check(path: &str, text: &str) -> Vec<Fault> {
    let mut file =
        SourceFile { path, lines: text.lines().collect(), test_code: is_test_code(path), faults: vec![] };
    file.check_name();
    file.check_lines();
    let tokens = TokenStream::from_str(text).unwrap_or_else(|error| panic!("{path} is not Rust: {error}"));
    file.walk(tokens);
    if path == "runtime/core/src/lib.rs" {
        file.check_core_attributes();
    }
    file.faults.sort_by_key(|fault| fault.line);
    file.faults
}

/// Test code may panic: the `tests` crate, `tests.rs` files and folders of them, benches and fuzz targets.
fn is_test_code(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches"))
}

struct SourceFile<'a> {
    path: &'a str,
    lines: Vec<&'a str>,
    test_code: bool,
    faults: Vec<Fault>,
}

impl SourceFile<'_> {
    fn fault(&mut self, line: usize, rule: Rule, what: impl Into<String>) {
        self.faults.push(Fault::new(self.path, line, rule, what));
    }

    fn check_name(&mut self) {
        for part in self.path.trim_end_matches(".rs").split('/') {
            if part.split('_').any(|word| EMPTY_NAMES.contains(&word)) {
                self.fault(1, Rule::FileName, format!("`{part}` does not say what it holds"));
            }
        }
    }

    fn check_lines(&mut self) {
        if !self.lines.first().is_some_and(|line| line.starts_with("//! ")) {
            self.fault(1, Rule::Purpose, "the first line does not state the file's purpose");
        }
        let count = self.lines.len();
        if count > FILE_LINES_MAX {
            self.fault(count, Rule::FileLength, format!("{count} lines, at most {FILE_LINES_MAX}"));
        }
        for index in 0..count {
            self.check_line(index + 1, self.lines[index]);
        }
    }

    fn check_line(&mut self, number: usize, line: &str) {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX {
            self.fault(number, Rule::LineWidth, format!("{columns} columns, at most {LINE_COLUMNS_MAX}"));
        }
        let comment = line.split_once("//").map_or("", |(_, comment)| comment);
        let words =
            |text: &str, wanted: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| word == wanted);
        for word in LEFTOVER_WORDS.iter().filter(|word| words(comment, word)) {
            self.fault(number, Rule::NoLeftovers, format!("a comment says {word}"));
        }
    }

    fn check_core_attributes(&mut self) {
        // Its own tests may use the standard library.
        let wanted = [["#![no_std]", "#![cfg_attr(not(test), no_std)]"], ["#![forbid(unsafe_code)]"; 2]];
        for spellings in wanted {
            if !self.lines.iter().any(|line| spellings.contains(line)) {
                self.fault(1, Rule::CoreBare, format!("{} is missing", spellings[0]));
            }
        }
    }

    fn walk(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => {
                    self.check_attribute(&tokens[..index], group);
                    self.walk(group.stream());
                }
                TokenTree::Ident(ident) => self.check_ident(&tokens[..index], ident, &tokens[index + 1..]),
                TokenTree::Literal(literal) => self.check_literal(literal),
                TokenTree::Punct(_) => {}
            }
        }
    }

    /// Finds `#[test]` outside test files.
    fn check_attribute(&mut self, before: &[TokenTree], group: &Group) {
        let attribute = group.delimiter() == Delimiter::Bracket && ends_with(before, '#');
        if attribute && !self.test_code && group.stream().to_string() == "test" {
            self.fault(line_of(group), Rule::TestsApart, "a test stands outside a tests.rs file");
        }
    }

    fn check_ident(&mut self, before: &[TokenTree], ident: &Ident, after: &[TokenTree]) {
        let line = ident.span().start().line;
        let name = ident.to_string();
        match name.as_str() {
            "fn" => self.check_function(line, after),
            "unsafe" => self.check_unsafe(line, after),
            "mod" if is_ident(after.first(), "tests") && brace(after.get(1)).is_some() => {
                self.fault(line, Rule::TestsApart, "a test module stands inside another file");
            }
            "unwrap" | "unwrap_err" | "expect" | "expect_err" if !self.test_code => {
                // Other modules may have a function of that name.
                let of_a_type = before.iter().rev().nth(2);
                let panics = is_ident(of_a_type, "Option") || is_ident(of_a_type, "Result");
                if ends_with(before, '.') || ends_with(before, ':') && panics {
                    self.fault(line, Rule::NoPanic, format!("`{name}` panics"));
                }
            }
            "todo" | "unimplemented" | "dbg" if is_punct(after.first(), '!') => {
                self.fault(line, Rule::NoLeftovers, format!("`{name}!` is unfinished work"));
            }
            _ if self.path.starts_with(CORE) && !self.test_code => self.check_core_ident(line, &name, after),
            _ => {}
        }
    }

    fn check_core_ident(&mut self, line: usize, name: &str, after: &[TokenTree]) {
        match name {
            "f32" | "f64" if self.path != CORE_FLOAT_FILE => {
                self.fault(line, Rule::CoreFloat, format!("`{name}` outside arithmetic.rs"));
            }
            "alloc" => self.fault(line, Rule::CoreBare, "core does not allocate"),
            "cfg" | "cfg_attr" => {
                let condition = after.iter().find_map(|token| match token {
                    TokenTree::Group(group) => Some(group.stream()),
                    _ => None,
                });
                if condition.is_some_and(names_a_target) {
                    self.fault(line, Rule::CoreTarget, "core differs by target here");
                }
            }
            _ => {}
        }
    }

    fn check_literal(&mut self, literal: &proc_macro2::Literal) {
        let text = literal.to_string();
        let number = text.starts_with(|c: char| c.is_ascii_digit()) && !text.starts_with("0x");
        let float = number && (text.contains('.') || text.ends_with("f32") || text.ends_with("f64"));
        if float && self.path.starts_with(CORE) && !self.test_code && self.path != CORE_FLOAT_FILE {
            let line = literal.span().start().line;
            self.fault(line, Rule::CoreFloat, format!("the float `{text}` outside arithmetic.rs"));
        }
    }

    /// Measures the function whose `fn` stands at `line` and is followed by `after`.
    fn check_function(&mut self, line: usize, after: &[TokenTree]) {
        let named = matches!(after.first(), Some(TokenTree::Ident(_))) || is_punct(after.first(), '$');
        let end = after.iter().position(|token| is_punct(Some(token), ';') || brace(Some(token)).is_some());
        let Some(body) = end.and_then(|end| brace(after.get(end))).filter(|_| named) else {
            return;
        };
        let count = body.span_close().end().line - line + 1;
        if count > FUNCTION_LINES_MAX {
            let name = after.first().map(ToString::to_string).unwrap_or_default();
            let what = format!("function `{name}` has {count} lines, at most {FUNCTION_LINES_MAX}");
            self.fault(line, Rule::FunctionLength, what);
        }
    }

    fn check_unsafe(&mut self, line: usize, after: &[TokenTree]) {
        if !UNSAFE_PLACES.iter().any(|place| self.path.starts_with(place)) {
            self.fault(line, Rule::UnsafePlace, "`unsafe` in a file that is not on the allow-list");
        }
        if asserts_safety(after) && !self.has_safety_comment(line) {
            self.fault(line, Rule::SafetyComment, "`unsafe` without its reason");
        }
    }

    /// Looks on the line itself and upwards over comments, attributes and the same statement's first lines.
    fn has_safety_comment(&self, line: usize) -> bool {
        let says_why = |text: &str| text.contains("// SAFETY:");
        if says_why(self.lines[line - 1]) {
            return true;
        }
        for text in self.lines[..line - 1].iter().rev().map(|text| text.trim()) {
            let annotation = text.starts_with("//") || text.starts_with("#[");
            if says_why(text) {
                return true;
            }
            if !annotation && (text.is_empty() || text.ends_with([';', '{', '}', ','])) {
                return false;
            }
        }
        false
    }
}

/// Whether `unsafe` before these tokens promises that a contract holds: a block, an `impl` or an attribute
/// does. A function or a trait only states a contract, which is a matter of its documentation.
fn asserts_safety(after: &[TokenTree]) -> bool {
    matches!(after.first(), Some(TokenTree::Group(_))) || is_ident(after.first(), "impl")
}

fn names_a_target(condition: TokenStream) -> bool {
    condition.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident.to_string().starts_with("target"),
        TokenTree::Group(group) => names_a_target(group.stream()),
        _ => false,
    })
}

fn is_ident(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == name)
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn ends_with(tokens: &[TokenTree], character: char) -> bool {
    is_punct(tokens.last(), character)
}

fn brace(token: Option<&TokenTree>) -> Option<&Group> {
    match token {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => Some(group),
        _ => None,
    }
}

fn line_of(group: &Group) -> usize {
    group.span_open().start().line
}
