//! Batch, group and instance normalization in inference form.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::{layout, parallel};
use crate::network::Tensor;

/// ONNX BatchNormalization (inference): (x − mean) / √(variance + epsilon) · scale + bias along axis 1.
/// x [N, C, ..] f32; `parameters` are scale, bias, mean, variance, each [C].
///
/// # Errors
/// When an operand is not float, x has no channel axis, or a parameter is not [C].
pub(super) fn batch_norm(
    x: Cow<'_, Tensor>,
    parameters: [&Tensor; 4],
    epsilon: f32,
    declared: &[usize],
) -> Result<Tensor, String> {
    layout::expect(&x.shape, declared)?;
    let [_, channels, inner] = layout::around(&x.shape, 1)?;
    let [scale, bias, mean, variance] = parameters;
    let (scale, bias) =
        (layout::channel_floats(scale, "scale", channels)?, layout::channel_floats(bias, "bias", channels)?);
    let (mean, variance) = (
        layout::channel_floats(mean, "mean", channels)?,
        layout::channel_floats(variance, "variance", channels)?,
    );
    let factors: Vec<(f32, f32)> = (scale.iter().zip(bias))
        .zip(mean.iter().zip(variance))
        .map(|((scale, bias), (mean, variance))| {
            let factor = scale / (variance + epsilon).sqrt();
            (factor, bias - mean * factor)
        })
        .collect();
    let mut out = layout::into_floats(x, "x")?;
    parallel::planes(&mut out, inner, |index, plane| {
        if let Some((factor, offset)) = factors.get(index % channels) {
            plane.iter_mut().for_each(|x| *x = *x * factor + offset);
        }
    });
    Ok(Tensor::f32(declared.to_vec(), out))
}

/// ONNX GroupNormalization: each of `groups` runs of channels of each image is brought to zero mean and
/// unit (population) variance, then scaled and shifted per channel. x [N, C, ..] f32, scale and bias [C].
///
/// # Errors
/// When an operand is not float, `groups` does not divide C, or a parameter is not [C].
pub(super) fn group_norm(
    x: Cow<'_, Tensor>,
    scale: &Tensor,
    bias: &Tensor,
    groups: usize,
    epsilon: f32,
    declared: &[usize],
) -> Result<Tensor, String> {
    layout::expect(&x.shape, declared)?;
    let [_, channels, inner] = layout::around(&x.shape, 1)?;
    if groups == 0 || channels % groups != 0 {
        return Err(format!("{groups} groups do not divide {channels} channels"));
    }
    let scale = layout::channel_floats(scale, "scale", channels)?;
    let bias = layout::channel_floats(bias, "bias", channels)?;
    let mut out = layout::into_floats(x, "x")?;
    let group_channels = channels / groups;
    parallel::planes(&mut out, group_channels * inner, |index, group| {
        let (mean, variance) = moments(group);
        let normalizer = 1.0 / (variance + f64::from(epsilon)).sqrt();
        let first = index % groups * group_channels;
        for (plane, channel) in group.chunks_mut(inner).zip(first..) {
            let factor = f64::from(scale[channel]) * normalizer;
            let offset = (f64::from(bias[channel]) - mean * factor) as f32;
            plane.iter_mut().for_each(|x| *x = *x * factor as f32 + offset);
        }
    });
    Ok(Tensor::f32(declared.to_vec(), out))
}

/// Mean and population variance, two passes in f64.
fn moments(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    (mean, variance)
}
