//! ONNX QuantizeLinear and DequantizeLinear, per tensor or per axis.

#[cfg(test)]
mod tests;

use super::layout;
use crate::network::{Data, Tensor};

/// saturate(round half to even(x / scale) + zero point). x f32; scale f32 and zero point (u8 or i8, which
/// the result takes) both of one element or both [extent of `axis`].
///
/// # Errors
/// When the types, the axis or the extents are not as above, or x is not of shape `declared`.
pub(super) fn quantize(
    x: &Tensor,
    scale: &Tensor,
    zero_point: &Tensor,
    axis: usize,
    declared: &[usize],
) -> Result<Tensor, String> {
    layout::expect(&x.shape, declared)?;
    let values = layout::floats(x, "x")?;
    let scales = layout::floats(scale, "scale")?;
    let run = run(&x.shape, axis, scale, zero_point)?;
    // Levels are clamped to the byte's range, so the casts are exact; NaN becomes 0.
    let data = match &zero_point.data {
        Data::U8(zeros) => Data::U8(per_run(values, run, scales, zeros, |x, scale, zero| {
            ((x / scale).round_ties_even() + f32::from(zero)).clamp(0.0, 255.0) as u8
        })),
        Data::I8(zeros) => Data::I8(per_run(values, run, scales, zeros, |x, scale, zero| {
            ((x / scale).round_ties_even() + f32::from(zero)).clamp(-128.0, 127.0) as i8
        })),
        other => return Err(format!("the zero point must be u8 or i8, is {}", layout::type_name(other))),
    };
    Ok(Tensor { shape: declared.to_vec(), data })
}

/// (x − zero point) · scale. x and zero point u8, i8 or i64 (from int32) of one type; scale f32; scale and
/// zero point both of one element or both [extent of `axis`].
///
/// # Errors
/// When the types, the axis or the extents are not as above, or x is not of shape `declared`.
pub(super) fn dequantize(
    x: &Tensor,
    scale: &Tensor,
    zero_point: &Tensor,
    axis: usize,
    declared: &[usize],
) -> Result<Tensor, String> {
    layout::expect(&x.shape, declared)?;
    let scales = layout::floats(scale, "scale")?;
    let run = run(&x.shape, axis, scale, zero_point)?;
    let out = match (&x.data, &zero_point.data) {
        (Data::U8(x), Data::U8(zeros)) => {
            per_run(x, run, scales, zeros, |x, scale, zero| f32::from(i16::from(x) - i16::from(zero)) * scale)
        }
        (Data::I8(x), Data::I8(zeros)) => {
            per_run(x, run, scales, zeros, |x, scale, zero| f32::from(i16::from(x) - i16::from(zero)) * scale)
        }
        (Data::I64(x), Data::I64(zeros)) => {
            per_run(x, run, scales, zeros, |x, scale, zero| x.saturating_sub(zero) as f32 * scale)
        }
        (x, zero) => {
            let (x, zero) = (layout::type_name(x), layout::type_name(zero));
            return Err(format!("x and the zero point must both be u8, i8 or i64, are {x} and {zero}"));
        }
    };
    Ok(Tensor::f32(declared.to_vec(), out))
}

/// How many consecutive elements share one scale.
fn run(shape: &[usize], axis: usize, scale: &Tensor, zero_point: &Tensor) -> Result<usize, String> {
    let (scales, zeros) = (scale.len(), zero_point.len());
    if scales != zeros {
        return Err(format!("{scales} scales but {zeros} zero points"));
    }
    if scales == 1 {
        return Ok(shape.iter().product::<usize>().max(1));
    }
    let [_, extent, inner] = layout::around(shape, axis)?;
    if scales != extent || scale.shape.len() != 1 {
        return Err(format!("scale {:?} does not match the {extent} elements of axis {axis}", scale.shape));
    }
    Ok(inner.max(1))
}

/// `function(x, scale, zero point)` of every element, the pairs taking turns every `run` elements.
fn per_run<X: Copy, Z: Copy, Y>(
    x: &[X],
    run: usize,
    scales: &[f32],
    zeros: &[Z],
    function: impl Fn(X, f32, Z) -> Y,
) -> Vec<Y> {
    let mut out = Vec::with_capacity(x.len());
    for (x, (scale, zero)) in x.chunks(run).zip(scales.iter().zip(zeros).cycle()) {
        out.extend(x.iter().map(|&x| function(x, *scale, *zero)));
    }
    out
}
