//! Depthwise convolution: each channel has its own window of weights.

use super::record::{Fault, Record, WINDOW_WORDS, Window};
use crate::arithmetic::{Multiplier, Range, requantize};
use crate::tensor::{BLOCK, Rows, RowsMut};

/// Depthwise convolution: input and output `[H,W,C]` codes with the same channels.
#[derive(Debug, Clone, Copy)]
pub struct Depthwise<'p> {
    /// Where taps lie.
    pub window: Window,
    /// `[C/4][kh][kw][4]`.
    pub weights: &'p [i8],
    /// Folded bias, `[C/4·4]`.
    pub bias: &'p [i32],
    /// Σw per channel, `[C/4·4]`.
    pub weight_sums: &'p [i32],
    /// Requantize multipliers, `[C/4·4]`.
    pub multipliers: &'p [Multiplier],
    /// Output zero point and clamp.
    pub range: Range,
}

impl<'p> Depthwise<'p> {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 2;

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(record: &Record<'p>) -> Result<Self, Fault> {
        record.expect_codes()?;
        let window = Window::decode(record)?;
        if record.tensors.input.channels != record.tensors.output.channels {
            return Err(Fault::Shape);
        }
        let channels = record.tensors.input.blocks() * BLOCK;
        let taps = window.kernel[0] * window.kernel[1];
        Ok(Self {
            window,
            weights: record.constants(WINDOW_WORDS, channels * taps)?,
            bias: record.biases(WINDOW_WORDS + 1, channels)?,
            weight_sums: record.constants(WINDOW_WORDS + 2, channels)?,
            multipliers: record.multipliers(WINDOW_WORDS + 3, channels)?,
            range: record.range(WINDOW_WORDS + 4)?,
        })
    }

    /// See [`Op::check_constants`](crate::ops::Op::check_constants).
    pub(super) fn check_constants(&self, channels: usize) -> Result<(), Fault> {
        let length = self.window.kernel[0] * self.window.kernel[1] * BLOCK;
        for (at, (weights, stated)) in
            self.weights.chunks_exact(length).zip(self.weight_sums.chunks_exact(BLOCK)).enumerate()
        {
            let existing = channels.saturating_sub(at * BLOCK).min(BLOCK);
            let mut totals = [0; BLOCK];
            for lanes in weights.chunks_exact(BLOCK) {
                if lanes[existing..].iter().any(|&weight| weight != 0) {
                    return Err(Fault::ConstantValue);
                }
                totals.iter_mut().zip(lanes).for_each(|(total, &weight)| *total += i32::from(weight));
            }
            if stated != totals {
                return Err(Fault::ConstantValue);
            }
        }
        Ok(())
    }
}

/// Reference loop.
pub fn reference(op: &Depthwise<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let window = &op.window;
    let [kernel_rows, kernel_columns] = window.kernel;
    for y in output.first..output.first + output.count {
        let row = window.first_row(&input.layout, y);
        for x in 0..output.layout.width {
            let column = window.first_column(&input.layout, x);
            for c in 0..output.layout.channels {
                let mut accumulator = op.bias[c];
                for ky in 0..kernel_rows {
                    for kx in 0..kernel_columns {
                        let code =
                            input.stored(row + ky * window.dilation[0], column + kx * window.dilation[1], c);
                        let tap = (c / BLOCK * kernel_rows + ky) * kernel_columns + kx;
                        accumulator += i32::from(code) * i32::from(op.weights[tap * BLOCK + c % BLOCK]);
                    }
                }
                output.set_code(y, x, c, requantize(accumulator, op.multipliers[c], op.range) as u8);
            }
        }
    }
}
