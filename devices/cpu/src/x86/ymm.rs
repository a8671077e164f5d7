//! Pixel operations on 256-bit registers that both AVX2 tiers share.

use crate::loops::vector::{OutputStep, PIXEL, kind};
use core::arch::x86_64::*;

/// Eight set lanes, then eight clear ones: the mask of the first n lanes begins at `8 − n`.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// # Safety
/// Needs AVX2; `count` ≤ 8.
#[inline(always)]
unsafe fn first(count: usize) -> __m256i {
    // SAFETY: offsets 0..=8 leave eight entries to read.
    unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - count).cast()) }
}

/// # Safety
/// See [`crate::loops::vector::Vector::load_first`].
#[inline(always)]
pub(super) unsafe fn load_first(source: *const u8, count: usize) -> __m256i {
    // SAFETY: masked lanes are not accessed.
    unsafe { _mm256_maskload_epi32(source.cast(), first(count)) }
}

/// # Safety
/// See [`crate::loops::vector::Vector::load_even`].
#[inline(always)]
pub(super) unsafe fn load_even(source: *const u8) -> __m256i {
    // SAFETY: the second load starts at pixel 7, so both stay within 15 pixels.
    unsafe {
        let low = _mm256_castsi256_ps(_mm256_loadu_si256(source.cast()));
        let high = _mm256_castsi256_ps(_mm256_loadu_si256(source.add(7 * PIXEL).cast()));
        // Pixels 0 2 | 8 10 in the lower half and 4 6 | 12 14 in the upper.
        let mixed = _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_10_00>(low, high));
        _mm256_permute4x64_epi64::<0b11_01_10_00>(mixed)
    }
}

/// # Safety
/// See [`crate::loops::vector::Vector::store_first`].
#[inline(always)]
pub(super) unsafe fn store_first(target: *mut u8, pixels: __m256i, count: usize) {
    // SAFETY: masked lanes are not accessed.
    unsafe { _mm256_maskstore_epi32(target.cast(), first(count), pixels) }
}

/// # Safety
/// See [`crate::loops::vector::Vector::store_sums`].
#[inline(always)]
pub(super) unsafe fn store_sums(target: *mut u8, [a, b, c, d]: [__m256i; 4], count: usize) {
    // SAFETY: masked lanes are not accessed.
    unsafe {
        let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (later_low, later_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        // Pixels 0 4, then those one, two and three later.
        let [p, q, r, s] = [
            _mm256_unpacklo_epi64(low, later_low),
            _mm256_unpackhi_epi64(low, later_low),
            _mm256_unpacklo_epi64(high, later_high),
            _mm256_unpackhi_epi64(high, later_high),
        ];
        let pairs = [
            _mm256_permute2x128_si256::<0x20>(p, q),
            _mm256_permute2x128_si256::<0x20>(r, s),
            _mm256_permute2x128_si256::<0x31>(p, q),
            _mm256_permute2x128_si256::<0x31>(r, s),
        ];
        for (part, pixels) in pairs.into_iter().enumerate() {
            let lanes = first(4 * count.saturating_sub(2 * part).min(2));
            _mm256_maskstore_epi32(target.wrapping_add(part * 32).cast(), lanes, pixels);
        }
    }
}

/// # Safety
/// See [`crate::loops::vector::Vector::store_even`].
#[inline(always)]
pub(super) unsafe fn store_even(target: *mut u8, pixels: __m256i, count: usize) {
    // SAFETY: masked lanes are not accessed; the second half is only addressed when it has pixels.
    unsafe {
        let even = _mm256_set1_epi64x(0xffff_ffff);
        let low = _mm256_cvtepu32_epi64(_mm256_castsi256_si128(pixels));
        let high = _mm256_cvtepu32_epi64(_mm256_extracti128_si256::<1>(pixels));
        let (head, tail) = (count.min(4), count.saturating_sub(4));
        _mm256_maskstore_epi32(target.cast(), _mm256_and_si256(first(2 * head), even), low);
        if tail > 0 {
            let mask = _mm256_and_si256(first(2 * tail), even);
            _mm256_maskstore_epi32(target.add(8 * PIXEL).cast(), mask, high);
        }
    }
}

/// Four channels of four pixels in each 128-bit lane, to four pixels of four channels.
const PIXELS_OF_CHANNELS: i128 = i128::from_le_bytes([0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]);

/// # Safety
/// See [`crate::loops::vector::Vector::requantize`].
#[inline(always)]
pub(super) unsafe fn requantize(sums: [__m256i; 4], step: &OutputStep) -> __m256i {
    // SAFETY: register arithmetic of AVX2.
    unsafe {
        if step.bounded {
            requantize_bounded::<{ kind::BOUNDED }>(sums, step)
        } else {
            requantize_any(sums, step)
        }
    }
}

/// # Safety
/// See [`crate::loops::vector::Vector::requantize_as`].
#[inline(always)]
pub(super) unsafe fn requantize_as<const KIND: u8>(sums: [__m256i; 4], step: &OutputStep) -> __m256i {
    // SAFETY: register arithmetic of AVX2.
    unsafe {
        if KIND == kind::ANY { requantize_any(sums, step) } else { requantize_bounded::<KIND>(sums, step) }
    }
}

/// # Safety
/// Needs AVX2.
#[inline(always)]
unsafe fn requantize_bounded<const KIND: u8>(sums: [__m256i; 4], step: &OutputStep) -> __m256i {
    // SAFETY: register arithmetic of AVX2.
    unsafe {
        let mut steps = sums;
        for c in 0..4 {
            let product = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[c]), _mm256_set1_ps(step.multipliers[c]));
            steps[c] = _mm256_cvtps_epi32(product);
        }
        let mut even = _mm256_packs_epi32(steps[0], steps[1]);
        let mut odd = _mm256_packs_epi32(steps[2], steps[3]);
        if KIND < kind::PLAIN {
            let zero = _mm256_set1_epi32(step.zero_words);
            (even, odd) = (_mm256_adds_epi16(even, zero), _mm256_adds_epi16(odd, zero));
        }
        let lanes = _mm256_broadcastsi128_si256(core::mem::transmute::<i128, __m128i>(PIXELS_OF_CHANNELS));
        let codes = _mm256_shuffle_epi8(_mm256_packus_epi16(even, odd), lanes);
        if KIND != kind::BOUNDED {
            return codes;
        }
        let low = _mm256_max_epu8(codes, _mm256_set1_epi32(step.low_codes));
        _mm256_min_epu8(low, _mm256_set1_epi32(step.high_codes))
    }
}

