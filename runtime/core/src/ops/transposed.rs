//! Transposed convolution as one small dense convolution per output phase.
//!
//! With stride s, output position s·m + r only meets the taps k with (r + pad − k) divisible by s. Those
//! taps form a stride-1 convolution over the input, read at offset `(r + pad − k)/s`; its taps are stored
//! in order of offset.

use super::convolution::Filter;
use super::order::{OUTPUT_BLOCK, Order};
use super::record::{Fault, Record};
use crate::arithmetic::requantize;
use crate::tensor::{BLOCK, Element, Layout, Rows, RowsMut};
use core::ops::Range;

/// Greatest stride a plan may state for a transposed convolution.
pub const STRIDE_LIMIT: usize = 8;

/// The taps of one axis that one output phase meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// Number of taps, possibly zero.
    pub taps: usize,
    /// Input offset, relative to m, of the first tap; taps follow at +1.
    pub first: isize,
    /// Kernel index of the first tap; the following taps are `stride` lower each.
    pub kernel_index: usize,
}

impl Phase {
    /// The taps that output phase `remainder` meets for a kernel extent, stride and leading pad.
    pub const fn new(kernel: usize, stride: usize, pad: usize, remainder: usize) -> Self {
        let residue = (remainder + pad) % stride;
        if residue >= kernel {
            return Self { taps: 0, first: 0, kernel_index: 0 };
        }
        let taps = (kernel - residue).div_ceil(stride);
        let kernel_index = residue + (taps - 1) * stride;
        let first = ((remainder + pad) as isize - kernel_index as isize) / stride as isize;
        Self { taps, first, kernel_index }
    }
}

/// Transposed convolution: input `[H,W,C]` codes, output `[H',W',O]` codes or accumulators.
#[derive(Debug, Clone, Copy)]
pub struct TransposedConvolution<'p> {
    /// Kernel extent (h, w).
    pub kernel: [usize; 2],
    /// Stride (h, w).
    pub stride: [usize; 2],
    /// Padding removed above and left of the output.
    pub pads: [usize; 2],
    /// Weights of all phases in row-major phase order, each in the [`Order`] of its taps; bias and sums hold
    /// one row of `[O/8·8]` per phase.
    pub filter: Filter<'p>,
}

impl<'p> TransposedConvolution<'p> {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 3;

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(record: &Record<'p>) -> Result<Self, Fault> {
        record.expect_code_input()?;
        let kernel = record.extent(0)?;
        let stride = [record.bounded(2, 1, STRIDE_LIMIT)?, record.bounded(3, 1, STRIDE_LIMIT)?];
        let pads = [record.bounded(4, 0, kernel[0])?, record.bounded(5, 0, kernel[1])?];
        let blocks = record.tensors.input.blocks();
        let orders = (0..stride[0]).flat_map(|ry| (0..stride[1]).map(move |rx| [ry, rx])).map(|phase| {
            let taps = [0, 1].map(|a| Phase::new(kernel[a], stride[a], pads[a], phase[a]).taps);
            Order::new(taps, blocks)
        });
        let filter = Filter::decode(record, 6, kernel[0] * kernel[1], orders)?;
        let op = Self { kernel, stride, pads, filter };
        op.check_halo(record)?;
        Ok(op)
    }

    /// Checks that every tap of every output position is stored.
    fn check_halo(&self, record: &Record<'_>) -> Result<(), Fault> {
        let (input, output) = (&record.tensors.input, &record.tensors.output);
        let stored = [input.stored_rows(), input.stored_width()];
        let halo = [input.halo.top, input.halo.left];
        for (axis, extent) in [output.height, output.width].into_iter().enumerate() {
            for remainder in 0..self.stride[axis].min(extent) {
                let phase = self.phase(axis, remainder);
                let last = ((extent - 1 - remainder) / self.stride[axis]) as isize;
                let low = halo[axis] as isize + phase.first;
                let high = low + last + phase.taps as isize - 1;
                if phase.taps > 0 && (low < 0 || high >= stored[axis] as isize) {
                    return Err(Fault::Halo);
                }
            }
        }
        Ok(())
    }

