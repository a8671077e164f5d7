//! The neon tier: four pixels per register, 16-bit products added pairwise to 32 bits.

use super::quad::{self, quad_pixels};
use crate::loops::vector::{MAX_LANES, OutputStep, Vector};
use core::arch::aarch64::*;
use core::arch::asm;
use core::hint::black_box;

/// 128-bit registers of the base architecture.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

/// Half sums of pixels 0 and 1, then of pixels 2 and 3: two neighbouring lanes make up a pixel.
#[derive(Clone, Copy)]
pub(crate) struct Halves {
    pub(super) low: int32x4_t,
    pub(super) high: int32x4_t,
}

/// # Safety
/// Needs Advanced SIMD.
#[inline(always)]
pub(super) unsafe fn whole(sums: Halves) -> int32x4_t {
    // SAFETY: register arithmetic of Advanced SIMD.
    unsafe { vpaddq_s32(sums.low, sums.high) }
}

impl Vector for Neon {
    type Sums = Halves;

    quad_pixels!();

    crate::loops::instance::dense_tile!("neon");

    #[inline(always)]
    unsafe fn start(bias: i32) -> Halves {
        // SAFETY: register arithmetic of this tier.
        unsafe {
            let lanes = vreinterpretq_s32_u64(vdupq_n_u64(u64::from(bias as u32)));
            Halves { low: lanes, high: lanes }
        }
    }

    #[inline(always)]
    unsafe fn dot(sums: Halves, codes: int8x16_t, weights: int8x16_t) -> Halves {
        // SAFETY: register arithmetic of this tier. A product is at most 2^14, so neither step can overflow.
        unsafe {
            let low = vmull_s8(vget_low_s8(codes), vget_low_s8(weights));
            let high = vmull_high_s8(codes, weights);
            Halves { low: vpadalq_s16(sums.low, low), high: vpadalq_s16(sums.high, high) }
        }
    }

    #[inline(always)]
    unsafe fn integers(sums: Halves, target: &mut [i32; MAX_LANES]) {
        // SAFETY: the array holds more than four entries.
        unsafe { vst1q_s32(target.as_mut_ptr(), whole(sums)) }
    }

    #[inline(always)]
    unsafe fn store_sums(target: *mut u8, sums: [Halves; 4], count: usize) {
        // SAFETY: the caller's contract.
        unsafe { quad::store_sums(target, sums.map(|own| whole(own)), count) }
    }

    #[inline(always)]
    unsafe fn requantize(sums: [Halves; 4], step: &OutputStep) -> uint8x16_t {
        // SAFETY: register arithmetic of this tier.
        unsafe { quad::requantize([whole(sums[0]), whole(sums[1]), whole(sums[2]), whole(sums[3])], step) }
    }
}

/// The roof of this tier; see [`crate::loops::roof`].
#[target_feature(enable = "neon")]
fn roof(rounds: usize) -> u64 {
    // SAFETY: this function is compiled with the tier's instructions; the assembly is empty and only keeps
    // the compiler from forming the product once for all sums.
    unsafe {
        let mut codes = vdupq_n_s8(black_box(1));
        let weights = vdupq_n_s8(black_box(1));
        let mut sums = [Neon::start(0); 8];
        for _ in 0..rounds {
            for sum in &mut sums {
                asm!(
                    "/* {codes:v} */",
                    codes = inout(vreg) codes,
                    options(pure, nomem, nostack, preserves_flags)
                );
                *sum = Neon::dot(*sum, codes, weights);
            }
        }
        black_box(sums.map(|sum| whole(sum)));
        (rounds * sums.len() * 16) as u64
    }
}

crate::loops::instance::table!("neon", Neon, "neon");