/// # Safety
/// Needs AVX2.
#[inline(always)]
unsafe fn requantize_any(sums: [__m256i; 4], step: &OutputStep) -> __m256i {
    // SAFETY: register arithmetic of AVX2.
    unsafe {
        let low = _mm256_set1_ps(step.low);
        let high = _mm256_set1_ps(step.high);
        let mut steps = [_mm256_setzero_si256(); 4];
        for c in 0..4 {
            let product = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[c]), _mm256_set1_ps(step.multipliers[c]));
            steps[c] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(product, low), high));
        }
        let even = _mm256_add_epi32(steps[0], _mm256_slli_epi32::<8>(steps[1]));
        let odd = _mm256_add_epi32(steps[2], _mm256_slli_epi32::<8>(steps[3]));
        let all = _mm256_add_epi32(even, _mm256_slli_epi32::<16>(odd));
        _mm256_add_epi32(all, _mm256_set1_epi32(step.zero_points))
    }
}

/// The methods of [`crate::loops::vector::Vector`] that do not depend on how products are formed.
macro_rules! ymm_pixels {
    () => {
        #[inline(always)]
        unsafe fn load(source: *const u8) -> __m256i {
            // SAFETY: the caller's contract.
            unsafe { _mm256_loadu_si256(source.cast()) }
        }

        #[inline(always)]
        unsafe fn load_first(source: *const u8, count: usize) -> __m256i {
            // SAFETY: the caller's contract.
            unsafe { ymm::load_first(source, count) }
        }

        #[inline(always)]
        unsafe fn load_even(source: *const u8) -> __m256i {
            // SAFETY: the caller's contract.
            unsafe { ymm::load_even(source) }
        }

        #[inline(always)]
        unsafe fn store(target: *mut u8, pixels: __m256i) {
            // SAFETY: the caller's contract.
            unsafe { _mm256_storeu_si256(target.cast(), pixels) }
        }

        #[inline(always)]
        unsafe fn store_first(target: *mut u8, pixels: __m256i, count: usize) {
            // SAFETY: the caller's contract.
            unsafe { ymm::store_first(target, pixels, count) }
        }

        #[inline(always)]
        unsafe fn store_even(target: *mut u8, pixels: __m256i, count: usize) {
            // SAFETY: the caller's contract.
            unsafe { ymm::store_even(target, pixels, count) }
        }

        #[inline(always)]
        unsafe fn greater(a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: register arithmetic of this tier.
            unsafe { _mm256_max_epu8(a, b) }
        }

        #[inline(always)]
        unsafe fn start(bias: i32) -> __m256i {
            // SAFETY: register arithmetic of this tier.
            unsafe { _mm256_set1_epi32(bias) }
        }

        #[inline(always)]
        unsafe fn integers(sums: __m256i, target: &mut [i32; MAX_LANES]) {
            // SAFETY: the array holds more than eight entries.
            unsafe { _mm256_storeu_si256(target.as_mut_ptr().cast(), sums) }
        }

        #[inline(always)]
        unsafe fn store_sums(target: *mut u8, sums: [__m256i; 4], count: usize) {
            // SAFETY: the caller's contract.
            unsafe { ymm::store_sums(target, sums, count) }
        }

        #[inline(always)]
        unsafe fn requantize(sums: [__m256i; 4], step: &OutputStep) -> __m256i {
            // SAFETY: register arithmetic of this tier.
            unsafe { ymm::requantize(sums, step) }
        }

        #[inline(always)]
        unsafe fn requantize_as<const KIND: u8>(sums: [__m256i; 4], step: &OutputStep) -> __m256i {
            // SAFETY: register arithmetic of this tier.
            unsafe { ymm::requantize_as::<KIND>(sums, step) }
        }
    };
}
pub(super) use ymm_pixels;
