//! The avxvnni tier: eight pixels per register, VEX-encoded `vpdpbusd`.

use super::ymm::{self, ymm_pixels};
use crate::loops::vector::{MAX_LANES, OutputStep, Vector};
use core::arch::asm;
use core::arch::x86_64::*;

/// 256-bit registers with VNNI.
#[derive(Clone, Copy)]
pub(crate) struct AvxVnni;

impl Vector for AvxVnni {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    const SITES: usize = 3;
    const CENTRED: bool = false;
    const KINDS: bool = true;
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

    #[inline(always)]
    unsafe fn dot_all<const N: usize>(sums: &mut [__m256i; N], codes: &[__m256i; N], source: *const i8) {
        // SAFETY: four bytes are readable.
        unsafe {
            if N == 3 {
                [sums[0], sums[1], sums[2]] =
                    dot_three([sums[0], sums[1], sums[2]], [codes[0], codes[1], codes[2]], source);
                return;
            }
            let weights = Self::weights(source);
            for (sum, codes) in sums.iter_mut().zip(codes) {
                *sum = Self::dot(*sum, *codes, weights);
            }
        }
    }
}

/// Adds the products of three registers of pixels with the weights at `source`.
///
/// Twelve sums, three registers of pixels and one of weights are all sixteen registers; left to itself, the
/// compiler reads several weights ahead and keeps sums in memory.
///
/// # Safety
/// Four bytes are readable.
#[target_feature(enable = "avx2,avxvnni")]
#[inline]
unsafe fn dot_three(sums: [__m256i; 3], codes: [__m256i; 3], source: *const i8) -> [__m256i; 3] {
    let [mut a, mut b, mut c] = sums;
    // SAFETY: this function is compiled with the tier's instructions; four bytes are read.
    unsafe {
        asm!(
            "vpbroadcastd {weights}, dword ptr [{source}]",
            "{{vex}} vpdpbusd {a}, {x}, {weights}",
            "{{vex}} vpdpbusd {b}, {y}, {weights}",
            "{{vex}} vpdpbusd {c}, {z}, {weights}",
            weights = out(ymm_reg) _,
            source = in(reg) source,
            a = inout(ymm_reg) a,
            b = inout(ymm_reg) b,
            c = inout(ymm_reg) c,
            x = in(ymm_reg) codes[0],
            y = in(ymm_reg) codes[1],
            z = in(ymm_reg) codes[2],
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    [a, b, c]
}

/// The roof of this tier; see [`crate::loops::roof`].
#[target_feature(enable = "avx2,avxvnni")]
fn roof(rounds: usize) -> u64 {
    // SAFETY: this function is compiled with the tier's instructions.
    unsafe { crate::loops::roof::products::<AvxVnni>(rounds) }
}

crate::loops::instance::table!("avx2,avxvnni", AvxVnni, "avx2");
