//! The avx512vnni tier: sixteen pixels per register, `vpdpbusd` on codes and broadcast weights.

use crate::loops::vector::{MAX_LANES, OutputStep, PIXEL, Vector, kind};
use core::arch::x86_64::*;

/// 512-bit registers with VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

/// The mask of the first `count` ≤ 16 lanes.
#[inline(always)]
const fn first(count: usize) -> u16 {
    ((1u32 << count) - 1) as u16
}

/// Lanes 0, 2, 4 …
const EVEN: u16 = 0x5555;

impl Vector for Avx512 {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    const SITES: usize = 3;
    const CENTRED: bool = false;
    const KINDS: bool = true;
    const RECTIFIES: bool = true;
    const WEIGHT_BYTES: usize = 4;

    type Pixels = __m512i;
    type Codes = __m512i;
    type Weights = __m512i;
    type Sums = __m512i;
    type Direct = Self;

    crate::loops::instance::dense_tile!("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni");

    #[inline(always)]
    unsafe fn load(source: *const u8) -> __m512i {
        // SAFETY: the caller's contract.
        unsafe { _mm512_loadu_si512(source.cast()) }
    }

    #[inline(always)]
    unsafe fn load_first(source: *const u8, count: usize) -> __m512i {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm512_maskz_loadu_epi32(first(count), source.cast()) }
    }

    #[inline(always)]
    unsafe fn load_even(source: *const u8) -> __m512i {
        // SAFETY: the second load starts at pixel 15, so both stay within 31 pixels.
        unsafe {
            let low = _mm512_loadu_si512(source.cast());
            let high = _mm512_loadu_si512(source.add(15 * PIXEL).cast());
            let lanes = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
            _mm512_permutex2var_epi32(low, lanes, high)
        }
    }

    #[inline(always)]
    unsafe fn store(target: *mut u8, pixels: __m512i) {
        // SAFETY: the caller's contract.
        unsafe { _mm512_storeu_si512(target.cast(), pixels) }
    }

    #[inline(always)]
    unsafe fn store_first(target: *mut u8, pixels: __m512i, count: usize) {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm512_mask_storeu_epi32(target.cast(), first(count), pixels) }
    }

    #[inline(always)]
    unsafe fn store_even(target: *mut u8, pixels: __m512i, count: usize) {
        // SAFETY: masked lanes are not accessed; the second half is only addressed when it has pixels.
        unsafe {
            let low = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(pixels));
            let high = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64::<1>(pixels));
            let (head, tail) = (count.min(8), count.saturating_sub(8));
            _mm512_mask_storeu_epi32(target.cast(), first(2 * head) & EVEN, low);
            if tail > 0 {
                let target = target.add(16 * PIXEL);
                _mm512_mask_storeu_epi32(target.cast(), first(2 * tail) & EVEN, high);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_pairs(target: *mut u8, left: __m512i, right: __m512i, count: usize) {
        // SAFETY: masked lanes are not accessed; the second half is only addressed when it has pixels.
        unsafe {
            let lanes = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let near = _mm512_permutex2var_epi32(left, lanes, right);
            let lanes = _mm512_add_epi32(lanes, _mm512_set1_epi32(8));
            let far = _mm512_permutex2var_epi32(left, lanes, right);
            if count == Self::LANES {
                _mm512_storeu_si512(target.cast(), near);
                _mm512_storeu_si512(target.add(16 * PIXEL).cast(), far);
                return;
            }
            _mm512_mask_storeu_epi32(target.cast(), first(2 * count.min(8)), near);
            if count > 8 {
                _mm512_mask_storeu_epi32(target.add(16 * PIXEL).cast(), first(2 * count - 16), far);
            }
        }
    }

    #[inline(always)]
    unsafe fn greater(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: register arithmetic of this tier.
        unsafe { _mm512_max_epu8(a, b) }
    }

    #[inline(always)]
    unsafe fn codes(pixels: __m512i) -> __m512i {
        pixels
    }

    #[inline(always)]
    unsafe fn widen_weights(source: *const i8, target: *mut i8) {
        // SAFETY: the caller's contract: four bytes each.
        unsafe { core::ptr::copy_nonoverlapping(source, target, 4) }
    }

    #[inline(always)]
    unsafe fn weights(source: *const i8) -> __m512i {
        // SAFETY: four bytes are readable.
        unsafe { _mm512_set1_epi32(source.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn weights_of(word: i32) -> __m512i {
        // SAFETY: register arithmetic of this tier.
        unsafe { _mm512_set1_epi32(word) }
    }

    #[inline(always)]
    unsafe fn start(bias: i32) -> __m512i {
        // SAFETY: register arithmetic of this tier.
        unsafe { _mm512_set1_epi32(bias) }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m512i, codes: __m512i, weights: __m512i) -> __m512i {
        // SAFETY: register arithmetic of this tier.
        unsafe { _mm512_dpbusd_epi32(sums, codes, weights) }
    }

    #[inline(always)]
    unsafe fn integers(sums: __m512i, target: &mut [i32; MAX_LANES]) {
        // SAFETY: the array holds sixteen entries.
        unsafe { _mm512_storeu_si512(target.as_mut_ptr().cast(), sums) }
    }

    #[inline(always)]
    unsafe fn store_sums(target: *mut u8, sums: [__m512i; 4], count: usize) {
        // SAFETY: masked lanes are not accessed.
        unsafe {
            for (part, pixels) in pixels_of_sums(sums).into_iter().enumerate() {
                let lanes = first(4 * count.saturating_sub(4 * part).min(4));
                _mm512_mask_storeu_epi32(target.wrapping_add(part * 64).cast(), lanes, pixels);
            }
        }
    }

    #[inline(always)]
    unsafe fn requantize(sums: [__m512i; 4], step: &OutputStep) -> __m512i {
        // SAFETY: register arithmetic of this tier.
        unsafe {
            match step.kind {
                kind::PLAIN => requantize_bounded::<{ kind::PLAIN }>(sums, step),
                kind::ANY => requantize_any(sums, step),
                _ => requantize_bounded::<{ kind::BOUNDED }>(sums, step),
            }
        }
    }

    #[inline(always)]
    unsafe fn requantize_as<const KIND: u8>(sums: [__m512i; 4], step: &OutputStep) -> __m512i {
        // SAFETY: register arithmetic of this tier.
        unsafe {
            if KIND == kind::ANY {
                requantize_any(sums, step)
            } else {
                requantize_bounded::<KIND>(sums, step)
            }
        }
    }
}

/// Sums of four channels, pixel by pixel: four pixels in each register.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
unsafe fn pixels_of_sums([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    // SAFETY: register arithmetic of this tier.
    unsafe {
        let (low, high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (later_low, later_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        // Pixels 0 4 8 12, then those one, two and three later.
        let pixels = [
            _mm512_unpacklo_epi64(low, later_low),
            _mm512_unpackhi_epi64(low, later_low),
            _mm512_unpacklo_epi64(high, later_high),
            _mm512_unpackhi_epi64(high, later_high),
        ];
        let even = [
            _mm512_shuffle_i32x4::<0x88>(pixels[0], pixels[1]),
            _mm512_shuffle_i32x4::<0x88>(pixels[2], pixels[3]),
        ];
        let odd = [
            _mm512_shuffle_i32x4::<0xdd>(pixels[0], pixels[1]),
            _mm512_shuffle_i32x4::<0xdd>(pixels[2], pixels[3]),
        ];
        [
            _mm512_shuffle_i32x4::<0x88>(even[0], even[1]),
            _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]),
            _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]),
            _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]),
        ]
    }
}

