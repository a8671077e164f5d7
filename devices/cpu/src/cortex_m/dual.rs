//! The instructions of the DSP extension that loops use, and a model of them for tests on other machines.

use super::blocks::Greater;
use super::dense::{self, Group, SEGMENT, Sums};
#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::quads;
use candor_core::arithmetic::Multiplier;
use candor_core::tensor::BLOCK;
use core::mem::MaybeUninit;
#[cfg(all(target_arch = "arm", feature = "dsp"))]
use core::ptr;

/// Four codes of each of four pixels: codes 0 and 2 of the first, its codes 1 and 3, those of the second.
pub(crate) type Pixels = [u32; 8];

/// The specification of [`Dual::neighbours`].
///
/// # Safety
/// As there.
unsafe fn neighbours<D: Dual>(
    line: *const [u8; BLOCK],
    runs: &[u16],
    gathered: &mut [[MaybeUninit<Pixels>; 3]],
) {
    for (pixels, &run) in gathered.iter_mut().zip(runs) {
        // SAFETY: the caller's promise; bytes need no alignment.
        let words: [[u8; BLOCK]; 6] = unsafe { *line.wrapping_add(usize::from(run)).cast() };
        let [[a, b], [c, d], [e, f], [g, h], [i, j], [k, l]] =
            words.map(|word| D::codes(u32::from_le_bytes(word)));
        let taps = [[a, b, c, d, e, f, g, h], [c, d, e, f, g, h, i, j], [e, f, g, h, i, j, k, l]];
        *pixels = taps.map(MaybeUninit::new);
    }
}

/// Arithmetic on the four bytes or two halves of a register.
pub(crate) trait Dual {
    /// Bytes 0 and 2 of a word as unsigned halves, then bytes 1 and 3: UXTB16.
    fn codes(word: u32) -> [u32; 2];

    /// Bytes 0 and 2 of a word as signed halves, then bytes 1 and 3: SXTB16.
    fn weights(word: u32) -> [u32; 2];

    /// As [`dense::Dense::multiply`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn multiply(
        gathered: &[MaybeUninit<Pixels>; SEGMENT],
        weights: &[i8],
        words: usize,
        group: &Group,
        starts: Option<&Sums<4>>,
        sums: &mut Sums<4>,
    ) {
        *sums = *starts.unwrap_or(sums);
        let (chunk, row) = (group.rows * group.width * BLOCK, group.width * BLOCK);
        for (words, weights) in gathered[..words].chunks(group.width).zip(weights.chunks(chunk)) {
            for (weights, sums) in weights.chunks(row).zip(&mut *sums).take(group.outputs) {
                for (pixels, word) in words.iter().zip(weights.as_chunks::<BLOCK>().0) {
                    let [even, odd] = Self::weights(u32::from_le_bytes(word.map(|weight| weight as u8)));
                    // SAFETY: the caller's promise.
                    let pixels = unsafe { pixels.assume_init_ref() };
                    for (sum, pixel) in sums.iter_mut().zip(pixels.as_chunks::<2>().0) {
                        *sum = Self::multiply_add(*sum, pixel[0], even);
                        *sum = Self::multiply_add(*sum, pixel[1], odd);
                    }
                }
            }
        }
    }

    /// Gathers runs of three neighbouring taps for four neighbouring pixels, which share most of them.
    ///
    /// # Safety
    /// At every one of `runs` there are six words from `line` on.
    #[inline(always)]
    unsafe fn neighbours(line: *const [u8; BLOCK], runs: &[u16], gathered: &mut [[MaybeUninit<Pixels>; 3]])
    where
        Self: Sized,
    {
        // SAFETY: the caller's promise.
        unsafe { neighbours::<Self>(line, runs, gathered) }
    }

    /// As [`dense::Dense::requantize`], where codes may be any.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn requantize(sums: &Sums<4>, multipliers: &[Multiplier], group: &Group, row: &mut [u8]) {
        dense::requantize(sums, multipliers, group, row, 4);
    }

    /// `sum` plus the products of the low and of the high halves: SMLAD. The result must fit 32 bits.
    fn multiply_add(sum: i32, codes: u32, weights: u32) -> i32;
}

