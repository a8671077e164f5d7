//! The dense loop of the dot product tier: sixteen or eight output channels by four pixels.
//!
//! Sixteen consecutive weights of a channel are read at once and meet four words of pixels by element, so
//! that each register of pixels is read and centred once for all channels of a tile.

use super::dense::{self, Codes, Copy, Group, STEP, WORDS};
use super::neondot::NeonDot;
use super::quad;
use crate::loops::dense::Dense;
use crate::loops::walk::{Site, Walk};
use candor_core::ops::order::{GROUP, OUTPUT_BLOCK};
use candor_core::tensor::{BLOCK, Element};
use core::arch::aarch64::*;
use core::arch::asm;
use core::mem::MaybeUninit;

/// A tile for one count of output channels and width of rows of weights.
type Tile = unsafe fn(&Group<'_>, &Bias, &Site, &Codes<'_, 1>);
/// The bias of each channel in every lane.
type Bias = [[i32; 4]; GROUP];

/// Runs a pass.
///
/// # Safety
/// As [`crate::loops::dense::run`], where the tier is available.
pub(super) unsafe fn run(pass: &Dense<'_>) {
    let mut list = [MaybeUninit::uninit(); WORDS];
    let mut copies = Copy::new();
    let offsets = dense::list_offsets(pass, &mut list);
    dense::strips(pass, GROUP, |part, first, count| {
        let group = Group::new(part, first, count, true);
        let bias = group.bias.map(|bias| [bias; 4]);
        let tile: Tile = match (count == GROUP, part.order.width) {
            (true, 4) => tile::<GROUP, 4>,
            (true, 8) => tile::<GROUP, 8>,
            (true, 12) => tile::<GROUP, 12>,
            (true, _) => tile::<GROUP, 16>,
            (false, 4) => tile::<OUTPUT_BLOCK, 4>,
            (false, 8) => tile::<OUTPUT_BLOCK, 8>,
            (false, 12) => tile::<OUTPUT_BLOCK, 12>,
            (false, _) => tile::<OUTPUT_BLOCK, 16>,
        };
        let mut walk = Walk::new(&part.plane, quad::LANES);
        // SAFETY: the caller's contract.
        unsafe {
            group.sweep::<NeonDot, 1>(&mut walk, 1, offsets, &mut copies, |sites, codes| {
                tile(&group, &bias, &sites[0], codes);
            });
        }
    });
}

/// Assembly for four or eight words of one channel: a register of pixels each by an element of a register of
/// weights.
#[rustfmt::skip]
macro_rules! products {
    ($sums:literal, $weights:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "sdot {", $sums, ":v}.4s, {", $a, ":v}.16b, {", $weights, ":v}.4b[0]\n",
            "sdot {", $sums, ":v}.4s, {", $b, ":v}.16b, {", $weights, ":v}.4b[1]\n",
            "sdot {", $sums, ":v}.4s, {", $c, ":v}.16b, {", $weights, ":v}.4b[2]\n",
            "sdot {", $sums, ":v}.4s, {", $d, ":v}.16b, {", $weights, ":v}.4b[3]\n",
        )
    };
    ($sums:literal, $weights:literal, $more:literal) => {
        concat!(
            products!($sums, $weights, "a", "b", "c", "d"),
            products!($sums, $more, "e", "f", "g", "h"),
        )
    };
}

/// Adds the products of eight words to four channels' sums. Weights are read a channel ahead of their use.
/// All of it is one piece of assembly: from smaller ones the compiler makes a loop that keeps sums in memory.
///
/// # Safety
/// Needs the dot product extension; eight words of four rows of `WIDTH` words are readable at `weights`.
#[inline(always)]
unsafe fn eight_words<const WIDTH: usize>(
    sums: &mut [int32x4_t],
    codes: &[int8x16_t; 8],
    weights: *const i8,
) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "ldp {p:q}, {q:q}, [{weights}]",
            "ldp {r:q}, {s:q}, [{weights}, #{pitch}]",
            products!("s0", "p", "q"),
            "ldp {p:q}, {q:q}, [{weights}, #2 * {pitch}]",
            products!("s1", "r", "s"),
            "ldp {r:q}, {s:q}, [{weights}, #3 * {pitch}]",
            products!("s2", "p", "q"),
            products!("s3", "r", "s"),
            s0 = inout(vreg) sums[0],
            s1 = inout(vreg) sums[1],
            s2 = inout(vreg) sums[2],
            s3 = inout(vreg) sums[3],
            a = in(vreg) codes[0],
            b = in(vreg) codes[1],
            c = in(vreg) codes[2],
            d = in(vreg) codes[3],
            e = in(vreg) codes[4],
            f = in(vreg) codes[5],
            g = in(vreg) codes[6],
            h = in(vreg) codes[7],
            p = out(vreg) _,
            q = out(vreg) _,
            r = out(vreg) _,
            s = out(vreg) _,
            weights = in(reg) weights,
            pitch = const WIDTH * BLOCK,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
}

