//! Windows over each channel by itself, several taps to a product.
//!
//! A dot product adds four neighbouring bytes, and neighbouring bytes are channels of one pixel. A byte
//! shuffle within every four pixels therefore gathers three neighbouring taps of each channel (the fourth
//! byte has weight zero), which makes sums of four channels of every fourth pixel.

use crate::loops::vector::{OutputStep, PIXEL, Vector, write};
use crate::loops::walk::Site;
use crate::loops::window::{self, Taps};
use candor_core::tensor::BLOCK;

/// Neighbouring taps of one product.
const REACH: usize = 3;
/// Most products of one sum.
const LIMIT: usize = 32;
/// Bytes of four pixels.
const QUARTET: usize = PIXEL * BLOCK;
/// A shuffle index that gives zero.
const NONE: u8 = 0x80;

/// A byte shuffle within four pixels.
pub(crate) type Shuffle = [u8; QUARTET];

/// For each channel, its bytes of the three pixels from `first` on.
const fn taps_from(first: u8) -> Shuffle {
    let mut shuffle = [NONE; QUARTET];
    let mut at = 0;
    while at < QUARTET {
        if at % BLOCK < REACH {
            shuffle[at] = (first + (at % BLOCK) as u8) * BLOCK as u8 + (at / BLOCK) as u8;
        }
        at += 1;
    }
    shuffle
}

/// Taps of the first of four pixels.
static FIRST: Shuffle = taps_from(0);
/// Taps of the second of four pixels.
static SECOND: Shuffle = taps_from(1);

/// Arithmetic on quartets: four pixels that lie together in a register.
///
/// # Safety
/// As [`Vector`].
pub(crate) trait Quartets: Vector {
    /// The bytes of every quartet that `shuffle` names.
    unsafe fn shuffle(pixels: Self::Pixels, shuffle: &Shuffle) -> Self::Pixels;
    /// Sixteen weights for every quartet.
    unsafe fn weights_of_quartet(weights: &[i8; QUARTET]) -> Self::Weights;
    /// Sums of every quartet that begin at `bias`.
    unsafe fn start_quartet(bias: &[i32; BLOCK]) -> Self::Sums;
    /// Requantizes sums of the first, second, third and fourth pixel of every quartet, each of four channels.
    unsafe fn requantize_quartets(sums: [Self::Sums; BLOCK], step: &OutputStep) -> Self::Pixels;
    /// The greater codes of pixels 0 and 1, 2 and 3 … of two registers.
    unsafe fn greater_of_pairs(low: Self::Pixels, high: Self::Pixels) -> Self::Pixels;
    /// The first halves of all quartets, then their second halves.
    unsafe fn halves(pixels: Self::Pixels) -> Self::Pixels;
}

/// The products of one channel block.
pub(crate) struct Products {
    weights: [[i8; QUARTET]; LIMIT],
    /// Products per row of taps.
    columns: usize,
    /// Greatest address from which every load of a tile stays inside the input.
    until: usize,
}

impl Products {
    /// The products for `taps` where their columns are neighbours and strides and extents are small.
    pub fn new<V: Quartets>(taps: &Taps<'_>) -> Option<Self> {
        let [height, width] = taps.taps;
        let columns = width.div_ceil(REACH);
        let stride = taps.plane.source_stride;
        if taps.steps[1] != PIXEL || !(1..=2).contains(&stride) || height * columns > LIMIT || height == 0 {
            return None;
        }
        let mut weights = [[0; QUARTET]; LIMIT];
        for (row, products) in weights.chunks_mut(columns).take(height).enumerate() {
            for tap in 0..width {
                let from = &taps.weights[(row * width + tap) * taps.weight_step..][..BLOCK];
                for (channel, weight) in from.iter().enumerate() {
                    products[tap / REACH][channel * BLOCK + tap % REACH] = *weight;
                }
            }
        }
        // The last load begins two pixels, and with stride 2 a register, after the last product's first tap.
        let pixels = (columns - 1) * REACH + 2 + V::LANES * stride;
        let until = taps.end.saturating_sub((height - 1) * taps.steps[0] + pixels * PIXEL);
        Some(Self { weights, columns, until })
    }
}

