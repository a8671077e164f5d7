//! Row and column gather: nearest-neighbour resize, constant, edge and reflect padding, cropping.

use super::record::{Fault, Record};
use crate::tensor::{Layout, Rows, RowsMut};
use core::ops::Range;

/// Map entry that means "outside": the fill code.
pub const OUTSIDE: u16 = u16::MAX;

/// `output[y, x] = input[rows[y], columns[x]]`, or `fill` where either entry is [`OUTSIDE`].
#[derive(Debug, Clone, Copy)]
pub struct Remap<'p> {
    /// Input row of each output row, `[H']`.
    pub rows: &'p [u16],
    /// Input column of each output column, `[W']`.
    pub columns: &'p [u16],
    /// Code written outside.
    pub fill: u8,
}

impl<'p> Remap<'p> {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 10;

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
        let rows: &[u16] = record.constants(0, output.height)?;
        let columns: &[u16] = record.constants(1, output.width)?;
        let inside = |map: &[u16], limit: usize| map.iter().all(|&i| i == OUTSIDE || usize::from(i) < limit);
        if !inside(rows, input.height) || !inside(columns, input.width) {
            return Err(Fault::ConstantValue);
        }
        Ok(Self { rows, columns, fill: record.bounded(2, 0, 255)? as u8 })
    }
}

impl Remap<'_> {
    /// Stored input rows that output rows `output` read; empty when all lie outside.
    pub fn input_rows(&self, input: &Layout, output: Range<usize>) -> Range<usize> {
        let rows =
            || self.rows[output.clone()].iter().filter(|&&row| row != OUTSIDE).map(|&row| usize::from(row));
        let (first, last) = (rows().min(), rows().max());
        first.zip(last).map_or(0..0, |(first, last)| input.halo.top + first..input.halo.top + last + 1)
    }
}

/// Reference loop.
pub fn reference(op: &Remap<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    for y in output.first..output.first + output.count {
        for x in 0..output.layout.width {
            let (row, column) = (op.rows[y], op.columns[x]);
            for c in 0..output.layout.channels {
                let code = if row == OUTSIDE || column == OUTSIDE {
                    op.fill
                } else {
                    input.code(usize::from(row), usize::from(column), c)
                };
                output.set_code(y, x, c, code);
            }
        }
    }
}
