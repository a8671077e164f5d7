//! Dense passes on tiles: a strip of rows is staged, then every tile of weights meets every tile of codes.
//!
//! Copying the codes of the next strip and requantizing the sums of the last step are spread over the
//! products of a step, which leaves all execution units at work.

use super::stage::{CAPACITY, Filler, Group, ROWS_STEP, Stage};
use super::tile::{self, ROW, Shape, TILE};
use crate::loops::dense::Dense;
use crate::loops::vector::{MAX_LANES, OutputStep, Vector, write};
use crate::x86::avx512::Avx512;
use candor_core::ops::order::{GROUP, Order};
use candor_core::tensor::BLOCK;
use core::arch::asm;
use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Output channels whose constants are laid out at a time.
const SECTION: usize = 512;
/// Output channels at a time where strips are staged one by one: the weights of these stay in the
/// second-level cache for all strips.
const NARROW_SECTION: usize = 64;
/// Tiles of sums of one step.
const TILES: usize = 4;
/// Blocks of output channels in a tile.
const PARTS: usize = GROUP / BLOCK;

/// What a pass works on, each beginning a cache line.
#[repr(C, align(64))]
struct Workspace {
    /// Codes of the strip under way and of the next, or of the only one.
    codes: [MaybeUninit<[u8; ROW]>; CAPACITY],
    /// Sums of the step under way and of the one before.
    sums: [[MaybeUninit<i32>; TILES * TILE / 4]; 2],
    /// Bias of each output channel in a row of sums.
    bias: [MaybeUninit<[i32; MAX_LANES]>; SECTION],
    /// Output step of each block.
    steps: [MaybeUninit<OutputStep>; SECTION / BLOCK],
}

/// One group of pixels over a strip of rows.
#[derive(Clone, Copy)]
struct Job {
    group: Group,
    /// First output row and number of rows.
    rows: [usize; 2],
    /// Whether the group is sixteen neighbouring pixels, stored together.
    whole: bool,
}

/// One step's finished sums, waiting to be requantized.
#[derive(Clone, Copy)]
struct Pending<'a> {
    sums: *const i32,
    job: &'a Job,
    /// First output row.
    row: usize,
    /// First output block, counted from the section's first.
    block: usize,
    /// Whether tiles are two groups of output channels by two rows rather than one by four.
    square: bool,
    /// Next tile.
    next: usize,
}

/// A section of a pass under way.
struct Section<'a> {
    pass: &'a Dense<'a>,
    stage: &'a Stage,
    channels: Range<usize>,
    bias: *const i32,
    steps: *const OutputStep,
    sums: *mut i32,
    /// Output blocks of the section.
    blocks: usize,
    /// Bytes from a segment's target to the section's first block.
    target: usize,
    /// The shape that is loaded: whether square, and rows of the tiles of weights.
    shape: Option<(bool, [usize; 2])>,
    pending: Option<Pending<'a>>,
}

/// Runs a pass on tiles.
///
/// # Safety
/// As [`crate::loops::dense::run`], with AMX; `stage` was planned for `pass`.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn run(pass: &Dense<'_>, stage: &Stage) {
    let mut workspace = MaybeUninit::<Workspace>::uninit();
    let workspace = workspace.as_mut_ptr();
    let outputs = pass.multipliers.len();
    // SAFETY: the caller's contract; every part of the workspace is written before it is read, but for
    // words beyond a filter's last, which meet weights of zero, and lanes that are not stored.
    unsafe {
        let section = if stage.alone { NARROW_SECTION } else { SECTION };
        for first in (0..outputs).step_by(section) {
            let channels = first..outputs.min(first + section);
            prepare(pass, channels.clone(), workspace);
            let mut section = Section {
                pass,
                stage,
                bias: (&raw const (*workspace).bias).cast(),
                steps: (&raw const (*workspace).steps).cast(),
                sums: (&raw mut (*workspace).sums).cast(),
                blocks: pass.outputs.div_ceil(BLOCK) - first / BLOCK,
                target: first / BLOCK * pass.target_block,
                shape: None,
                pending: None,
                channels,
            };
            section.run((&raw mut (*workspace).codes).cast());
        }
        tile::release();
    }
}

/// Lays out bias and output steps of a section.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn prepare(pass: &Dense<'_>, channels: Range<usize>, workspace: *mut Workspace) {
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

/// The pixels of block `part` of a tile of sums.
///
/// # Safety
/// As [`Vector`]; the tile and the step of its blocks are readable.
#[inline(always)]
unsafe fn requantize(sums: *const u8, steps: *const OutputStep, part: usize) -> __m512i {
    // SAFETY: the caller's contract.
    unsafe {
        let sums = sums.add(part * BLOCK * ROW);
        let rows = [
            Avx512::load(sums),
            Avx512::load(sums.add(ROW)),
            Avx512::load(sums.add(2 * ROW)),
            Avx512::load(sums.add(3 * ROW)),
        ];
        Avx512::requantize(rows, &*steps.add(part))
    }
}

