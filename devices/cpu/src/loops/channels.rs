//! Copies of channel ranges and tables of codes, block by block; ranges that do not start on a block are
//! shifted as whole words.

use crate::image::image;
use crate::loops::codebook::Translate;
use crate::loops::elementwise::{image_mut, same_extents};
use candor_core::ops::{CopyChannels, Lookup, copy_channels, lookup};
use candor_core::tensor::{BLOCK, Element, Rows, RowsMut};

/// Bytes of a pixel that belong to channels `range` of its block.
#[inline(always)]
fn lanes(range: core::ops::Range<usize>) -> u32 {
    (u32::MAX >> (32 - 8 * range.len())) << (8 * range.start)
}

/// Channel copy.
///
/// # Safety
/// As [`Vector`](crate::loops::vector::Vector).
#[inline(always)]
pub(crate) unsafe fn copy_channels<V: Translate>(
    op: &CopyChannels<'_>,
    input: Rows<'_>,
    mut output: RowsMut<'_>,
) {
    let (from, to) = (input.layout, output.layout);
    let codes = from.element == Element::Code && to.element == Element::Code;
    let inside = op.from + op.count <= from.channels && op.to + op.count <= to.channels;
    let table = op.table.map(<[u8]>::first_chunk::<256>);
    if !codes || !inside || (from.height, from.width) != (to.height, to.width) || table == Some(None) {
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
            let lanes = if whole { u32::MAX } else { lanes(first..end) };
            let direct = lane == first && table.is_some();
            if direct {
                // Translated below, straight from the input.
            } else if whole && lane == 0 {
                target.copy_from_slice(low);
            } else {
                let next = if needs_next { image(&from, source, channel / BLOCK + 1) } else { low };
                merge(target, [low, next], lane, first..end);
            }
            if let Some(Some(table)) = table {
                let target = target.as_mut_ptr();
                let codes = if direct { low.as_ptr() } else { target.cast_const() };
                // SAFETY: both are the image columns of a block, which have the same width.
                unsafe { V::translate(codes, target, to.width, table, lanes) }
            }
        }
    }
}

/// Table lookup.
///
/// # Safety
/// As [`Vector`](crate::loops::vector::Vector).
#[inline(always)]
pub(crate) unsafe fn lookup<V: Translate>(op: &Lookup<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let (from, to) = (input.layout, output.layout);
    if !same_extents(&from, &to) || op.tables.len() < if op.per_channel { to.channels * 256 } else { 256 } {
        return lookup::reference(op, input, output);
    }
    for y in output.first..output.first + output.count {
        let (source, row) = (input.row(y), output.row_mut(y));
        for block in 0..to.blocks() {
            let source = image(&from, source, block);
            let target = image_mut(&to, row, block);
            if op.per_channel && !V::is_quick() {
                look_up_singly(op, block * BLOCK..to.channels, source, target);
                continue;
            }
            let (source, target) = (source.as_ptr(), target.as_mut_ptr());
            // One table for all channels of the block, or one for each.
            let tables = if op.per_channel { (to.channels - block * BLOCK).min(BLOCK) } else { 1 };
            for lane in 0..tables {
                let Some(table) = op.table(block * BLOCK + lane).first_chunk() else { continue };
                let lanes = if op.per_channel { lanes(lane..lane + 1) } else { u32::MAX };
                // SAFETY: both are the image columns of a block, which have the same width.
                unsafe { V::translate(source, target, to.width, table, lanes) }
            }
        }
    }
}

/// Looks up the codes of one block, the first of `channels`, by the table of each.
#[inline(always)]
fn look_up_singly(op: &Lookup<'_>, channels: core::ops::Range<usize>, source: &[u8], target: &mut [u8]) {
    // Channels beyond the last share its table; nothing reads their codes.
    let table = |lane: usize| op.table((channels.start + lane).min(channels.end - 1)).first_chunk::<256>();
    let [Some(a), Some(b), Some(c), Some(d)] = [0, 1, 2, 3].map(table) else { return };
    for (codes, from) in target.as_chunks_mut::<BLOCK>().0.iter_mut().zip(source.as_chunks::<BLOCK>().0) {
        let [from_a, from_b, from_c, from_d] = from.map(usize::from);
        *codes = [a[from_a], b[from_b], c[from_c], d[from_d]];
    }
}

/// Writes lanes `range` of each target pixel from the eight codes of `sources`, beginning at `lane`.
#[inline(always)]
fn merge(target: &mut [u8], sources: [&[u8]; 2], lane: usize, range: core::ops::Range<usize>) {
    let mask = lanes(range.clone());
    let (right, left) = (8 * lane as u32, 8 * range.start as u32);
    let [low, next] = sources.map(|source| source.as_chunks::<BLOCK>().0);
    for ((pixel, low), next) in target.as_chunks_mut::<BLOCK>().0.iter_mut().zip(low).zip(next) {
        let pair = u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*next)) << 32;
        let moved = ((pair >> right) as u32) << left;
        *pixel = ((u32::from_le_bytes(*pixel) & !mask) | (moved & mask)).to_le_bytes();
    }
}
