//! Tables of 256 bytes in registers: by byte permutations where the CPU has them, else by byte shuffles.
//!
//! A shuffle looks up sixteen bytes. Of sixteen shuffles with the code lowered by 0, 16, 32 …, those whose
//! index became negative give zero. Each of the others gives an entry combined with that of the sixteen
//! below, so that by exclusive or all but the last cancel out. Codes above 127 do the same with their top
//! bit flipped.

use crate::loops::codebook::{Codebook, Translate, row};
use crate::x86::avx2::Avx2;
use crate::x86::avx512::Avx512;
use crate::x86::avxvnni::AvxVnni;
use core::arch::x86_64::*;

/// Entries one shuffle looks up.
const GROUP: usize = 16;
/// Groups of each half of a table.
const HALF: usize = 8;

/// Groups of sixteen entries, each but the first of a half combined with the one below.
#[repr(align(16))]
struct Groups([[u8; GROUP]; 2 * HALF]);

impl Groups {
    #[inline(always)]
    fn new(table: &[u8; 256]) -> Self {
        let entries = table.as_chunks::<GROUP>().0;
        Self(core::array::from_fn(|group| {
            let below = if group % HALF == 0 { [0; GROUP] } else { entries[group - 1] };
            core::array::from_fn(|at| entries[group][at] ^ below[at])
        }))
    }
}

/// A table for 256-bit shuffles.
struct Shuffled256(Groups);

macro_rules! ymm_codebook {
    ($vector:ty) => {
        impl Codebook<$vector> for Shuffled256 {
            #[inline(always)]
            unsafe fn new(table: &[u8; 256]) -> Self {
                Self(Groups::new(table))
            }

            #[inline(always)]
            unsafe fn entries(&self, codes: __m256i) -> __m256i {
                // SAFETY: register arithmetic of AVX2; every group has sixteen aligned bytes.
                unsafe {
                    let group = |index: usize| {
                        _mm256_broadcastsi128_si256(_mm_load_si128(self.0.0[index].as_ptr().cast()))
                    };
                    let sixteen = _mm256_set1_epi8(GROUP as i8);
                    let (mut low, mut high) = (codes, _mm256_xor_si256(codes, _mm256_set1_epi8(i8::MIN)));
                    let mut entries = [_mm256_setzero_si256(); 2];
                    for index in 0..HALF {
                        entries[0] = _mm256_xor_si256(entries[0], _mm256_shuffle_epi8(group(index), low));
                        let upper = _mm256_shuffle_epi8(group(HALF + index), high);
                        entries[1] = _mm256_xor_si256(entries[1], upper);
                        low = _mm256_subs_epi8(low, sixteen);
                        high = _mm256_subs_epi8(high, sixteen);
                    }
                    _mm256_xor_si256(entries[0], entries[1])
                }
            }

            #[inline(always)]
            unsafe fn choose(lanes: u32, new: __m256i, old: __m256i) -> __m256i {
                // SAFETY: register arithmetic of AVX2.
                unsafe { _mm256_blendv_epi8(old, new, _mm256_set1_epi32(lanes as i32)) }
            }
        }

        impl Translate for $vector {
            #[inline(always)]
            fn is_quick() -> bool {
                false
            }

            #[inline(always)]
            unsafe fn translate(
                source: *const u8,
                target: *mut u8,
                pixels: usize,
                table: &[u8; 256],
                lanes: u32,
            ) {
                // SAFETY: the caller's contract.
                unsafe { row::<$vector, Shuffled256>(source, target, pixels, table, lanes) }
            }
        }
    };
}
ymm_codebook!(Avx2);
ymm_codebook!(AvxVnni);

/// # Safety
/// Needs AVX-512 BW.
#[inline(always)]
unsafe fn choose(lanes: u32, new: __m512i, old: __m512i) -> __m512i {
    // SAFETY: register arithmetic of AVX-512.
    unsafe { _mm512_mask_blend_epi8(_mm512_movepi8_mask(_mm512_set1_epi32(lanes as i32)), old, new) }
}

