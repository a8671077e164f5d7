//! The helium tier: two pixels at a time, sixteen products per instruction.
//!
//! Sums of products of signed bytes are one instruction on an M55, so codes are centred by flipping their top
//! bit while they are gathered, and sums begin with `128·Σw` more.

use super::blocks::{self, Greater};
use super::dense::{self, Dense, Group, Places, SEGMENT, Segment, Sums, Taps, Tile};
#[cfg(all(target_arch = "arm", feature = "helium"))]
use super::vectors;
use crate::loops::{elementwise, resample};
use crate::statistics;
use crate::table::Table;
use candor_core::arithmetic::Multiplier;
use candor_core::ops::{average_pool, depthwise};
use candor_core::tensor::BLOCK;
use core::mem::MaybeUninit;

/// The loops of this tier.
pub(crate) static TABLE: Table = Table {
    convolution: dense::convolution::<Bytes, PIXELS>,
    transposed: dense::transposed::<Bytes, PIXELS>,
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
    gram: blocks::gram,
    roof: |_| 0,
};

/// Flips the top bits of four codes.
const CENTRE: u32 = 0x8080_8080;

/// Pixels of a tile.
pub(super) const PIXELS: usize = 2;

/// Most taps of a run that a vector holds.
const TAPS: usize = 4;

/// Pairs of pixels.
struct Bytes;

/// Gathered codes of one pixel, centred; the words after the segment's take what whole vectors write beyond.
pub(super) type Words = [MaybeUninit<u32>; SEGMENT + TAPS];

impl Dense<PIXELS> for Bytes {
    type Gathered = [Words; PIXELS];
    const NONE: Self::Gathered = [[MaybeUninit::uninit(); SEGMENT + TAPS]; PIXELS];

    #[inline(always)]
    fn start(bias: i32, weight_sum: i32) -> i32 {
        bias + 128 * weight_sum
    }

    #[inline(always)]
    fn gather(
        taps: &Taps<'_>,
        places: Option<&Places>,
        tile: Tile,
        segment: Segment,
        gathered: &mut Self::Gathered,
    ) {
        match places {
            Some(places) if (1..=TAPS).contains(&places.neighbours) => {
                let lines = [0, 1].map(|pixel| taps.stored(taps.stride() * tile.pixel(pixel)));
                // SAFETY: the places of a row were found to be stored for its last output too.
                unsafe { neighbours(&lines, places.runs(segment.index), places.neighbours, gathered) };
            }
            _ => scattered(taps, places, tile, segment, gathered),
        }
    }

    #[inline(always)]
    unsafe fn multiply(
        gathered: &Self::Gathered,
        weights: &[i8],
        words: usize,
        group: &Group,
        starts: Option<&Sums<PIXELS>>,
        sums: &mut Sums<PIXELS>,
    ) {
        #[cfg(not(all(target_arch = "arm", feature = "helium")))]
        products(gathered, weights, words, group, starts, sums);
        #[cfg(all(target_arch = "arm", feature = "helium"))]
        // SAFETY: the caller's promise keeps every word, row and sum within its slice; a vector reaches at
        // most four words beyond a segment, which are there.
        unsafe {
            let sums = sums.as_mut_ptr();
            let starts = starts.map_or(sums.cast_const(), |starts| starts.as_ptr());
            vectors::multiply(gathered, weights.as_ptr(), sums, group, words, starts);
        }
    }

    #[inline(always)]
    unsafe fn requantize(sums: &Sums<PIXELS>, multipliers: &[Multiplier], group: &Group, row: &mut [u8]) {
        #[cfg(not(all(target_arch = "arm", feature = "helium")))]
        dense::requantize(sums, multipliers, group, row, PIXELS);
        #[cfg(all(target_arch = "arm", feature = "helium"))]
        // SAFETY: the caller's promise keeps every sum, multiplier and code within its slice.
        unsafe {
            vectors::requantize(sums.as_ptr(), multipliers.as_ptr(), row.as_mut_ptr(), group);
        }
    }
}

