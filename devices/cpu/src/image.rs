//! The image columns of one channel block within a stored row.

use candor_core::tensor::{BLOCK, Layout};

/// The codes of block `block` in a stored row, image columns only.
#[inline(always)]
pub(crate) fn image<'a>(layout: &Layout, row: &'a [u8], block: usize) -> &'a [u8] {
    &row[layout.offset_in_row(block, 0)..][..layout.width * BLOCK]
}
