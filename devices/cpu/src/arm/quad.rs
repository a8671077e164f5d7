//! Pixel operations on 128-bit registers that both AArch64 tiers share.

use crate::loops::vector::{OutputStep, PIXEL};
use candor_core::arithmetic::Range;
use core::arch::aarch64::*;
use core::ptr::copy_nonoverlapping;

/// Pixels per register.
pub(super) const LANES: usize = 4;

/// # Safety
/// See [`crate::loops::vector::Vector::load_first`].
#[inline(always)]
pub(super) unsafe fn load_first(source: *const u8, count: usize) -> uint8x16_t {
    let mut pixels = [0u8; LANES * PIXEL];
    // SAFETY: `count` pixels are readable and fit the buffer.
    unsafe {
        copy_nonoverlapping(source, pixels.as_mut_ptr(), count.min(LANES) * PIXEL);
        vld1q_u8(pixels.as_ptr())
    }
}

/// # Safety
/// See [`crate::loops::vector::Vector::load_even`].
#[inline(always)]
pub(super) unsafe fn load_even(source: *const u8) -> uint8x16_t {
    // SAFETY: the second load starts at pixel 3, so both stay within seven pixels.
    unsafe {
        let low = vreinterpretq_u32_u8(vld1q_u8(source));
        let high = vreinterpretq_u32_u8(vld1q_u8(source.add(3 * PIXEL)));
        let (even, odd) = (vuzp1q_u32(low, low), vuzp2q_u32(high, high));
        vreinterpretq_u8_u32(vcombine_u32(vget_low_u32(even), vget_low_u32(odd)))
    }
}

/// # Safety
/// Writes the first `count` ≤ 4 pixels, `stride` pixels apart.
#[inline(always)]
pub(super) unsafe fn store_spread(target: *mut u8, pixels: uint8x16_t, stride: usize, count: usize) {
    let mut lanes = [0u32; LANES];
    // SAFETY: the buffer holds a register; the caller promises the pixels of `target`.
    unsafe {
        vst1q_u32(lanes.as_mut_ptr(), vreinterpretq_u32_u8(pixels));
        for (lane, pixel) in lanes.iter().enumerate().take(count) {
            target.add(lane * stride * PIXEL).cast::<u32>().write_unaligned(*pixel);
        }
    }
}

/// # Safety
/// See [`crate::loops::vector::Vector::store_sums`].
#[inline(always)]
pub(super) unsafe fn store_sums(target: *mut u8, [a, b, c, d]: [int32x4_t; 4], count: usize) {
    let mut pixels = [0i32; 4 * LANES];
    // SAFETY: the buffer holds four registers; the caller promises the pixels of `target`.
    unsafe {
        vst4q_s32(pixels.as_mut_ptr(), int32x4x4_t(a, b, c, d));
        copy_nonoverlapping(pixels.as_ptr().cast(), target, count.min(LANES) * 4 * PIXEL);
    }
}

/// # Safety
/// Needs Advanced SIMD.
#[inline(always)]
pub(super) unsafe fn centre(pixels: uint8x16_t) -> int8x16_t {
    // SAFETY: register arithmetic of Advanced SIMD.
    unsafe { vreinterpretq_s8_u8(veorq_u8(pixels, vdupq_n_u8(0x80))) }
}

/// The part of the output step that all channels share, applied after the conversion to integers: those
/// saturate on the way, so the clamp comes out as it does before the conversion.
#[derive(Clone, Copy)]
pub(super) struct Finish {
    zero_points: int16x8_t,
    low: uint8x16_t,
    high: uint8x16_t,
}

/// Turns four bytes of each of four channels into four bytes of each of four pixels.
pub(super) static BY_PIXEL: [u8; 16] = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];

impl Finish {
    /// The step of `range`.
    #[inline(always)]
    pub fn new(range: Range) -> Self {
        // SAFETY: register arithmetic of Advanced SIMD.
        unsafe {
            Self {
                zero_points: vdupq_n_s16(range.zero_point as i16),
                low: vdupq_n_u8(range.low as u8),
                high: vdupq_n_u8(range.high as u8),
            }
        }
    }

    /// The codes of four registers of rounded products, byte `i` of the result being byte `order[i]` of them
    /// one after the other.
    ///
    /// # Safety
    /// Needs Advanced SIMD.
    #[inline(always)]
    pub unsafe fn codes(&self, rounded: [int32x4_t; 4], order: &[u8; 16]) -> uint8x16_t {
        // SAFETY: register arithmetic of Advanced SIMD; the order is a register.
        unsafe {
            let low = vqmovn_high_s32(vqmovn_s32(rounded[0]), rounded[1]);
            let high = vqmovn_high_s32(vqmovn_s32(rounded[2]), rounded[3]);
            let low = vqaddq_s16(low, self.zero_points);
            let high = vqaddq_s16(high, self.zero_points);
            let codes = vqmovun_high_s16(vqmovun_s16(low), high);
            let codes = vminq_u8(vmaxq_u8(codes, self.low), self.high);
            vqtbl1q_u8(codes, vld1q_u8(order.as_ptr()))
        }
    }

