//! The avxvnni tier: eight pixels per register, VEX-encoded `vpdpbusd`.

use super::ymm::{self, ymm_pixels};
use crate::loops::vector::{MAX_LANES, OutputStep, Vector};
use core::arch::x86_64::*;

/// 256-bit registers with VNNI.
#[derive(Clone, Copy)]
pub(crate) struct AvxVnni;

impl Vector for AvxVnni {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    const SITES: usize = 2;
    const CENTRED: bool = false;
    const WEIGHT_BYTES: usize = 4;

    type Pixels = __m256i;
    type Codes = __m256i;
    type Weights = __m256i;
    type Sums = __m256i;
    type Direct = Self;

    ymm_pixels!();

    crate::loops::instance::dense_tile!("avx2,avxvnni");

    #[inline(always)]
    unsafe fn codes(pixels: __m256i) -> __m256i {
        pixels
    }

    #[inline(always)]
    unsafe fn widen_weights(source: *const i8, target: *mut i8) {
        // SAFETY: the caller's contract: four bytes each.
        unsafe { core::ptr::copy_nonoverlapping(source, target, 4) }
    }

    #[inline(always)]
    unsafe fn weights(source: *const i8) -> __m256i {
        // SAFETY: four bytes are readable.
        unsafe { _mm256_set1_epi32(source.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn weights_of(word: i32) -> __m256i {
        // SAFETY: register arithmetic of this tier.
        unsafe { _mm256_set1_epi32(word) }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m256i, codes: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: register arithmetic of this tier.
        unsafe { _mm256_dpbusd_avx_epi32(sums, codes, weights) }
    }
}

/// The roof of this tier; see [`crate::loops::roof`].
#[target_feature(enable = "avx2,avxvnni")]
fn roof(rounds: usize) -> u64 {
    // SAFETY: this function is compiled with the tier's instructions.
    unsafe { crate::loops::roof::products::<AvxVnni>(rounds) }
}

crate::loops::instance::table!("avx2,avxvnni", AvxVnni, "avx2");
