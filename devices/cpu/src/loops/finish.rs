//! What a dense tile does with its sums: the output step, or nothing, and how they are stored.

use crate::loops::dense::{Dense, Outputs};
use crate::loops::vector::{MAX_LANES, PIXEL, Vector, kind, write};
use crate::loops::walk::Site;
use candor_core::tensor::BLOCK;

/// What a tile stores.
pub(crate) mod storing {
    /// Sums as they are.
    pub(crate) const SUMS: u8 = 0;
    /// Codes.
    pub(crate) const CODES: u8 = 1;
    /// Codes in whole registers of neighbouring pixels.
    pub(crate) const WHOLE: u8 = 2;
    /// Codes of two phases, pixel by pixel in turn.
    pub(crate) const PAIRS: u8 = 3;
}

/// Requantizes and stores block `HALF` of every site, by code of its own for each kind of output step: asked
/// again at every site, the compiler would look for the answer in memory.
///
/// # Safety
/// As [`crate::loops::dense::run`], for the sites and output channels given.
#[inline(always)]
pub(super) unsafe fn store_half<
    V: Vector,
    const O: usize,
    const N: usize,
    const HALF: usize,
    const STORING: u8,
>(
    pass: &Dense<'_>,
    sites: &[Site; N],
    outputs: &Outputs<'_>,
    sums: &[[V::Sums; N]; O],
) {
    // SAFETY: the caller's contract.
    unsafe {
        if !V::KINDS || STORING == storing::SUMS {
            return store_sites::<V, O, N, HALF, STORING, { kind::ANY }>(pass, sites, outputs, sums);
        }
        match outputs.steps[HALF].kind {
            kind::BOUNDED => {
                store_sites::<V, O, N, HALF, STORING, { kind::BOUNDED }>(pass, sites, outputs, sums);
            }
            kind::FULL => store_sites::<V, O, N, HALF, STORING, { kind::FULL }>(pass, sites, outputs, sums),
            kind::PLAIN => store_sites::<V, O, N, HALF, STORING, { kind::PLAIN }>(pass, sites, outputs, sums),
            kind::RECTIFIED => {
                store_sites::<V, O, N, HALF, STORING, { kind::RECTIFIED }>(pass, sites, outputs, sums);
            }
            _ => store_sites::<V, O, N, HALF, STORING, { kind::ANY }>(pass, sites, outputs, sums),
        }
    }
}

/// Requantizes and stores block `HALF` of every site.
#[inline(always)]
unsafe fn store_sites<
    V: Vector,
    const O: usize,
    const N: usize,
    const HALF: usize,
    const STORING: u8,
    const KIND: u8,
>(
    pass: &Dense<'_>,
    sites: &[Site; N],
    outputs: &Outputs<'_>,
    sums: &[[V::Sums; N]; O],
) {
    // SAFETY: the caller's contract. Spelled out because an index that is not a constant where the loop is
    // compiled would keep all sums in memory.
    unsafe {
        store_site::<V, O, N, HALF, 0, STORING, KIND>(pass, sites, outputs, sums);
        if N > 1 {
            store_site::<V, O, N, HALF, 1, STORING, KIND>(pass, sites, outputs, sums);
        }
        if N > 2 {
            store_site::<V, O, N, HALF, 2, STORING, KIND>(pass, sites, outputs, sums);
        }
        if N > 3 {
            store_site::<V, O, N, HALF, 3, STORING, KIND>(pass, sites, outputs, sums);
        }
    }
}

/// Requantizes and stores four channels of one site, or both phases of them.
#[inline(always)]
unsafe fn store_site<
    V: Vector,
    const O: usize,
    const N: usize,
    const HALF: usize,
    const SITE: usize,
    const STORING: u8,
    const KIND: u8,
>(
    pass: &Dense<'_>,
    sites: &[Site; N],
    outputs: &Outputs<'_>,
    sums: &[[V::Sums; N]; O],
) {
    let channels = |half: usize| [0, 1, 2, 3].map(|c| sums[half * BLOCK + c][SITE]);
    let step = &outputs.steps[HALF];
    let (stride, count) = (pass.plane.target_stride, sites[SITE].count);
    let target = sites[SITE].target.wrapping_add(outputs.target + HALF * pass.target_block);
    // SAFETY: the caller's contract.
    unsafe {
        match STORING {
            storing::SUMS if stride == 1 => V::store_sums(target, channels(HALF), count),
            storing::SUMS => store_spread_sums::<V>(channels(HALF), target, stride, count),
            storing::PAIRS => {
                let left = V::requantize_as::<KIND>(channels(0), step);
                V::store_pairs(target, left, V::requantize_as::<KIND>(channels(1), step), count);
            }
            storing::WHOLE => V::store(target, V::requantize_as::<KIND>(channels(HALF), step)),
            _ => write::<V>(target, V::requantize_as::<KIND>(channels(HALF), step), stride, count),
        }
    }
}

/// Stores four channels as little-endian i32 accumulators `[pixel][4]`, `stride` pixels apart.
#[inline(always)]
unsafe fn store_spread_sums<V: Vector>(sums: [V::Sums; BLOCK], target: *mut u8, stride: usize, count: usize) {
    let mut lanes = [[0; MAX_LANES]; BLOCK];
    // SAFETY: the caller's contract; an accumulator pixel has four times the bytes of a pixel of codes.
    unsafe {
        for (lanes, sums) in lanes.iter_mut().zip(sums) {
            V::integers(sums, lanes);
        }
        for pixel in 0..count {
            let accumulators = [0, 1, 2, 3].map(|c: usize| lanes[c][pixel].to_le());
            let target = target.add(pixel * stride * PIXEL * 4);
            target.cast::<[i32; BLOCK]>().write_unaligned(accumulators);
        }
    }
}
