//! Dense and transposed convolution as rows of equal pixels, which a tier computes from gathered taps.

use candor_core::arithmetic::{Multiplier, Range as CodeRange};
use candor_core::ops::order::{GROUP, Order};
use candor_core::ops::{Convolution, TransposedConvolution};
use candor_core::tensor::{BLOCK, Element, Layout, Rows, RowsMut};
use core::mem::MaybeUninit;

/// What every pixel of one row of outputs, or of one phase of it, is computed from.
pub(super) struct Taps<'a> {
    input: Rows<'a>,
    /// Stored row of the first tap, and rows from one tap row to the next.
    rows: [usize; 2],
    /// Stored column of the first output's first tap, columns from one output to the next, and from tap to
    /// tap.
    columns: [usize; 3],
    pub order: Order,
    pub weights: &'a [i8],
    pub bias: &'a [i32],
    pub weight_sums: &'a [i32],
    pub multipliers: &'a [Multiplier],
    pub range: CodeRange,
}

/// Where the pixels of one row of outputs go.
pub(super) struct Target<'a> {
    pub layout: &'a Layout,
    pub row: &'a mut [u8],
    /// Column of the first.
    first: usize,
    /// Columns from one to the next.
    step: usize,
    /// How many.
    pub count: usize,
}

/// Words of one run of taps: those of a tap row and block, neighbours in the filter's order.
pub(super) struct Run<'a> {
    /// The stored row from the block on.
    pub line: &'a [[u8; BLOCK]],
    /// Column of the first tap for output 0 of the row, and columns from tap to tap.
    pub column: usize,
    pub tap_step: usize,
    pub count: usize,
    /// Words from the first stored one to the first of `line`.
    start: usize,
}

/// Words of a pixel gathered at a time; a multiple of every chunk's width.
pub(super) const SEGMENT: usize = 48;

/// Most runs of a pixel whose places are kept.
const RUNS: usize = 192;

/// Where the runs of output 0 of a row begin, in words of the stored rows: those of the others are columns
/// further.
pub(super) struct Places {
    /// Of which the first `count` are there.
    runs: [MaybeUninit<u16>; RUNS],
    count: usize,
    /// Taps of a run, and words from tap to tap.
    pub taps: usize,
    pub tap_step: usize,
    /// Taps of a run where they are neighbours, or none.
    pub neighbours: usize,
    /// Runs of a segment.
    per_segment: usize,
}

impl Places {
    /// Not a constant, which would be copied.
    #[inline(always)]
    const fn none() -> Self {
        let runs = [MaybeUninit::uninit(); RUNS];
        Self { runs, count: 0, taps: 1, tap_step: 1, neighbours: 0, per_segment: 0 }
    }

    /// Places of a row of `outputs` pixels; none when there are too many, segments cut them, or one of them
    /// is not stored.
    fn find(&mut self, taps: &Taps<'_>, outputs: usize) -> Option<&Self> {
        let [_, own_taps] = taps.order.taps;
        let count = taps.order.words().checked_div(own_taps)?;
        let [_, stride, tap_step] = taps.columns;
        let mut places = self.runs.get_mut(..count)?.iter_mut();
        let mut last = 0;
        taps.runs(0, taps.order.words(), |run| {
            let place = run.start + run.column;
            last = last.max(place);
            if let Some(own) = places.next() {
                own.write(place as u16);
            }
        });
        self.count = count - places.len();
        (self.taps, self.tap_step, self.per_segment) = (own_taps, tap_step, SEGMENT / own_taps);
        self.neighbours = if tap_step == 1 { own_taps } else { 0 };
        let end = last + (own_taps - 1) * tap_step + (outputs - 1) * stride;
        let whole = taps.input.layout.row_stride.is_multiple_of(BLOCK) && SEGMENT.is_multiple_of(own_taps);
        let stored = taps.input.data.len() / BLOCK;
        (whole && last <= usize::from(u16::MAX) && end < stored).then_some(self)
    }

    /// Places of the runs of segment `index`.
    #[inline(always)]
    pub fn runs(&self, index: usize) -> &[u16] {
        let start = (index * self.per_segment).min(self.count);
        let end = (start + self.per_segment).min(self.count);
        // SAFETY: the first `count` places are there.
        unsafe { self.runs.get_unchecked(start..end).assume_init_ref() }
    }
}

