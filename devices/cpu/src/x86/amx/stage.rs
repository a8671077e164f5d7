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

/// Words that a stage holds.
pub(super) const CAPACITY: usize = 8192;
/// Words of a stage that stays in the first-level cache beside a small filter.
const NEAR_WORDS: usize = 384;
/// Bytes of a filter small enough to stay there too.
const NEAR_WEIGHTS: usize = 24 << 10;
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

impl Segment {
    /// The lanes it fills.
    #[inline(always)]
    pub const fn mask(&self) -> u16 {
        (((1u32 << self.count) - 1) << self.lane) as u16
    }
}

/// Up to sixteen pixels that are computed together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    segments: [Segment; BANDS],
    count: usize,
}

impl Group {
    pub fn segments(&self) -> &[Segment] {
        &self.segments[..self.count]
    }
}

impl Stage {
    /// How to stage `pass`; `None` when it keeps accumulators, has no taps, or one step does not fit.
    pub fn plan(pass: &Dense<'_>) -> Option<Self> {
        let (plane, order) = (&pass.plane, &pass.order);
        let taps = order.taps;
        if pass.element != Element::Code || order.words() == 0 {
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
        let strip = if near { fits(NEAR_WORDS).max(ROWS_STEP) } else { fits(CAPACITY) };
        if strip == 0 || fits(CAPACITY) == 0 {
            return None;
        }
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
        debug_assert!(pass.multipliers.len() % OUTPUT_BLOCK == 0);
        let groups = groups(bands);
        Some(Self { bands, band_rows, strip, groups, row_words, slot_words, advance, period, steps })
    }

    /// Group `index`.
    pub fn group(&self, pass: &Dense<'_>, index: usize) -> Group {
        let plane = &pass.plane;
        let none = Segment { source: plane.source, target: plane.target, lane: 0, count: 0, rows: 0 };
        let mut group = Group { segments: [none; BANDS], count: 0 };
        let mut at = index * MAX_LANES;
        let end = (at + MAX_LANES).min(self.bands * plane.columns);
        while at < end {
            let (band, column) = (at / plane.columns, at % plane.columns);
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
        group
    }

    /// Copies what `rows` ≥ 1 output rows of `group` from `first` on read to `words`.
    ///
    /// # Safety
    /// As [`crate::loops::dense::run`]; `words` is aligned to a word and holds a stage.
    #[inline(always)]
    pub unsafe fn fill(
        &self,
        pass: &Dense<'_>,
        group: &Group,
        [first, rows]: [usize; 2],
        mut words: *mut u8,
    ) {
        let (taps, stride) = (pass.order.taps, pass.plane.source_stride);
        // Greatest address of a slot from which every word can be read as a whole.
        let reach = (taps[0] - 1) * pass.tap_steps[0];
        let limit = if pass.plane.whole_until == 0 { 0 } else { pass.plane.whole_until + reach };
        for slot in 0..(rows - 1) * self.advance + taps[0] {
            let offset = first * pass.plane.source_row
                + slot / self.period * self.steps[0]
                + slot % self.period * self.steps[1];
            let source = group.segments[0].source.wrapping_add(offset);
            // SAFETY: every slot of a row in the plane is readable; beyond `limit` only single pixels are
            // read.
            unsafe {
                if group.count == 1 && stride <= 2 && source.addr() <= limit {
                    if stride == 1 {
                        copy_slot(pass, source, words, |from| Avx512::load(from));
                    } else {
                        copy_slot(pass, source, words, |from| Avx512::load_even(from));
                    }
                } else {
                    self.fill_slot(pass, group, [first, slot, offset], words);
                }
            }
            words = words.wrapping_add(self.slot_words * ROW);
        }
    }

    /// One slot of a group that cannot be read by whole registers.
    ///
    /// # Safety
    /// As [`Stage::fill`].
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

/// Copies the words of a slot.
///
/// # Safety
/// As [`Stage::fill`]; `load` may be called at every word.
#[inline(always)]
unsafe fn copy_slot(
    pass: &Dense<'_>,
    source: *const u8,
    mut words: *mut u8,
    load: impl Fn(*const u8) -> __m512i,
) {
    for block in 0..pass.order.blocks {
        let mut from = source.wrapping_add(block * pass.block_step);
        for _ in 0..pass.order.taps[1] {
            // SAFETY: the caller's contract.
            unsafe { Avx512::store(words, load(from)) };
            from = from.wrapping_add(pass.tap_steps[1]);
            words = words.wrapping_add(ROW);
        }
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