/// Asks for the cache line at `target`, soon to be written; any address will do.
#[inline(always)]
fn prefetch_to_write(target: *const u8) {
    // SAFETY: a hint, which every CPU with AVX-512 takes and none faults on.
    unsafe { asm!("prefetchw [{}]", in(reg) target, options(nostack, preserves_flags, readonly)) }
}

impl Job {
    /// Becomes job `index`: groups of the first strip, then of the next; false after the last. Groups without
    /// rows in the strip are left out.
    fn enter(&mut self, pass: &Dense<'_>, stage: &Stage, index: &mut [usize; 2]) -> bool {
        loop {
            let [strip, at] = *index;
            if strip >= stage.band_rows {
                return false;
            }
            *index = if at + 1 < stage.groups { [strip, at + 1] } else { [strip + stage.strip, 0] };
            stage.group(pass, at, &mut self.group);
            let segments = self.group.segments();
            let rows = stage.strip.min(segments[0].rows.saturating_sub(strip));
            if rows > 0 {
                let full = segments.len() == 1 && segments[0].count == MAX_LANES;
                self.whole = full && pass.plane.target_stride == 1;
                self.rows = [strip, rows];
                return true;
            }
        }
    }
}

impl<'a> Section<'a> {
    /// All jobs, the codes of one copied while those of another are multiplied.
    ///
    /// # Safety
    /// As [`run`]; the section is prepared and `codes` holds two stages.
    #[inline(always)]
    unsafe fn run(&mut self, codes: *mut u8) {
        let (pass, stage) = (self.pass, self.stage);
        let second = if stage.alone { 0 } else { stage.words };
        let place = |turn: usize| codes.wrapping_add(turn % 2 * second * ROW);
        let mut index = [0, 0];
        // The job under way, the one before, whose last sums are pending, and the next.
        let mut jobs = [Job { group: Group::default(), rows: [0, 0], whole: false }; 3];
        let jobs = jobs.as_mut_ptr();
        // SAFETY: the caller's contract; a job is overwritten two jobs later, when none of its sums pend.
        unsafe {
            let mut more = (*jobs).enter(pass, stage, &mut index);
            if more {
                Filler::new(stage, pass, &(*jobs).group, (*jobs).rows, place(0)).advance(usize::MAX);
            }
            let mut turn = 0;
            while more {
                let next = jobs.add((turn + 1) % 3);
                more = (*next).enter(pass, stage, &mut index);
                let filler = || Filler::new(stage, pass, &(*next).group, (*next).rows, place(turn + 1));
                let nothing = || Filler::nothing(stage, pass, &(*next).group);
                let mut beside = if more && !stage.alone { filler() } else { nothing() };
                self.strip(&*jobs.add(turn % 3), place(turn), &mut beside);
                beside.advance(usize::MAX);
                if more && stage.alone {
                    filler().advance(usize::MAX);
                }
                turn += 1;
            }
            self.drain(TILES);
        }
    }

    /// All output channels of the section over one job, whose codes are at `codes`.
    ///
    /// # Safety
    /// As [`Section::run`]; the job's codes are staged.
    #[inline(always)]
    unsafe fn strip(&mut self, job: &'a Job, codes: *const u8, filler: &mut Filler<'_>) {
        let (pass, stage, order) = (self.pass, self.stage, &self.pass.order);
        let (outputs, [first, rows]) = (pass.multipliers.len(), job.rows);
        let pairs = self.channels.len().div_ceil(2 * GROUP);
        let copies = filler.remaining().div_ceil(pairs * rows.div_ceil(2) * order.chunks);
        let mut turn = 0;
        let mut o = self.channels.start;
        while o < self.channels.end {
            let square = self.channels.end - o > GROUP;
            let second = if square { o + GROUP } else { o };
            let groups = [Order::rows(outputs, o), Order::rows(outputs, second)];
            // SAFETY: weights of whole groups are readable, words of whole steps are in the stage, and the
            // sums of a step fit their half of the workspace.
            unsafe {
                self.load_shape(square, groups);
                let weights =
                    [o, second].map(|o| pass.weights.as_ptr().wrapping_add(order.word(outputs, o, 0)));
                let bias = [o, second].map(|o| self.bias.wrapping_add((o - self.channels.start) * MAX_LANES));
                for row in (0..rows).step_by(if square { 2 } else { ROWS_STEP }) {
                    let codes = codes.wrapping_add(row * stage.row_words * ROW);
                    tile::start(bias);
                    if square {
                        self.multiply::<true>(weights, groups, codes, filler, copies);
                    } else {
                        self.multiply::<false>(weights, groups, codes, filler, copies);
                    }
                    let sums = self.sums.add(turn * TILES * TILE / 4);
                    tile::finish(sums);
                    turn ^= 1;
                    let block = (o - self.channels.start) / BLOCK;
                    self.pending = Some(Pending { sums, job, row: first + row, block, square, next: 0 });
                }
            }
            o += if square { 2 * GROUP } else { GROUP };
        }
    }

