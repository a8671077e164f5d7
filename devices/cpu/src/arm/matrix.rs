//! The dense loop of the i8mm tier: eight output channels by up to twelve pixels, in products of 2×8 by 8×2
//! bytes.
//!
//! The words of two neighbouring offsets, zipped, are eight codes of two pixels each; the weights that meet
//! them are laid out in pairs of channels once for a strip of rows. Codes are taken as they are, unsigned.

use super::dense::{self, Codes, Copy, Group, WORDS};
use super::neondot::NeonDot;
use super::{dot, quad};
use crate::loops::dense::Dense;
use crate::loops::walk::{Site, Walk};
use candor_core::ops::order::{GROUP, OUTPUT_BLOCK};
use candor_core::tensor::{BLOCK, Element};
use core::arch::aarch64::*;
use core::arch::asm;
use core::mem::MaybeUninit;

/// Most sites of a tile.
const SITES: usize = 3;
/// Most pairs of words whose weights are laid out; longer filters take the dot product loop.
const PAIRS: usize = 1024;
/// Registers of weights per pair of words, one for two output channels.
const COUPLES: usize = OUTPUT_BLOCK / 2;
/// Turns two pixels of channels 0 and 1, the same of 2 and 3, then two other pixels likewise, into pixels.
static BY_PIXEL: [u8; 16] = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15];

/// Eight weights of one channel, then of the next.
type Couple = MaybeUninit<int8x16_t>;

/// Weights of eight channels, for each pair of words.
#[repr(align(64))]
struct Packed([[Couple; COUPLES]; PAIRS]);

/// Sums of two channels by pixels 0 and 1, then by pixels 2 and 3: `[pixel][channel]` in each register.
type Sums<const N: usize> = [[[int32x4_t; 2]; N]; COUPLES];

/// Runs a pass.
///
/// # Safety
/// As [`crate::loops::dense::run`], where the tier is available.
pub(super) unsafe fn run(pass: &Dense<'_>) {
    let words = pass.order.words();
    if !(2..=2 * PAIRS).contains(&words) {
        // SAFETY: the caller's contract; the tier has that of neondot.
        return unsafe { dot::run(pass) };
    }
    let mut list = [MaybeUninit::uninit(); WORDS];
    let mut copies = Copy::new();
    let mut packed = Packed([[MaybeUninit::uninit(); COUPLES]; PAIRS]);
    let offsets = dense::list_offsets(pass, &mut list);
    let pairs = words.div_ceil(2);
    dense::strips(pass, OUTPUT_BLOCK, |part, first, count| {
        let group = Group::new(part, first, count, false);
        let mut walk = Walk::new(&part.plane, quad::LANES);
        // SAFETY: the caller's contract; the packed weights are written before they are read.
        unsafe {
            pack(&group, &mut packed.0[..pairs.next_multiple_of(2)]);
            let weights = packed.0.as_ptr().cast();
            // Four sites are better taken as two and two.
            let least = if walk.remaining % SITES == 1 { SITES + 2 } else { SITES };
            group.sweep::<NeonDot, SITES>(&mut walk, least, offsets, &mut copies, |sites, codes| {
                tile::<SITES>(&group, weights, pairs, sites, codes);
            });
            group.sweep::<NeonDot, 2>(&mut walk, 2, offsets, &mut copies, |sites, codes| {
                tile::<2>(&group, weights, pairs, sites, codes);
            });
            group.sweep::<NeonDot, 1>(&mut walk, 1, offsets, &mut copies, |sites, codes| {
                tile::<1>(&group, weights, pairs, sites, codes);
            });
        }
    });
}

/// Lays out the weights of a group, two pairs of words at a time.
///
/// # Safety
/// They are readable.
#[target_feature(enable = "neon")]
unsafe fn pack(group: &Group<'_>, packed: &mut [[Couple; COUPLES]]) {
    let pitch = group.pass.order.width * BLOCK;
    let (mut row, mut used) = (group.weights, 0);
    for packed in packed.chunks_exact_mut(2) {
        for couple in 0..COUPLES {
            let first = row.wrapping_add(2 * couple * pitch + used);
            // SAFETY: rows hold a multiple of four words.
            unsafe {
                let first_channel = vreinterpretq_s64_s8(vld1q_s8(first));
                let second_channel = vreinterpretq_s64_s8(vld1q_s8(first.add(pitch)));
                let (low, high) =
                    (vzip1q_s64(first_channel, second_channel), vzip2q_s64(first_channel, second_channel));
                packed[0][couple].write(vreinterpretq_s8_s64(low));
                packed[1][couple].write(vreinterpretq_s8_s64(high));
            }
        }
        used += 4 * BLOCK;
        if used == pitch {
            (row, used) = (row.wrapping_add(group.chunk), 0);
        }
    }
}