    /// Requantizes a register of sums per channel.
    ///
    /// # Safety
    /// Needs Advanced SIMD.
    #[inline(always)]
    pub unsafe fn requantize(&self, sums: [int32x4_t; 4], multipliers: float32x4_t) -> uint8x16_t {
        // SAFETY: register arithmetic of Advanced SIMD. A product of finite numbers is not a NaN.
        unsafe {
            let a = vmulq_laneq_f32::<0>(vcvtq_f32_s32(sums[0]), multipliers);
            let b = vmulq_laneq_f32::<1>(vcvtq_f32_s32(sums[1]), multipliers);
            let c = vmulq_laneq_f32::<2>(vcvtq_f32_s32(sums[2]), multipliers);
            let d = vmulq_laneq_f32::<3>(vcvtq_f32_s32(sums[3]), multipliers);
            self.codes([a, b, c, d].map(|product| vcvtnq_s32_f32(product)), &BY_PIXEL)
        }
    }
}

/// # Safety
/// See [`crate::loops::vector::Vector::requantize`].
#[inline(always)]
pub(super) unsafe fn requantize(sums: [int32x4_t; 4], step: &OutputStep) -> uint8x16_t {
    // SAFETY: register arithmetic of Advanced SIMD.
    unsafe {
        let finish = Finish {
            zero_points: vreinterpretq_s16_s32(vdupq_n_s32(step.zero_words)),
            low: vreinterpretq_u8_s32(vdupq_n_s32(step.low_codes)),
            high: vreinterpretq_u8_s32(vdupq_n_s32(step.high_codes)),
        };
        finish.requantize(sums, vld1q_f32(step.multipliers.as_ptr()))
    }
}

/// The methods of [`crate::loops::vector::Vector`] that do not depend on how products are formed.
macro_rules! quad_pixels {
    () => {
        const LANES: usize = quad::LANES;
        const REGISTERS: usize = 32;
        const SITES: usize = 3;
        const CENTRED: bool = true;
        const WEIGHT_BYTES: usize = 4;

        type Pixels = uint8x16_t;
        type Codes = int8x16_t;
        type Weights = int8x16_t;
        type Direct = Self;

        #[inline(always)]
        unsafe fn load(source: *const u8) -> uint8x16_t {
            // SAFETY: the caller's contract.
            unsafe { vld1q_u8(source) }
        }

        #[inline(always)]
        unsafe fn load_first(source: *const u8, count: usize) -> uint8x16_t {
            // SAFETY: the caller's contract.
            unsafe { quad::load_first(source, count) }
        }

        #[inline(always)]
        unsafe fn load_even(source: *const u8) -> uint8x16_t {
            // SAFETY: the caller's contract.
            unsafe { quad::load_even(source) }
        }

        #[inline(always)]
        unsafe fn store(target: *mut u8, pixels: uint8x16_t) {
            // SAFETY: the caller's contract.
            unsafe { vst1q_u8(target, pixels) }
        }

        #[inline(always)]
        unsafe fn store_first(target: *mut u8, pixels: uint8x16_t, count: usize) {
            // SAFETY: the caller's contract.
            unsafe { quad::store_spread(target, pixels, 1, count) }
        }

        #[inline(always)]
        unsafe fn store_even(target: *mut u8, pixels: uint8x16_t, count: usize) {
            // SAFETY: the caller's contract.
            unsafe { quad::store_spread(target, pixels, 2, count) }
        }

        #[inline(always)]
        unsafe fn greater(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
            // SAFETY: register arithmetic of this tier.
            unsafe { vmaxq_u8(a, b) }
        }

        #[inline(always)]
        unsafe fn codes(pixels: uint8x16_t) -> int8x16_t {
            // SAFETY: register arithmetic of this tier.
            unsafe { quad::centre(pixels) }
        }

        #[inline(always)]
        unsafe fn widen_weights(source: *const i8, target: *mut i8) {
            // SAFETY: the caller's contract: four bytes each.
            unsafe { core::ptr::copy_nonoverlapping(source, target, 4) }
        }

        #[inline(always)]
        unsafe fn weights(source: *const i8) -> int8x16_t {
            // SAFETY: four bytes are readable.
            unsafe { Self::weights_of(source.cast::<i32>().read_unaligned()) }
        }

        #[inline(always)]
        unsafe fn weights_of(word: i32) -> int8x16_t {
            // SAFETY: register arithmetic of this tier.
            unsafe { vreinterpretq_s8_s32(vdupq_n_s32(word)) }
        }
    };
}
pub(super) use quad_pixels;
