//! Separable linear resize with exact rational weights.

use super::record::{Fault, Record};
use crate::arithmetic::{Multiplier, Range, requantize};
use crate::tensor::{Layout, Rows, RowsMut};
use bytemuck::{Pod, Zeroable};

/// Two neighbours of one output position along one axis; their weights are `denominator − weight` and
/// `weight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Neighbours {
    /// Lower input position.
    pub low: u16,
    /// Upper input position.
    pub high: u16,
    /// Weight of the upper position, `0..=denominator`.
    pub weight: u32,
}

/// Linear resize: `requantize(Σ wy·wx·v − z·Dy·Dx)`; weights are integers over the denominators, so the sum
/// is exact.
#[derive(Debug, Clone, Copy)]
pub struct ResizeLinear<'p> {
    /// One entry per output row.
    pub rows: &'p [Neighbours],
    /// One entry per output column.
    pub columns: &'p [Neighbours],
    /// Denominators (Dy, Dx); 255·Dy·Dx stays below 2^31.
    pub denominators: [i32; 2],
    /// Zero point of the input.
    pub zero_point: i32,
    /// `scale_in / scale_out / (Dy·Dx)`.
    pub multiplier: Multiplier,
    /// Output zero point and clamp.
    pub range: Range,
}

impl<'p> ResizeLinear<'p> {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 11;
    /// Greatest product of the denominators.
    pub const DENOMINATOR_LIMIT: usize = (i32::MAX / 255) as usize;

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(record: &Record<'p>) -> Result<Self, Fault> {
        record.expect_codes()?;
        let (input, output) = (&record.tensors.input, &record.tensors.output);
        if input.channels != output.channels {
            return Err(Fault::Shape);
        }
        let dy = record.bounded(2, 1, Self::DENOMINATOR_LIMIT)?;
        let dx = record.bounded(3, 1, Self::DENOMINATOR_LIMIT / dy)?;
        let rows: &[Neighbours] = record.constants(0, output.height)?;
        let columns: &[Neighbours] = record.constants(1, output.width)?;
        let inside = |list: &[Neighbours], limit: usize, denominator: usize| {
            list.iter().all(|n| usize::from(n.low.max(n.high)) < limit && n.weight as usize <= denominator)
        };
        if !inside(rows, input.height, dy) || !inside(columns, input.width, dx) {
            return Err(Fault::ConstantValue);
        }
        Ok(Self {
            rows,
            columns,
            denominators: [dy as i32, dx as i32],
            zero_point: i32::from(record.tensors.zero_points[0]),
            multiplier: record.multiplier(4)?,
            range: record.range(5)?,
        })
    }
}

impl ResizeLinear<'_> {
    /// Stored input rows that output rows `output` (at least one) read.
    pub fn input_rows(&self, input: &Layout, output: core::ops::Range<usize>) -> core::ops::Range<usize> {
        let rows = &self.rows[output];
        let first = rows.iter().map(|row| row.low.min(row.high)).min().unwrap_or(0);
        let last = rows.iter().map(|row| row.low.max(row.high)).max().unwrap_or(0);
        input.halo.top + usize::from(first)..input.halo.top + usize::from(last) + 1
    }
}

/// Reference loop.
pub fn reference(op: &ResizeLinear<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let [dy, dx] = op.denominators;
    let centre = op.zero_point * dy * dx;
    for y in output.first..output.first + output.count {
        let vertical = op.rows[y];
        let (upper, lower) = (usize::from(vertical.low), usize::from(vertical.high));
        let wy = vertical.weight as i32;
        for x in 0..output.layout.width {
            let horizontal = op.columns[x];
            let (left, right) = (usize::from(horizontal.low), usize::from(horizontal.high));
            let wx = horizontal.weight as i32;
            for c in 0..output.layout.channels {
                let blend = |row: usize| {
                    let (a, b) = (input.code(row, left, c), input.code(row, right, c));
                    i32::from(a) * (dx - wx) + i32::from(b) * wx
                };
                let sum = blend(upper) * (dy - wy) + blend(lower) * wy - centre;
                output.set_code(y, x, c, requantize(sum, op.multiplier, op.range) as u8);
            }
        }
    }
}