/// Adds the products of eight codes of four pixels with eight weights of two channels.
///
/// # Safety
/// Needs the matrix extension.
#[inline(always)]
unsafe fn multiply(sums: &mut [int32x4_t; 2], codes: &[uint8x16_t; 2], weights: int8x16_t) {
    // SAFETY: register arithmetic; the intrinsic of this instruction is not stable yet.
    unsafe {
        asm!(
            "usmmla {a:v}.4s, {low:v}.16b, {weights:v}.16b",
            "usmmla {b:v}.4s, {high:v}.16b, {weights:v}.16b",
            a = inout(vreg) sums[0],
            b = inout(vreg) sums[1],
            low = in(vreg) codes[0],
            high = in(vreg) codes[1],
            weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
}

/// Eight output channels of `N` sites.
///
/// # Safety
/// As [`run`]; `weights` are those of the group, laid out.
#[target_feature(enable = "neon,dotprod,i8mm")]
#[inline(never)]
unsafe fn tile<const N: usize>(
    group: &Group<'_>,
    mut weights: *const i8,
    pairs: usize,
    sites: &[Site; N],
    codes: &Codes<'_, N>,
) {
    let (sources, mut offsets) = (codes.sources, codes.offsets.as_ptr());
    // SAFETY: every pair has two offsets and its packed weights.
    unsafe {
        let mut sums: Sums<N> = [[[vdupq_n_s32(0); 2]; N]; COUPLES];
        for (couple, sums) in sums.iter_mut().enumerate() {
            let bias = vld1_s32(group.bias[2 * couple..][..2].as_ptr());
            *sums = [[vcombine_s32(bias, bias); 2]; N];
        }
        for _ in 0..pairs {
            let (first, second) = (*offsets as usize, *offsets.add(1) as usize);
            let mut zipped = [[vdupq_n_u8(0); 2]; N];
            for (zipped, source) in zipped.iter_mut().zip(sources) {
                let first = vreinterpretq_u32_u8(vld1q_u8(source.add(first)));
                let second = vreinterpretq_u32_u8(vld1q_u8(source.add(second)));
                zipped[0] = vreinterpretq_u8_u32(vzip1q_u32(first, second));
                zipped[1] = vreinterpretq_u8_u32(vzip2q_u32(first, second));
            }
            for couple in 0..COUPLES {
                let weights = vld1q_s8(weights.add(couple * 16));
                for n in 0..N {
                    multiply(&mut sums[couple][n], &zipped[n], weights);
                }
            }
            offsets = offsets.add(2);
            weights = weights.add(COUPLES * 16);
        }
        finish::<N, 0>(group, sites, &sums);
        if N > 1 {
            finish::<N, 1>(group, sites, &sums);
        }
        if N > 2 {
            finish::<N, 2>(group, sites, &sums);
        }
    }
}

/// Requantizes and stores the blocks of a site, or stores its sums.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn finish<const N: usize, const SITE: usize>(group: &Group<'_>, sites: &[Site; N], sums: &Sums<N>) {
    // SAFETY: the caller's contract; a group has a factor per channel.
    unsafe {
        if group.pass.element == Element::Accumulator {
            let mut lanes = [[0; 4]; GROUP];
            for couple in 0..COUPLES {
                let [low, high] = sums[couple][SITE];
                vst1q_s32(lanes[2 * couple].as_mut_ptr(), vuzp1q_s32(low, high));
                vst1q_s32(lanes[2 * couple + 1].as_mut_ptr(), vuzp2q_s32(low, high));
            }
            return dense::store_sums(group, &sites[SITE], &lanes);
        }
        let mut pixels = [vdupq_n_u8(0); 4];
        for block in 0..OUTPUT_BLOCK / BLOCK {
            let factors = vreinterpretq_f64_f32(vld1q_f32(group.multipliers.add(block * BLOCK)));
            let first = vreinterpretq_f32_f64(vdupq_laneq_f64::<0>(factors));
            let second = vreinterpretq_f32_f64(vdupq_laneq_f64::<1>(factors));
            let round = |sums, factors| vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums), factors));
            let [a, b] = [sums[2 * block][SITE], sums[2 * block + 1][SITE]];
            let rounded = [round(a[0], first), round(b[0], second), round(a[1], first), round(b[1], second)];
            pixels[block] = group.finish.codes(rounded, &BY_PIXEL);
        }
        dense::store(group, &sites[SITE], pixels, OUTPUT_BLOCK / BLOCK);
    }
}