/// Four channels of four pixels in each 128-bit lane, to four pixels of four channels.
const PIXELS_OF_CHANNELS: i128 = i128::from_le_bytes([0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]);

/// # Safety
/// As [`Vector`].
#[inline(always)]
unsafe fn requantize_bounded<const KIND: u8>(sums: [__m512i; 4], step: &OutputStep) -> __m512i {
    // SAFETY: register arithmetic of this tier.
    unsafe {
        let mut steps = sums;
        for c in 0..4 {
            let product = if KIND == kind::RECTIFIED {
                let (sum, multiplier) = (_mm512_castsi512_ps(sums[c]), _mm512_set1_ps(step.multipliers[c]));
                _mm512_fmsub_ps(sum, multiplier, _mm512_set1_ps(step.rectified_zeros[c]))
            } else {
                _mm512_mul_ps(_mm512_cvtepi32_ps(sums[c]), _mm512_set1_ps(step.multipliers[c]))
            };
            steps[c] = _mm512_cvtps_epi32(product);
        }
        let lanes = _mm512_broadcast_i32x4(core::mem::transmute::<i128, __m128i>(PIXELS_OF_CHANNELS));
        let mut even = _mm512_packs_epi32(steps[0], steps[1]);
        let mut odd = _mm512_packs_epi32(steps[2], steps[3]);
        if KIND < kind::PLAIN {
            let zero = _mm512_set1_epi32(step.zero_words);
            (even, odd) = (_mm512_adds_epi16(even, zero), _mm512_adds_epi16(odd, zero));
        }
        let codes = _mm512_shuffle_epi8(_mm512_packus_epi16(even, odd), lanes);
        if KIND != kind::BOUNDED {
            return codes;
        }
        let low = _mm512_max_epu8(codes, _mm512_set1_epi32(step.low_codes));
        _mm512_min_epu8(low, _mm512_set1_epi32(step.high_codes))
    }
}

/// # Safety
/// As [`Vector`].
#[inline(always)]
unsafe fn requantize_any(sums: [__m512i; 4], step: &OutputStep) -> __m512i {
    // SAFETY: register arithmetic of this tier.
    unsafe {
        let low = _mm512_set1_ps(step.low);
        let high = _mm512_set1_ps(step.high);
        let mut steps = sums;
        for c in 0..4 {
            let product = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[c]), _mm512_set1_ps(step.multipliers[c]));
            steps[c] = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(product, low), high));
        }
        let even = _mm512_add_epi32(steps[0], _mm512_slli_epi32::<8>(steps[1]));
        let odd = _mm512_add_epi32(steps[2], _mm512_slli_epi32::<8>(steps[3]));
        let all = _mm512_add_epi32(even, _mm512_slli_epi32::<16>(odd));
        _mm512_add_epi32(all, _mm512_set1_epi32(step.zero_points))
    }
}

/// The roof of this tier; see [`crate::loops::roof`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn roof(rounds: usize) -> u64 {
    // SAFETY: this function is compiled with the tier's instructions.
    unsafe { crate::loops::roof::products::<Avx512>(rounds) }
}

// With AVX-512 the compiler would vectorise the Gram matrix across its entries, by gathers and scatters.
crate::loops::instance::table!("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni", Avx512, "avx2");
