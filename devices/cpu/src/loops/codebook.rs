//! Rows of codes through a table of 256 bytes, one register at a time.

use crate::loops::vector::{PIXEL, Vector};

/// A table held so that a tier looks up a whole register of codes.
pub(crate) trait Codebook<V: Vector> {
    /// Holds `table`.
    ///
    /// # Safety
    /// As [`Vector`], with the instructions of this codebook as well; so are the other methods.
    unsafe fn new(table: &[u8; 256]) -> Self;
    /// The entries of all codes.
    unsafe fn entries(&self, codes: V::Pixels) -> V::Pixels;
    /// Bytes of `new` where `lanes`, repeated for every pixel, has ones, and of `old` elsewhere.
    unsafe fn choose(lanes: u32, new: V::Pixels, old: V::Pixels) -> V::Pixels;
}

/// Tiers that look up codes.
pub(crate) trait Translate: Vector {
    /// Whether four translations of one channel each take less time than reading entries singly.
    fn is_quick() -> bool;
    /// Writes the entries of `pixels` pixels of `source` to the bytes of `target` that `lanes` has ones for,
    /// repeated for every pixel; other bytes keep their value. The two may be the same pixels.
    ///
    /// # Safety
    /// As [`Vector`]; `pixels` pixels can be read at `source`, and read and written at `target`.
    unsafe fn translate(source: *const u8, target: *mut u8, pixels: usize, table: &[u8; 256], lanes: u32);
}

/// [`Translate::translate`] by a codebook.
///
/// # Safety
/// As there, with the instructions of the codebook.
#[inline(always)]
pub(crate) unsafe fn row<V: Vector, C: Codebook<V>>(
    source: *const u8,
    target: *mut u8,
    pixels: usize,
    table: &[u8; 256],
    lanes: u32,
) {
    // SAFETY: the caller's contract; whole registers are only accessed where as many pixels are left.
    unsafe {
        let book = C::new(table);
        let mut done = 0;
        while done + V::LANES <= pixels {
            let (from, to) = (source.add(done * PIXEL), target.add(done * PIXEL));
            let entries = book.entries(V::load(from));
            let chosen = if lanes == u32::MAX { entries } else { C::choose(lanes, entries, V::load(to)) };
            V::store(to, chosen);
            done += V::LANES;
        }
        let rest = pixels - done;
        if rest > 0 {
            let (from, to) = (source.add(done * PIXEL), target.add(done * PIXEL));
            let entries = book.entries(V::load_first(from, rest));
            V::store_first(to, C::choose(lanes, entries, V::load_first(to, rest)), rest);
        }
    }
}