/// 1.5·2^23: a float of magnitude below 2^22 added to it is rounded to an integer, half to even.
const ROUNDING: f32 = 12_582_912.0;

/// [`candor_core::arithmetic::requantize`] with both clamps on integers.
///
/// The bits of a float rise with its value, as those of an integer do; so even where a product is too great
/// for `ROUNDING` it lies on its own side of the range, and a negative float is below every positive one.
#[inline(always)]
pub(super) fn code(sum: i32, multiplier: Multiplier, range: CodeRange) -> u8 {
    let product = sum as f32 * multiplier.get();
    let bits = (product + ROUNDING).to_bits() as i32;
    let steps = bits.saturating_sub((ROUNDING.to_bits() as i32).wrapping_sub(range.zero_point));
    steps.max(range.low).min(range.high) as u8
}

/// What the tiles of a row have in common, for one group of output channels. Assembly reads it.
#[repr(C)]
pub(super) struct Group {
    /// Words of a row of weights: 4, 8, 12 or 16.
    pub width: usize,
    /// Rows of a chunk: 8 or 16.
    pub rows: usize,
    /// Output channels, at least one and no more than rows.
    pub outputs: usize,
    /// Blocks of them.
    pub blocks: usize,
    /// Bytes from a block's codes to the next block's, and from a pixel's to the next pixel's.
    pub stride: usize,
    pub step: usize,
    /// The range of codes, of which assembly relies on the order.
    pub zero_point: i32,
    pub low: i32,
    pub high: i32,
}

/// Words of a filter that are gathered together.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub index: usize,
    /// At least one.
    pub words: usize,
}

impl Segment {
    /// Words of the filter before it.
    pub const fn start(self) -> usize {
        self.index * SEGMENT
    }
}

/// Neighbouring pixels of a row: `count` from `first` on, in a tile of as many or more, whose others repeat
/// the last.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub first: usize,
    pub count: usize,
}

impl Tile {
    /// Where in the row pixel `index` of the tile lies.
    #[inline(always)]
    pub fn pixel(self, index: usize) -> usize {
        self.first + index.min(self.count - 1)
    }
}

/// Sums of a group's output channels for the pixels of a tile.
pub(super) type Sums<const N: usize> = [[i32; N]; GROUP];

/// How a tier computes `N` pixels of a row.
pub(super) trait Dense<const N: usize> {
    /// Gathered codes of a segment.
    type Gathered;
    /// None yet.
    const NONE: Self::Gathered;

    /// What the sum of an output channel begins with.
    fn start(bias: i32, weight_sum: i32) -> i32;

    /// Gathers the taps of a tile that a segment meets; `places` are those of the row.
    fn gather(
        taps: &Taps<'_>,
        places: Option<&Places>,
        tile: Tile,
        segment: Segment,
        gathered: &mut Self::Gathered,
    );

    /// Adds to the sums of a group the products of `words` gathered words and the weights of their chunks;
    /// `starts` are what the sums begin with, or none where they go on.
    ///
    /// # Safety
    /// As many were gathered, and `weights` holds their chunks.
    unsafe fn multiply(
        gathered: &Self::Gathered,
        weights: &[i8],
        words: usize,
        group: &Group,
        starts: Option<&Sums<N>>,
        sums: &mut Sums<N>,
    );

    /// Requantizes the sums of a whole tile.
    ///
    /// # Safety
    /// `multipliers` and `row`, from the tile's first pixel on, hold the group's.
    unsafe fn requantize(sums: &Sums<N>, multipliers: &[Multiplier], group: &Group, row: &mut [u8]);
}

/// The specification of [`Dense::requantize`], for the first `count` pixels.
#[inline(never)]
pub(super) fn requantize<const N: usize>(
    sums: &Sums<N>,
    multipliers: &[Multiplier],
    group: &Group,
    row: &mut [u8],
    count: usize,
) {
    let range = CodeRange { zero_point: group.zero_point, low: group.low, high: group.high };
    let blocks = sums.as_chunks::<BLOCK>().0.iter().zip(multipliers.as_chunks::<BLOCK>().0);
    for ((sums, multipliers), row) in blocks.zip(row.chunks_mut(group.stride)).take(group.blocks) {
        for pixel in 0..count {
            let own = [0, 1, 2, 3].map(|c| code(sums[c][pixel], multipliers[c], range));
            row[pixel * group.step..][..BLOCK].copy_from_slice(&own);
        }
    }
}

