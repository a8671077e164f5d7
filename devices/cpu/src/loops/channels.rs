//! Copies of channel ranges, block by block; ranges that do not start on a block are shifted as whole
//! words.

use crate::image::image;
use crate::loops::elementwise::image_mut;
use candor_core::ops::{CopyChannels, copy_channels};
use candor_core::tensor::{BLOCK, Element, Rows, RowsMut};

/// Channel copy.
#[inline(always)]
pub(crate) fn copy_channels(op: &CopyChannels<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let (from, to) = (input.layout, output.layout);
    let codes = from.element == Element::Code && to.element == Element::Code;
    let inside = op.from + op.count <= from.channels && op.to + op.count <= to.channels;
    if !codes || !inside || (from.height, from.width) != (to.height, to.width) {
        return copy_channels::reference(op, input, output);
    }
    for y in output.first..output.first + output.count {
        let (source, row) = (input.row(y), output.row_mut(y));
        for block in op.to / BLOCK..(op.to + op.count).div_ceil(BLOCK) {
            let target = image_mut(&to, row, block);
            // Channel of this block at which the copied range begins and ends.
            let first = op.to.saturating_sub(block * BLOCK);
            let end = (op.to + op.count - block * BLOCK).min(BLOCK);
            let channel = op.from + block * BLOCK + first - op.to;
            let (low, lane) = (image(&from, source, channel / BLOCK), channel % BLOCK);
            let needs_next = lane + (end - first) > BLOCK;
            let whole = first == 0 && (end == BLOCK || block * BLOCK + end == to.channels);
            if whole && lane == 0 {
                target.copy_from_slice(low);
            } else {
                let next = if needs_next { image(&from, source, channel / BLOCK + 1) } else { low };
                merge(target, [low, next], lane, first..end);
            }
            if let Some(table) = op.table {
                translate(target, table, first..end);
            }
        }
    }
}

/// Writes lanes `range` of each target pixel from the eight codes of `sources`, beginning at `lane`.
#[inline(always)]
fn merge(target: &mut [u8], sources: [&[u8]; 2], lane: usize, range: core::ops::Range<usize>) {
    let mask = (u32::MAX >> (32 - 8 * range.len())) << (8 * range.start);
    let (right, left) = (8 * lane as u32, 8 * range.start as u32);
    let [low, next] = sources.map(|source| source.as_chunks::<BLOCK>().0);
    for ((pixel, low), next) in target.as_chunks_mut::<BLOCK>().0.iter_mut().zip(low).zip(next) {
        let pair = u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*next)) << 32;
        let moved = ((pair >> right) as u32) << left;
        *pixel = ((u32::from_le_bytes(*pixel) & !mask) | (moved & mask)).to_le_bytes();
    }
}

/// Looks up lanes `range` of each pixel.
#[inline(always)]
fn translate(target: &mut [u8], table: &[u8], range: core::ops::Range<usize>) {
    let Some(table) = table.first_chunk::<256>() else { return };
    for pixel in target.as_chunks_mut::<BLOCK>().0 {
        for code in &mut pixel[range.clone()] {
            *code = table[usize::from(*code)];
        }
    }
}
