//! The helium tier: plain loops over bytes, which the compiler turns into vectors with predicated tails on
//! an M55.
//!
//! Sums of products of signed bytes are one instruction there, so codes are centred by flipping their top
//! bit while they are gathered, and sums begin with `128·Σw` more.

use super::blocks;
use super::dense::{self, Dense, Places, Taps, Target};
use super::dual::Greater;
use crate::loops::{elementwise, resample};
use crate::statistics;
use crate::table::Table;
use candor_core::arithmetic::{Multiplier, Range};
use candor_core::ops::order::{GROUP, Order};
use candor_core::ops::{average_pool, depthwise};
use candor_core::tensor::{BLOCK, Element};

/// The loops of this tier.
pub(crate) static TABLE: Table = Table {
    convolution: dense::convolution::<Bytes>,
    transposed: dense::transposed::<Bytes>,
    depthwise: depthwise::reference,
    average_pool: average_pool::reference,
    max_pool: blocks::max_pool::<Plain>,
    add: elementwise::add,
    multiply: elementwise::multiply,
    lookup: blocks::lookup,
    remap: resample::remap,
    resize_linear: resample::resize_linear,
    copy_channels: blocks::copy_channels,
    group_norm: elementwise::group_norm,
    channel_sums: statistics::channel_sums,
    gram: statistics::gram,
    roof: |_| 0,
};

/// Codes gathered at a time: four chunks of the widest rows.
const SEGMENT: usize = 4 * 16 * BLOCK;

/// Flips the top bits of four codes.
const CENTRE: u32 = 0x8080_8080;

/// Output channels whose weights meet one reading of the codes.
const TOGETHER: usize = 4;

/// One pixel by rows of weights.
struct Bytes;

impl Dense for Bytes {
    fn row(taps: &Taps<'_>, target: &mut Target<'_>) {
        let places = Places::new(taps, target.count);
        let mut codes = [0; SEGMENT];
        for index in 0..target.count {
            pixel(taps, places.as_ref(), target, index, &mut codes);
        }
    }
}

/// All output channels of one pixel.
#[inline(always)]
fn pixel(
    taps: &Taps<'_>,
    places: Option<&Places>,
    target: &mut Target<'_>,
    index: usize,
    codes: &mut [i8; SEGMENT],
) {
    let (words, outputs) = (taps.order.words(), taps.multipliers.len());
    let row = taps.order.width * BLOCK;
    let step = SEGMENT / row * taps.order.width;
    let mut held = None;
    for group in (0..target.layout.channels).step_by(GROUP) {
        let channels = (target.layout.channels - group).min(GROUP);
        let rows = Order::rows(outputs, group);
        let mut sums = [0; GROUP];
        let starts = taps.bias[group..group + rows].iter().zip(&taps.weight_sums[group..group + rows]);
        for (sum, (bias, weights)) in sums.iter_mut().zip(starts) {
            *sum = bias + 128 * weights;
        }
        let weights = &taps.weights[group * taps.order.weights()..][..rows * taps.order.weights()];
        for start in (0..words).step_by(step) {
            let end = (start + step).min(words);
            let chunks = (end - start).div_ceil(taps.order.width);
            if held != Some(start) {
                // Words beyond the last meet zero weights, so whatever codes stand there do.
                let words = &mut codes.as_chunks_mut::<BLOCK>().0[..end - start];
                match places {
                    Some(places) => places.gather(taps, [index], start, words, |codes, [word]| {
                        *codes = (word ^ CENTRE).to_le_bytes().map(|byte| byte as i8);
                    }),
                    None => gather(taps, index, start, end, codes),
                }
                held = Some(start);
            }
            let weights = &weights[rows * start * BLOCK..];
            let quads = sums.as_chunks_mut::<TOGETHER>().0.iter_mut().take(channels.div_ceil(TOGETHER));
            for (quad, sums) in quads.enumerate() {
                products(&codes[..chunks * row], &weights[quad * TOGETHER * row..], [row, rows * row], sums);
            }
        }
        finish(taps, target, index, group, &sums);
    }
}

