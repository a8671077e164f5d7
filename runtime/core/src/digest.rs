//! Digests of tensors in logical order, so that they do not depend on layout, halo or backend.

use crate::tensor::Rows;
use sha2::{Digest, Sha256};

/// Bytes gathered before they are hashed.
const CHUNK: usize = 512;

/// SHA-256 of a tensor's values: height, width, channels as little-endian u32, then for every row, column
/// and channel the code (one byte) or accumulator (four bytes, little-endian).
pub fn tensor(rows: Rows<'_>) -> [u8; 32] {
    let layout = rows.layout;
    let mut hasher = Sha256::new();
    for extent in [layout.height, layout.width, layout.channels] {
        hasher.update((extent as u32).to_le_bytes());
    }
    let width = layout.element.bytes();
    let mut chunk = [0; CHUNK];
    let mut filled = 0;
    for y in 0..layout.height {
        for x in 0..layout.width {
            for c in 0..layout.channels {
                let value = rows.value(y, x, c).to_le_bytes();
                chunk[filled..filled + width].copy_from_slice(&value[..width]);
                filled += width;
                if filled == CHUNK {
                    hasher.update(chunk);
                    filled = 0;
                }
            }
        }
    }
    hasher.update(&chunk[..filled]);
    hasher.finalize().into()
}

/// The first eight bytes of a digest, as reports and golden sections store them.
pub fn short(digest: [u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// One digest over the outputs of several model runs (the tiles of a frame).
#[derive(Debug, Clone, Default)]
pub struct Chain(Sha256);

impl Chain {
    /// Adds the next output.
    pub fn add(&mut self, rows: Rows<'_>) {
        self.0.update(tensor(rows));
    }

    /// The digest of all outputs added.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
