//! A copy of a few input rows in which the pixels of each tap and input block begin a cache line.
//!
//! A word of the stage is sixteen pixels of one block at one column of taps. The words of a slot, which is
//! an input row, lie in the order (input block, tap column), so that the words an output row needs, in the
//! order of the weights, are those of consecutive slots. Neighbouring output rows share slots.
//!
//! A narrow map is cut into bands of rows laid side by side, so that groups of sixteen pixels stay full.

use super::tile::ROW;
use crate::loops::dense::Dense;
use crate::loops::vector::{MAX_LANES, PIXEL, Vector};
use crate::x86::avx512::Avx512;
use candor_core::ops::order::{GROUP, OUTPUT_BLOCK};
use candor_core::tensor::{BLOCK, Element};
use core::arch::x86_64::*;

/// Words that two stages hold, or one where it holds the whole pass.
pub(super) const CAPACITY: usize = 8192;
/// Cache lines of two stages, and of the input rows they come from, that fit the first-level cache beside a
/// small filter.
const NEAR_LINES: usize = 512;
/// Bytes of a filter small enough to stay there too.
const NEAR_WEIGHTS: usize = 24 << 10;
/// Words per output channel up to which a single block of output channels is left to vectors.
const SMALL_WORDS: usize = 24;
/// Output rows whose words are always in the stage: the most that one step of products takes.
pub(super) const ROWS_STEP: usize = 4;
/// Most bands.
const BANDS: usize = 4;

/// How a pass is staged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    bands: usize,
    /// Output rows of a band; the last may have fewer.
    pub band_rows: usize,
    /// Output rows staged at a time.
    pub strip: usize,
    /// Groups of sixteen pixels across all bands.
    pub groups: usize,
    /// Words from one output row's to the next's.
    pub row_words: usize,
    slot_words: usize,
    /// Slots from one output row to the next.
    advance: usize,
    /// Slots of consecutive rows; then the input moves on by `steps[0]`, within them by `steps[1]`.
    period: usize,
    steps: [usize; 2],
    /// Words of the longest strip.
    pub words: usize,
    /// Whether there is room for one strip only, so that the next is copied once this one is done.
    pub alone: bool,
}

/// Neighbouring pixels of one band.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    source: *const u8,
    /// First output pixel, in the band's first row.
    pub target: *mut u8,
    /// Lane of the first pixel.
    pub lane: usize,
    pub count: usize,
    /// Output rows of the band.
    pub rows: usize,
}

impl Default for Segment {
    fn default() -> Self {
        Self { source: core::ptr::null(), target: core::ptr::null_mut(), lane: 0, count: 0, rows: 0 }
    }
}

impl Segment {
    /// The lanes it fills.
    #[inline(always)]
    pub const fn mask(&self) -> u16 {
        (((1u32 << self.count) - 1) << self.lane) as u16
    }
}

/// Up to sixteen pixels that are computed together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Group {
    segments: [Segment; BANDS],
    count: usize,
}

impl Group {
    /// Its pixels band by band; the first lies in the earliest band, which has the most rows.
    pub fn segments(&self) -> &[Segment] {
        &self.segments[..self.count]
    }
}

impl Stage {
    /// How to stage `pass`; `None` when it keeps accumulators, has no taps, one step does not fit, or too
    /// little of a tile would be used to pay for the copy.
    pub fn plan(pass: &Dense<'_>) -> Option<Self> {
        let (plane, order) = (&pass.plane, &pass.order);
        let taps = order.taps;
        let small = pass.multipliers.len() <= OUTPUT_BLOCK && order.words() <= SMALL_WORDS;
        if pass.element != Element::Code || order.words() == 0 || small {
            return None;
        }
        let tap_row = pass.tap_steps[0];
        let shared = taps[0] > 1 && plane.source_row % tap_row == 0 && plane.source_row / tap_row <= taps[0];
        let (advance, period, steps) = if taps[0] == 1 {
            (1, 1, [plane.source_row, 0])
        } else if shared {
            (plane.source_row / tap_row, 1, [tap_row, 0])
        } else {
            (taps[0], taps[0], [plane.source_row, tap_row])
        };
        let slot_words = order.blocks * taps[1];
        let row_words = advance * slot_words;
        let words = |rows: usize| (rows - 1) * row_words + order.chunks * order.width;
        let fits = |limit: usize| {
            let rows = limit.checked_sub(words(1)).map_or(0, |rest| rest / row_words + 1);
            rows / ROWS_STEP * ROWS_STEP
        };
        let near = order.weights() * pass.multipliers.len() <= NEAR_WEIGHTS;
        // A word is a line in each stage; a slot's words of one block come from two lines.
        let near_words = NEAR_LINES * taps[1] / (2 * taps[1] + 2);
        let alone = fits(CAPACITY / 2) == 0;
        if fits(CAPACITY) == 0 {
            return None;
        }
        let strip = match (alone, near) {
            (true, _) => fits(CAPACITY),
            (false, true) => fits(near_words).max(ROWS_STEP),
            (false, false) => fits(CAPACITY / 2),
        };
        let bands = if plane.source_stride == 1 && plane.target_stride == 1 { BANDS } else { 1 };
        let odd = pass.multipliers.len().div_ceil(GROUP) % 2;
        let groups = |bands: usize| (bands * plane.columns).div_ceil(MAX_LANES);
        let cost = |bands: usize| {
            let rows = plane.rows.div_ceil(bands).next_multiple_of(2 + 2 * odd);
            rows * groups(bands)
        };
        let bands = (1..=bands.min(plane.rows)).min_by_key(|bands| cost(*bands)).unwrap_or(1);
        let band_rows = plane.rows.div_ceil(bands);
        let bands = plane.rows.div_ceil(band_rows);
        let groups = groups(bands);
        let strip = if groups == 1 && fits(CAPACITY) >= band_rows { fits(CAPACITY) } else { strip };
        let words = words(strip.min(band_rows.next_multiple_of(ROWS_STEP)));
        Some(Self {
            bands,
            band_rows,
            strip,
            groups,
            row_words,
            slot_words,
            advance,
            period,
            steps,
            words,
            alone,
        })
    }