/// Centres the taps of one pixel that words `start..end` meet.
#[inline(always)]
fn gather(taps: &Taps<'_>, index: usize, start: usize, end: usize, codes: &mut [i8; SEGMENT]) {
    let mut rest = codes.as_chunks_mut::<BLOCK>().0;
    taps.runs(start, end, |run| {
        let (own, after) = core::mem::take(&mut rest).split_at_mut(run.count);
        rest = after;
        let column = run.column + taps.stride() * index;
        let line = run.line[column..].iter().step_by(run.tap_step);
        for (codes, word) in own.iter_mut().zip(line) {
            *codes = (u32::from_le_bytes(*word) ^ CENTRE).to_le_bytes().map(|byte| byte as i8);
        }
    });
}

/// Adds the products of whole chunks of codes and the rows of four output channels to their sums; rows have
/// `row` bytes, and one chunk's lie `stride` after those of the chunk before.
#[inline(never)]
fn products(codes: &[i8], weights: &[i8], [row, stride]: [usize; 2], sums: &mut [i32; TOGETHER]) {
    let [mut sum_a, mut sum_b, mut sum_c, mut sum_d] = *sums;
    for (codes, weights) in codes.chunks(row).zip(weights.chunks(stride)) {
        let length = codes.len();
        let (a, rest) = weights.split_at(length);
        let (b, rest) = rest.split_at(length);
        let (c, rest) = rest.split_at(length);
        let d = &rest[..length];
        for index in 0..length {
            let code = i32::from(codes[index]);
            sum_a += code * i32::from(a[index]);
            sum_b += code * i32::from(b[index]);
            sum_c += code * i32::from(c[index]);
            sum_d += code * i32::from(d[index]);
        }
    }
    *sums = [sum_a, sum_b, sum_c, sum_d];
}

/// The requantize step of some channels.
#[inline(never)]
fn requantize(sums: &[i32], multipliers: &[Multiplier], range: Range, codes: &mut [u8]) {
    for ((code, &sum), &multiplier) in codes.iter_mut().zip(sums).zip(multipliers) {
        *code = dense::code(sum, multiplier, range);
    }
}

/// Stores the sums of up to sixteen output channels of one pixel, as they are or requantized.
#[inline(always)]
fn finish(taps: &Taps<'_>, target: &mut Target<'_>, index: usize, group: usize, sums: &[i32; GROUP]) {
    let (layout, column) = (target.layout, target.column(index));
    let channels = (layout.channels - group).min(GROUP).next_multiple_of(BLOCK);
    let mut codes = [0; GROUP];
    if layout.element == Element::Code {
        let multipliers = &taps.multipliers[group..];
        requantize(&sums[..channels], multipliers, taps.range, &mut codes);
    }
    for (index, (codes, sums)) in
        codes[..channels].as_chunks::<BLOCK>().0.iter().zip(sums.as_chunks::<BLOCK>().0).enumerate()
    {
        let place = &mut target.row[layout.offset_in_row(group / BLOCK + index, column)..];
        match layout.element {
            Element::Code => place[..BLOCK].copy_from_slice(codes),
            Element::Accumulator => {
                for (place, sum) in place[..4 * BLOCK].as_chunks_mut::<4>().0.iter_mut().zip(sums) {
                    *place = sum.to_le_bytes();
                }
            }
        }
    }
}

/// The greater of each pair of bytes, which becomes one instruction over sixteen.
struct Plain;

impl Greater for Plain {
    #[inline(always)]
    fn greater(a: u32, b: u32) -> u32 {
        let [a, b] = [a, b].map(u32::to_le_bytes);
        u32::from_le_bytes([0, 1, 2, 3].map(|byte: usize| a[byte].max(b[byte])))
    }
}
