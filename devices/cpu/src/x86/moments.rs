//! Channel sums and the Gram matrix by `vpdpbusd`, sixteen pixels of a channel block per register.
//!
//! A register of a block holds four channels of sixteen pixels. Transposing bytes within its quarters puts
//! four pixels of one channel side by side, which the instruction multiplies and adds: codes as they are
//! with codes less 128, since it takes one operand signed. What that leaves out is 128·Σv, added at the end.
//! For the Gram matrix, which uses every code many times, that is done once, into a buffer.

use super::avx512;
use crate::image::image;
use crate::statistics;
use crate::table::Table;
use candor_core::tensor::{BLOCK, Element, Rows};
use core::arch::x86_64::*;

/// The loops of the tier with these in place of the general ones.
pub(crate) static TABLE: Table = Table { channel_sums, gram, ..avx512::TABLE };

/// Pixels of a register.
const PIXELS: usize = 16;
/// Registers whose products fit a signed sum: 4·255·128·16448 < 2³¹.
const STEPS_MAX: usize = 16_448;
/// Blocks multiplied at a time: four sums each, and four operands, fill the registers.
const OTHERS: usize = 6;
/// Bytes of rearranged codes multiplied at a time: few enough to stay in the first cache, and their products
/// to fit a signed sum.
const HELD: usize = 16 << 10;
/// Bytes of a register.
const REGISTER: usize = PIXELS * BLOCK;

/// What a sum of one channel with another has to be added: see the module.
const OFFSET: u64 = 128;

/// Loads `count` pixels of a block, the others zero, and puts the pixels of each channel side by side.
///
/// # Safety
/// `pixels` holds as many; the tier is available.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn load(pixels: *const u8, count: usize) -> __m512i {
    let order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    let mask = if count >= PIXELS { u16::MAX } else { (1 << count) - 1 };
    // SAFETY: masked lanes are not accessed.
    let codes = unsafe { _mm512_maskz_loadu_epi32(mask, pixels.cast()) };
    _mm512_shuffle_epi8(codes, order)
}

/// The four quarters of a register added: one sum per channel.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn quarters(sums: __m512i) -> [i64; BLOCK] {
    let low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sums));
    let high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(sums));
    let halves = _mm512_add_epi64(low, high);
    let sums = _mm256_add_epi64(_mm512_castsi512_si256(halves), _mm512_extracti64x4_epi64::<1>(halves));
    // SAFETY: both are 32 bytes of integers.
    unsafe { core::mem::transmute(sums) }
}

/// Whether a row fits the sums.
fn fits(input: &Rows<'_>) -> bool {
    input.layout.element == Element::Code && input.layout.width.div_ceil(PIXELS) <= STEPS_MAX
}

/// As [`statistics::channel_sums`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn channel_sums(input: Rows<'_>, first_block: usize, sums: &mut [[u64; 2]]) {
    if !fits(&input) {
        return statistics::channel_sums(input, first_block, sums);
    }
    for (index, entries) in sums.chunks_mut(BLOCK).enumerate() {
        let totals = block_sums(&input, first_block + index);
        entries.copy_from_slice(&totals[..entries.len()]);
    }
}

/// Σv and Σv² of the channels of one block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn block_sums(input: &Rows<'_>, block: usize) -> [[u64; 2]; BLOCK] {
    let (ones, top) = (_mm512_set1_epi8(1), _mm512_set1_epi8(-128));
    let mut totals = [[0; 2]; BLOCK];
    let mut held = [_mm512_setzero_si512(); 2];
    let mut steps = 0;
    let flush = |held: &mut [__m512i; 2], totals: &mut [[u64; 2]; BLOCK]| {
        let [sums, squares] = held.map(|sums| quarters(sums));
        for (total, (sum, square)) in totals.iter_mut().zip(sums.into_iter().zip(squares)) {
            total[0] += sum.cast_unsigned();
            total[1] += (square + OFFSET as i64 * sum).cast_unsigned();
        }
        *held = [_mm512_setzero_si512(); 2];
    };
    for y in input.image_rows() {
        let pixels = image(&input.layout, input.row(y), block);
        steps += pixels.len().div_ceil(PIXELS * BLOCK);
        if steps > STEPS_MAX {
            flush(&mut held, &mut totals);
            steps = pixels.len().div_ceil(PIXELS * BLOCK);
        }
        for part in pixels.chunks(PIXELS * BLOCK) {
            // SAFETY: a part holds whole pixels, as many as its length says.
            let codes = unsafe { load(part.as_ptr(), part.len() / BLOCK) };
            held[0] = _mm512_dpbusd_epi32(held[0], codes, ones);
            held[1] = _mm512_dpbusd_epi32(held[1], codes, _mm512_xor_si512(codes, top));
        }
    }
    flush(&mut held, &mut totals);
    totals
}

