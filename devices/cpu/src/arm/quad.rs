//! Pixel operations on 128-bit registers that both AArch64 tiers share.

use crate::loops::vector::{OutputStep, PIXEL};
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
/// Needs Advanced SIMD.
#[inline(always)]
pub(super) unsafe fn centre(pixels: uint8x16_t) -> int8x16_t {
    // SAFETY: register arithmetic of Advanced SIMD.
    unsafe { vreinterpretq_s8_u8(veorq_u8(pixels, vdupq_n_u8(0x80))) }
}

/// # Safety
/// See [`crate::loops::vector::Vector::requantize`].
#[inline(always)]
pub(super) unsafe fn requantize(sums: [int32x4_t; 4], step: &OutputStep) -> uint8x16_t {
    // SAFETY: register arithmetic of Advanced SIMD. `maxnm` sends a NaN to the lower bound as `f32::max`
    // does.
    unsafe {
        let low = vdupq_n_f32(step.low);
        let high = vdupq_n_f32(step.high);
        let mut steps = [vdupq_n_s32(0); 4];
        for c in 0..4 {
            let product = vmulq_f32(vcvtq_f32_s32(sums[c]), vdupq_n_f32(step.multipliers[c]));
            steps[c] = vcvtnq_s32_f32(vminnmq_f32(vmaxnmq_f32(product, low), high));
        }
        let even = vaddq_s32(steps[0], vshlq_n_s32::<8>(steps[1]));
        let odd = vaddq_s32(steps[2], vshlq_n_s32::<8>(steps[3]));
        let all = vaddq_s32(even, vshlq_n_s32::<16>(odd));
        vreinterpretq_u8_s32(vaddq_s32(all, vdupq_n_s32(step.zero_points)))
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
