//! Mean over the whole image, from exact channel sums.

use super::record::{Fault, Record};
use crate::arithmetic::{Multiplier, Range, requantize};

/// Greatest number of pixels whose centred sum fits an i32: 2^23 · 255 < 2^31.
const PIXELS_LIMIT: usize = 1 << 23;

/// Global average (or sum): `requantize(Σ(v − z))`, output `[1,1,C]`.
#[derive(Debug, Clone, Copy)]
pub struct GlobalAverage {
    /// `scale_in / scale_out / (H·W)`; without the division for a sum.
    pub multiplier: Multiplier,
    /// Zero point of the input.
    pub zero_point: i32,
    /// Pixels summed.
    pub pixels: i32,
    /// Output zero point and clamp.
    pub range: Range,
}

impl GlobalAverage {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 9;

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(record: &Record<'_>) -> Result<Self, Fault> {
        record.expect_codes()?;
        let (input, output) = (&record.tensors.input, &record.tensors.output);
        let pixels = input.height * input.width;
        if (output.height, output.width, output.channels) != (1, 1, input.channels) || pixels > PIXELS_LIMIT {
            return Err(Fault::Shape);
        }
        Ok(Self {
            multiplier: record.multiplier(0)?,
            zero_point: i32::from(record.tensors.zero_points[0]),
            pixels: pixels as i32,
            range: record.range(1)?,
        })
    }

    /// The output code of a channel whose codes sum to `sum`.
    pub fn apply(&self, sum: u64) -> u8 {
        let centred = sum as i64 - i64::from(self.zero_point) * i64::from(self.pixels);
        requantize(centred as i32, self.multiplier, self.range) as u8
    }
}
