//! Digests of tensors in logical order, so that they do not depend on layout, halo or backend.

use crate::tensor::{BLOCK, Element, Layout, Rows};
use sha2::{Digest, Sha256};

/// Bytes gathered before they are hashed.
const CHUNK: usize = 1024;

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
        let layout = &rows.layout;
        for y in rows.image_rows() {
            let row = rows.row(y);
            // The usual outputs: a mask's one or two channels, codes or accumulators.
            match (layout.blocks(), layout.channels, layout.element) {
                (1, 1, Element::Code) => self.add_pixels::<4, 1>(layout, row),
                (1, 2, Element::Code) => self.add_pixels::<4, 2>(layout, row),
                (1, 3, Element::Code) => self.add_pixels::<4, 3>(layout, row),
                (1, _, Element::Code) => self.add_pixels::<4, 4>(layout, row),
                (1, 1, Element::Accumulator) => self.add_pixels::<16, 4>(layout, row),
                (1, 2, Element::Accumulator) => self.add_pixels::<16, 8>(layout, row),
                (1, 3, Element::Accumulator) => self.add_pixels::<16, 12>(layout, row),
                (1, _, Element::Accumulator) => self.add_pixels::<16, 16>(layout, row),
                (_, _, Element::Code) => self.add_blocks::<4>(layout, row),
                (_, _, Element::Accumulator) => self.add_blocks::<16>(layout, row),
            }
        }
    }

    /// Adds values that were gathered in the order that is hashed.
    pub fn add_values(&mut self, values: &[u8]) {
        self.0.update(values);
    }

    /// Adds a row of one block: the first `USED` bytes of each of its pixels of `PIXEL` bytes.
    fn add_pixels<const PIXEL: usize, const USED: usize>(&mut self, layout: &Layout, row: &[u8]) {
        let pixels = &row[layout.offset_in_row(0, 0)..].as_chunks::<PIXEL>().0[..layout.width];
        let mut chunk = [0; CHUNK];
        for part in pixels.chunks(CHUNK / USED) {
            for (target, pixel) in chunk.as_chunks_mut::<USED>().0.iter_mut().zip(part) {
                target.copy_from_slice(&pixel[..USED]);
            }
            self.0.update(&chunk[..part.len() * USED]);
        }
    }

    /// Adds a row of several blocks, whose pixels have `PIXEL` bytes each.
    fn add_blocks<const PIXEL: usize>(&mut self, layout: &Layout, row: &[u8]) {
        let last = layout.blocks() - 1;
        let used = (layout.channels - last * BLOCK) * layout.element.bytes();
        let mut chunk = [0; CHUNK];
        let mut filled = 0;
        for x in 0..layout.width {
            for block in 0..=last {
                if filled + PIXEL > CHUNK {
                    self.0.update(&chunk[..filled]);
                    filled = 0;
                }
                let pixel = &row[layout.offset_in_row(block, x)..][..PIXEL];
                chunk[filled..filled + PIXEL].copy_from_slice(pixel);
                filled += if block == last { used } else { PIXEL };
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

#[cfg(test)]
mod tests;
