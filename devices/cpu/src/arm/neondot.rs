//! The neondot tier: four pixels per register, `sdot` on centred codes and weights.

use super::quad::{self, quad_pixels};
use super::{dense, dot};
use crate::loops::vector::{MAX_LANES, OutputStep, Vector};
use crate::table::Table;
use candor_core::ops::{Convolution, TransposedConvolution};
use candor_core::tensor::{Rows, RowsMut};
use core::arch::aarch64::*;
use core::arch::asm;

/// 128-bit registers with the dot product extension.
#[derive(Clone, Copy)]
pub(crate) struct NeonDot;

impl Vector for NeonDot {
    type Sums = int32x4_t;

    quad_pixels!();

    crate::loops::instance::dense_tile!("neon,dotprod");

    #[inline(always)]
    unsafe fn start(bias: i32) -> int32x4_t {
        // SAFETY: register arithmetic of this tier.
        unsafe { vdupq_n_s32(bias) }
    }

    #[inline(always)]
    unsafe fn dot(mut sums: int32x4_t, codes: int8x16_t, weights: int8x16_t) -> int32x4_t {
        // SAFETY: register arithmetic of this tier; the intrinsic of this instruction is not stable yet.
        unsafe {
            asm!(
                "sdot {sums:v}.4s, {codes:v}.16b, {weights:v}.16b",
                sums = inout(vreg) sums,
                codes = in(vreg) codes,
                weights = in(vreg) weights,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sums
    }

    #[inline(always)]
    unsafe fn integers(sums: int32x4_t, target: &mut [i32; MAX_LANES]) {
        // SAFETY: the array holds more than four entries.
        unsafe { vst1q_s32(target.as_mut_ptr(), sums) }
    }

    #[inline(always)]
    unsafe fn store_sums(target: *mut u8, sums: [int32x4_t; 4], count: usize) {
        // SAFETY: the caller's contract.
        unsafe { quad::store_sums(target, sums, count) }
    }

    #[inline(always)]
    unsafe fn requantize(sums: [int32x4_t; 4], step: &OutputStep) -> uint8x16_t {
        // SAFETY: register arithmetic of this tier.
        unsafe { quad::requantize(sums, step) }
    }
}

/// The roof of this tier; see [`crate::loops::roof`].
#[target_feature(enable = "neon,dotprod")]
fn roof(rounds: usize) -> u64 {
    // SAFETY: this function is compiled with the tier's instructions.
    unsafe { crate::loops::roof::products::<NeonDot>(rounds) }
}

/// The loops of this tier: those over vectors, but for dense ones.
pub(crate) static TABLE: Table = Table { convolution: convolve, transposed: transpose, ..vectors::TABLE };

#[target_feature(enable = "neon,dotprod")]
fn convolve(op: &Convolution<'_>, input: Rows<'_>, output: RowsMut<'_>) {
    dense::convolve(op, input, output, dot::run);
}

#[target_feature(enable = "neon,dotprod")]
fn transpose(op: &TransposedConvolution<'_>, input: Rows<'_>, output: RowsMut<'_>) {
    dense::transpose(op, input, output, dot::run);
}

/// The loops over vectors.
mod vectors {
    use super::{NeonDot, roof};

    crate::loops::instance::table!("neon,dotprod", NeonDot, "neon");
}
