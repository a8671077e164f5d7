//! Any function of one code as a 256-entry table, shared or per channel.

use super::record::{Fault, Record};
use crate::tensor::{Rows, RowsMut};

/// Table lookup: activations, PReLU, rescaling.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'p> {
    /// `[256]`, or `[C][256]` when `per_channel`.
    pub tables: &'p [u8],
    /// Whether each channel has its own table.
    pub per_channel: bool,
}

impl<'p> Lookup<'p> {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 6;

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(record: &Record<'p>) -> Result<Self, Fault> {
        record.expect_codes()?;
        let (input, output) = (&record.tensors.input, &record.tensors.output);
        if (input.height, input.width, input.channels) != (output.height, output.width, output.channels) {
            return Err(Fault::Shape);
        }
        let per_channel = record.bounded(1, 0, 1)? == 1;
        let count = if per_channel { input.channels * 256 } else { 256 };
        Ok(Self { tables: record.constants(0, count)?, per_channel })
    }

    /// The table of `channel`.
    pub fn table(&self, channel: usize) -> &'p [u8] {
        let start = if self.per_channel { channel * 256 } else { 0 };
        &self.tables[start..start + 256]
    }
}

/// Reference loop.
pub fn reference(op: &Lookup<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    for c in 0..output.layout.channels {
        let table = op.table(c);
        for y in output.first..output.first + output.count {
            for x in 0..output.layout.width {
                output.set_code(y, x, c, table[usize::from(input.code(y, x, c))]);
            }
        }
    }
}
