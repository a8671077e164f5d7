//! Channel sums and the Gram matrix by `vpdpbusd`, sixteen pixels of a channel block per register.
//!
//! A register of a block holds four channels of sixteen pixels. Transposing bytes within its quarters puts
//! four pixels of one channel side by side, which the instruction multiplies and adds: codes as they are
//! with codes less 128, since it takes one operand signed. What that leaves out is 128·Σv, added at the end.

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
    // SAFETY: both are 64 bytes of integers.
    let lanes: [i32; PIXELS] = unsafe { core::mem::transmute(sums) };
    let mut totals = [0; BLOCK];
    for quarter in lanes.as_chunks::<BLOCK>().0 {
        for (total, &lane) in totals.iter_mut().zip(quarter) {
            *total += i64::from(lane);
        }
    }
    totals
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
fn gram(input: Rows<'_>, block: usize, gram: &mut [u64]) {
    if !fits(&input) {
        return statistics::gram(input, block, gram);
    }
    let sums = block_sums(&input, block);
    let start = |i: usize| i * (i + 1) / 2;
    let first = block * BLOCK;
    for others in (0..=block).step_by(OTHERS) {
        let count = OTHERS.min(block + 1 - others);
        let products = block_products(&input, block, others, count);
        for (other, products) in products[..count].iter().enumerate() {
            for (i, (row, sum)) in products.iter().zip(&sums).enumerate() {
                for (j, product) in row.iter().enumerate() {
                    let (i, j) = (first + i, (others + other) * BLOCK + j);
                    let entry = gram.get_mut(start(i) - start(first) + j);
                    if let (true, Some(entry)) = (j <= i && i < input.layout.channels, entry) {
                        *entry = (product + (OFFSET * sum[0]).cast_signed()).cast_unsigned();
                    }
                }
            }
        }
    }
}

/// Σ v_i·(v_j − 128) of the channels i of `block` with the channels j of `count` blocks from `others` on:
/// entry `[block][i][j]`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn block_products(
    input: &Rows<'_>,
    block: usize,
    others: usize,
    count: usize,
) -> [[[i64; BLOCK]; BLOCK]; OTHERS] {
    let mut totals = [[[0; BLOCK]; BLOCK]; OTHERS];
    let mut steps = 0;
    let mut held = [[_mm512_setzero_si512(); BLOCK]; OTHERS];
    for y in input.image_rows() {
        let row = input.row(y);
        let left = image(&input.layout, row, block);
        steps += left.len().div_ceil(PIXELS * BLOCK);
        if steps > STEPS_MAX {
            flush_products(&mut held, &mut totals);
            steps = left.len().div_ceil(PIXELS * BLOCK);
        }
        // A block that is not asked for is the first one again: its products are not looked at.
        let rights: [&[u8]; OTHERS] = core::array::from_fn(|other| {
            image(&input.layout, row, others + if other < count { other } else { 0 })
        });
        if count == OTHERS {
            row_products::<OTHERS>(left, &rights, &mut held);
        } else if count > 2 {
            row_products::<5>(left, &rights, &mut held);
        } else {
            row_products::<2>(left, &rights, &mut held);
        }
    }
    flush_products(&mut held, &mut totals);
    totals
}

/// Adds the products of one row with the first `COUNT` of `rights`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn row_products<const COUNT: usize>(
    left: &[u8],
    rights: &[&[u8]; OTHERS],
    held: &mut [[__m512i; BLOCK]; OTHERS],
) {
    let top = _mm512_set1_epi8(-128);
    let mut own: [[__m512i; BLOCK]; COUNT] = core::array::from_fn(|other| held[other]);
    for (index, part) in left.chunks(PIXELS * BLOCK).enumerate() {
        let pixels = part.len() / BLOCK;
        // SAFETY: a part holds whole pixels, as many as its length says.
        let codes = unsafe { load(part.as_ptr(), pixels) };
        // In every quarter the four pixels of one channel, four times.
        let channels = [
            _mm512_shuffle_epi32::<0x00>(codes),
            _mm512_shuffle_epi32::<0x55>(codes),
            _mm512_shuffle_epi32::<0xaa>(codes),
            _mm512_shuffle_epi32::<0xff>(codes),
        ];
        for (right, sums) in rights.iter().zip(&mut own) {
            // SAFETY: all blocks of a row are equally long.
            let codes = unsafe { load(right.as_ptr().add(index * PIXELS * BLOCK), pixels) };
            let centred = _mm512_xor_si512(codes, top);
            for (sum, &channel) in sums.iter_mut().zip(&channels) {
                *sum = _mm512_dpbusd_epi32(*sum, channel, centred);
            }
        }
    }
    for (held, own) in held.iter_mut().zip(own) {
        *held = own;
    }
}

/// Moves partial products to their totals.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn flush_products(held: &mut [[__m512i; BLOCK]; OTHERS], totals: &mut [[[i64; BLOCK]; BLOCK]; OTHERS]) {
    for (held, totals) in held.iter_mut().zip(totals.iter_mut()) {
        for (held, totals) in held.iter_mut().zip(totals) {
            for (total, sum) in totals.iter_mut().zip(quarters(*held)) {
                *total += sum;
            }
            *held = _mm512_setzero_si512();
        }
    }
}
