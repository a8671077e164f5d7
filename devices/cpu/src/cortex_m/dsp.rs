//! The dsp tier: four pixels at a time, two products of 16 bits per instruction.
//!
//! The taps of four neighbouring pixels are gathered once, widened to halves, and then meet the weights of
//! every output channel. A product of a code and a weight fits 16 by 16 bits, and a sum of a plan's
//! products fits 32, so every sum is exact.

use super::blocks;
use super::dense::{self, Dense, Group, Places, SEGMENT, Segment, Sums, Taps, Tile};
use super::dual::{Dual, Pixels};
use crate::loops::{elementwise, resample};
use crate::statistics;
use crate::table::Table;
use candor_core::arithmetic::Multiplier;
use candor_core::ops::{average_pool, depthwise};
use candor_core::tensor::BLOCK;
use core::marker::PhantomData;
use core::mem::{self, MaybeUninit};

#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::dual::Instructions as Own;
#[cfg(all(test, not(all(target_arch = "arm", feature = "dsp"))))]
use super::dual::Model as Own;

/// The loops of this tier.
pub(crate) static TABLE: Table = Table {
    convolution: dense::convolution::<Quads<Own>, PIXELS>,
    transposed: dense::transposed::<Quads<Own>, PIXELS>,
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
    gram: blocks::gram,
    roof: |_| 0,
};

/// Quads of pixels.
struct Quads<D>(PhantomData<D>);

/// Pixels of a quad.
const PIXELS: usize = 4;

impl<D: Dual> Dense<PIXELS> for Quads<D> {
    type Gathered = [MaybeUninit<Pixels>; SEGMENT];
    const NONE: Self::Gathered = [const { MaybeUninit::uninit() }; SEGMENT];

    #[inline(always)]
    fn start(bias: i32, _: i32) -> i32 {
        bias
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
            Some(places) if places.neighbours == 3 && taps.stride() == 1 && tile.count == PIXELS => {
                let runs = places.runs(segment.index);
                let gathered = gathered.as_chunks_mut::<3>().0;
                // SAFETY: the places of a row were found to be stored for its last output too.
                unsafe { D::neighbours(taps.stored(tile.first), runs, gathered) };
            }
            _ => scattered::<D>(taps, places, tile, segment, gathered),
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
        // SAFETY: the caller's promise.
        unsafe { D::multiply(gathered, weights, words, group, starts, sums) };
    }

    #[inline(always)]
    unsafe fn requantize(sums: &Sums<PIXELS>, multipliers: &[Multiplier], group: &Group, row: &mut [u8]) {
        if group.low == 0 && group.high == 255 {
            // SAFETY: the caller's promise.
            unsafe { D::requantize(sums, multipliers, group, row) };
        } else {
            dense::requantize(sums, multipliers, group, row, PIXELS);
        }
    }
}

/// Gathers the taps of runs of any kind.
#[inline(never)]
fn scattered<D: Dual>(
    taps: &Taps<'_>,
    places: Option<&Places>,
    tile: Tile,
    segment: Segment,
    gathered: &mut [MaybeUninit<Pixels>; SEGMENT],
) {
    let columns = [0, 1, 2, 3].map(|pixel| taps.stride() * tile.pixel(pixel));
    let widen = |words: [[u8; BLOCK]; PIXELS]| {
        let [[a, b], [c, d], [e, f], [g, h]] = words.map(|word| D::codes(u32::from_le_bytes(word)));
        MaybeUninit::new([a, b, c, d, e, f, g, h])
    };
    let Some(places) = places else {
        let mut rest = &mut gathered[..segment.words];
        return taps.runs(segment.start(), segment.words, |run| {
            let (own, after) = mem::take(&mut rest).split_at_mut(run.count);
            rest = after;
            for (index, pixels) in own.iter_mut().enumerate() {
                let column = run.column + index * run.tap_step;
                *pixels = widen(columns.map(|shift| run.line[column + shift]));
            }
        });
    };
    for (gathered, &run) in gathered.chunks_exact_mut(places.taps).zip(places.runs(segment.index)) {
        for (index, pixels) in gathered.iter_mut().enumerate() {
            let place = usize::from(run) + index * places.tap_step;
            // SAFETY: the places of a row were found to be stored for its last output too.
            *pixels = widen(columns.map(|column| unsafe { *taps.stored(place + column) }));
        }
    }
}
