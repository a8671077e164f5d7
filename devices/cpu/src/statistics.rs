//! Exact integer moments over the image: channel sums and the Gram matrix, by channel blocks.

use crate::image::image;
use candor_core::kernels;
use candor_core::tensor::{BLOCK, Element, Rows};

/// Codes summed by one inner loop of constant length.
const CHUNK: usize = 32;
/// Pixels multiplied by one inner loop of constant length.
const PIXELS: usize = 16;
/// Products of two codes that fit an u32 sum: 66051 · 255² < 2^32.
const PRODUCTS: usize = u32::MAX as usize / (255 * 255);

/// Σv and Σv² of the channels of block `block`.
#[inline(always)]
pub(crate) fn block_sums(input: &Rows<'_>, block: usize) -> [[u64; 2]; BLOCK] {
    let layout = &input.layout;
    let mut totals = [[0u64; 2]; BLOCK];
    let (mut sums, mut squares) = ([0u32; CHUNK], [0u32; CHUNK]);
    let mut added = 0;
    for y in input.image_rows() {
        for part in image(layout, input.row(y), block).chunks(CHUNK) {
            if added == PRODUCTS {
                flush_sums(&mut totals, &mut sums, &mut squares);
                added = 0;
            }
            added += 1;
            if let Some(part) = part.first_chunk::<CHUNK>() {
                for index in 0..CHUNK {
                    let code = u32::from(part[index]);
                    sums[index] += code;
                    squares[index] += code * code;
                }
            } else {
                for ((code, sum), square) in part.iter().zip(&mut sums).zip(&mut squares) {
                    *sum += u32::from(*code);
                    *square += u32::from(*code) * u32::from(*code);
                }
            }
        }
    }
    flush_sums(&mut totals, &mut sums, &mut squares);
    totals
}

/// Moves partial sums to the totals of their channels.
fn flush_sums(totals: &mut [[u64; 2]; BLOCK], sums: &mut [u32; CHUNK], squares: &mut [u32; CHUNK]) {
    for index in 0..CHUNK {
        totals[index % BLOCK][0] += u64::from(sums[index]);
        totals[index % BLOCK][1] += u64::from(squares[index]);
    }
    (*sums, *squares) = ([0; CHUNK], [0; CHUNK]);
}

/// Σ v_i·v_j of the channels i of `block` with the channels j of `other`: entry `[i][j]`.
#[inline(always)]
pub(crate) fn block_products(input: &Rows<'_>, block: usize, other: usize) -> [[u64; BLOCK]; BLOCK] {
    let layout = &input.layout;
    let mut totals = [[0u64; BLOCK]; BLOCK];
    let mut sums = [[[0u32; PIXELS]; BLOCK]; BLOCK];
    let mut added = 0;
    for y in input.image_rows() {
        let row = input.row(y);
        let [left, right] = [block, other].map(|block| image(layout, row, block).as_chunks::<BLOCK>().0);
        for (left, right) in left.chunks(PIXELS).zip(right.chunks(PIXELS)) {
            if added == PRODUCTS {
                flush_products(&mut totals, &mut sums);
                added = 0;
            }
            added += 1;
            let (left, right) = (planes(left), planes(right));
            for (a, sums) in left.iter().zip(&mut sums) {
                for (b, sums) in right.iter().zip(sums) {
                    for pixel in 0..PIXELS {
                        sums[pixel] += a[pixel] * b[pixel];
                    }
                }
            }
        }
    }
    flush_products(&mut totals, &mut sums);
    totals
}

/// The codes of each channel; a short last part is filled up with zeros, which add nothing.
#[inline(always)]
fn planes(pixels: &[[u8; BLOCK]]) -> [[u32; PIXELS]; BLOCK] {
    let mut words = [0; PIXELS];
    for (word, pixel) in words.iter_mut().zip(pixels) {
        *word = u32::from_le_bytes(*pixel);
    }
    [
        words.map(|w| w & 255),
        words.map(|w| w >> 8 & 255),
        words.map(|w| w >> 16 & 255),
        words.map(|w| w >> 24),
    ]
}

/// Moves partial products to their totals.
fn flush_products(totals: &mut [[u64; BLOCK]; BLOCK], sums: &mut [[[u32; PIXELS]; BLOCK]; BLOCK]) {
    for (totals, sums) in totals.iter_mut().zip(sums.iter()) {
        for (total, sums) in totals.iter_mut().zip(sums) {
            *total += sums.iter().copied().map(u64::from).sum::<u64>();
        }
    }
    *sums = [[[0; PIXELS]; BLOCK]; BLOCK];
}

/// Σv and Σv² of every channel from `first_block` on; `sums` holds as many channels as it has entries.
#[inline(always)]
pub(crate) fn channel_sums(input: Rows<'_>, first_block: usize, sums: &mut [[u64; 2]]) {
    if input.layout.element != Element::Code {
        return kernels::channel_sums(input, sums);
    }
    for (index, entries) in sums.chunks_mut(BLOCK).enumerate() {
        let totals = block_sums(&input, first_block + index);
        entries.copy_from_slice(&totals[..entries.len()]);
    }
}

/// Blocks whose rows of the lower triangle, from that of block `first` on, fill `entries`.
pub(crate) fn gram_blocks(channels: usize, first: usize, entries: usize) -> usize {
    let start = |block: usize| {
        let channel = (block * BLOCK).min(channels);
        channel * (channel + 1) / 2
    };
    (first + 1..)
        .find(|&end| start(end) - start(first) >= entries || end * BLOCK >= channels)
        .map_or(0, |end| end - first)
}

/// Rows of the lower triangle from that of channel `4·first` on, as many as `gram` has entries for; needs no
/// sums.
#[inline(always)]
pub(crate) fn gram(input: Rows<'_>, _: &[[u64; 2]], first: usize, gram: &mut [u64]) {
    let start = |i: usize| i * (i + 1) / 2;
    for block in first..first + gram_blocks(input.layout.channels, first, gram.len()) {
        for other in 0..=block {
            let products = block_products(&input, block, other);
            for (i, row) in products.iter().enumerate() {
                for (j, product) in row.iter().enumerate() {
                    let (i, j) = (block * BLOCK + i, other * BLOCK + j);
                    let entry = gram.get_mut(start(i) - start(first * BLOCK) + j);
                    if let (true, Some(entry)) = (j <= i && i < input.layout.channels, entry) {
                        *entry = *product;
                    }
                }
            }
        }
    }
}
