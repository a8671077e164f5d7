//! Copy of a channel range, rescaled by a table where scales differ: concat and split.

use super::record::{Fault, Record};
use crate::tensor::{Rows, RowsMut};

/// `output[.., to + i] = table[input[.., from + i]]` for i in `0..count`; other output channels keep their
/// codes.
#[derive(Debug, Clone, Copy)]
pub struct CopyChannels<'p> {
    /// First input channel.
    pub from: usize,
    /// First output channel.
    pub to: usize,
    /// Channels copied.
    pub count: usize,
    /// Rescaling table; `None` copies codes as they are.
    pub table: Option<&'p [u8]>,
}

impl<'p> CopyChannels<'p> {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 12;
    /// Table offset that means "no table".
    pub const NO_TABLE: u32 = u32::MAX;

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(record: &Record<'p>) -> Result<Self, Fault> {
        record.expect_codes()?;
        let (input, output) = (&record.tensors.input, &record.tensors.output);
        if (input.height, input.width) != (output.height, output.width) {
            return Err(Fault::Shape);
        }
        let count = record.bounded(2, 1, input.channels.min(output.channels))?;
        let from = record.bounded(0, 0, input.channels - count)?;
        let to = record.bounded(1, 0, output.channels - count)?;
        let table = match record.word(3)? {
            Self::NO_TABLE => None,
            _ => Some(record.constants(3, 256)?),
        };
        Ok(Self { from, to, count, table })
    }
}

/// Reference loop.
pub fn reference(op: &CopyChannels<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    for y in output.first..output.first + output.count {
        for c in 0..op.count {
            for x in 0..output.layout.width {
                let code = input.code(y, x, op.from + c);
                let code = op.table.map_or(code, |table| table[usize::from(code)]);
                output.set_code(y, x, op.to + c, code);
            }
        }
    }
}