    /// Gives the tiles the shape for `groups` rows of weights, if they do not have it.
    ///
    /// # Safety
    /// As [`Section::run`].
    #[inline(always)]
    unsafe fn load_shape(&mut self, square: bool, groups: [usize; 2]) {
        if self.shape == Some((square, groups)) {
            return;
        }
        let width = self.pass.order.width;
        let shape =
            if square { Shape::two_by_two(groups, width) } else { Shape::one_by_four(groups[0], width) };
        // SAFETY: groups have 8 or 16 rows and rows of weights 4 to 16 words.
        unsafe { shape.load() }
        self.shape = Some((square, groups));
    }

    /// The products of one step, between `copies` blocks of the next codes each and the sums of the step
    /// before.
    ///
    /// # Safety
    /// As [`Section::strip`].
    #[inline(always)]
    unsafe fn multiply<const SQUARE: bool>(
        &mut self,
        [mut first, mut second]: [*const i8; 2],
        groups: [usize; 2],
        mut codes: *const u8,
        filler: &mut Filler<'_>,
        copies: usize,
    ) {
        let order = &self.pass.order;
        let pitch = order.width * BLOCK;
        let drained = TILES.div_ceil(order.chunks);
        let row_bytes = self.stage.row_words * ROW;
        for _ in 0..order.chunks {
            // SAFETY: the caller's contract.
            unsafe {
                if SQUARE {
                    tile::two_by_two([first, second], pitch, [codes, codes.wrapping_add(row_bytes)]);
                } else {
                    tile::one_by_four(first, pitch, codes, row_bytes);
                }
                self.drain(drained);
                filler.advance(copies);
            }
            first = first.wrapping_add(groups[0] * pitch);
            second = second.wrapping_add(groups[1] * pitch);
            codes = codes.wrapping_add(order.width * ROW);
        }
    }

    /// Requantizes and stores up to `count` tiles of what is pending.
    ///
    /// # Safety
    /// As [`Section::strip`].
    #[inline(always)]
    unsafe fn drain(&mut self, count: usize) {
        let Some(pending) = &mut self.pending else { return };
        let tiles = pending.next..(pending.next + count).min(TILES);
        pending.next = tiles.end;
        let pending = *pending;
        for tile in tiles {
            // SAFETY: the caller's contract.
            unsafe { self.store_tile(&pending, tile) }
        }
    }

    /// Requantizes and stores one tile of sums.
    ///
    /// # Safety
    /// As [`Section::strip`].
    #[inline(always)]
    unsafe fn store_tile(&self, pending: &Pending<'_>, tile: usize) {
        let (group, row) = if pending.square { (tile / 2, tile % 2) } else { (0, tile) };
        let row = pending.row + row;
        let [first, rows] = pending.job.rows;
        let block = pending.block + group * PARTS;
        if row >= first + rows || block >= self.blocks {
            return;
        }
        let parts = PARTS.min(self.blocks - block);
        let mut offset = self.target + row * self.pass.plane.target_row + block * self.pass.target_block;
        let target = pending.job.group.segments()[0].target;
        // SAFETY: the blocks are some of the section, the row one of the job.
        unsafe {
            let sums = pending.sums.add(tile * TILE / 4).cast::<u8>();
            let steps = self.steps.add(block);
            if pending.job.whole {
                for part in 0..parts {
                    let target = target.wrapping_add(offset);
                    Avx512::store(target, requantize(sums, steps, part));
                    prefetch_to_write(target.wrapping_add(2 * ROW));
                    offset += self.pass.target_block;
                }
            } else {
                for part in 0..parts {
                    let pixels = requantize(sums, steps, part);
                    self.store_segments(&pending.job.group, pixels, row, offset);
                    offset += self.pass.target_block;
                }
            }
        }
    }

    /// Stores the pixels of each segment that has the row.
    ///
    /// # Safety
    /// As [`Section::strip`].
    #[inline(always)]
    unsafe fn store_segments(&self, group: &Group, pixels: __m512i, row: usize, offset: usize) {
        let stride = self.pass.plane.target_stride;
        for segment in group.segments() {
            if row >= segment.rows {
                continue;
            }
            let target = segment.target.wrapping_add(offset);
            // SAFETY: masked lanes are not accessed; a segment's pixels in its band's rows are writable.
            unsafe {
                if stride == 1 {
                    let target = target.wrapping_sub(segment.lane * BLOCK);
                    _mm512_mask_storeu_epi32(target.cast(), segment.mask(), pixels);
                } else {
                    write::<Avx512>(target, pixels, stride, segment.count);
                }
            }
        }
    }
}