/// All pixels of a block, row by row.
///
/// # Safety
/// As [`Vector`]; `products` belong to `taps`, all of whose taps and pixels are stored.
#[inline(always)]
pub(crate) unsafe fn run<V: Quartets>(taps: &Taps<'_>, products: &Products) {
    // SAFETY: the caller's contract; zero rows stand for any number.
    unsafe {
        match (taps.plane.source_stride, taps.taps[0], products.columns) {
            (1, 3, 1) => rows::<V, 1, 3, 1>(taps, products),
            (1, 5, 2) => rows::<V, 1, 5, 2>(taps, products),
            (1, ..) => rows::<V, 1, 0, 0>(taps, products),
            (_, 3, 1) => rows::<V, 2, 3, 1>(taps, products),
            (_, 5, 2) => rows::<V, 2, 5, 2>(taps, products),
            _ => rows::<V, 2, 0, 0>(taps, products),
        }
    }
}

/// As [`run`], for products `ROWS` by `COLUMNS`.
#[inline(always)]
unsafe fn rows<V: Quartets, const STRIDE: usize, const ROWS: usize, const COLUMNS: usize>(
    taps: &Taps<'_>,
    products: &Products,
) {
    let plane = &taps.plane;
    let step = V::LANES * STRIDE * PIXEL;
    for row in 0..plane.rows {
        let mut source = plane.source.wrapping_add(row * plane.source_row);
        let mut target = plane.target.wrapping_add(row * plane.target_row);
        // Registers that may be read, whole ones among them.
        let readable = products.until.checked_sub(source.addr()).map_or(0, |room| room / step + 1);
        let whole = readable.min(plane.columns / V::LANES);
        // SAFETY: the caller's contract; a register past `readable` is read pixel by pixel.
        unsafe {
            for _ in 0..whole {
                V::store(target, tile::<V, STRIDE, ROWS, COLUMNS>(taps, products, source));
                (source, target) = (source.add(step), target.add(V::LANES * PIXEL));
            }
            let mut column = whole * V::LANES;
            while column < plane.columns {
                let count = V::LANES.min(plane.columns - column);
                if column / V::LANES < readable {
                    let pixels = tile::<V, STRIDE, ROWS, COLUMNS>(taps, products, source);
                    write::<V>(target, pixels, 1, count);
                } else {
                    window::weighted_sites::<V, 1>(taps, &[Site { source, target, count }], false);
                }
                (source, target) = (source.wrapping_add(step), target.wrapping_add(V::LANES * PIXEL));
                column += count;
            }
        }
    }
}

/// One register of outputs.
///
/// # Safety
/// As [`run`]; a register may be read here.
#[inline(always)]
unsafe fn tile<V: Quartets, const STRIDE: usize, const ROWS: usize, const COLUMNS: usize>(
    taps: &Taps<'_>,
    products: &Products,
    source: *const u8,
) -> V::Pixels {
    let [rows, columns] = if ROWS == 0 { [taps.taps[0], products.columns] } else { [ROWS, COLUMNS] };
    // SAFETY: the caller's contract; there are `rows` times `columns` products.
    unsafe {
        let mut sums = [V::start_quartet(&taps.bias); BLOCK];
        for row in 0..rows {
            let mut source = source.add(row * taps.steps[0]);
            for column in 0..columns {
                let weights = V::weights_of_quartet(products.weights.get_unchecked(row * columns + column));
                let pixels = if STRIDE == 1 { neighbours::<V>(source) } else { alternate::<V>(source) };
                for n in 0..BLOCK {
                    sums[n] = V::dot(sums[n], V::codes(pixels[n]), weights);
                }
                source = source.wrapping_add(REACH * PIXEL);
            }
        }
        let pixels = V::requantize_quartets(sums, &taps.step);
        if STRIDE == 1 { pixels } else { V::halves(pixels) }
    }
}

/// Taps of every first, second, third and fourth pixel.
#[inline(always)]
unsafe fn neighbours<V: Quartets>(source: *const u8) -> [V::Pixels; BLOCK] {
    // SAFETY: the caller's contract.
    unsafe {
        let (near, far) = (V::load(source), V::load(source.add(2 * PIXEL)));
        [
            V::shuffle(near, &FIRST),
            V::shuffle(near, &SECOND),
            V::shuffle(far, &FIRST),
            V::shuffle(far, &SECOND),
        ]
    }
}

/// Taps of outputs two pixels apart: every other output of the first half of a register, those between, and
/// the same of the second half.
#[inline(always)]
unsafe fn alternate<V: Quartets>(source: *const u8) -> [V::Pixels; BLOCK] {
    // SAFETY: the caller's contract.
    unsafe {
        let second = source.add(V::LANES * PIXEL);
        [
            V::shuffle(V::load(source), &FIRST),
            V::shuffle(V::load(source.add(2 * PIXEL)), &FIRST),
            V::shuffle(V::load(second), &FIRST),
            V::shuffle(V::load(second.add(2 * PIXEL)), &FIRST),
        ]
    }
}