/// Gathers the taps of runs of any kind.
#[inline(never)]
fn scattered(
    taps: &Taps<'_>,
    places: Option<&Places>,
    tile: Tile,
    segment: Segment,
    gathered: &mut [Words; PIXELS],
) {
    for (pixel, gathered) in gathered.iter_mut().enumerate() {
        let column = taps.stride() * tile.pixel(pixel);
        let Some(places) = places else {
            let mut rest = &mut gathered[..segment.words];
            taps.runs(segment.start(), segment.words, |run| {
                let (own, after) = core::mem::take(&mut rest).split_at_mut(run.count);
                rest = after;
                let line = run.line[run.column + column..].iter().step_by(run.tap_step);
                for (word, stored) in own.iter_mut().zip(line) {
                    word.write(u32::from_le_bytes(*stored) ^ CENTRE);
                }
            });
            continue;
        };
        for (own, &run) in gathered.chunks_exact_mut(places.taps).zip(places.runs(segment.index)) {
            for (index, word) in own.iter_mut().enumerate() {
                let place = usize::from(run) + column + index * places.tap_step;
                // SAFETY: the places of a row were found to be stored for its last output too.
                word.write(u32::from_le_bytes(unsafe { *taps.stored(place) }) ^ CENTRE);
            }
        }
    }
}

/// Gathers runs of one to four neighbouring taps, which lie at `runs` from each pixel's line on.
///
/// # Safety
/// They are stored.
#[cfg(not(all(target_arch = "arm", feature = "helium")))]
unsafe fn neighbours(
    lines: &[*const [u8; BLOCK]; PIXELS],
    runs: &[u16],
    taps: usize,
    gathered: &mut [Words; PIXELS],
) {
    for (line, gathered) in lines.iter().zip(gathered) {
        for (words, &run) in gathered.chunks_exact_mut(taps).zip(runs) {
            for (index, word) in words.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let stored = unsafe { *line.wrapping_add(usize::from(run) + index) };
                word.write(u32::from_le_bytes(stored) ^ CENTRE);
            }
        }
    }
}

/// The same by vectors.
///
/// # Safety
/// They are stored.
#[cfg(all(target_arch = "arm", feature = "helium"))]
#[inline(always)]
unsafe fn neighbours(
    lines: &[*const [u8; BLOCK]; PIXELS],
    runs: &[u16],
    taps: usize,
    gathered: &mut [Words; PIXELS],
) {
    if !runs.is_empty() {
        // SAFETY: the caller's promise; runs of a segment and four words more fit.
        unsafe { vectors::neighbours(lines, runs.as_ptr(), runs.len(), gathered, taps) }
    }
}

/// The specification of [`Dense::multiply`].
#[cfg(not(all(target_arch = "arm", feature = "helium")))]
fn products(
    gathered: &[Words; PIXELS],
    weights: &[i8],
    words: usize,
    group: &Group,
    starts: Option<&Sums<PIXELS>>,
    sums: &mut Sums<PIXELS>,
) {
    *sums = *starts.unwrap_or(sums);
    let (chunk, row) = (group.rows * group.width * BLOCK, group.width * BLOCK);
    for (pixel, gathered) in gathered.iter().enumerate() {
        for (words, weights) in gathered[..words].chunks(group.width).zip(weights.chunks(chunk)) {
            for (weights, sums) in weights.chunks(row).zip(&mut *sums).take(group.outputs) {
                for (codes, weights) in words.iter().zip(weights.as_chunks::<BLOCK>().0) {
                    // SAFETY: the caller's promise.
                    let codes = unsafe { codes.assume_init() };
                    for (code, &weight) in codes.to_le_bytes().iter().zip(weights) {
                        sums[pixel] += i32::from(*code as i8) * i32::from(weight);
                    }
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
