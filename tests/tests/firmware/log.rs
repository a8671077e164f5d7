//! Logs of a board as lines of text, and the sizes of its sections.

use std::path::Path;

use defmt_decoder::{DecodeError, Table};
use object::{Object, ObjectSection};

/// The messages in what a board sent, decoded by the table in its binary.
pub fn decode(elf: &Path, bytes: &[u8]) -> Vec<String> {
    let elf = std::fs::read(elf).expect("the binary was built");
    let table = Table::parse(&elf).expect("the table of messages is sound").expect("the binary logs");
    let mut decoder = table.new_stream_decoder();
    decoder.received(bytes);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => lines.push(frame.display_message().to_string()),
            Err(DecodeError::UnexpectedEof) => return lines,
            Err(DecodeError::Malformed) => lines.push("a damaged message".into()),
        }
    }
}

/// What follows `name` in the line that begins with it.
pub fn value<'a>(lines: &'a [String], name: &str) -> &'a str {
    let found = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no '{name}' in {lines:?}"))
}

/// Bytes of a section; none where there is no such section.
pub fn section_bytes(elf: &[u8], name: &str) -> usize {
    let file = object::File::parse(elf).expect("the binary is an ELF file");
    file.section_by_name(name).map_or(0, |section| section.size() as usize)
}

/// What a section holds.
pub fn section(elf: &[u8], name: &str) -> Vec<u8> {
    let file = object::File::parse(elf).expect("the binary is an ELF file");
    file.section_by_name(name).and_then(|section| section.data().ok()).unwrap_or_default().to_vec()
}
