//! Mean of a window as an integer sum and the one requantize step.

use super::max_pool::ClippedWindow;
use super::record::{Fault, Record};
use crate::arithmetic::{Multiplier, Range, requantize};
use crate::tensor::{Rows, RowsMut};

/// Average pooling: `requantize(Σ(v − z), multipliers[count])`, count being the divisor of the position.
#[derive(Debug, Clone, Copy)]
pub struct AveragePool<'p> {
    /// Where taps lie.
    pub window: ClippedWindow,
    /// `[kh·kw + 1]`, indexed by the number of pixels that take part (entry 0 unused): `scale_in /
    /// scale_out / n`, where n is that number, or the padded window's size when padding counts.
    pub multipliers: &'p [Multiplier],
    /// Zero point of the input.
    pub zero_point: i32,
    /// Output zero point and clamp.
    pub range: Range,
}

impl<'p> AveragePool<'p> {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 8;

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(record: &Record<'p>) -> Result<Self, Fault> {
        record.expect_codes()?;
        let window = ClippedWindow::decode(record)?;
        Ok(Self {
            window,
            multipliers: record.multipliers(ClippedWindow::WORDS, window.kernel[0] * window.kernel[1] + 1)?,
            zero_point: i32::from(record.tensors.zero_points[0]),
            range: record.range(ClippedWindow::WORDS + 1)?,
        })
    }
}

/// Reference loop.
pub fn reference(op: &AveragePool<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    for y in output.first..output.first + output.count {
        for x in 0..output.layout.width {
            for c in 0..output.layout.channels {
                let (mut sum, mut count) = (0, 0);
                for iy in op.window.taps(0, y, input.layout.height) {
                    for ix in op.window.taps(1, x, input.layout.width) {
                        sum += i32::from(input.code(iy, ix, c)) - op.zero_point;
                        count += 1;
                    }
                }
                output.set_code(y, x, c, requantize(sum, op.multipliers[count], op.range) as u8);
            }
        }
    }
}
