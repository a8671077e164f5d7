//! Dense passes on tiles: a strip of rows is staged, then every tile of weights meets every tile of codes.
//!
//! Requantizing the sums of one step is spread over the products of the next, which leaves both kinds of
//! execution unit at work.

use super::stage::{CAPACITY, Group, ROWS_STEP, Stage};
use super::tile::{self, ROW, Shape, TILE};
use crate::loops::dense::Dense;
use crate::loops::vector::{MAX_LANES, OutputStep, Vector, write};
use crate::x86::avx512::Avx512;
use candor_core::ops::order::{GROUP, Order};
use candor_core::tensor::BLOCK;
use core::arch::x86_64::*;
use core::mem::MaybeUninit;

/// Output channels whose constants are laid out at a time.
const SECTION: usize = 512;
/// Tiles of one step.
const TILES: usize = 4;
/// Blocks of output channels in a tile.
const PARTS: usize = GROUP / BLOCK;

/// What a pass works on, each beginning a cache line.
#[repr(C, align(64))]
struct Workspace {
    codes: [MaybeUninit<[u8; ROW]>; CAPACITY],
    /// Sums of the step under way and of the one before.
    sums: [[MaybeUninit<i32>; TILES * TILE / 4]; 2],
    /// Bias of each output channel in a row of sums.
    bias: [MaybeUninit<[i32; MAX_LANES]>; SECTION],
    /// Output step of each block.
    steps: [MaybeUninit<OutputStep>; SECTION / BLOCK],
}

/// One step's finished sums, waiting to be requantized.
#[derive(Clone, Copy)]
struct Pending {
    sums: *const i32,
    /// First output row, counted from the band's first.
    row: usize,
    /// First output channel, counted from the section's first.
    output: usize,
    /// Whether tiles are two groups of output channels by two rows rather than one by four.
    square: bool,
    /// Next part of a tile; `TILES · PARTS` when all are done.
    next: usize,
}

/// Sums of one group of pixels over a strip, section and group of output channels.
struct Run<'a> {
    pass: &'a Dense<'a>,
    group: &'a Group,
    steps: *const OutputStep,
    /// Output blocks of the section.
    blocks: usize,
    /// First output byte of the section's first block, from a segment's target.
    target: usize,
    /// End of the strip's rows.
    rows: usize,
    /// Whether the group is sixteen neighbouring pixels, stored together.
    whole: bool,
}

/// Runs a pass on tiles.
///
/// # Safety
/// As [`crate::loops::dense::run`], with AMX; `stage` was planned for `pass`.
#[inline(always)]
pub(super) unsafe fn run(pass: &Dense<'_>, stage: &Stage) {
    let mut workspace = MaybeUninit::<Workspace>::uninit();
    let outputs = pass.multipliers.len();
    let mut shape = None;
    // SAFETY: the caller's contract; every part of the workspace is written before it is read, but for
    // words beyond a filter's last, which meet weights of zero, and lanes that are not stored.
    unsafe {
        let workspace = workspace.as_mut_ptr();
        for section in (0..outputs).step_by(SECTION) {
            let channels = section..outputs.min(section + SECTION);
            prepare(pass, channels.clone(), workspace);
            for first in (0..stage.band_rows).step_by(stage.strip) {
                for index in 0..stage.groups {
                    let group = stage.group(pass, index);
                    // The first segment lies in the earliest band, which has the most rows.
                    let rows = stage.strip.min(group.segments()[0].rows.saturating_sub(first));
                    if rows == 0 {
                        continue;
                    }
                    stage.fill(pass, &group, [first, rows], (&raw mut (*workspace).codes).cast());
                    strip(pass, stage, &group, channels.clone(), [first, rows], workspace, &mut shape);
                }
            }
        }
        tile::release();
    }
}

/// Lays out bias and output steps of a section.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn prepare(pass: &Dense<'_>, channels: core::ops::Range<usize>, workspace: *mut Workspace) {
    // SAFETY: the constants have the lengths that `Dense` states, and a section fits the workspace.
    unsafe {
        let bias = (&raw mut (*workspace).bias).cast::<u8>();
        let steps = (&raw mut (*workspace).steps).cast::<OutputStep>();
        for (at, o) in channels.enumerate() {
            Avx512::store(bias.add(at * ROW), _mm512_set1_epi32(pass.bias[o]));
            if at % BLOCK == 0 {
                let m = &pass.multipliers[o..][..BLOCK];
                steps.add(at / BLOCK).write(OutputStep::new([m[0], m[1], m[2], m[3]], pass.range));
            }
        }
    }
}