    /// See [`Op::check_constants`](crate::ops::Op::check_constants).
    pub(super) fn check_constants(&self, channels: [usize; 2]) -> Result<(), Fault> {
        let blocks = channels[0].div_ceil(BLOCK);
        for row in 0..self.stride[0] {
            for column in 0..self.stride[1] {
                let (weights, _, sums) = self.phase_filter(blocks, row, column);
                self.order(blocks, row, column).check(weights, sums, channels)?;
            }
        }
        Ok(())
    }

    /// Taps of `axis` (0 rows, 1 columns) at output positions congruent to `remainder`.
    pub const fn phase(&self, axis: usize, remainder: usize) -> Phase {
        Phase::new(self.kernel[axis], self.stride[axis], self.pads[axis], remainder)
    }

    /// Order of the weights of the phase (`ry`, `rx`) over `blocks` input blocks.
    pub const fn order(&self, blocks: usize, ry: usize, rx: usize) -> Order {
        Order::new([self.phase(0, ry).taps, self.phase(1, rx).taps], blocks)
    }

    /// Stored input rows that output rows `output` read; empty when no tap meets them.
    pub fn input_rows(&self, input: &Layout, output: Range<usize>) -> Range<usize> {
        let (mut first, mut end) = (usize::MAX, 0);
        for y in output {
            let phase = self.phase(0, y % self.stride[0]);
            if phase.taps > 0 {
                let row = (input.halo.top + y / self.stride[0]).wrapping_add_signed(phase.first);
                (first, end) = (first.min(row), end.max(row + phase.taps));
            }
        }
        if first < end { first..end } else { 0..0 }
    }

    /// Weights, bias and sums of the phase (`ry`, `rx`).
    pub fn phase_filter(&self, blocks: usize, ry: usize, rx: usize) -> (&'p [i8], &'p [i32], &'p [i32]) {
        let outputs = self.filter.multipliers.len();
        let mut start = 0;
        for row in 0..self.stride[0] {
            for column in 0..self.stride[1] {
                let length = self.order(blocks, row, column).weights() * outputs;
                if (row, column) == (ry, rx) {
                    let biases = (row * self.stride[1] + column) * outputs;
                    return (
                        &self.filter.weights[start..start + length],
                        &self.filter.bias[biases..biases + outputs],
                        &self.filter.weight_sums[biases..biases + outputs],
                    );
                }
                start += length;
            }
        }
        (&[], &[], &[])
    }
}

/// Reference loop.
pub fn reference(op: &TransposedConvolution<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let blocks = input.layout.blocks();
    let halo = input.layout.halo;
    debug_assert!(op.filter.multipliers.len().is_multiple_of(OUTPUT_BLOCK));
    for y in output.first..output.first + output.count {
        let (ry, my) = (y % op.stride[0], y / op.stride[0]);
        let rows = op.phase(0, ry);
        for x in 0..output.layout.width {
            let (rx, mx) = (x % op.stride[1], x / op.stride[1]);
            let columns = op.phase(1, rx);
            let (weights, bias, _) = op.phase_filter(blocks, ry, rx);
            let order = op.order(blocks, ry, rx);
            let row = (halo.top + my) as isize + rows.first;
            let column = (halo.left + mx) as isize + columns.first;
            for (o, &start) in bias.iter().enumerate().take(output.layout.channels) {
                let mut accumulator = start;
                for ty in 0..rows.taps {
                    for c in 0..input.layout.channels {
                        for tx in 0..columns.taps {
                            let code = input.stored(row as usize + ty, column as usize + tx, c);
                            let at = order.index(bias.len(), o, ty, c, tx);
                            accumulator += i32::from(code) * i32::from(weights[at]);
                        }
                    }
                }
                match output.layout.element {
                    Element::Accumulator => output.set_accumulator(y, x, o, accumulator),
                    Element::Code => {
                        let code = requantize(accumulator, op.filter.multipliers[o], op.filter.range);
                        output.set_code(y, x, o, code as u8);
                    }
                }
            }
        }
    }
}