/// One instruction on registers that touches neither memory nor flags.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
macro_rules! instruction {
    ($text:literal, $($operand:expr),+) => {{
        let result: u32;
        // SAFETY: register arithmetic of the DSP extension, which the feature promises. Nothing overflows, so
        // the flag that tells of it is preserved.
        unsafe {
            core::arch::asm!(
                $text,
                lateout(reg) result,
                $(in(reg) $operand,)+
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        result
    }};
}

/// The processor's own.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
pub(crate) struct Instructions;

#[cfg(all(target_arch = "arm", feature = "dsp"))]
impl Dual for Instructions {
    #[inline(always)]
    unsafe fn multiply(
        gathered: &[MaybeUninit<Pixels>; SEGMENT],
        weights: &[i8],
        words: usize,
        group: &Group,
        starts: Option<&Sums<4>>,
        sums: &mut Sums<4>,
    ) {
        // An odd number of words is rounded up: a row is a multiple of four words, and the one beyond the
        // last has no weight, so whatever stands there does.
        let starts = starts.map_or(ptr::null(), |starts| starts.as_ptr());
        let (gathered, weights, sums) = (gathered.as_ptr(), weights.as_ptr(), sums.as_mut_ptr());
        // SAFETY: the caller's promise keeps every word, row and sum within its slice, and the feature
        // promises the instructions.
        unsafe { quads::multiply(gathered, weights, sums, group, words, starts) }
    }

    #[inline(always)]
    unsafe fn neighbours(line: *const [u8; BLOCK], runs: &[u16], gathered: &mut [[MaybeUninit<Pixels>; 3]]) {
        if runs.is_empty() || runs.len() > gathered.len() || !line.cast::<u32>().is_aligned() {
            // SAFETY: the caller's promise.
            return unsafe { neighbours::<Self>(line, runs, gathered) };
        }
        let end = runs.as_ptr_range().end;
        // SAFETY: the caller's promise, and the checks above.
        unsafe { quads::neighbours(line, runs.as_ptr(), end, gathered.as_mut_ptr()) }
    }

    #[inline(always)]
    unsafe fn requantize(sums: &Sums<4>, multipliers: &[Multiplier], group: &Group, row: &mut [u8]) {
        // SAFETY: the caller's promise keeps every sum, multiplier and code within its slice, and the feature
        // promises the instructions.
        unsafe { quads::requantize(sums.as_ptr(), multipliers.as_ptr(), row.as_mut_ptr(), group) }
    }

    #[inline(always)]
    fn codes(word: u32) -> [u32; 2] {
        [instruction!("uxtb16 {}, {}", word), instruction!("uxtb16 {}, {}, ror #8", word)]
    }

    #[inline(always)]
    fn weights(word: u32) -> [u32; 2] {
        [instruction!("sxtb16 {}, {}", word), instruction!("sxtb16 {}, {}, ror #8", word)]
    }

    #[inline(always)]
    fn multiply_add(sum: i32, codes: u32, weights: u32) -> i32 {
        instruction!("smlad {}, {}, {}, {}", codes, weights, sum) as i32
    }
}

#[cfg(all(target_arch = "arm", feature = "dsp"))]
impl Greater for Instructions {
    #[inline(always)]
    fn greater(a: u32, b: u32) -> u32 {
        let result;
        // SAFETY: register arithmetic of the DSP extension, which the feature promises.
        unsafe {
            core::arch::asm!(
                "uqsub8 {0}, {2}, {1}",
                "uadd8 {0}, {0}, {1}",
                out(reg) result,
                in(reg) a,
                in(reg) b,
                options(pure, nomem, nostack)
            );
        }
        result
    }
}

/// What the instructions do, by the ARMv7-M architecture reference manual's pseudocode.
#[cfg(test)]
pub(crate) struct Model;

#[cfg(test)]
impl Dual for Model {
    fn codes(word: u32) -> [u32; 2] {
        [word & 0x00ff_00ff, word.rotate_right(8) & 0x00ff_00ff]
    }

    fn weights(word: u32) -> [u32; 2] {
        let halves = |word: u32| {
            let [low, high] = [word as u8 as i8, (word >> 16) as u8 as i8].map(|byte| i16::from(byte) as u16);
            u32::from(high) << 16 | u32::from(low)
        };
        [halves(word), halves(word.rotate_right(8))]
    }

    fn multiply_add(sum: i32, codes: u32, weights: u32) -> i32 {
        let product = |shift: u32| {
            i32::from((codes >> shift) as u16 as i16) * i32::from((weights >> shift) as u16 as i16)
        };
        // The tests check that this does not overflow.
        sum + (product(0) + product(16))
    }
}

#[cfg(test)]
impl Greater for Model {
    fn greater(a: u32, b: u32) -> u32 {
        let [a, b] = [a, b].map(u32::to_le_bytes);
        let bytes = [0, 1, 2, 3].map(|byte: usize| b[byte].saturating_sub(a[byte]).wrapping_add(a[byte]));
        u32::from_le_bytes(bytes)
    }
}
