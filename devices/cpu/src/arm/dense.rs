//! What the dense loops of the dot product and matrix tiers share: where pixels and weights lie, one group of
//! output channels over a strip of rows, and how sums are stored.
//!
//! A tile takes the pixels of a site word by word, from a list of offsets in the order of the weights. Where
//! whole registers may not be read in place, its pixels are copied first, and the offsets are those of the
//! copy.

use super::quad::{self, Finish, LANES};
use crate::loops::convolution;
use crate::loops::dense::Dense;
use crate::loops::vector::{PIXEL, Vector, read, reading};
use crate::loops::walk::{Site, Walk};
use candor_core::ops::order::{GROUP, OUTPUT_BLOCK, Order};
use candor_core::ops::record::PRODUCTS_LIMIT;
use candor_core::ops::{Convolution, TransposedConvolution};
use candor_core::tensor::{BLOCK, Rows, RowsMut};
use core::arch::aarch64::*;
use core::mem::MaybeUninit;

/// Input bytes of a strip of rows whose groups of output channels are computed one after the other.
const STRIP_BYTES: usize = 256 << 10;
/// Words that one step of a tile takes at most.
pub(super) const STEP: usize = 8;
/// Most words of a filter, as many as a plan allows; a multiple of a step.
pub(super) const WORDS: usize = PRODUCTS_LIMIT / BLOCK;
/// Bytes of a register of pixels.
pub(super) const REGISTER: usize = LANES * PIXEL;

/// Offsets of the words of copied pixels.
static COPIED: [u32; WORDS] = {
    let mut offsets = [0; WORDS];
    let mut word = 0;
    while word < WORDS {
        offsets[word] = (word * REGISTER) as u32;
        word += 1;
    }
    offsets
};

/// Runs a pass; as [`crate::loops::dense::run`].
pub(super) type Run = unsafe fn(&Dense<'_>);

/// One group of output channels of a pass.
pub(super) struct Group<'a> {
    pub pass: &'a Dense<'a>,
    /// First word of the first channel.
    pub weights: *const i8,
    /// Bytes from one chunk of weights to the next.
    pub chunk: usize,
    /// Bias of each channel.
    pub bias: [i32; GROUP],
    /// Factor of each channel.
    pub multipliers: *const f32,
    /// The output step.
    pub finish: Finish,
    /// Byte offset of the first output block.
    pub target: usize,
    /// Output blocks to store.
    pub blocks: usize,
}

/// The pixels of `N` sites: word `w` of site `n` is the register at `sources[n] + offsets[w]`.
#[derive(Clone, Copy)]
pub(super) struct Codes<'a, const N: usize> {
    pub sources: [*const u8; N],
    /// Up to the next multiple of [`STEP`] words; those beyond the last are readable.
    pub offsets: &'a [u32],
}

/// Room for the pixels of one site.
#[repr(align(64))]
pub(super) struct Copy([MaybeUninit<[u8; REGISTER]>; WORDS]);

impl Copy {
    /// Nothing yet.
    #[inline(always)]
    pub const fn new() -> Self {
        Self([MaybeUninit::uninit(); WORDS])
    }
}

/// The list of offsets, unwritten.
pub(super) type List = [MaybeUninit<u32>; WORDS];

/// Lists the offsets of all words, and zeros up to a whole step.
#[inline(always)]
pub(super) fn list_offsets<'a>(pass: &Dense<'_>, list: &'a mut List) -> &'a [u32] {
    let Order { taps, blocks, .. } = pass.order;
    let mut count = 0;
    for row in 0..taps[0] {
        for block in 0..blocks {
            let start = row * pass.tap_steps[0] + block * pass.block_step;
            for column in 0..taps[1] {
                list[count].write((start + column * pass.tap_steps[1]) as u32);
                count += 1;
            }
        }
    }
    while count % STEP != 0 {
        list[count].write(0);
        count += 1;
    }
    // SAFETY: the first `count` entries were written.
    unsafe { core::slice::from_raw_parts(list.as_ptr().cast(), count) }
}

