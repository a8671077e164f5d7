//! The vector operations a tier supplies; every loop over pixels in this crate is written once over them.

use crate::loops::dense::{Dense, Outputs};
use crate::loops::walk::Site;
use candor_core::arithmetic::{Multiplier, Range};
use candor_core::tensor::BLOCK;

/// Most pixels any tier holds in one register.
pub(crate) const MAX_LANES: usize = 16;

/// Bytes of one pixel of a channel block.
pub(crate) const PIXEL: usize = BLOCK;

/// The requantize step of four neighbouring output channels.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    target_arch = "aarch64",
    expect(dead_code, reason = "the clamp comes before the conversion there")
)]
pub(crate) struct OutputStep {
    /// Factor of each channel.
    pub multipliers: [f32; BLOCK],
    /// Least value before the zero point is added.
    pub low: f32,
    /// Greatest value before the zero point is added.
    pub high: f32,
    /// Code of real zero in all four bytes.
    pub zero_points: i32,
    /// Whether no product of a sum and its multiplier can reach 2^31, so that the zero point may be added and
    /// the clamp applied by saturating integer arithmetic after the conversion.
    pub bounded: bool,
    /// Whether the zero point is 0 and the range that of a code.
    pub plain: bool,
    /// Code of real zero in both 16-bit halves.
    pub zero_words: i32,
    /// Least code in all four bytes.
    pub low_codes: i32,
    /// Greatest code in all four bytes.
    pub high_codes: i32,
}

impl OutputStep {
    /// The step of four channels that share `range`.
    pub fn new(multipliers: [Multiplier; BLOCK], range: Range) -> Self {
        Self {
            multipliers: multipliers.map(Multiplier::get),
            low: range.low.wrapping_sub(range.zero_point) as f32,
            high: range.high.wrapping_sub(range.zero_point) as f32,
            zero_points: range.zero_point.wrapping_mul(0x0101_0101),
            // A sum is at most 2^31, so its product with a factor below one is at most 2^31 − 2^7.
            bounded: multipliers.iter().all(|m| m.get().abs() < 1.0),
            plain: range == Range { zero_point: 0, low: 0, high: 255 },
            zero_words: range.zero_point.wrapping_mul(0x0001_0001),
            low_codes: range.low.wrapping_mul(0x0101_0101),
            high_codes: range.high.wrapping_mul(0x0101_0101),
        }
    }
}

/// One register of pixels, each of four codes, and the arithmetic on it.
///
/// # Safety
/// Every method may be called only where the CPU has the tier's instructions, and only from inlined code of
/// a function compiled with them. Pointers need no alignment; each method states the bytes it touches.
pub(crate) trait Vector: Copy {
    /// Pixels per register.
    const LANES: usize;
    /// Vector registers of the architecture; decides how many accumulators a tile keeps.
    const REGISTERS: usize;
    /// Whether codes are centred to signed before the product, so that sums need `128·Σw` added.
    const CENTRED: bool;
    /// Registers of pixels per tile of eight (of 32 registers) or four (of 16) output channels.
    const SITES: usize;
    /// Bytes that four weights occupy where [`Vector::weights`] reads them: 4 as stored, or 8 when widened.
    const WEIGHT_BYTES: usize;

    /// `LANES` pixels as stored.
    type Pixels: Copy;
    /// `LANES` pixels ready for products.
    type Codes: Copy;
    /// Four weights, one for each channel of a pixel, in every lane.
    type Weights: Copy;
    /// One running i32 sum per pixel.
    type Sums: Copy;
    /// The same arithmetic on weights as stored.
    type Direct: Vector;

    /// [`crate::loops::dense::tile`] in a function of its own, compiled with the tier's instructions:
    /// inlined into the loops around it, its constants would be kept in registers and its sums in
    /// memory.
    unsafe fn dense_tile<const O: usize, const N: usize, const READING: u8, const CODES: bool>(
        pass: &Dense<'_>,
        sites: &[Site; N],
        outputs: &Outputs<'_>,
    );
    /// Reads `LANES` pixels.
    unsafe fn load(source: *const u8) -> Self::Pixels;
    /// Reads the first `count` ≤ `LANES` pixels and nothing beyond; the rest are zero.
    unsafe fn load_first(source: *const u8, count: usize) -> Self::Pixels;
    /// Reads pixels 0, 2, 4 …; touches `2·LANES − 1` pixels.
    unsafe fn load_even(source: *const u8) -> Self::Pixels;
    /// Writes `LANES` pixels.
    unsafe fn store(target: *mut u8, pixels: Self::Pixels);
    /// Writes the first `count` ≤ `LANES` pixels and nothing beyond.
    unsafe fn store_first(target: *mut u8, pixels: Self::Pixels, count: usize);
    /// Writes the first `count` ≤ `LANES` pixels to pixels 0, 2, 4 … and leaves those between alone.
    unsafe fn store_even(target: *mut u8, pixels: Self::Pixels, count: usize);
    /// The greater code of each pair.
    unsafe fn greater(a: Self::Pixels, b: Self::Pixels) -> Self::Pixels;

