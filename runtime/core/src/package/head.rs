//! What the network's output means: its activation, its classes, and how values become table indices.

use super::PackageError;
use super::section::{Section, word};
use crate::arithmetic::{Multiplier, Range, Scale, requantize};

/// Entries of every probability table.
pub const INDEX_COUNT: usize = 4096;
/// Index of logit zero under a sigmoid.
pub const INDEX_CENTRE: i32 = 2048;
/// Index of logit zero under a softmax, where only differences of indices enter a table: they must not
/// saturate.
pub const SOFTMAX_CENTRE: i32 = 1 << 15;

/// The function the source model applies last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// One channel, logistic: two classes, background and foreground.
    Sigmoid,
    /// One channel per class.
    Softmax,
}

/// How output values become logit indices: `0..4096` around [`INDEX_CENTRE`] for a sigmoid, `0..65536`
/// around [`SOFTMAX_CENTRE`] for a softmax.
#[derive(Debug, Clone, Copy)]
pub enum HeadCodes<'p> {
    /// Accumulators: `clamp(rne(f32(value)·multiplier[c]) + centre)`.
    Accumulators(&'p [Multiplier]),
    /// Codes: one 256-entry table.
    Table(&'p [u16]),
}

/// The head section: words activation, channels, source form, index step, then channel scales, index
/// multipliers or
/// table, and the uncalibrated probability table.
#[derive(Debug, Clone, Copy)]
pub struct Head<'p> {
    /// Last function of the source model.
    pub activation: Activation,
    /// Channels of the output tensor.
    pub channels: usize,
    /// True when the source model applies the activation but this plan ends before it, so that reproducing
    /// the
    /// source output takes the activation of the dequantized value.
    pub activation_stripped: bool,
    /// Logit difference between neighbouring indices.
    pub index_step: Scale,
    /// Real size of one output unit, per channel.
    pub scales: &'p [Scale],
    /// To indices.
    pub codes: HeadCodes<'p>,
    /// Uncalibrated table `[4096]` in 1/65535: probability by index (sigmoid), or e^d by 2048 plus the
    /// index difference
    /// to the greatest logit (softmax).
    pub table: &'p [u16],
}

impl<'p> Head<'p> {
    /// Words before the channel scales.
    pub const WORDS: usize = 6;
    /// Greatest number of output channels.
    pub const CHANNEL_LIMIT: usize = 256;

    /// Reads the section.
    ///
    /// # Errors
    /// [`PackageError::Content`] names the first word out of range.
    pub fn parse(bytes: &'p [u8]) -> Result<Self, PackageError> {
        let fault = |index: usize| PackageError::Content(Section::Head, index as u32);
        let activation = match word(bytes, 0) {
            0 => Activation::Sigmoid,
            1 => Activation::Softmax,
            _ => return Err(fault(0)),
        };
        let channels = word(bytes, 1) as usize;
        let allowed = match activation {
            Activation::Sigmoid => 1..=1,
            Activation::Softmax => 2..=Self::CHANNEL_LIMIT,
        };
        if !allowed.contains(&channels) {
            return Err(fault(1));
        }
        let (form, applied) = (word(bytes, 2), word(bytes, 3));
        let index_step = Scale::from_bits(word(bytes, 4));
        for (index, sound) in [(2, form <= 1), (3, applied <= 1), (4, index_step.is_valid())] {
            if !sound {
                return Err(fault(index));
            }
        }
        let scales_end = (Self::WORDS + channels) * 4;
        let codes_end = scales_end + if form == 0 { channels * 4 } else { 512 };
        let table_end = codes_end + INDEX_COUNT * 2;
        if bytes.len() != table_end {
            return Err(fault(Self::WORDS));
        }
        let scales: &[Scale] =
            bytemuck::try_cast_slice(&bytes[Self::WORDS * 4..scales_end]).map_err(|_| fault(Self::WORDS))?;
        let middle = &bytes[scales_end..codes_end];
        let codes = if form == 0 {
            let multipliers: &[Multiplier] =
                bytemuck::try_cast_slice(middle).map_err(|_| fault(Self::WORDS))?;
            if multipliers.iter().any(|m| !m.is_valid()) {
                return Err(fault(Self::WORDS + channels));
            }
            HeadCodes::Accumulators(multipliers)
        } else {
            let table: &[u16] = bytemuck::try_cast_slice(middle).map_err(|_| fault(Self::WORDS))?;
            let sigmoid = activation == Activation::Sigmoid;
            if sigmoid && table.iter().any(|&index| usize::from(index) >= INDEX_COUNT) {
                return Err(fault(Self::WORDS + channels));
            }
            HeadCodes::Table(table)
        };
        if scales.iter().any(|scale| !scale.is_valid()) {
            return Err(fault(Self::WORDS));
        }
        let table = bytemuck::try_cast_slice(&bytes[codes_end..]).map_err(|_| fault(Self::WORDS))?;
        Ok(Self { activation, channels, activation_stripped: applied == 1, index_step, scales, codes, table })
    }

    /// Number of classes: two for a sigmoid.
    pub const fn classes(&self) -> usize {
        match self.activation {
            Activation::Sigmoid => 2,
            Activation::Softmax => self.channels,
        }
    }

    /// The logit index of output value `value` of `channel`, see [`HeadCodes`].
    #[inline(always)]
    pub fn index(&self, value: i32, channel: usize) -> u16 {
        match self.codes {
            HeadCodes::Accumulators(multipliers) => {
                requantize(value, multipliers[channel], self.index_range()) as u16
            }
            HeadCodes::Table(table) => table[(value & 255) as usize],
        }
    }

    /// Replaces values of one channel by their [`Head::index`].
    #[inline]
    pub fn indices(&self, channel: usize, values: &mut [i32]) {
        match self.codes {
            HeadCodes::Accumulators(multipliers) => {
                let (multiplier, range) = (multipliers[channel], self.index_range());
                values.iter_mut().for_each(|value| *value = requantize(*value, multiplier, range));
            }
            HeadCodes::Table(table) => {
                let Some(table) = table.first_chunk::<256>() else { return };
                values.iter_mut().for_each(|value| *value = i32::from(table[(*value & 255) as usize]));
            }
        }
    }

    /// Where indices made from accumulators lie.
    const fn index_range(&self) -> Range {
        let (zero_point, high) = match self.activation {
            Activation::Sigmoid => (INDEX_CENTRE, INDEX_COUNT as i32 - 1),
            Activation::Softmax => (SOFTMAX_CENTRE, u16::MAX as i32),
        };
        Range { zero_point, low: 0, high }
    }
}
