//! Quantization parameters of a network: read from QDQ nodes, or chosen from activation ranges.

pub mod qdq;
pub mod ranges;

use crate::network::{Network, ValueId};
use std::collections::HashMap;

/// Scale and zero point of an activation, in unsigned codes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantization {
    /// Real size of one code step, positive and finite.
    pub scale: f32,
    /// Code of real zero.
    pub zero_point: u8,
}

/// Integer weights with one scale per output channel.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegerWeights {
    /// Codes in the layout of the float constant they stand for.
    pub codes: Vec<i8>,
    /// One scale, or one per output channel.
    pub scales: Vec<f32>,
    /// Axis that several scales run along.
    pub axis: usize,
}

/// Integer biases with one scale per output channel.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegerBias {
    /// Codes.
    pub codes: Vec<i32>,
    /// One scale, or one per output channel.
    pub scales: Vec<f32>,
}

/// A network without QDQ nodes, and what they (or calibration) said about its values.
#[derive(Debug, Clone, Default)]
pub struct QuantizedNetwork {
    /// Float operators only.
    pub network: Network,
    /// True when the file itself says how every value is quantized, so that nothing may be folded across an
    /// annotation.
    pub from_file: bool,
    /// Per value; `None` where the value exists only inside a fused operator.
    pub activations: Vec<Option<Quantization>>,
    /// Integer weights given by the file.
    pub weights: HashMap<ValueId, IntegerWeights>,
    /// Integer biases given by the file.
    pub biases: HashMap<ValueId, IntegerBias>,
}

impl Quantization {
    /// The parameters that cover `low..=high` with 256 codes; the interval is widened to hold zero.
    pub fn covering(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE * 1e8);
        let zero_point = (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8;
        Self { scale, zero_point }
    }

    /// Real value of a code.
    pub fn real(&self, code: u8) -> f32 {
        (f32::from(code) - f32::from(self.zero_point)) * self.scale
    }

    /// Code of a real value, saturating, half to even; NaN becomes the zero point.
    pub fn code(&self, real: f32) -> u8 {
        let scale = candor_core::arithmetic::Scale::new(self.scale);
        scale.quantize(real, self.zero_point).unwrap_or(self.zero_point)
    }
}

/// Symmetric per-output-channel weights, −127..=127: `channel(i)` gives the output channel of element `i`.
///
/// A channel whose weights are all tiny gets a scale no smaller than `floor`, so that its bias stays in
/// range.
pub fn weights_per_channel(
    weights: &[f32],
    channels: usize,
    axis: usize,
    floor: impl Fn(usize) -> f32,
    channel: impl Fn(usize) -> usize,
) -> IntegerWeights {
    let mut greatest = vec![0.0f32; channels];
    for (i, w) in weights.iter().enumerate() {
        let slot = &mut greatest[channel(i)];
        *slot = slot.max(w.abs());
    }
    let scales: Vec<f32> =
        greatest.iter().enumerate().map(|(c, g)| (g / 127.0).max(floor(c)).max(1e-30)).collect();
    let code = |(i, w): (usize, &f32)| (w / scales[channel(i)]).round_ties_even().clamp(-127.0, 127.0) as i8;
    IntegerWeights { codes: weights.iter().enumerate().map(code).collect(), scales, axis }
}

#[cfg(test)]
mod tests;
