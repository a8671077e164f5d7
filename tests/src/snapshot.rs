//! Results that are text files under review: a difference is a failure, and `CANDOR_BLESS=1` rewrites the
//! file.

use std::path::Path;

/// The variable that makes [`check`] rewrite its files.
pub const BLESS_VARIABLE: &str = "CANDOR_BLESS";

/// Compares `found` with the text file `committed`, or rewrites the file where [`BLESS_VARIABLE`] is 1.
///
/// # Panics
/// With the lines that differ, or when the file cannot be written.
pub fn check(committed: &Path, found: &str) {
    if std::env::var_os(BLESS_VARIABLE).is_some_and(|bless| bless == "1") {
        std::fs::write(committed, found).expect("the snapshot can be written");
        return;
    }
    let expected = std::fs::read_to_string(committed).unwrap_or_default();
    let differences = differences(&expected, found);
    let place = committed.display();
    assert!(
        differences.is_empty(),
        "{place} is out of date; {BLESS_VARIABLE}=1 rewrites it if this is meant:\n{differences}"
    );
}

/// Lines that only one of the texts has, in order, as `-` expected and `+` found; empty for equal texts.
pub(crate) fn differences(expected: &str, found: &str) -> String {
    if expected == found {
        return String::new();
    }
    let only = |sign: char, own: &str, other: &str| {
        let lines = own.lines().filter(|line| !other.lines().any(|own| own == *line));
        lines.map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    format!("{}{}same lines otherwise", only('-', expected, found), only('+', found, expected))
}
