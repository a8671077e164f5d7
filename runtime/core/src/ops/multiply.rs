//! Product of two tensors: same shape, one factor per channel (squeeze-and-excite) or per pixel (attention
//! gate).

use super::record::{Fault, Record};
use crate::arithmetic::{Multiplier, Range, requantize};
use crate::tensor::{Rows, RowsMut};

/// `requantize((a − za)·(b − zb))`, where `b` may have extent 1 over space or over channels.
#[derive(Debug, Clone, Copy)]
pub struct Multiply {
    /// Zero points of a and b.
    pub zero_points: [i32; 2],
    /// `scale_a · scale_b / scale_out`.
    pub multiplier: Multiplier,
    /// Output zero point and clamp.
    pub range: Range,
}

impl Multiply {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 5;

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(record: &Record<'_>) -> Result<Self, Fault> {
        record.expect_codes()?;
        let t = &record.tensors;
        let extents = |l: &crate::tensor::Layout| [l.height, l.width, l.channels];
        let (a, b, out) = (extents(&t.input), extents(&t.second), extents(&t.output));
        if a != out || b.iter().zip(out).any(|(&b, o)| b != o && b != 1) {
            return Err(Fault::Shape);
        }
        Ok(Self {
            zero_points: [i32::from(t.zero_points[0]), i32::from(t.zero_points[1])],
            multiplier: record.multiplier(0)?,
            range: record.range(1)?,
        })
    }

    /// The output code of two input codes.
    #[inline(always)]
    pub fn apply(&self, a: u8, b: u8) -> u8 {
        let product = (i32::from(a) - self.zero_points[0]) * (i32::from(b) - self.zero_points[1]);
        requantize(product, self.multiplier, self.range) as u8
    }
}

/// Reference loop.
pub fn reference(op: &Multiply, a: Rows<'_>, b: Rows<'_>, mut output: RowsMut<'_>) {
    let second = b.layout;
    for y in output.first..output.first + output.count {
        for c in 0..output.layout.channels {
            for x in 0..output.layout.width {
                let factor =
                    b.code(y.min(second.height - 1), x.min(second.width - 1), c.min(second.channels - 1));
                output.set_code(y, x, c, op.apply(a.code(y, x, c), factor));
            }
        }
    }
}
