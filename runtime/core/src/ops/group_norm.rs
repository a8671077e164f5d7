//! Group and instance normalisation from exact integer moments.

use super::record::{Fault, Record};
use crate::arithmetic::{Moments, Multiplier, Normalization, Range, requantize_affine};
use crate::tensor::{Rows, RowsMut};

/// Group normalisation (Wu & He 2018; one channel per group is instance normalisation, Ulyanov et al.
/// 2016): `(x − mean) / √(variance + epsilon) · gamma + beta` with mean and variance over a group of
/// channels and all pixels.
#[derive(Debug, Clone, Copy)]
pub struct GroupNorm<'p> {
    /// Channels per group.
    pub group: usize,
    /// Constants of the normalisation.
    pub constants: Normalization,
    /// Per channel, `[C]`.
    pub gamma: &'p [Multiplier],
    /// Per channel, `[C]`.
    pub beta: &'p [Multiplier],
    /// Output zero point and clamp.
    pub range: Range,
}

/// Per-channel slope and offset of one frame, interleaved `[C][2]`.
pub type Affine = [Multiplier; 2];

impl<'p> GroupNorm<'p> {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 13;

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(record: &Record<'p>) -> Result<Self, Fault> {
        record.expect_codes()?;
        let (input, output) = (&record.tensors.input, &record.tensors.output);
        let channels = input.channels;
        let group = record.bounded(0, 1, channels)?;
        if (input.height, input.width, channels) != (output.height, output.width, output.channels)
            || !channels.is_multiple_of(group)
        {
            return Err(Fault::Shape);
        }
        Ok(Self {
            group,
            constants: Normalization { epsilon: record.multiplier(1)?, output_steps: record.multiplier(2)? },
            gamma: record.multipliers(3, channels)?,
            beta: record.multipliers(4, channels)?,
            range: record.range(5)?,
        })
    }

    /// Slope and offset of every channel from its channel sums; `sums` is `[C][2]`: Σv, Σv² over `pixels`
    /// pixels.
    pub fn coefficients(&self, sums: &[[u64; 2]], pixels: u64, affine: &mut [Affine]) {
        for (index, group) in sums.chunks_exact(self.group).enumerate() {
            let mut moments = Moments::default();
            for [sum, squares] in group {
                moments.count += pixels;
                moments.sum += sum;
                moments.squares += squares;
            }
            let first = index * self.group;
            for (c, affine) in affine.iter_mut().enumerate().skip(first).take(self.group) {
                *affine = moments.affine(self.constants, self.gamma[c], self.beta[c]).into();
            }
        }
    }
}

/// Reference loop of the second pass: every code through its channel's slope and offset.
pub fn reference(op: &GroupNorm<'_>, affine: &[Affine], input: Rows<'_>, mut output: RowsMut<'_>) {
    for y in output.first..output.first + output.count {
        for (c, &[slope, offset]) in affine.iter().enumerate().take(output.layout.channels) {
            for x in 0..output.layout.width {
                let code = i32::from(input.code(y, x, c));
                output.set_code(y, x, c, requantize_affine(code, slope, offset, op.range) as u8);
            }
        }
    }
}