/// As [`eight_words`], for four.
///
/// # Safety
/// As [`eight_words`].
#[inline(always)]
unsafe fn four_words<const WIDTH: usize>(sums: &mut [int32x4_t], codes: &[int8x16_t; 4], weights: *const i8) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "ldr {p:q}, [{weights}]",
            "ldr {q:q}, [{weights}, #{pitch}]",
            "ldr {r:q}, [{weights}, #2 * {pitch}]",
            "ldr {s:q}, [{weights}, #3 * {pitch}]",
            products!("s0", "p", "a", "b", "c", "d"),
            products!("s1", "q", "a", "b", "c", "d"),
            products!("s2", "r", "a", "b", "c", "d"),
            products!("s3", "s", "a", "b", "c", "d"),
            s0 = inout(vreg) sums[0],
            s1 = inout(vreg) sums[1],
            s2 = inout(vreg) sums[2],
            s3 = inout(vreg) sums[3],
            a = in(vreg) codes[0],
            b = in(vreg) codes[1],
            c = in(vreg) codes[2],
            d = in(vreg) codes[3],
            p = out(vreg) _,
            q = out(vreg) _,
            r = out(vreg) _,
            s = out(vreg) _,
            weights = in(reg) weights,
            pitch = const WIDTH * BLOCK,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
}

/// Reads and centres the pixels of `N` words.
///
/// # Safety
/// Needs Advanced SIMD; `N` offsets and the registers they lead to are readable.
#[inline(always)]
unsafe fn read<const N: usize>(source: *const u8, offsets: *const u32) -> [int8x16_t; N] {
    // SAFETY: the caller's contract.
    unsafe {
        let mut codes = [vdupq_n_s8(0); N];
        for (word, codes) in codes.iter_mut().enumerate() {
            *codes = quad::centre(vld1q_u8(source.add(*offsets.add(word) as usize)));
        }
        codes
    }
}

/// `O` output channels of one site, whose rows of weights are `WIDTH` words.
///
/// # Safety
/// As [`run`], for a group of at least `O` channels.
#[target_feature(enable = "neon,dotprod")]
#[inline(never)]
unsafe fn tile<const O: usize, const WIDTH: usize>(
    group: &Group<'_>,
    bias: &Bias,
    site: &Site,
    codes: &Codes<'_, 1>,
) {
    let source = codes.sources[0];
    let (mut offsets, mut chunk) = (codes.offsets.as_ptr(), group.weights);
    let mut left = group.pass.order.words();
    // SAFETY: offsets and weights reach to the end of the last step.
    unsafe {
        let mut sums = [vdupq_n_s32(0); O];
        for (sums, bias) in sums.iter_mut().zip(bias) {
            *sums = vld1q_s32(bias.as_ptr());
        }
        while left >= WIDTH {
            for step in 0..WIDTH / STEP {
                let (codes, weights) = (read(source, offsets), chunk.add(step * STEP * BLOCK));
                for four in 0..O / BLOCK {
                    let weights = weights.add(four * BLOCK * WIDTH * BLOCK);
                    eight_words::<WIDTH>(&mut sums[four * BLOCK..], &codes, weights);
                }
                offsets = offsets.add(STEP);
            }
            if !WIDTH.is_multiple_of(STEP) {
                let (codes, weights) = (read(source, offsets), chunk.add(WIDTH / STEP * STEP * BLOCK));
                for four in 0..O / BLOCK {
                    let weights = weights.add(four * BLOCK * WIDTH * BLOCK);
                    four_words::<WIDTH>(&mut sums[four * BLOCK..], &codes, weights);
                }
                offsets = offsets.add(4);
            }
            chunk = chunk.wrapping_add(group.chunk);
            left -= WIDTH;
        }
        for step in 0..left.div_ceil(4) {
            let (codes, weights) = (read(source, offsets.add(step * 4)), chunk.add(step * 16));
            for four in 0..O / BLOCK {
                let weights = weights.add(four * BLOCK * WIDTH * BLOCK);
                four_words::<WIDTH>(&mut sums[four * BLOCK..], &codes, weights);
            }
        }
        finish(group, site, &sums);
    }
}

/// Requantizes and stores the blocks of a tile, or stores its sums.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn finish<const O: usize>(group: &Group<'_>, site: &Site, sums: &[int32x4_t; O]) {
    // SAFETY: the caller's contract; a group has a factor per channel.
    unsafe {
        if group.pass.element == Element::Accumulator {
            let mut lanes = [[0; 4]; GROUP];
            for (lanes, sums) in lanes.iter_mut().zip(sums) {
                vst1q_s32(lanes.as_mut_ptr(), *sums);
            }
            return dense::store_sums(group, site, &lanes);
        }
        let mut pixels = [vdupq_n_u8(0); 4];
        for block in 0..O / BLOCK {
            let c = block * BLOCK;
            let sums = [sums[c], sums[c + 1], sums[c + 2], sums[c + 3]];
            pixels[block] = group.finish.requantize(sums, vld1q_f32(group.multipliers.add(c)));
        }
        dense::store(group, site, pixels, O / BLOCK);
    }
}
