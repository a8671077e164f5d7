//! Quartets of pixels in the 128-bit lanes of wider registers.

use crate::loops::quartets::{Quartets, Shuffle};
use crate::loops::vector::OutputStep;
use crate::x86::avx2::{Avx2, Pairs, split_weights};
use crate::x86::avx512::Avx512;
use crate::x86::avxvnni::AvxVnni;
use core::arch::x86_64::*;

impl Quartets for Avx512 {
    #[inline(always)]
    unsafe fn shuffle(pixels: __m512i, shuffle: &Shuffle) -> __m512i {
        // SAFETY: register arithmetic of this tier; the shuffle has sixteen bytes.
        unsafe {
            let lane = _mm_loadu_si128(shuffle.as_ptr().cast());
            _mm512_shuffle_epi8(pixels, _mm512_broadcast_i32x4(lane))
        }
    }

    #[inline(always)]
    unsafe fn weights_of_quartet(weights: &[i8; 16]) -> __m512i {
        // SAFETY: sixteen bytes are readable.
        unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(weights.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn start_quartet(bias: &[i32; 4]) -> __m512i {
        // SAFETY: sixteen bytes are readable.
        unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(bias.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn requantize_quartets(sums: [__m512i; 4], step: &OutputStep) -> __m512i {
        // SAFETY: register arithmetic of this tier; there are four multipliers.
        unsafe {
            let factors = _mm512_broadcast_f32x4(_mm_loadu_ps(step.multipliers.as_ptr()));
            let mut steps = sums;
            for n in 0..4 {
                let mut product = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[n]), factors);
                if !step.bounded {
                    product = _mm512_max_ps(product, _mm512_set1_ps(step.low));
                    product = _mm512_min_ps(product, _mm512_set1_ps(step.high));
                }
                steps[n] = _mm512_cvtps_epi32(product);
            }
            let zero = _mm512_set1_epi32(step.zero_words);
            let upper = _mm512_adds_epi16(_mm512_packs_epi32(steps[0], steps[1]), zero);
            let lower = _mm512_adds_epi16(_mm512_packs_epi32(steps[2], steps[3]), zero);
            let codes = _mm512_packus_epi16(upper, lower);
            let raised = _mm512_max_epu8(codes, _mm512_set1_epi32(step.low_codes));
            _mm512_min_epu8(raised, _mm512_set1_epi32(step.high_codes))
        }
    }

    #[inline(always)]
    unsafe fn greater_of_pairs(low: __m512i, high: __m512i) -> __m512i {
        // SAFETY: register arithmetic of this tier.
        unsafe {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            let even = _mm512_permutex2var_epi32(low, even, high);
            _mm512_max_epu8(even, _mm512_permutex2var_epi32(low, odd, high))
        }
    }

    #[inline(always)]
    unsafe fn halves(pixels: __m512i) -> __m512i {
        // SAFETY: register arithmetic of this tier.
        unsafe { _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), pixels) }
    }
}

/// # Safety
/// Needs AVX2.
#[inline(always)]
unsafe fn repeated<T>(four: &[T; 16 / size_of::<u32>()]) -> __m256i {
    const { assert!(size_of::<T>() == 4) };
    // SAFETY: four values have sixteen bytes.
    unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(four.as_ptr().cast())) }
}

/// # Safety
/// See [`Quartets::requantize_quartets`].
#[inline(always)]
unsafe fn requantize(sums: [__m256i; 4], step: &OutputStep) -> __m256i {
    // SAFETY: register arithmetic of AVX2.
    unsafe {
        let factors = _mm256_castsi256_ps(repeated(&step.multipliers));
        let mut steps = sums;
        for n in 0..4 {
            let mut product = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[n]), factors);
            if !step.bounded {
                product = _mm256_max_ps(product, _mm256_set1_ps(step.low));
                product = _mm256_min_ps(product, _mm256_set1_ps(step.high));
            }
            steps[n] = _mm256_cvtps_epi32(product);
        }
        let zero = _mm256_set1_epi32(step.zero_words);
        let upper = _mm256_adds_epi16(_mm256_packs_epi32(steps[0], steps[1]), zero);
        let lower = _mm256_adds_epi16(_mm256_packs_epi32(steps[2], steps[3]), zero);
        let codes = _mm256_packus_epi16(upper, lower);
        let raised = _mm256_max_epu8(codes, _mm256_set1_epi32(step.low_codes));
        _mm256_min_epu8(raised, _mm256_set1_epi32(step.high_codes))
    }
}

/// The methods that do not depend on how products are formed.
macro_rules! ymm_quartets {
    () => {
        #[inline(always)]
        unsafe fn shuffle(pixels: __m256i, shuffle: &Shuffle) -> __m256i {
            // SAFETY: register arithmetic of this tier; the shuffle has sixteen bytes.
            unsafe {
                let lane = _mm_loadu_si128(shuffle.as_ptr().cast());
                _mm256_shuffle_epi8(pixels, _mm256_broadcastsi128_si256(lane))
            }
        }

        #[inline(always)]
        unsafe fn start_quartet(bias: &[i32; 4]) -> __m256i {
            // SAFETY: register arithmetic of this tier.
            unsafe { repeated(bias) }
        }

        #[inline(always)]
        unsafe fn requantize_quartets(sums: [__m256i; 4], step: &OutputStep) -> __m256i {
            // SAFETY: register arithmetic of this tier.
            unsafe { requantize(sums, step) }
        }

        #[inline(always)]
        unsafe fn greater_of_pairs(low: __m256i, high: __m256i) -> __m256i {
            // SAFETY: register arithmetic of this tier.
            unsafe {
                let (low, high) = (_mm256_castsi256_ps(low), _mm256_castsi256_ps(high));
                let even = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(low, high));
                let odd = _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(low, high));
                // Both hold pairs 0 1 | 4 5 in the lower half and 2 3 | 6 7 in the upper.
                _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_max_epu8(even, odd))
            }
        }

        #[inline(always)]
        unsafe fn halves(pixels: __m256i) -> __m256i {
            // SAFETY: register arithmetic of this tier.
            unsafe { _mm256_permute4x64_epi64::<0b11_01_10_00>(pixels) }
        }
    };
}

impl Quartets for AvxVnni {
    ymm_quartets!();

    #[inline(always)]
    unsafe fn weights_of_quartet(weights: &[i8; 16]) -> __m256i {
        // SAFETY: sixteen bytes are readable.
        unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(weights.as_ptr().cast())) }
    }
}

impl Quartets for Avx2 {
    ymm_quartets!();

    #[inline(always)]
    unsafe fn weights_of_quartet(weights: &[i8; 16]) -> Pairs {
        // SAFETY: sixteen bytes are readable.
        unsafe { split_weights(_mm256_broadcastsi128_si256(_mm_loadu_si128(weights.as_ptr().cast()))) }
    }
}