    /// Prepares pixels for products.
    unsafe fn codes(pixels: Self::Pixels) -> Self::Codes;
    /// Widens four weights as stored to `WEIGHT_BYTES` at `target`.
    unsafe fn widen_weights(source: *const i8, target: *mut i8);
    /// Reads `WEIGHT_BYTES` at `source` into every lane; widened weights are aligned to them.
    unsafe fn weights(source: *const i8) -> Self::Weights;
    /// The same four weights, given as a little-endian word, in every lane.
    unsafe fn weights_of(word: i32) -> Self::Weights;
    /// Sums that begin at `bias`.
    unsafe fn start(bias: i32) -> Self::Sums;
    /// Adds the product of each pixel with the weights, exactly.
    unsafe fn dot(sums: Self::Sums, codes: Self::Codes, weights: Self::Weights) -> Self::Sums;
    /// Writes the finished sums to the first `LANES` entries.
    unsafe fn integers(sums: Self::Sums, target: &mut [i32; MAX_LANES]);
    /// Requantizes four channels and packs them into pixels.
    unsafe fn requantize(sums: [Self::Sums; BLOCK], step: &OutputStep) -> Self::Pixels;
}

/// How a tile reads its pixels.
pub(crate) mod reading {
    /// Neighbouring pixels, whole registers.
    pub(crate) const FULL: u8 = 0;
    /// Neighbouring pixels, only those the output needs.
    pub(crate) const PARTIAL: u8 = 1;
    /// Every other pixel, whole registers.
    pub(crate) const EVEN: u8 = 2;
    /// Any stride, any count.
    pub(crate) const STRIDED: u8 = 3;
}

/// Reads `count` pixels that lie `stride` pixels apart, as `READING` says.
///
/// # Safety
/// As [`Vector`]; pixels `0, stride … (count − 1)·stride` of `source` are readable, and for `FULL` and
/// `EVEN` all up to the last lane's. `EVEN` is stride 2, `FULL` and `PARTIAL` stride 1.
#[inline(always)]
pub(crate) unsafe fn read<V: Vector, const READING: u8>(
    source: *const u8,
    stride: usize,
    count: usize,
) -> V::Pixels {
    // SAFETY: the caller's contract; the array holds MAX_LANES ≥ LANES pixels.
    unsafe {
        match READING {
            reading::FULL => V::load(source),
            reading::PARTIAL => V::load_first(source, count),
            reading::EVEN => V::load_even(source),
            _ => {
                let mut pixels = [0u32; MAX_LANES];
                for (lane, pixel) in pixels.iter_mut().enumerate().take(count) {
                    *pixel = source.add(lane * stride * PIXEL).cast::<u32>().read_unaligned();
                }
                V::load(pixels.as_ptr().cast())
            }
        }
    }
}

/// Writes `count` pixels `stride` pixels apart.
///
/// # Safety
/// As [`Vector`]; pixels `0, stride … (count − 1)·stride` of `target` are writable.
#[inline(always)]
pub(crate) unsafe fn write<V: Vector>(target: *mut u8, pixels: V::Pixels, stride: usize, count: usize) {
    // SAFETY: forwarded; the bounce buffer holds MAX_LANES ≥ LANES pixels.
    unsafe {
        match stride {
            1 if count == V::LANES => V::store(target, pixels),
            1 => V::store_first(target, pixels, count),
            2 => V::store_even(target, pixels, count),
            _ => {
                let mut lanes = [0u32; MAX_LANES];
                V::store(lanes.as_mut_ptr().cast(), pixels);
                for (lane, pixel) in lanes.iter().enumerate().take(count) {
                    target.add(lane * stride * PIXEL).cast::<u32>().write_unaligned(*pixel);
                }
            }
        }
    }
}