/// As [`statistics::gram`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn gram(input: Rows<'_>, sums: &[[u64; 2]], first: usize, gram: &mut [u64]) {
    let layout = &input.layout;
    let blocks = first + statistics::gram_blocks(layout.channels, first, gram.len());
    let slots = HELD / (REGISTER * blocks.max(1));
    if layout.element != Element::Code || slots == 0 {
        return statistics::gram(input, sums, first, gram);
    }
    let mut rest = &mut *gram;
    for (i, [sum, _]) in sums.iter().enumerate().take(layout.channels).skip(first * BLOCK) {
        let Some((row, after)) = rest.split_at_mut_checked(i + 1) else { break };
        row.fill(OFFSET * sum);
        rest = after;
    }
    let mut codes = Codes { bytes: [0; HELD], slots, filled: 0 };
    let parts = layout.width.div_ceil(PIXELS);
    for y in input.image_rows() {
        let row = input.row(y);
        let mut part = 0;
        while part < parts {
            let count = (parts - part).min(slots - codes.filled);
            for block in 0..blocks {
                codes.take(block, &image(layout, row, block)[part * REGISTER..], count);
            }
            codes.filled += count;
            part += count;
            if codes.filled == slots {
                multiply(&codes, first..blocks, layout.channels, gram);
                codes.filled = 0;
            }
        }
    }
    multiply(&codes, first..blocks, layout.channels, gram);
}

/// Codes of all blocks, the pixels of each channel side by side in every quarter of a register.
#[repr(align(64))]
struct Codes {
    /// `[blocks][slots]` registers.
    bytes: [u8; HELD],
    slots: usize,
    /// Slots of every block that hold codes.
    filled: usize,
}

impl Codes {
    /// Takes `count` registers from the start of `pixels`, what is missing of the last as zeros.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn take(&mut self, block: usize, pixels: &[u8], count: usize) {
        let start = (block * self.slots + self.filled) * REGISTER;
        let target = self.bytes[start..start + count * REGISTER].as_chunks_mut::<REGISTER>().0;
        for (target, part) in target.iter_mut().zip(pixels.chunks(REGISTER)) {
            // SAFETY: a part holds whole pixels, as many as its length says; the target is a register long.
            unsafe {
                _mm512_storeu_si512(target.as_mut_ptr().cast(), load(part.as_ptr(), part.len() / BLOCK))
            };
        }
    }

    /// The filled registers of a block.
    #[inline]
    fn of(&self, block: usize) -> &[[u8; REGISTER]] {
        let start = block * self.slots * REGISTER;
        self.bytes[start..start + self.filled * REGISTER].as_chunks::<REGISTER>().0
    }
}

/// Adds the products of the held codes to the rows of the channels of `blocks`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn multiply(codes: &Codes, blocks: core::ops::Range<usize>, channels: usize, gram: &mut [u64]) {
    let mut target = Target { first: blocks.start * BLOCK, channels, gram };
    for block in blocks {
        for other in (0..=block).step_by(OTHERS) {
            let count = (block + 1 - other).min(OTHERS);
            let products = [
                products::<1>,
                products::<2>,
                products::<3>,
                products::<4>,
                products::<5>,
                products::<OTHERS>,
            ];
            products[count - 1](codes, [block, other], &mut target);
        }
    }
}

/// Adds Σ v_i·(v_j − 128) of the channels i of `block` with the channels j of each of `COUNT` blocks from
/// `other` on to the target.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn products<const COUNT: usize>(codes: &Codes, [block, other]: [usize; 2], target: &mut Target<'_>) {
    let left = codes.of(block);
    let top = _mm512_set1_epi8(-128);
    let rights: [&[[u8; REGISTER]]; COUNT] = core::array::from_fn(|at| &codes.of(other + at)[..left.len()]);
    let mut sums = [[_mm512_setzero_si512(); BLOCK]; COUNT];
    for (slot, codes) in left.iter().enumerate() {
        // SAFETY: the array is a register long.
        let codes = unsafe { _mm512_loadu_si512(codes.as_ptr().cast()) };
        // In every quarter the four pixels of one channel, four times.
        let channels = [
            _mm512_shuffle_epi32::<0x00>(codes),
            _mm512_shuffle_epi32::<0x55>(codes),
            _mm512_shuffle_epi32::<0xaa>(codes),
            _mm512_shuffle_epi32::<0xff>(codes),
        ];
        for (right, sums) in rights.iter().zip(&mut sums) {
            // SAFETY: the array is a register long.
            let codes = unsafe { _mm512_loadu_si512(right[slot].as_ptr().cast()) };
            let centred = _mm512_xor_si512(codes, top);
            for (sum, &channel) in sums.iter_mut().zip(&channels) {
                *sum = _mm512_dpbusd_epi32(*sum, channel, centred);
            }
        }
    }
    for (at, sums) in sums.into_iter().enumerate() {
        target.add([block, other + at], sums);
    }
}

/// Rows of the lower triangle from that of channel `first` on.
struct Target<'a> {
    first: usize,
    channels: usize,
    gram: &'a mut [u64],
}

impl Target<'_> {
    /// Adds products of the channels of block `left` with those of block `right`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn add(&mut self, [left, right]: [usize; 2], products: [__m512i; BLOCK]) {
        let start = |i: usize| i * (i + 1) / 2;
        for (i, sums) in (left * BLOCK..self.channels).zip(products) {
            let at = start(i) - start(self.first) + right * BLOCK;
            let Some(entries) = self.gram.get_mut(at..) else { return };
            let sums = quarters(sums);
            if let Some(entries) = entries.first_chunk_mut::<BLOCK>().filter(|_| right < left) {
                for (entry, sum) in entries.iter_mut().zip(sums) {
                    *entry = entry.wrapping_add(sum.cast_unsigned());
                }
            } else {
                for (entry, sum) in entries.iter_mut().zip(sums).take(i + 1 - right * BLOCK) {
                    *entry = entry.wrapping_add(sum.cast_unsigned());
                }
            }
        }
    }
}