/// All output channels of a section over the staged rows of one group of pixels.
///
/// # Safety
/// As [`run`]; the rows are staged and the section prepared.
#[inline(always)]
unsafe fn strip(
    pass: &Dense<'_>,
    stage: &Stage,
    group: &Group,
    channels: core::ops::Range<usize>,
    [first, rows]: [usize; 2],
    workspace: *mut Workspace,
    shape: &mut Option<Shape>,
) {
    let (order, outputs) = (&pass.order, pass.multipliers.len());
    let segments = group.segments();
    let run = Run {
        pass,
        group,
        // SAFETY: an address within the workspace.
        steps: unsafe { (&raw const (*workspace).steps).cast() },
        blocks: pass.outputs.div_ceil(BLOCK) - channels.start / BLOCK,
        target: channels.start / BLOCK * pass.target_block,
        rows: first + rows,
        whole: segments.len() == 1 && segments[0].count == MAX_LANES && pass.plane.target_stride == 1,
    };
    let mut pending: Option<Pending> = None;
    let mut turn = 0;
    let mut o = channels.start;
    while o < channels.end {
        let square = channels.end - o > GROUP;
        let second = if square { o + GROUP } else { o };
        let groups = [Order::rows(outputs, o), Order::rows(outputs, second)];
        let wanted = match square {
            true => Shape::two_by_two(groups, order.width),
            false => Shape::one_by_four(groups[0], order.width),
        };
        // SAFETY: weights of whole groups are readable, words of whole steps are in the stage, and the sums
        // of a step fit their half of the workspace.
        unsafe {
            if *shape != Some(wanted) {
                wanted.load();
                *shape = Some(wanted);
            }
            let at = |o: usize| pass.weights.as_ptr().add(order.word(outputs, o, 0));
            let weights = [at(o), at(second)];
            let rows_of_bias = (&raw const (*workspace).bias).cast::<i32>();
            let bias = |o: usize| rows_of_bias.add((o - channels.start) * MAX_LANES);
            let step = if square { 2 } else { ROWS_STEP };
            for row in (0..rows).step_by(step) {
                let codes = (&raw const (*workspace).codes).cast::<u8>().add(row * stage.row_words * ROW);
                tile::start([bias(o), bias(second)]);
                multiply(pass, stage, weights, groups, codes, square, &run, &mut pending);
                let sums = (&raw mut (*workspace).sums).cast::<i32>().add(turn * TILES * TILE / 4);
                tile::finish(sums);
                turn ^= 1;
                let output = o - channels.start;
                pending = Some(Pending { sums, row: first + row, output, square, next: 0 });
            }
        }
        o += if square { 2 * GROUP } else { GROUP };
    }
    // SAFETY: the last step's sums.
    unsafe { drain(&run, &mut pending, TILES * PARTS) }
}

/// The products of one step, between parts of the step before.
///
/// # Safety
/// As [`strip`].
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "all of it stays in registers")]
unsafe fn multiply(
    pass: &Dense<'_>,
    stage: &Stage,
    mut weights: [*const i8; 2],
    groups: [usize; 2],
    mut codes: *const u8,
    square: bool,
    run: &Run<'_>,
    pending: &mut Option<Pending>,
) {
    let order = &pass.order;
    let pitch = order.width * BLOCK;
    let quota = (TILES * PARTS).div_ceil(order.chunks);
    let row_bytes = stage.row_words * ROW;
    for _ in 0..order.chunks {
        // SAFETY: the caller's contract.
        unsafe {
            if square {
                tile::two_by_two(weights, pitch, [codes, codes.wrapping_add(row_bytes)]);
            } else {
                tile::one_by_four(weights[0], pitch, codes, row_bytes);
            }
            drain(run, pending, quota);
        }
        for (weights, rows) in weights.iter_mut().zip(groups) {
            *weights = weights.wrapping_add(rows * pitch);
        }
        codes = codes.wrapping_add(order.width * ROW);
    }
}

/// Requantizes and stores up to `count` parts of what is pending.
///
/// # Safety
/// As [`strip`].
#[inline(always)]
unsafe fn drain(run: &Run<'_>, pending: &mut Option<Pending>, count: usize) {
    let Some(pending) = pending else { return };
    let end = (pending.next + count).min(TILES * PARTS);
    for part in pending.next..end {
        let (at, quarter) = (part / PARTS, part % PARTS);
        let (group, row) = if pending.square { (at / 2, at % 2) } else { (0, at) };
        let row = pending.row + row;
        let block = pending.output / BLOCK + group * PARTS + quarter;
        if row >= run.rows || block >= run.blocks {
            continue;
        }
        // SAFETY: the block is one of the section, the row one of the strip.
        unsafe {
            let sums = pending.sums.add(part * BLOCK * MAX_LANES).cast::<u8>();
            let load = |c: usize| Avx512::load(sums.add(c * ROW));
            let pixels = Avx512::requantize([load(0), load(1), load(2), load(3)], &*run.steps.add(block));
            let offset = run.target + row * run.pass.plane.target_row + block * run.pass.target_block;
            if run.whole {
                Avx512::store(run.group.segments()[0].target.wrapping_add(offset), pixels);
            } else {
                store_segments(run, pixels, row, offset);
            }
        }
    }
    pending.next = end;
}

/// Stores the pixels of each segment that has the row.
///
/// # Safety
/// As [`strip`].
#[inline(always)]
unsafe fn store_segments(run: &Run<'_>, pixels: __m512i, row: usize, offset: usize) {
    for segment in run.group.segments() {
        if row >= segment.rows {
            continue;
        }
        let target = segment.target.wrapping_add(offset);
        // SAFETY: masked lanes are not accessed; the pixels of a segment in its band's rows are writable.
        unsafe {
            if run.pass.plane.target_stride == 1 {
                let target = target.wrapping_sub(segment.lane * BLOCK);
                _mm512_mask_storeu_epi32(target.cast(), segment.mask(), pixels);
            } else {
                write::<Avx512>(target, pixels, run.pass.plane.target_stride, segment.count);
            }
        }
    }
}