    /// Makes `group` the one of this index.
    #[inline(always)]
    pub fn group(&self, pass: &Dense<'_>, index: usize, group: &mut Group) {
        let plane = &pass.plane;
        group.count = 0;
        let mut at = index * MAX_LANES;
        let end = (at + MAX_LANES).min(self.bands * plane.columns);
        while at < end {
            let (band, column) =
                if self.bands == 1 { (0, at) } else { (at / plane.columns, at % plane.columns) };
            let count = (plane.columns - column).min(end - at);
            let first = band * self.band_rows;
            let source = first * plane.source_row + column * plane.source_stride * PIXEL;
            let target = first * plane.target_row + column * plane.target_stride * plane.target_pixel;
            group.segments[group.count] = Segment {
                source: plane.source.wrapping_add(source),
                target: plane.target.wrapping_add(target),
                lane: at % MAX_LANES,
                count,
                rows: self.band_rows.min(plane.rows - first),
            };
            group.count += 1;
            at += count;
        }
    }

    /// One slot of a group that cannot be read by whole registers.
    ///
    /// # Safety
    /// As [`Filler::advance`].
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn fill_slot(
        &self,
        pass: &Dense<'_>,
        group: &Group,
        [first, slot, offset]: [usize; 3],
        words: *mut u8,
    ) {
        let (taps, stride) = (pass.order.taps, pass.plane.source_stride);
        let mut first_segment = true;
        for segment in group.segments() {
            let rows = segment.rows.saturating_sub(first);
            if rows == 0 || slot >= (rows - 1) * self.advance + taps[0] {
                continue;
            }
            let source = segment.source.wrapping_add(offset);
            let mask = segment.mask();
            let mut word = words;
            for block in 0..pass.order.blocks {
                for column in 0..taps[1] {
                    let from = source.wrapping_add(block * pass.block_step + column * pass.tap_steps[1]);
                    // SAFETY: the pixels of a segment in a row of its band are readable, the stage writable.
                    unsafe {
                        let before = if first_segment { _mm512_setzero_si512() } else { Avx512::load(word) };
                        let pixels = if stride == 1 {
                            let from = from.wrapping_sub(segment.lane * PIXEL);
                            _mm512_mask_loadu_epi32(before, mask, from.cast())
                        } else {
                            gather(from, stride, segment.count)
                        };
                        Avx512::store(word, pixels);
                    }
                    word = word.wrapping_add(ROW);
                }
            }
            first_segment = false;
        }
    }
}

/// Copies the words of some output rows of a group, a few at a time.
pub(super) struct Filler<'a> {
    stage: &'a Stage,
    pass: &'a Dense<'a>,
    group: &'a Group,
    /// First output row.
    first: usize,
    words: *mut u8,
    slot: usize,
    slots: usize,
    block: usize,
    source: *const u8,
    /// Whether the slot can be read by whole registers.
    whole: bool,
}

impl<'a> Filler<'a> {
    /// Begins `rows` output rows of `group` from `first` on; `words` is aligned to a word and holds a stage.
    pub fn new(
        stage: &'a Stage,
        pass: &'a Dense<'a>,
        group: &'a Group,
        [first, rows]: [usize; 2],
        words: *mut u8,
    ) -> Self {
        let slots = (rows - 1) * stage.advance + pass.order.taps[0];
        let source = core::ptr::null();
        let mut filler =
            Self { stage, pass, group, first, words, slot: 0, slots, block: 0, source, whole: false };
        filler.enter_slot();
        filler
    }

