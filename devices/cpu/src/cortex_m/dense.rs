//! Dense and transposed convolution as rows of equal pixels, which a tier computes from gathered taps.

use candor_core::arithmetic::{Multiplier, Range};
use candor_core::ops::order::Order;
use candor_core::ops::{Convolution, TransposedConvolution};
use candor_core::tensor::{BLOCK, Layout, Rows, RowsMut};

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
    #[cfg_attr(not(any(test, feature = "helium")), allow(dead_code, reason = "for kernels on signed codes"))]
    pub weight_sums: &'a [i32],
    pub multipliers: &'a [Multiplier],
    pub range: Range,
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

/// Most words of a pixel whose places are kept.
const PLACES: usize = 512;

/// Where the taps of output 0 of a row lie, in words of the stored rows: those of the others are columns
/// further.
pub(super) struct Places {
    words: [u16; PLACES],
    count: usize,
}

impl Places {
    /// Places of a row of `outputs` pixels; none when there are too many or one of them is not stored.
    pub fn new(taps: &Taps<'_>, outputs: usize) -> Option<Self> {
        let count = taps.order.words();
        let mut own = Self { words: [0; PLACES], count };
        let mut rest = own.words.get_mut(..count)?;
        let mut last = 0;
        let whole = taps.input.layout.row_stride.is_multiple_of(BLOCK);
        taps.runs(0, count, |run| {
            let (words, after) = core::mem::take(&mut rest).split_at_mut(run.count);
            rest = after;
            for (index, word) in words.iter_mut().enumerate() {
                let place = run.start + run.column + index * run.tap_step;
                last = last.max(place);
                *word = place as u16;
            }
        });
        let end = last + (outputs - 1) * taps.stride();
        let stored = taps.input.data.len() / BLOCK;
        (whole && last <= usize::from(u16::MAX) && end < stored).then_some(own)
    }

    /// Calls `each` with the taps of outputs `outputs` of the row that `taps` describes, for words from
    /// `start` on, as many as `targets` has room for.
    #[inline(always)]
    pub fn gather<T, const N: usize>(
        &self,
        taps: &Taps<'_>,
        outputs: [usize; N],
        start: usize,
        targets: &mut [T],
        mut each: impl FnMut(&mut T, [u32; N]),
    ) {
        let data = taps.input.data.as_chunks::<BLOCK>().0;
        let columns = outputs.map(|output| output * taps.stride());
        for (target, &word) in targets.iter_mut().zip(&self.words[start..self.count]) {
            let words = columns.map(|column| {
                // SAFETY: `new` found the last place of the row's last output to be stored.
                u32::from_le_bytes(unsafe { *data.get_unchecked(usize::from(word) + column) })
            });
            each(target, words);
        }
    }
}

/// 1.5·2^23: a float of magnitude below 2^22 added to it is rounded to an integer, half to even.
const ROUNDING: f32 = 12_582_912.0;

/// [`candor_core::arithmetic::requantize`] with both clamps on integers.
///
/// The bits of a float rise with its value, as those of an integer do; so even where a product is too great
/// for `ROUNDING` it lies on its own side of the range, and a negative float is below every positive one.
#[inline(always)]
pub(super) fn code(sum: i32, multiplier: Multiplier, range: Range) -> u8 {
    let product = sum as f32 * multiplier.get();
    let bits = (product + ROUNDING).to_bits() as i32;
    let steps = bits.saturating_sub((ROUNDING.to_bits() as i32).wrapping_sub(range.zero_point));
    steps.max(range.low).min(range.high) as u8
}

/// Computes rows of pixels.
pub(super) trait Dense {
    /// Computes every pixel of `target`.
    fn row(taps: &Taps<'_>, target: &mut Target<'_>);
}

impl<'a> Taps<'a> {
    /// Calls `each` with the runs that make up words `start..end`, in order.
    #[inline(always)]
    pub fn runs(&self, start: usize, end: usize, mut each: impl FnMut(Run<'a>)) {
        let (layout, [first, _, tap_step]) = (&self.input.layout, self.columns);
        let [_, kernel] = self.order.taps;
        let stride = layout.block_stride();
        let mut skipped = start.checked_rem(kernel).unwrap_or(0);
        let at = start.checked_div(kernel).unwrap_or(0);
        let (mut tap, mut block) = (at / self.order.blocks, at % self.order.blocks);
        let mut left = end - start;
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

    /// Columns from one output's taps to those of the next.
    pub const fn stride(&self) -> usize {
        self.columns[1]
    }
}

impl Target<'_> {
    /// Column of pixel `index`.
    #[inline(always)]
    pub const fn column(&self, index: usize) -> usize {
        self.first + index * self.step
    }
}

/// Dense convolution.
pub(super) fn convolution<D: Dense>(op: &Convolution<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let (window, filter, layout) = (&op.window, &op.filter, output.layout);
    let order = Order::new(window.kernel, input.layout.blocks());
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
        D::row(&taps, &mut Target { layout: &layout, row, first: 0, step: 1, count: layout.width });
    }
}

/// Transposed convolution, phase by phase.
pub(super) fn transposed<D: Dense>(op: &TransposedConvolution<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let (halo, layout, blocks) = (input.layout.halo, output.layout, input.layout.blocks());
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
            D::row(&taps, &mut Target { layout: &layout, row, first: rx, step, count });
        }
    }
}