/// Calls `group` for every strip of rows and `outputs` of output channels that lie together.
#[inline(always)]
pub(super) fn strips(pass: &Dense<'_>, outputs: usize, mut group: impl FnMut(&Dense<'_>, usize, usize)) {
    let strip = (STRIP_BYTES / pass.plane.source_row.max(1)).max(1);
    for first_row in (0..pass.plane.rows).step_by(strip) {
        let rows = strip.min(pass.plane.rows - first_row);
        let part = Dense { plane: pass.plane.rows(first_row, rows), ..*pass };
        for first in (0..pass.outputs).step_by(outputs) {
            group(&part, first, outputs.min(pass.multipliers.len() - first));
        }
    }
}

impl<'a> Group<'a> {
    /// The `count` output channels from `first`; `centred` says whether codes are.
    #[inline(always)]
    pub fn new(pass: &'a Dense<'a>, first: usize, count: usize, centred: bool) -> Self {
        let outputs = pass.multipliers.len();
        let mut bias = [0; GROUP];
        for (o, bias) in bias.iter_mut().enumerate().take(count) {
            let centre = if centred { pass.weight_sums[first + o].wrapping_mul(128) } else { 0 };
            *bias = pass.bias[first + o].wrapping_add(centre);
        }
        Self {
            pass,
            weights: pass.weights.as_ptr().wrapping_add(pass.order.word(outputs, first, 0)),
            chunk: Order::rows(outputs, first) * pass.order.width * BLOCK,
            bias,
            multipliers: pass.multipliers[first..first + count].as_ptr().cast(),
            finish: Finish::new(pass.range),
            target: first / BLOCK * pass.target_block,
            blocks: (pass.outputs - first).min(count).div_ceil(BLOCK),
        }
    }

