//! Dense convolution with per-channel requantization; the head may keep its accumulators.

use super::record::{Fault, PRODUCTS_LIMIT, Record, WINDOW_WORDS, Window};
use crate::arithmetic::{Multiplier, Range, requantize};
use crate::tensor::{BLOCK, Element, Rows, RowsMut};

/// Output channels whose weights are stored together.
pub const OUTPUT_BLOCK: usize = 8;

/// Weights and output step of a dense convolution.
///
/// With u the stored codes: `accumulator = bias + Σ u·w`, where the bias already holds `−zero_point·Σw`, so
/// padding with the zero point contributes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'p> {
    /// `[O/8][kh][C/4][kw][8][4]`, zero where a channel does not exist.
    pub weights: &'p [i8],
    /// Folded bias, `[O/8·8]`.
    pub bias: &'p [i32],
    /// Σw per output channel, `[O/8·8]`: kernels on signed codes add `128·Σw`.
    pub weight_sums: &'p [i32],
    /// Requantize multipliers, `[O/8·8]`.
    pub multipliers: &'p [Multiplier],
    /// Output zero point and clamp.
    pub range: Range,
}

/// Dense convolution: input `[H,W,C]` codes, output `[H',W',O]` codes or accumulators.
#[derive(Debug, Clone, Copy)]
pub struct Convolution<'p> {
    /// Where taps lie.
    pub window: Window,
    /// Weights and output step.
    pub filter: Filter<'p>,
}

impl<'p> Filter<'p> {
    /// Words a filter occupies: offsets of weights, bias, sums and multipliers, then low and high codes.
    pub const WORDS: usize = 6;

    /// Reads a filter of `taps` (h, w) whose words start at `index`; bias and sums hold `phases` rows.
    ///
    /// # Errors
    /// [`Fault`] for constants outside the section, too many products, or values out of range.
    pub fn decode(record: &Record<'p>, index: usize, taps: usize, phases: usize) -> Result<Self, Fault> {
        let outputs = record.tensors.output.channels.div_ceil(OUTPUT_BLOCK) * OUTPUT_BLOCK;
        let products = record.tensors.input.blocks() * BLOCK * taps;
        if products > PRODUCTS_LIMIT {
            return Err(Fault::Shape);
        }
        Ok(Self {
            weights: record.constants(index, products * outputs)?,
            bias: record.biases(index + 1, outputs * phases)?,
            weight_sums: record.constants(index + 2, outputs * phases)?,
            multipliers: record.multipliers(index + 3, outputs)?,
            range: record.range(index + 4)?,
        })
    }

    /// Checks what every tier relies on: `weights` of `taps` (h, w), laid out as [`Filter::weights`], are
    /// zero where one of the `channels` (input, output) does not exist, and `sums` are their sums per
    /// output channel.
    ///
    /// # Errors
    /// [`Fault::ConstantValue`] otherwise.
    pub(super) fn check_weights(
        weights: &[i8],
        sums: &[i32],
        taps: [usize; 2],
        channels: [usize; 2],
    ) -> Result<(), Fault> {
        let blocks = channels[0].div_ceil(BLOCK);
        let length = taps[0] * taps[1] * blocks * OUTPUT_BLOCK * BLOCK;
        for (at, stated) in sums.chunks_exact(OUTPUT_BLOCK).enumerate() {
            let weights = weights.get(at * length..(at + 1) * length).ok_or(Fault::ConstantValue)?;
            let outputs = channels[1].saturating_sub(at * OUTPUT_BLOCK);
            let mut totals = [0; OUTPUT_BLOCK];
            for (tap, tile) in weights.chunks_exact(OUTPUT_BLOCK * BLOCK).enumerate() {
                let inputs = channels[0] - tap / taps[1] % blocks * BLOCK;
                for (o, (lanes, total)) in tile.chunks_exact(BLOCK).zip(&mut totals).enumerate() {
                    let existing = if o < outputs { inputs.min(BLOCK) } else { 0 };
                    if lanes[existing..].iter().any(|&weight| weight != 0) {
                        return Err(Fault::ConstantValue);
                    }
                    *total += lanes.iter().map(|&weight| i32::from(weight)).sum::<i32>();
                }
            }
            if stated != totals {
                return Err(Fault::ConstantValue);
            }
        }
        Ok(())
    }

    /// Index of the weight for (output channel, tap row, input channel, tap column) with `taps` = (h, w)
    /// and `blocks` input blocks.
    #[inline(always)]
    pub const fn index(taps: [usize; 2], blocks: usize, o: usize, ky: usize, c: usize, kx: usize) -> usize {
        let tap = ((o / OUTPUT_BLOCK * taps[0] + ky) * blocks + c / BLOCK) * taps[1] + kx;
        tap * (OUTPUT_BLOCK * BLOCK) + o % OUTPUT_BLOCK * BLOCK + c % BLOCK
    }
}

impl<'p> Convolution<'p> {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 1;

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(record: &Record<'p>) -> Result<Self, Fault> {
        record.expect_code_input()?;
        let window = Window::decode(record)?;
        let taps = window.kernel[0] * window.kernel[1];
        Ok(Self { window, filter: Filter::decode(record, WINDOW_WORDS, taps, 1)? })
    }

    /// See [`Op::check_constants`](crate::ops::Op::check_constants).
    pub(super) fn check_constants(&self, channels: [usize; 2]) -> Result<(), Fault> {
        Filter::check_weights(self.filter.weights, self.filter.weight_sums, self.window.kernel, channels)
    }
}

/// Reference loop: any order of the integer sum gives these bits.
pub fn reference(op: &Convolution<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let (window, filter) = (&op.window, &op.filter);
    let blocks = input.layout.blocks();
    for y in output.first..output.first + output.count {
        let row = window.first_row(&input.layout, y);
        for x in 0..output.layout.width {
            let column = window.first_column(&input.layout, x);
            for o in 0..output.layout.channels {
                let mut accumulator = filter.bias[o];
                for ky in 0..window.kernel[0] {
                    for c in 0..input.layout.channels {
                        for kx in 0..window.kernel[1] {
                            let code = input.stored(
                                row + ky * window.dilation[0],
                                column + kx * window.dilation[1],
                                c,
                            );
                            let at = Filter::index(window.kernel, blocks, o, ky, c, kx);
                            accumulator += i32::from(code) * i32::from(filter.weights[at]);
                        }
                    }
                }
                match output.layout.element {
                    Element::Accumulator => output.set_accumulator(y, x, o, accumulator),
                    Element::Code => {
                        let code = requantize(accumulator, filter.multipliers[o], filter.range);
                        output.set_code(y, x, o, code as u8);
                    }
                }
            }
        }
    }
}
