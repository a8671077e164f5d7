//! How a line of the log seals the one before.

use sha2::{Digest, Sha256};

/// A chain value: SHA-256.
pub type Link = [u8; 32];

/// Hexadecimal digits of a chain value.
pub const CHAIN_HEX: usize = 64;

/// What stands between a line's own bytes and its chain value.
pub const FIELD: &[u8] = b",\"chain\":\"";

/// Bytes after a line's own: the field, the value, quote and brace.
const TAIL: usize = FIELD.len() + CHAIN_HEX + 2;

/// The chain value of a line whose own bytes are `body` and that follows `previous`.
pub fn link(previous: &Link, body: &[u8]) -> Link {
    Sha256::new().chain_update(previous).chain_update(body).finalize().into()
}

/// Lower-case hexadecimal.
pub fn hex(link: &Link) -> [u8; CHAIN_HEX] {
    let mut digits = [0; CHAIN_HEX];
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(link) {
        *pair = [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
    }
    digits
}

/// The value of 64 lower-case hexadecimal digits.
pub fn unhex(digits: &[u8]) -> Option<Link> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return None;
    }
    let mut link = [0; 32];
    for (byte, [high, low]) in link.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(link)
}

/// A line without its newline, as its own bytes and its chain value; `None` when it is no line of a log.
pub fn split(line: &[u8]) -> Option<(&[u8], Link)> {
    let (body, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
    let digits = tail.strip_prefix(FIELD)?.strip_suffix(b"\"}")?;
    Some((body, unhex(digits)?))
}
