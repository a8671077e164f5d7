//! The instructions of the DSP extension that loops use, and a model of them for tests on other machines.

#[cfg(any(test, feature = "dsp"))]
use candor_core::tensor::BLOCK;

/// Four codes of each of two pixels: codes 0 and 2 of the first, its codes 1 and 3, then those of the second.
#[cfg(any(test, feature = "dsp"))]
pub(crate) type Pixels = [u32; 4];

/// How the weights of some output channels lie, as the assembly reads it.
#[cfg(any(test, feature = "dsp"))]
#[repr(C)]
pub(crate) struct Group {
    /// Bytes of a row: the words of one chunk and output channel.
    pub row: usize,
    /// Bytes from one chunk to the next.
    pub chunk: usize,
    /// Words, rounded up to an even number; those beyond the last have zero weights.
    pub words: usize,
    /// Pairs of output channels, at least one.
    pub pairs: usize,
}

/// The specification of [`Dual::multiply`].
#[cfg(any(test, feature = "dsp"))]
fn products<D: Dual>(codes: &[Pixels], weights: &[i8], group: &Group, sums: &mut [[i32; 2]]) {
    let codes = &codes[..group.words];
    for (pair, sums) in sums.as_chunks_mut::<2>().0.iter_mut().enumerate().take(group.pairs) {
        for (index, codes) in codes.chunks(group.row / BLOCK).enumerate() {
            for (row, sums) in sums.iter_mut().enumerate() {
                let weights = &weights[index * group.chunk + (2 * pair + row) * group.row..][..group.row];
                for (pixels, word) in codes.iter().zip(weights.as_chunks::<BLOCK>().0) {
                    let [even, odd] = D::weights(u32::from_le_bytes(word.map(|weight| weight as u8)));
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        *sum = D::multiply_add(*sum, pixels[2 * pixel], even);
                        *sum = D::multiply_add(*sum, pixels[2 * pixel + 1], odd);
                    }
                }
            }
        }
    }
}

/// Arithmetic on the four bytes or two halves of a register.
#[cfg(any(test, feature = "dsp"))]
pub(crate) trait Dual {
    /// Bytes 0 and 2 of a word as unsigned halves, then bytes 1 and 3: UXTB16.
    fn codes(word: u32) -> [u32; 2];

    /// Bytes 0 and 2 of a word as signed halves, then bytes 1 and 3: SXTB16.
    fn weights(word: u32) -> [u32; 2];

    /// Adds the products of gathered words to the sums of pairs of output channels; see [`Group`].
    #[inline(always)]
    fn multiply(codes: &[Pixels], weights: &[i8], group: &Group, sums: &mut [[i32; 2]])
    where
        Self: Sized,
    {
        products::<Self>(codes, weights, group, sums);
    }

    /// `sum` plus the products of the low and of the high halves: SMLAD. The result must fit 32 bits.
    fn multiply_add(sum: i32, codes: u32, weights: u32) -> i32;
}

/// Comparison of the four bytes of a register.
pub(crate) trait Greater {
    /// The greater of each pair of bytes: UQSUB8, UADD8.
    fn greater(a: u32, b: u32) -> u32;
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
    fn multiply(codes: &[Pixels], weights: &[i8], group: &Group, sums: &mut [[i32; 2]]) {
        let chunks = group.words.div_ceil(group.row / BLOCK);
        let last = chunks.saturating_sub(1) * group.chunk + 2 * group.pairs * group.row;
        if group.words > codes.len() || last > weights.len() || 2 * group.pairs > sums.len() || chunks == 0 {
            return products::<Self>(codes, weights, group, sums);
        }
        // SAFETY: the checks above keep every word, row and sum within its slice, and the feature promises
        // the instructions.
        unsafe { super::pairs::multiply_pairs(codes.as_ptr(), weights.as_ptr(), sums.as_mut_ptr(), group) }
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
