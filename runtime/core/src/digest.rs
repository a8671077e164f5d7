//! Digests of tensors in logical order, so that they do not depend on layout, halo or backend.

use crate::tensor::{Layout, Rows};
use sha2::{Digest, Sha256};

/// Bytes gathered before they are hashed.
const CHUNK: usize = 512;

/// SHA-256 of a tensor's values, fed rows in order: height, width, channels as little-endian u32, then for
/// every row, column and channel the code (one byte) or accumulator (four bytes, little-endian).
#[derive(Debug, Clone)]
pub struct TensorDigest(Sha256);

impl TensorDigest {
    /// For a tensor of these extents.
    pub fn new(layout: &Layout) -> Self {
        let mut hasher = Sha256::new();
        for extent in [layout.height, layout.width, layout.channels] {
            hasher.update((extent as u32).to_le_bytes());
        }
        Self(hasher)
    }

    /// Adds the image rows that `rows` holds.
    pub fn add(&mut self, rows: Rows<'_>) {
        let layout = rows.layout;
        let width = layout.element.bytes();
        let mut chunk = [0; CHUNK];
        let mut filled = 0;
        for y in rows.image_rows() {
            for x in 0..layout.width {
                for c in 0..layout.channels {
                    let value = rows.value(y, x, c).to_le_bytes();
                    chunk[filled..filled + width].copy_from_slice(&value[..width]);
                    filled += width;
                    if filled == CHUNK {
                        self.0.update(chunk);
                        filled = 0;
                    }
                }
            }
        }
        self.0.update(&chunk[..filled]);
    }

    /// The digest of all rows.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The digest of a whole tensor; see [`TensorDigest`].
pub fn tensor(rows: Rows<'_>) -> [u8; 32] {
    let mut digest = TensorDigest::new(&rows.layout);
    digest.add(rows);
    digest.finish()
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
    /// Adds the next output's digest.
    pub fn add(&mut self, digest: [u8; 32]) {
        self.0.update(digest);
    }

    /// The digest of all outputs added.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