    /// Copies nothing.
    pub fn nothing(stage: &'a Stage, pass: &'a Dense<'a>, group: &'a Group) -> Self {
        let (words, source) = (core::ptr::null_mut(), core::ptr::null());
        Self { stage, pass, group, first: 0, words, slot: 0, slots: 0, block: 0, source, whole: false }
    }

    /// Slots by input blocks that are left to copy.
    pub const fn remaining(&self) -> usize {
        (self.slots - self.slot) * self.pass.order.blocks - self.block
    }

    /// Input bytes from a segment's first row to the slot.
    #[inline(always)]
    const fn offset(&self) -> usize {
        let stage = self.stage;
        let start = self.first * self.pass.plane.source_row;
        if stage.period == 1 {
            return start + self.slot * stage.steps[0];
        }
        start + self.slot / stage.period * stage.steps[0] + self.slot % stage.period * stage.steps[1]
    }

    #[inline(always)]
    fn enter_slot(&mut self) {
        let (plane, taps) = (&self.pass.plane, self.pass.order.taps);
        self.source = self.group.segments[0].source.wrapping_add(self.offset());
        // The greatest address of a slot from which every word can be read as a whole.
        let reach = (taps[0] - 1) * self.pass.tap_steps[0];
        let limit = if plane.whole_until == 0 { 0 } else { plane.whole_until + reach };
        self.whole = self.group.count == 1 && plane.source_stride <= 2 && self.source.addr() <= limit;
    }

    /// Copies `blocks` blocks of slots, or what is left.
    ///
    /// # Safety
    /// As [`crate::loops::dense::run`]; the stage was planned for the pass, the group is one of its own, and
    /// the rows lie in its first segment's band.
    #[inline(always)]
    pub unsafe fn advance(&mut self, mut blocks: usize) {
        let (order, stride) = (&self.pass.order, self.pass.plane.source_stride);
        // SAFETY: every slot of a row in the plane is readable, by whole registers where `whole` says so.
        unsafe {
            while blocks > 0 && self.slot < self.slots {
                let count = if self.whole { blocks.min(order.blocks - self.block) } else { order.blocks };
                if self.whole {
                    match (stride, order.taps[1]) {
                        (1, 1) => self.copy::<1>(count, |from| Avx512::load(from)),
                        (1, 3) => self.copy::<3>(count, |from| Avx512::load(from)),
                        (1, _) => self.copy::<0>(count, |from| Avx512::load(from)),
                        _ => self.copy::<0>(count, |from| Avx512::load_even(from)),
                    }
                } else {
                    let at = [self.first, self.slot, self.offset()];
                    self.stage.fill_slot(self.pass, self.group, at, self.words);
                    self.words = self.words.wrapping_add(self.stage.slot_words * ROW);
                }
                self.block += count;
                if self.block == order.blocks {
                    self.block = 0;
                    self.slot += 1;
                    self.enter_slot();
                }
                blocks = blocks.saturating_sub(count);
            }
        }
    }

    /// Copies `count` blocks of a slot with `TAPS` tap columns, or any number for 0.
    ///
    /// # Safety
    /// As [`Filler::advance`]; `load` may be called at every word.
    #[inline(always)]
    unsafe fn copy<const TAPS: usize>(&mut self, count: usize, load: impl Fn(*const u8) -> __m512i) {
        let (tap_step, block_step) = (self.pass.tap_steps[1], self.pass.block_step);
        let taps = if TAPS == 0 { self.pass.order.taps[1] } else { TAPS };
        let (mut source, mut words) = (self.source, self.words);
        for _ in 0..count {
            for tap in 0..taps {
                // SAFETY: the caller's contract.
                unsafe { Avx512::store(words.add(tap * ROW), load(source.add(tap * tap_step))) };
            }
            source = source.wrapping_add(block_step);
            words = words.wrapping_add(taps * ROW);
        }
        (self.source, self.words) = (source, words);
    }
}

/// Reads `count` pixels `stride` pixels apart.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn gather(source: *const u8, stride: usize, count: usize) -> __m512i {
    let mut pixels = [0u32; MAX_LANES];
    for (lane, pixel) in pixels.iter_mut().enumerate().take(count) {
        // SAFETY: the caller's contract.
        *pixel = unsafe { source.wrapping_add(lane * stride * BLOCK).cast::<u32>().read_unaligned() };
    }
    // SAFETY: the array is a register.
    unsafe { Avx512::load(pixels.as_ptr().cast()) }
}