/// Stores the sums of the first `count` pixels of a tile as they are. Out of the loop over tiles, like
/// [`requantize`], so that registers are left to what is called in it.
#[inline(never)]
fn store<const N: usize>(sums: &Sums<N>, group: &Group, row: &mut [u8], count: usize) {
    let blocks = sums.as_chunks::<BLOCK>().0.iter().zip(row.chunks_mut(group.stride));
    for (sums, row) in blocks.take(group.blocks) {
        for pixel in 0..count {
            let place = row[pixel * group.step..][..4 * BLOCK].as_chunks_mut::<4>().0;
            for (place, sums) in place.iter_mut().zip(sums) {
                *place = sums[pixel].to_le_bytes();
            }
        }
    }
}

/// What rows are computed with, one after the other.
struct Scratch<G> {
    places: Places,
    gathered: G,
}

/// Computes every pixel of `target`.
fn row<D: Dense<N>, const N: usize>(
    taps: &Taps<'_>,
    target: &mut Target<'_>,
    scratch: &mut Scratch<D::Gathered>,
) {
    let places = scratch.places.find(taps, target.count);
    for group in (0..target.layout.channels).step_by(GROUP) {
        group_of_row::<D, N>(taps, places, target, group, &mut scratch.gathered);
    }
}

/// Computes the output channels of a group from `first_output` on.
#[inline(always)]
fn group_of_row<D: Dense<N>, const N: usize>(
    taps: &Taps<'_>,
    places: Option<&Places>,
    target: &mut Target<'_>,
    first_output: usize,
    gathered: &mut D::Gathered,
) {
    let (layout, words) = (target.layout, taps.order.words());
    let bytes = BLOCK * layout.element.bytes();
    let rows = Order::rows(taps.multipliers.len(), first_output);
    let outputs = (layout.channels - first_output).min(rows);
    let group = Group {
        width: taps.order.width,
        rows,
        outputs,
        blocks: outputs.div_ceil(BLOCK),
        stride: layout.block_stride(),
        step: target.step * bytes,
        zero_point: taps.range.zero_point,
        low: taps.range.low,
        high: taps.range.high,
    };
    let weights = &taps.weights[first_output * taps.order.weights()..][..rows * taps.order.weights()];
    let multipliers = &taps.multipliers[first_output..][..rows];
    let mut starts = [[0; N]; GROUP];
    let constants = taps.bias[first_output..][..rows].iter().zip(&taps.weight_sums[first_output..][..rows]);
    for (start, (&bias, &weight_sum)) in starts.iter_mut().zip(constants) {
        *start = [D::start(bias, weight_sum); N];
    }
    let row = &mut target.row[layout.offset_in_row(first_output / BLOCK, target.first)..];
    let row = &mut row[..(group.blocks - 1) * group.stride + (target.count - 1) * group.step + bytes];
    let count = target.count.min(N);
    let whole = layout.element == Element::Code && count == N;
    let mut sums = starts;
    for first in (0..target.count).step_by(N) {
        // Where tiles do not fill a row, the last one covers pixels of the one before again.
        let tile = Tile { first: first.min(target.count - count), count };
        for index in 0..words.div_ceil(SEGMENT) {
            let segment = Segment { index, words: (words - index * SEGMENT).min(SEGMENT) };
            D::gather(taps, places, tile, segment, gathered);
            let weights = weights.get(rows * segment.start() * BLOCK..).unwrap_or_default();
            let starts = (index == 0).then_some(&starts);
            // SAFETY: the segment was gathered, and rows of all words were sliced above.
            unsafe { D::multiply(gathered, weights, segment.words, &group, starts, &mut sums) };
        }
        let row = &mut row[tile.first * group.step..];
        if whole {
            // SAFETY: multipliers and the row up to its last pixel were sliced above.
            unsafe { D::requantize(&sums, multipliers, &group, row) };
        } else if layout.element == Element::Code {
            requantize(&sums, multipliers, &group, row, count);
        } else {
            store(&sums, &group, row, count);
        }
    }
}

