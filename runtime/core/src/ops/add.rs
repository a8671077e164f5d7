//! Rescaled addition of two tensors in integers, then the one requantize step.

use super::record::{Fault, Record};
use crate::arithmetic::{Multiplier, Range, requantize};
use crate::tensor::{Rows, RowsMut};

/// Greatest magnitude of an input factor: two products of a centred code (±255) stay below 2^31.
pub const FACTOR_LIMIT: u32 = 1 << 22;

/// `requantize((a − za)·factors[0] + (b − zb)·factors[1])`; the factors are the input scales over the
/// greater of them, times 2^22, and the multiplier undoes that. Subtraction has a negative factor.
#[derive(Debug, Clone, Copy)]
pub struct Add {
    /// Fixed-point weights of the two inputs.
    pub factors: [i32; 2],
    /// `−za·factors[0] − zb·factors[1]`.
    pub constant: i32,
    /// To output steps.
    pub multiplier: Multiplier,
    /// Output zero point and clamp.
    pub range: Range,
}

impl Add {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 4;

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(record: &Record<'_>) -> Result<Self, Fault> {
        record.expect_codes()?;
        let t = &record.tensors;
        let extents = [t.input, t.second, t.output].map(|l| (l.height, l.width, l.channels));
        if extents[0] != extents[2] || extents[1] != extents[2] {
            return Err(Fault::Shape);
        }
        let factors = [record.signed(0)?, record.signed(1)?];
        if factors.iter().any(|f| f.unsigned_abs() > FACTOR_LIMIT) {
            return Err(Fault::ConstantValue);
        }
        let zero = |index: usize| i32::from(t.zero_points[index]);
        let constant = -(zero(0) * factors[0]) - zero(1) * factors[1];
        Ok(Self { factors, constant, multiplier: record.multiplier(2)?, range: record.range(3)? })
    }

    /// The output code of two input codes.
    #[inline(always)]
    pub fn apply(&self, a: u8, b: u8) -> u8 {
        let sum = (i32::from(a) * self.factors[0])
            .wrapping_add(i32::from(b) * self.factors[1])
            .wrapping_add(self.constant);
        requantize(sum, self.multiplier, self.range) as u8
    }
}

/// Reference loop.
pub fn reference(op: &Add, a: Rows<'_>, b: Rows<'_>, mut output: RowsMut<'_>) {
    for y in output.first..output.first + output.count {
        for c in 0..output.layout.channels {
            for x in 0..output.layout.width {
                output.set_code(y, x, c, op.apply(a.code(y, x, c), b.code(y, x, c)));
            }
        }
    }
}