/// A table for 512-bit shuffles.
struct Shuffled512([__m512i; 2 * HALF]);

impl Codebook<Avx512> for Shuffled512 {
    #[inline(always)]
    unsafe fn new(table: &[u8; 256]) -> Self {
        let groups = Groups::new(table);
        // SAFETY: every group has sixteen aligned bytes.
        let group =
            |index: usize| unsafe { _mm512_broadcast_i32x4(_mm_load_si128(groups.0[index].as_ptr().cast())) };
        Self(core::array::from_fn(group))
    }

    #[inline(always)]
    unsafe fn entries(&self, codes: __m512i) -> __m512i {
        // SAFETY: register arithmetic of AVX-512 BW.
        unsafe {
            let sixteen = _mm512_set1_epi8(GROUP as i8);
            let (mut low, mut high) = (codes, _mm512_xor_si512(codes, _mm512_set1_epi8(i8::MIN)));
            let mut entries = _mm512_setzero_si512();
            for index in 0..HALF {
                let lower = _mm512_shuffle_epi8(self.0[index], low);
                let upper = _mm512_shuffle_epi8(self.0[HALF + index], high);
                entries = _mm512_ternarylogic_epi32::<0x96>(entries, lower, upper);
                low = _mm512_subs_epi8(low, sixteen);
                high = _mm512_subs_epi8(high, sixteen);
            }
            entries
        }
    }

    #[inline(always)]
    unsafe fn choose(lanes: u32, new: __m512i, old: __m512i) -> __m512i {
        // SAFETY: register arithmetic of AVX-512.
        unsafe { choose(lanes, new, old) }
    }
}

/// A table for byte permutations (VBMI), 64 entries a register.
struct Permuted([__m512i; 4]);

impl Codebook<Avx512> for Permuted {
    #[inline(always)]
    unsafe fn new(table: &[u8; 256]) -> Self {
        let parts = table.as_chunks::<64>().0;
        // SAFETY: each of the four parts has 64 bytes.
        Self(core::array::from_fn(|part| unsafe { _mm512_loadu_si512(parts[part].as_ptr().cast()) }))
    }

    #[inline(always)]
    unsafe fn entries(&self, codes: __m512i) -> __m512i {
        // SAFETY: register arithmetic of AVX-512 BW and VBMI.
        unsafe {
            let low = _mm512_permutex2var_epi8(self.0[0], codes, self.0[1]);
            let high = _mm512_permutex2var_epi8(self.0[2], codes, self.0[3]);
            _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high)
        }
    }

    #[inline(always)]
    unsafe fn choose(lanes: u32, new: __m512i, old: __m512i) -> __m512i {
        // SAFETY: register arithmetic of AVX-512.
        unsafe { choose(lanes, new, old) }
    }
}

/// [`Translate::translate`] by permutations.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi")]
unsafe fn permute(source: *const u8, target: *mut u8, pixels: usize, table: &[u8; 256], lanes: u32) {
    // SAFETY: the caller's contract, in a function compiled with the instructions.
    unsafe { row::<Avx512, Permuted>(source, target, pixels, table, lanes) }
}

/// [`Translate::translate`] by shuffles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn shuffle(source: *const u8, target: *mut u8, pixels: usize, table: &[u8; 256], lanes: u32) {
    // SAFETY: the caller's contract, in a function compiled with the instructions.
    unsafe { row::<Avx512, Shuffled512>(source, target, pixels, table, lanes) }
}

impl Translate for Avx512 {
    #[inline(always)]
    fn is_quick() -> bool {
        crate::tier::has_byte_permutations()
    }

    #[inline(always)]
    unsafe fn translate(source: *const u8, target: *mut u8, pixels: usize, table: &[u8; 256], lanes: u32) {
        // SAFETY: the caller's contract; permutations only where the CPU has them.
        unsafe {
            if crate::tier::has_byte_permutations() {
                permute(source, target, pixels, table, lanes);
            } else {
                shuffle(source, target, pixels, table, lanes);
            }
        }
    }
}

#[cfg(test)]
mod tests;
