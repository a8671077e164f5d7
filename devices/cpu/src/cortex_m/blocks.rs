//! Copies, tables and maxima over whole blocks of four codes; and what must only be small.

use crate::image::image;
use crate::loops::elementwise::{image_mut, same_extents};
use candor_core::ops::{CopyChannels, Lookup, MaxPool, copy_channels, lookup, max_pool};
use candor_core::tensor::{BLOCK, Element, Rows, RowsMut};

/// Comparison of the four bytes of a register.
pub(crate) trait Greater {
    /// The greater of each pair of bytes: UQSUB8, UADD8.
    fn greater(a: u32, b: u32) -> u32;
}

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
    let halves = window.kernel == [2, 2] && window.stride == [2, 2] && window.dilation == [1, 1];
    for y in output.first..output.first + output.count {
        let row = output.row_mut(y);
        if halves {
            let lines = [0, 1].map(|tap| input.row(y * 2 + tap));
            for block in 0..to.blocks() {
                let lines = lines.map(|line| image(&from, line, block));
                halve::<G>(lines, image_mut(&to, row, block));
            }
            continue;
        }
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

/// The greatest of two words in each of two lines, word by word of `target`.
#[inline(always)]
fn halve<G: Greater>(lines: [&[u8]; 2], target: &mut [u8]) {
    let [top, bottom] = lines.map(|line| line.as_chunks::<{ 2 * BLOCK }>().0);
    for ((target, top), bottom) in target.as_chunks_mut::<BLOCK>().0.iter_mut().zip(top).zip(bottom) {
        let [a, b, c, d, e, f, g, h] = *top;
        let [i, j, k, l, m, n, o, p] = *bottom;
        let top = G::greater(u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let bottom = G::greater(u32::from_le_bytes([i, j, k, l]), u32::from_le_bytes([m, n, o, p]));
        *target = G::greater(top, bottom).to_le_bytes();
    }
}

/// Products of channels from that of block `first` on; no application on these processors wants them often.
pub(super) fn gram(input: Rows<'_>, _: &[[u64; 2]], first: usize, gram: &mut [u64]) {
    let pairs = (first * BLOCK..input.layout.channels).flat_map(|i| (0..=i).map(move |j| (i, j)));
    for (entry, (i, j)) in gram.iter_mut().zip(pairs) {
        *entry = 0;
        for y in input.image_rows() {
            for x in 0..input.layout.width {
                *entry += u64::from(input.code(y, x, i)) * u64::from(input.code(y, x, j));
            }
        }
    }
}
