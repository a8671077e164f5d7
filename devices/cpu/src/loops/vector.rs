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
    /// Code of real zero in both 16-bit halves.
    pub zero_words: i32,
    /// Least code in all four bytes.
    pub low_codes: i32,
    /// Greatest code in all four bytes.
    pub high_codes: i32,
    /// What must be done, one of [`kind`].
    pub kind: u8,
    /// 2^23 times the factor of each channel.
    pub rectified_zeros: [f32; BLOCK],
}

/// The bits of 2^23: with a sum from 0 to 2^23 added, those of 2^23 plus the sum.
pub(crate) const RECTIFIED_ZERO: i32 = 0x4b00_0000;

impl OutputStep {
    /// The step of four channels that share `range`.
    pub fn new(multipliers: [Multiplier; BLOCK], range: Range) -> Self {
        // A sum is at most 2^31, so its product with a factor below one is at most 2^31 − 2^7.
        let bounded = multipliers.iter().all(|m| m.get().abs() < 1.0);
        Self {
            multipliers: multipliers.map(Multiplier::get),
            low: range.low.wrapping_sub(range.zero_point) as f32,
            high: range.high.wrapping_sub(range.zero_point) as f32,
            zero_points: range.zero_point.wrapping_mul(0x0101_0101),
            bounded,
            kind: kind::of(bounded, range),
            zero_words: range.zero_point.wrapping_mul(0x0001_0001),
            low_codes: range.low.wrapping_mul(0x0101_0101),
            high_codes: range.high.wrapping_mul(0x0101_0101),
            rectified_zeros: multipliers.map(|m| m.get() * (1 << 23) as f32),
        }
    }

    /// Prepares the step for sums whose bits, after [`RECTIFIED_ZERO`], are read as floats x, so that
    /// (x − 2^23)·m is one fused operation; returns what the sums must begin at beside their `bias`: 0 where
    /// that would not give the same codes. Sums are of `products` products.
    ///
    /// For sums from 0 to 2^23 the difference is the sum and the product rounds once, as it should. Lesser
    /// sums give a product that is not positive, and greater ones a product that is too large: both meet the
    /// clamp as their true products do, if real zero is the least code and a sum of 2^23 exceeds the
    /// greatest.
    pub fn rectify(&mut self, bias: &[i32], products: usize) -> i32 {
        let products = products as u64 * 255 * 128;
        let greatest = bias.iter().map(|bias| u64::from(bias.unsigned_abs()) + products).max().unwrap_or(0);
        let exact = 1 << 23;
        let fits = |m: f32| {
            let last = f32::from_bits(RECTIFIED_ZERO as u32 + greatest as u32);
            m >= 0.0 && last * m < 2.0e9 && (greatest <= exact || m * exact as f32 >= 256.0)
        };
        let rectifies = self.kind == kind::PLAIN
            && greatest < 0x3400_0000
            && self.multipliers.iter().all(|&multiplier| fits(multiplier));
        if !rectifies {
            return 0;
        }
        self.kind = kind::RECTIFIED;
        RECTIFIED_ZERO
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
    /// Whether [`Vector::requantize_as`] does less where the kind of the step allows.
    const KINDS: bool = false;
    /// Whether those kinds include [`kind::RECTIFIED`].
    const RECTIFIES: bool = false;
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
    unsafe fn dense_tile<const O: usize, const N: usize, const READING: u8, const STORING: u8>(
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
    /// Writes the first `count` ≤ `LANES` pixels of both, one of `left`, one of `right`.
    #[inline(always)]
    unsafe fn store_pairs(target: *mut u8, left: Self::Pixels, right: Self::Pixels, count: usize) {
        // SAFETY: the caller's contract: every pixel from `target` on up to the last right one is written.
        unsafe {
            Self::store_even(target, left, count);
            Self::store_even(target.add(PIXEL), right, count);
        }
    }
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
    /// Adds the product of each register of pixels with the weights at `source`; see [`Vector::weights`].
    #[inline(always)]
    unsafe fn dot_all<const N: usize>(
        sums: &mut [Self::Sums; N],
        codes: &[Self::Codes; N],
        source: *const i8,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            let weights = Self::weights(source);
            for (sum, codes) in sums.iter_mut().zip(codes) {
                *sum = Self::dot(*sum, *codes, weights);
            }
        }
    }
    /// Writes the finished sums to the first `LANES` entries.
    unsafe fn integers(sums: Self::Sums, target: &mut [i32; MAX_LANES]);
    /// Writes the sums of four channels of the first `count` ≤ `LANES` neighbouring pixels, little-endian
    /// `[pixel][4]`, and nothing beyond.
    unsafe fn store_sums(target: *mut u8, sums: [Self::Sums; BLOCK], count: usize);
    /// Requantizes four channels and packs them into pixels.
    unsafe fn requantize(sums: [Self::Sums; BLOCK], step: &OutputStep) -> Self::Pixels;
    /// The same for a step of kind `KIND`; sums of [`kind::RECTIFIED`] began at [`RECTIFIED_ZERO`].
    #[inline(always)]
    unsafe fn requantize_as<const KIND: u8>(sums: [Self::Sums; BLOCK], step: &OutputStep) -> Self::Pixels {
        // SAFETY: the caller's contract.
        unsafe { Self::requantize(sums, step) }
    }
}

/// How much of an output step must be done.
pub(crate) mod kind {
    use candor_core::arithmetic::Range;

    /// Everything, the clamp before the conversion.
    pub(crate) const ANY: u8 = 0;
    /// Everything, in integers after the conversion.
    pub(crate) const BOUNDED: u8 = 1;
    /// As `BOUNDED`; the range is that of a code, so saturation clamps.
    pub(crate) const FULL: u8 = 2;
    /// As `FULL`; the zero point is 0.
    pub(crate) const PLAIN: u8 = 3;
    /// As `PLAIN`, for sums that [`super::OutputStep::rectify`] has prepared.
    pub(crate) const RECTIFIED: u8 = 4;

    /// The kind of a step before sums are prepared.
    pub(super) fn of(bounded: bool, range: Range) -> u8 {
        match (bounded, range) {
            (true, Range { zero_point: 0, low: 0, high: 255 }) => PLAIN,
            (true, Range { low: 0, high: 255, .. }) => FULL,
            (true, _) => BOUNDED,
            _ => ANY,
        }
    }
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
