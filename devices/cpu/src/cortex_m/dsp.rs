//! The dsp tier: two pixels by two output channels at a time, four products of 16 bits per pair of
//! instructions.
//!
//! The taps of two neighbouring pixels are gathered once, widened to halves, and then meet the weights of
//! every output channel. A product of a code and a weight fits 16 by 16 bits, and a sum of a plan's
//! products fits 32, so every sum is exact.

use super::blocks;
use super::dense::{self, Dense, Places, Taps, Target, code};
use super::dual::{Dual, Group, Pixels};
use crate::loops::{elementwise, resample};
use crate::statistics;
use crate::table::Table;
use candor_core::arithmetic::{Multiplier, Range};
use candor_core::ops::order::{GROUP, OUTPUT_BLOCK, Order};
use candor_core::ops::{average_pool, depthwise};
use candor_core::tensor::{BLOCK, Element};
use core::marker::PhantomData;

#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::dual::Instructions as Own;
#[cfg(all(test, not(all(target_arch = "arm", feature = "dsp"))))]
use super::dual::Model as Own;

/// The loops of this tier.
pub(crate) static TABLE: Table = Table {
    convolution: dense::convolution::<Pairs<Own>>,
    transposed: dense::transposed::<Pairs<Own>>,
    depthwise: depthwise::reference,
    average_pool: average_pool::reference,
    max_pool: blocks::max_pool::<Own>,
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

/// Words gathered at a time; a multiple of every chunk's width.
const SEGMENT: usize = 48;

/// Pairs of pixels by pairs of output channels.
struct Pairs<D>(PhantomData<D>);

/// Sums of one output channel for two pixels.
type Sums = [i32; 2];

impl<D: Dual> Dense for Pairs<D> {
    fn row(taps: &Taps<'_>, target: &mut Target<'_>) {
        let places = Places::new(taps, target.count);
        let mut codes = [[0; 4]; SEGMENT];
        for first in (0..target.count).step_by(2) {
            // The last pixel of an odd row is computed twice.
            let second = (first + 1).min(target.count - 1);
            pixels::<D>(taps, places.as_ref(), target, [first, second], &mut codes);
        }
    }
}

/// All output channels of two pixels.
#[inline(always)]
fn pixels<D: Dual>(
    taps: &Taps<'_>,
    places: Option<&Places>,
    target: &mut Target<'_>,
    pixels: [usize; 2],
    codes: &mut [Pixels; SEGMENT],
) {
    let (words, outputs) = (taps.order.words(), taps.multipliers.len());
    let step = SEGMENT / taps.order.width * taps.order.width;
    let mut held = None;
    for group in (0..target.layout.channels).step_by(GROUP) {
        let channels = (target.layout.channels - group).min(GROUP);
        let rows = Order::rows(outputs, group);
        let mut sums = [[0; 2]; GROUP];
        for (sums, &bias) in sums.iter_mut().zip(&taps.bias[group..group + rows]) {
            *sums = [bias; 2];
        }
        let weights = &taps.weights[group * taps.order.weights()..][..rows * taps.order.weights()];
        for start in (0..words).step_by(step) {
            let end = (start + step).min(words);
            if held != Some(start) {
                let codes = &mut codes[..end - start];
                match places {
                    Some(places) => places.gather(taps, pixels, start, codes, |codes, words| {
                        let [a, b] = words.map(D::codes);
                        *codes = [a[0], a[1], b[0], b[1]];
                    }),
                    None => gather::<D>(taps, pixels, start, end, codes),
                }
                held = Some(start);
            }
            // A word beyond the last has no weight, so whatever codes stand there do.
            let group = Group {
                row: taps.order.width * BLOCK,
                chunk: rows * taps.order.width * BLOCK,
                words: (end - start).next_multiple_of(2),
                pairs: channels.div_ceil(2),
            };
            D::multiply(codes, &weights[rows * start * BLOCK..], &group, &mut sums);
        }
        finish(taps, target, pixels, group, &sums);
    }
}

/// Widens the taps of two pixels that words `start..end` meet.
#[inline(always)]
fn gather<D: Dual>(taps: &Taps<'_>, pixels: [usize; 2], start: usize, end: usize, codes: &mut [Pixels]) {
    let mut rest = codes;
    let shift = taps.stride() * (pixels[1] - pixels[0]);
    taps.runs(start, end, |run| {
        let (own, after) = core::mem::take(&mut rest).split_at_mut(run.count);
        rest = after;
        let column = run.column + taps.stride() * pixels[0];
        if shift == 1 && run.tap_step == 1 {
            // Neighbours share all taps but one.
            let line = &run.line[column..][..run.count + 1];
            let [mut even, mut odd] = D::codes(u32::from_le_bytes(line[0]));
            for (codes, &next) in own.iter_mut().zip(&line[1..]) {
                let [next_even, next_odd] = D::codes(u32::from_le_bytes(next));
                *codes = [even, odd, next_even, next_odd];
                (even, odd) = (next_even, next_odd);
            }
            return;
        }
        for (index, codes) in own.iter_mut().enumerate() {
            let column = column + index * run.tap_step;
            let [a, b] = [0, shift].map(|shift| D::codes(u32::from_le_bytes(run.line[column + shift])));
            *codes = [a[0], a[1], b[0], b[1]];
        }
    });
}

/// Stores the sums of up to sixteen output channels of two pixels, as they are or requantized.
#[inline(always)]
fn finish(taps: &Taps<'_>, target: &mut Target<'_>, pixels: [usize; 2], group: usize, sums: &[Sums; GROUP]) {
    let layout = target.layout;
    let columns = pixels.map(|pixel| target.column(pixel));
    let channels = (layout.channels - group).min(GROUP).next_multiple_of(BLOCK);
    let multipliers = &taps.multipliers[group..];
    let blocks = sums[..channels].as_chunks::<BLOCK>().0.iter().zip(multipliers.as_chunks::<BLOCK>().0);
    for (index, (sums, multipliers)) in blocks.enumerate() {
        let block = group / BLOCK + index;
        for (pixel, column) in columns.into_iter().enumerate() {
            let place = &mut target.row[layout.offset_in_row(block, column)..];
            match layout.element {
                Element::Code => {
                    let codes = requantize([0, 1, 2, 3].map(|c| sums[c][pixel]), multipliers, taps.range);
                    place[..BLOCK].copy_from_slice(&codes);
                }
                Element::Accumulator => {
                    for (place, sums) in place[..4 * BLOCK].as_chunks_mut::<4>().0.iter_mut().zip(sums) {
                        *place = sums[pixel].to_le_bytes();
                    }
                }
            }
        }
    }
    debug_assert!(multipliers.len().is_multiple_of(OUTPUT_BLOCK));
}

/// Codes of four channels; the whole range of codes is clamped by one instruction.
#[inline(always)]
fn requantize(sums: [i32; BLOCK], multipliers: &[Multiplier; BLOCK], range: Range) -> [u8; BLOCK] {
    if range.low == 0 && range.high == 255 {
        [0, 1, 2, 3].map(|c| code(sums[c], multipliers[c], Range { low: 0, high: 255, ..range }))
    } else {
        [0, 1, 2, 3].map(|c| code(sums[c], multipliers[c], range))
    }
}
