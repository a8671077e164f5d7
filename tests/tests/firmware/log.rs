//! Logs of a board as lines of text, and the sizes of its sections.
//!
//! The boards log by defmt 1 over a UART: frames in rzCOBS between zeros, of which each holds the address
//! of its message among the symbols of section `.defmt` and then its arguments. defmt's own decoder depends
//! on crates under a licence that this project does not take, so what the boards use of the format is read
//! here: integers, strings, and hexadecimal hints.

use std::collections::BTreeMap;
use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol};
use serde_json::Value;

/// The messages in what a board sent.
pub fn decode(elf: &Path, bytes: &[u8]) -> Vec<String> {
    let elf = std::fs::read(elf).expect("the binary was built");
    let table = messages(&elf);
    let frames = bytes.split(|&byte| byte == 0).filter(|frame| !frame.is_empty());
    frames.map(|frame| line(&table, frame).unwrap_or_else(|| "a damaged message".into())).collect()
}

/// The format of every message by its address.
fn messages(elf: &[u8]) -> BTreeMap<u16, String> {
    let file = object::File::parse(elf).expect("the binary is an ELF file");
    let format = |symbol: object::Symbol<'_, '_>| {
        let name: Value = serde_json::from_str(symbol.name().ok()?).ok()?;
        Some((symbol.address() as u16, name["data"].as_str()?.to_owned()))
    };
    file.symbols().filter_map(format).collect()
}

/// One message with its arguments filled in.
fn line(table: &BTreeMap<u16, String>, frame: &[u8]) -> Option<String> {
    let plain = unstuff(frame)?;
    let (address, mut rest) = plain.split_first_chunk::<2>()?;
    let mut format = table.get(&u16::from_le_bytes(*address))?.as_str();
    let mut text = String::new();
    while let Some((literal, after)) = format.split_once("{=") {
        let (parameter, after) = after.split_once('}')?;
        text += literal;
        text += &argument(parameter, &mut rest)?;
        format = after;
    }
    Some(text + format)
}

/// The next argument as `parameter` (its type, and perhaps a hint) wants it shown.
fn argument(parameter: &str, rest: &mut &[u8]) -> Option<String> {
    let (kind, hint) = parameter.split_once(':').unwrap_or((parameter, ""));
    let mut take = |count: usize| {
        let (own, after) = rest.split_at_checked(count)?;
        *rest = after;
        Some(own.to_vec())
    };
    let mut number = |bytes: usize| {
        let bytes = take(bytes)?;
        Some(bytes.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte)))
    };
    let value = match kind {
        "u8" => number(1)?,
        "u32" | "usize" => number(4)?,
        "u64" => number(8)?,
        "str" => {
            let length = number(4)? as usize;
            return String::from_utf8(take(length)?).ok();
        }
        other => panic!("the boards log no {other}"),
    };
    Some(match hint {
        "" => value.to_string(),
        "#x" => format!("{value:#x}"),
        "016x" => format!("{value:016x}"),
        other => panic!("the boards use no hint {other}"),
    })
}

/// Undoes reverse-zero-compressing COBS, as defmt's documentation describes it: from the end, a control
/// byte and the bytes that it speaks of. Zeros may be left over at the end.
fn unstuff(frame: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let mut bytes = frame.iter().rev().copied();
    while let Some(control) = bytes.next() {
        match control {
            0 => return None,
            1..=0x7f => {
                for bit in (0..7).rev() {
                    plain.push(if control >> bit & 1 == 0 { bytes.next()? } else { 0 });
                }
            }
            0x80..=0xfe => {
                plain.push(0);
                for _ in 0..(control & 0x7f) + 7 {
                    plain.push(bytes.next()?);
                }
            }
            0xff => {
                for _ in 0..134 {
                    plain.push(bytes.next()?);
                }
            }
        }
    }
    plain.reverse();
    Some(plain)
}

#[test]
fn frames_are_read_as_a_board_sent_them() {
    let table: BTreeMap<u16, String> =
        [(2, "tier {=str}".into()), (3, "trials {=u64} {=u64:016x}".into()), (1, "stack {=usize}".into())]
            .into();
    // Three frames of the first run of a board.
    let sent: [(&[u8], &str); 3] = [
        (&[2, 3, 0x64, 0x3a, 0x73, 0x70, 0x7c], "tier dsp"),
        (&[3, 0x7e, 0xd2, 0xdf, 1, 0x0f, 7, 0x81, 0x91, 0xa1, 0xe5, 0x70], "trials 0 e5a191810f01dfd2"),
        (&[1, 0xe0, 0x0c, 0x72], "stack 3296"),
    ];
    for (frame, expected) in sent {
        assert_eq!(line(&table, frame).as_deref().unwrap_or("damaged"), expected);
    }
    assert_eq!(line(&table, &[9, 0x7f]), None);
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

/// Address of a function's first instruction.
pub fn address(elf: &[u8], name: &str) -> u64 {
    let file = object::File::parse(elf).expect("the binary is an ELF file");
    let found = file.symbols().find(|symbol| symbol.name() == Ok(name));
    // The lowest bit tells of Thumb.
    found.unwrap_or_else(|| panic!("there is no symbol {name}")).address() & !1
}
