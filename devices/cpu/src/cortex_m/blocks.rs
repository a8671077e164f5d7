//! Copies, tables and maxima over whole blocks of four codes.

use super::dual::Greater;
use crate::image::image;
use crate::loops::elementwise::{image_mut, same_extents};
use candor_core::ops::{CopyChannels, Lookup, MaxPool, copy_channels, lookup, max_pool};
use candor_core::tensor::{BLOCK, Element, Rows, RowsMut};

/// Channel copy.
pub(super) fn copy_channels(op: &CopyChannels<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let (from, to) = (input.layout, output.layout);
    let table = op.table.map(<[u8]>::first_chunk::<256>);
    let ends = op.to + op.count == to.channels || op.count.is_multiple_of(BLOCK);
    let aligned = op.from.is_multiple_of(BLOCK) && op.to.is_multiple_of(BLOCK) && ends;
    let codes = from.element == Element::Code && to.element == Element::Code;
    if !aligned || !codes || from.width != to.width || table == Some(None) {
        return copy_channels::reference(op, input, output);
    }
    for y in output.first..output.first + output.count {
        let (source, row) = (input.row(y), output.row_mut(y));
        for block in 0..op.count.div_ceil(BLOCK) {
            let target = image_mut(&to, row, op.to / BLOCK + block);
            let source = image(&from, source, op.from / BLOCK + block);
            match table.flatten() {
                None => target.copy_from_slice(source),
                Some(table) => translate(source, target, table),
            }
        }
    }
}

/// Table lookup.
pub(super) fn lookup(op: &Lookup<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let (from, to) = (input.layout, output.layout);
    let table = op.tables.first_chunk::<256>().filter(|_| !op.per_channel && same_extents(&from, &to));
    let Some(table) = table else { return lookup::reference(op, input, output) };
    for y in output.first..output.first + output.count {
        let (source, row) = (input.row(y), output.row_mut(y));
        for block in 0..to.blocks() {
            translate(image(&from, source, block), image_mut(&to, row, block), table);
        }
    }
}

#[inline(always)]
fn translate(source: &[u8], target: &mut [u8], table: &[u8; 256]) {
    for (code, &from) in target.iter_mut().zip(source) {
        *code = table[usize::from(from)];
    }
}

/// Max pooling: windows that lie inside the image word by word, other plans by the reference.
pub(super) fn max_pool<G: Greater>(op: &MaxPool, input: Rows<'_>, mut output: RowsMut<'_>) {
    let (window, from, to) = (&op.window, input.layout, output.layout);
    let codes = from.element == Element::Code && to.element == Element::Code;
    if !codes || from.blocks() != to.blocks() || !window.is_interior(&from, &to) {
        return max_pool::reference(op, input, output);
    }
    for y in output.first..output.first + output.count {
        let row = output.row_mut(y);
        for tap in 0..window.kernel[0] {
            let source = input.row(y * window.stride[0] + tap * window.dilation[0]);
            for block in 0..to.blocks() {
                let source = image(&from, source, block).as_chunks::<BLOCK>().0;
                let target = image_mut(&to, row, block).as_chunks_mut::<BLOCK>().0;
                for (x, pixel) in target.iter_mut().enumerate() {
                    let taps = source[x * window.stride[1]..].iter().step_by(window.dilation[1]);
                    let word = |bytes: &[u8; BLOCK]| u32::from_le_bytes(*bytes);
                    let greatest = taps.take(window.kernel[1]).map(word).reduce(G::greater).unwrap_or(0);
                    let before = if tap == 0 { 0 } else { word(pixel) };
                    *pixel = G::greater(before, greatest).to_le_bytes();
                }
            }
        }
    }
}
