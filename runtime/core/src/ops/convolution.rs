//! Dense convolution with per-channel requantization; the head may keep its accumulators.

use super::order::{OUTPUT_BLOCK, Order};
use super::record::{Fault, PRODUCTS_LIMIT, Record, WINDOW_WORDS, Window};
use crate::arithmetic::{Multiplier, Range, requantize};
use crate::tensor::{BLOCK, Element, Rows, RowsMut};

/// Weights and output step of a dense convolution.
///
/// With u the stored codes: `accumulator = bias + Σ u·w`, where the bias already holds `−zero_point·Σw`, so
/// padding with the zero point contributes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'p> {
    /// In the [`Order`] of the taps and input blocks.
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

    /// Reads a filter whose words start at `index`: its phases follow each other, each with weights in its
    /// own order and a row of bias and sums; all of them together have `taps` taps.
    ///
    /// # Errors
    /// [`Fault`] for constants outside the section, too many products, or values out of range.
    pub fn decode(
        record: &Record<'p>,
        index: usize,
        taps: usize,
        phases: impl Iterator<Item = Order>,
    ) -> Result<Self, Fault> {
        let outputs = record.tensors.output.channels.div_ceil(OUTPUT_BLOCK) * OUTPUT_BLOCK;
        let products = record.tensors.input.blocks() * BLOCK * taps;
        if products > PRODUCTS_LIMIT {
            return Err(Fault::Shape);
        }
        let (phases, weights) =
            phases.fold((0, 0), |(count, weights), order| (count + 1, weights + order.weights()));
        Ok(Self {
            weights: record.constants(index, weights * outputs)?,
            bias: record.biases(index + 1, outputs * phases)?,
            weight_sums: record.constants(index + 2, outputs * phases)?,
            multipliers: record.multipliers(index + 3, outputs)?,
            range: record.range(index + 4)?,
        })
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
        let order = Order::new(window.kernel, record.tensors.input.blocks());
        Ok(Self { window, filter: Filter::decode(record, WINDOW_WORDS, taps, core::iter::once(order))? })
    }

    /// See [`Op::check_constants`](crate::ops::Op::check_constants).
    pub(super) fn check_constants(&self, channels: [usize; 2]) -> Result<(), Fault> {
        let order = Order::new(self.window.kernel, channels[0].div_ceil(BLOCK));
        order.check(self.filter.weights, self.filter.weight_sums, channels)
    }
}

/// Reference loop: any order of the integer sum gives these bits.
pub fn reference(op: &Convolution<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let (window, filter) = (&op.window, &op.filter);
    let order = Order::new(window.kernel, input.layout.blocks());
    let outputs = filter.multipliers.len();
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
                            let at = order.index(outputs, o, ky, c, kx);
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