impl<'a> Taps<'a> {
    /// Calls `each` with the runs that make up `words` words from `start` on, in order.
    #[inline(always)]
    pub fn runs(&self, start: usize, words: usize, mut each: impl FnMut(Run<'a>)) {
        let (layout, [first, _, tap_step]) = (&self.input.layout, self.columns);
        let [_, kernel] = self.order.taps;
        let stride = layout.block_stride();
        let mut skipped = start.checked_rem(kernel).unwrap_or(0);
        let at = start.checked_div(kernel).unwrap_or(0);
        let (mut tap, mut block) = (at / self.order.blocks, at % self.order.blocks);
        let mut left = words;
        while left > 0 {
            let row = self.rows[0] + tap * self.rows[1] - self.input.origin;
            let start = row * layout.row_stride + block * stride;
            let line = self.input.data[start..][..stride].as_chunks().0;
            let count = (kernel - skipped).min(left);
            let column = first + skipped * tap_step;
            each(Run { line, column, tap_step, count, start: start / BLOCK });
            left -= count;
            skipped = 0;
            block += 1;
            if block == self.order.blocks {
                (tap, block) = (tap + 1, 0);
            }
        }
    }

    /// The stored word at a place, which must be one.
    #[inline(always)]
    pub fn stored(&self, place: usize) -> *const [u8; BLOCK] {
        self.input.data.as_chunks::<BLOCK>().0.as_ptr().wrapping_add(place)
    }

    /// Columns from one output's taps to those of the next.
    pub const fn stride(&self) -> usize {
        self.columns[1]
    }
}

/// Dense convolution.
pub(super) fn convolution<D: Dense<N>, const N: usize>(
    op: &Convolution<'_>,
    input: Rows<'_>,
    mut output: RowsMut<'_>,
) {
    let (window, filter, layout) = (&op.window, &op.filter, output.layout);
    let order = Order::new(window.kernel, input.layout.blocks());
    let mut scratch = Scratch { places: Places::none(), gathered: D::NONE };
    for y in output.first..output.first + output.count {
        let taps = Taps {
            input,
            rows: [window.first_row(&input.layout, y), window.dilation[0]],
            columns: [window.first_column(&input.layout, 0), window.stride[1], window.dilation[1]],
            order,
            weights: filter.weights,
            bias: filter.bias,
            weight_sums: filter.weight_sums,
            multipliers: filter.multipliers,
            range: filter.range,
        };
        let row = output.row_mut(y);
        let mut target = Target { layout: &layout, row, first: 0, step: 1, count: layout.width };
        self::row::<D, N>(&taps, &mut target, &mut scratch);
    }
}

/// Transposed convolution, phase by phase.
pub(super) fn transposed<D: Dense<N>, const N: usize>(
    op: &TransposedConvolution<'_>,
    input: Rows<'_>,
    mut output: RowsMut<'_>,
) {
    let (halo, layout, blocks) = (input.layout.halo, output.layout, input.layout.blocks());
    let mut scratch = Scratch { places: Places::none(), gathered: D::NONE };
    for y in output.first..output.first + output.count {
        let (ry, my) = (y % op.stride[0], y / op.stride[0]);
        let rows = op.phase(0, ry);
        for rx in 0..op.stride[1].min(layout.width) {
            let columns = op.phase(1, rx);
            let (weights, bias, weight_sums) = op.phase_filter(blocks, ry, rx);
            let taps = Taps {
                input,
                rows: [(halo.top + my).wrapping_add_signed(rows.first), 1],
                columns: [halo.left.wrapping_add_signed(columns.first), 1, 1],
                order: op.order(blocks, ry, rx),
                weights,
                bias,
                weight_sums,
                multipliers: op.filter.multipliers,
                range: op.filter.range,
            };
            let (row, step) = (output.row_mut(y), op.stride[1]);
            let count = (layout.width - rx).div_ceil(step);
            let mut target = Target { layout: &layout, row, first: rx, step, count };
            self::row::<D, N>(&taps, &mut target, &mut scratch);
        }
    }
}