    /// Calls `tile` for `N` sites at a time, as long as `least` ≥ `N` are left; `offsets` are those of pixels
    /// in place, `copies` has room for `N` sites of them.
    ///
    /// # Safety
    /// As [`crate::loops::dense::run`].
    #[inline(always)]
    pub unsafe fn sweep<V: Vector, const N: usize>(
        &self,
        walk: &mut Walk,
        least: usize,
        offsets: &[u32],
        copies: &mut Copy,
        tile: impl Fn(&[Site; N], &Codes<'_, N>),
    ) {
        while walk.remaining >= least {
            let (sites, whole) = walk.take::<N>();
            let mut codes = Codes { sources: sites.map(|site| site.source), offsets };
            if !whole || self.pass.plane.source_stride != 1 {
                for (n, source) in codes.sources.iter_mut().enumerate() {
                    let room = copies.0[n * offsets.len()..][..offsets.len()].as_mut_ptr().cast::<u8>();
                    // SAFETY: the site's taps are readable; the copy holds a register per offset.
                    unsafe { copy::<V>(self.pass, &sites[n], whole, offsets, room) };
                    *source = room;
                }
                codes.offsets = &COPIED[..offsets.len()];
            }
            tile(&sites, &codes);
        }
    }
}

/// Copies the pixels of a site, a register per offset.
///
/// # Safety
/// As [`Vector`]; the taps of the site are readable, whole registers at all of them if `whole`, and `target`
/// is writable.
#[inline(always)]
unsafe fn copy<V: Vector>(pass: &Dense<'_>, site: &Site, whole: bool, offsets: &[u32], target: *mut u8) {
    let stride = pass.plane.source_stride;
    for (word, offset) in offsets.iter().enumerate() {
        let source = site.source.wrapping_add(*offset as usize);
        // SAFETY: the caller's contract; a pass without words has no offsets.
        unsafe {
            let pixels = match (stride, whole) {
                (2, true) => read::<V, { reading::EVEN }>(source, stride, site.count),
                (1, _) => read::<V, { reading::PARTIAL }>(source, stride, site.count),
                _ => read::<V, { reading::STRIDED }>(source, stride, site.count),
            };
            V::store(target.wrapping_add(word * REGISTER), pixels);
        }
    }
}

/// Stores the first `count` ≤ 4 blocks of a group that it has, four pixels of each in a register.
///
/// # Safety
/// Needs Advanced SIMD; the site's pixels of the group's blocks are writable.
#[inline(always)]
pub(super) unsafe fn store(group: &Group<'_>, site: &Site, pixels: [uint8x16_t; 4], count: usize) {
    let (pass, blocks) = (group.pass, group.blocks);
    let target = site.target.wrapping_add(group.target);
    // SAFETY: the caller's contract. Spelled out to keep the pixels in registers.
    unsafe {
        if pass.plane.target_stride != 1 || site.count != LANES {
            return store_apart(group, site, &pixels);
        }
        vst1q_u8(target, pixels[0]);
        if count > 1 && blocks > 1 {
            vst1q_u8(target.add(pass.target_block), pixels[1]);
        }
        if count > 2 && blocks > 2 {
            vst1q_u8(target.add(2 * pass.target_block), pixels[2]);
        }
        if count > 3 && blocks > 3 {
            vst1q_u8(target.add(3 * pass.target_block), pixels[3]);
        }
    }
}

/// As [`store`], for fewer pixels or such that are not neighbours.
#[inline(never)]
unsafe fn store_apart(group: &Group<'_>, site: &Site, pixels: &[uint8x16_t; 4]) {
    let stride = group.pass.plane.target_stride;
    for (block, pixels) in pixels.iter().enumerate().take(group.blocks) {
        let target = site.target.wrapping_add(group.target + block * group.pass.target_block);
        // SAFETY: as `store`.
        unsafe { quad::store_spread(target, *pixels, stride, site.count) }
    }
}

/// Stores the sums of a group as accumulators; `sums` are four pixels of each channel.
///
/// # Safety
/// The site's pixels of the group's blocks are writable.
#[inline(never)]
pub(super) unsafe fn store_sums(group: &Group<'_>, site: &Site, sums: &[[i32; 4]; GROUP]) {
    let plane = &group.pass.plane;
    for (block, sums) in sums.as_chunks::<BLOCK>().0.iter().enumerate().take(group.blocks) {
        let target = site.target.wrapping_add(group.target + block * group.pass.target_block);
        for pixel in 0..site.count {
            let accumulators = [0, 1, 2, 3].map(|c: usize| sums[c][pixel]);
            let target = target.wrapping_add(pixel * plane.target_stride * plane.target_pixel);
            // SAFETY: the caller's contract.
            unsafe { target.cast::<[i32; BLOCK]>().write_unaligned(accumulators) }
        }
    }
}

/// Dense convolution by `run`.
#[inline(always)]
pub(super) fn convolve(op: &Convolution<'_>, input: Rows<'_>, mut output: RowsMut<'_>, run: Run) {
    match convolution::pass(op, &input, &mut output, LANES) {
        // SAFETY: the pass was checked; the tier is available.
        Some(pass) => unsafe { run(&pass) },
        None => candor_core::ops::convolution::reference(op, input, output),
    }
}

/// Transposed convolution by `run`, one pass per output phase.
#[inline(always)]
pub(super) fn transpose(op: &TransposedConvolution<'_>, input: Rows<'_>, output: RowsMut<'_>, run: Run) {
    if !convolution::transposed_fits(op, &input, &output) {
        return candor_core::ops::transposed::reference(op, input, output);
    }
    let target = output.data.as_mut_ptr();
    for phase in (0..op.stride[0]).flat_map(|row| (0..op.stride[1]).map(move |column| [row, column])) {
        if let Some(pass) = convolution::phase_pass(op, &input, &output, target, phase, LANES) {
            // SAFETY: `transposed_fits` bounds every tap, output pixel and constant of every phase.
            unsafe { run(&pass) }
        }
    }
}

const _: () = assert!(WORDS.is_multiple_of(STEP) && GROUP == 2 * OUTPUT_BLOCK);
