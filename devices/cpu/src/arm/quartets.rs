//! Quartets of pixels: one is a register.

use crate::arm::neon::{Halves, Neon, whole};
use crate::arm::neondot::NeonDot;
use crate::loops::quartets::{Quartets, Shuffle};
use crate::loops::vector::OutputStep;
use core::arch::aarch64::*;

/// # Safety
/// See [`Quartets::requantize_quartets`].
#[inline(always)]
unsafe fn requantize(sums: [int32x4_t; 4], step: &OutputStep) -> uint8x16_t {
    // SAFETY: register arithmetic of Advanced SIMD; there are four multipliers.
    unsafe {
        let (low, high) = (vdupq_n_f32(step.low), vdupq_n_f32(step.high));
        let factors = vld1q_f32(step.multipliers.as_ptr());
        let mut steps = [vdup_n_s16(0); 4];
        for n in 0..4 {
            let product = vmulq_f32(vcvtq_f32_s32(sums[n]), factors);
            let rounded = vcvtnq_s32_f32(vminnmq_f32(vmaxnmq_f32(product, low), high));
            steps[n] = vqmovn_s32(rounded);
        }
        let zero = vreinterpretq_s16_s32(vdupq_n_s32(step.zero_words));
        let upper = vqmovun_s16(vaddq_s16(vcombine_s16(steps[0], steps[1]), zero));
        let lower = vqmovun_s16(vaddq_s16(vcombine_s16(steps[2], steps[3]), zero));
        vcombine_u8(upper, lower)
    }
}

/// The methods that do not depend on how products are formed.
macro_rules! quad_quartets {
    () => {
        #[inline(always)]
        unsafe fn shuffle(pixels: uint8x16_t, shuffle: &Shuffle) -> uint8x16_t {
            // SAFETY: register arithmetic of this tier; the shuffle has sixteen bytes.
            unsafe { vqtbl1q_u8(pixels, vld1q_u8(shuffle.as_ptr())) }
        }

        #[inline(always)]
        unsafe fn weights_of_quartet(weights: &[i8; 16]) -> int8x16_t {
            // SAFETY: sixteen bytes are readable.
            unsafe { vld1q_s8(weights.as_ptr()) }
        }

        #[inline(always)]
        unsafe fn greater_of_pairs(low: uint8x16_t, high: uint8x16_t) -> uint8x16_t {
            // SAFETY: register arithmetic of this tier.
            unsafe {
                let (low, high) = (vreinterpretq_u32_u8(low), vreinterpretq_u32_u8(high));
                let (even, odd) = (vuzp1q_u32(low, high), vuzp2q_u32(low, high));
                vmaxq_u8(vreinterpretq_u8_u32(even), vreinterpretq_u8_u32(odd))
            }
        }

        #[inline(always)]
        unsafe fn halves(pixels: uint8x16_t) -> uint8x16_t {
            pixels
        }
    };
}

impl Quartets for NeonDot {
    quad_quartets!();

    #[inline(always)]
    unsafe fn start_quartet(bias: &[i32; 4]) -> int32x4_t {
        // SAFETY: four values are readable.
        unsafe { vld1q_s32(bias.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn requantize_quartets(sums: [int32x4_t; 4], step: &OutputStep) -> uint8x16_t {
        // SAFETY: register arithmetic of this tier.
        unsafe { requantize(sums, step) }
    }
}

impl Quartets for Neon {
    quad_quartets!();

    #[inline(always)]
    unsafe fn start_quartet(bias: &[i32; 4]) -> Halves {
        // SAFETY: four values are readable. Half of each sum begins at its bias, the other at zero.
        unsafe {
            let (bias, zero) = (vld1q_s32(bias.as_ptr()), vdupq_n_s32(0));
            Halves { low: vzip1q_s32(bias, zero), high: vzip2q_s32(bias, zero) }
        }
    }

    #[inline(always)]
    unsafe fn requantize_quartets(sums: [Halves; 4], step: &OutputStep) -> uint8x16_t {
        // SAFETY: register arithmetic of this tier.
        unsafe { requantize([whole(sums[0]), whole(sums[1]), whole(sums[2]), whole(sums[3])], step) }
    }
}
