//! The avx2 tier: eight pixels per register, exact products of 16-bit pairs.
//!
//! `vpmaddubsw` saturates its pair sums, so codes are split into even and odd channels widened to 16 bits
//! and multiplied by sign-extended weights with `vpmaddwd`, whose i32 pair sums cannot overflow.

use super::ymm::{self, ymm_pixels};
use crate::loops::vector::{MAX_LANES, OutputStep, Vector};
use core::arch::asm;
use core::arch::x86_64::*;
use core::hint::black_box;

/// 256-bit registers; weights widened to 16 bits beforehand.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// 256-bit registers; weights widened in registers, for filters too long to widen beforehand.
#[derive(Clone, Copy)]
pub(crate) struct Avx2Direct;

/// Channels 0 and 2, then 1 and 3, of each pixel or weight group, as 16-bit pairs.
#[derive(Clone, Copy)]
pub(crate) struct Pairs {
    even: __m256i,
    odd: __m256i,
}

/// # Safety
/// Needs AVX2.
#[inline(always)]
unsafe fn split_codes(pixels: __m256i) -> Pairs {
    // SAFETY: register arithmetic of AVX2.
    unsafe {
        Pairs { even: _mm256_and_si256(pixels, _mm256_set1_epi16(0xff)), odd: _mm256_srli_epi16::<8>(pixels) }
    }
}

/// # Safety
/// Needs AVX2.
#[inline(always)]
pub(super) unsafe fn split_weights(weights: __m256i) -> Pairs {
    // SAFETY: register arithmetic of AVX2.
    unsafe {
        Pairs {
            even: _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weights)),
            odd: _mm256_srai_epi16::<8>(weights),
        }
    }
}

/// # Safety
/// Needs AVX2.
#[inline(always)]
unsafe fn add_products(sums: __m256i, codes: Pairs, weights: Pairs) -> __m256i {
    // SAFETY: register arithmetic of AVX2.
    unsafe {
        let even = _mm256_madd_epi16(codes.even, weights.even);
        let odd = _mm256_madd_epi16(codes.odd, weights.odd);
        _mm256_add_epi32(sums, _mm256_add_epi32(even, odd))
    }
}

macro_rules! pair_products {
    () => {
        const LANES: usize = 8;
        const REGISTERS: usize = 16;
        const SITES: usize = 2;
        const CENTRED: bool = false;
        const KINDS: bool = true;

        type Pixels = __m256i;
        type Codes = Pairs;
        type Weights = Pairs;
        type Sums = __m256i;
        type Direct = Avx2Direct;

        ymm_pixels!();

        crate::loops::instance::dense_tile!("avx2");

        #[inline(always)]
        unsafe fn codes(pixels: __m256i) -> Pairs {
            // SAFETY: register arithmetic of this tier.
            unsafe { split_codes(pixels) }
        }

        #[inline(always)]
        unsafe fn weights_of(word: i32) -> Pairs {
            // SAFETY: register arithmetic of this tier.
            unsafe { split_weights(_mm256_set1_epi32(word)) }
        }

        #[inline(always)]
        unsafe fn dot(sums: __m256i, codes: Pairs, weights: Pairs) -> __m256i {
            // SAFETY: register arithmetic of this tier.
            unsafe { add_products(sums, codes, weights) }
        }
    };
}

impl Vector for Avx2 {
    const WEIGHT_BYTES: usize = 8;
    pair_products!();

    #[inline(always)]
    unsafe fn widen_weights(source: *const i8, target: *mut i8) {
        // SAFETY: the caller's contract: four bytes are read and eight written.
        unsafe {
            let [a, b, c, d] = source.cast::<[i8; 4]>().read_unaligned().map(i16::from);
            target.cast::<[i16; 4]>().write_unaligned([a, c, b, d]);
        }
    }

    #[inline(always)]
    unsafe fn weights(source: *const i8) -> Pairs {
        // SAFETY: eight bytes are readable, aligned to eight.
        unsafe {
            // Two broadcasting loads; one scalar load of both would have to pass through general registers.
            let even = _mm256_castps_si256(_mm256_broadcast_ss(&*source.cast::<f32>()));
            let odd = _mm256_castps_si256(_mm256_broadcast_ss(&*source.add(4).cast::<f32>()));
            Pairs { even, odd }
        }
    }
}

impl Vector for Avx2Direct {
    const WEIGHT_BYTES: usize = 4;
    pair_products!();

    #[inline(always)]
    unsafe fn widen_weights(source: *const i8, target: *mut i8) {
        // SAFETY: the caller's contract: four bytes each.
        unsafe { core::ptr::copy_nonoverlapping(source, target, 4) }
    }

    #[inline(always)]
    unsafe fn weights(source: *const i8) -> Pairs {
        // SAFETY: four bytes are readable.
        unsafe { split_weights(_mm256_set1_epi32(source.cast::<i32>().read_unaligned())) }
    }
}

/// The roof of this tier; see [`crate::loops::roof`].
#[target_feature(enable = "avx2")]
fn roof(rounds: usize) -> u64 {
    let mut sums = [_mm256_setzero_si256(); 8];
    // SAFETY: this function is compiled with the tier's instructions; the assembly is empty and only keeps
    // the compiler from forming the product once for all sums.
    unsafe {
        let mut codes = split_codes(_mm256_set1_epi32(black_box(0x0101_0101)));
        let weights = split_weights(_mm256_set1_epi32(black_box(0x0101_0101)));
        for _ in 0..rounds {
            for sum in &mut sums {
                asm!(
                    "/* {even} {odd} */",
                    even = inout(ymm_reg) codes.even,
                    odd = inout(ymm_reg) codes.odd,
                    options(pure, nomem, nostack, preserves_flags)
                );
                *sum = add_products(*sum, codes, weights);
            }
        }
    }
    black_box(sums);
    (rounds * sums.len() * 32) as u64
}

crate::loops::instance::table!("avx2", Avx2, "avx2");
