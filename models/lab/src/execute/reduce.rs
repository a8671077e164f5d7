//! Operators along axes: reductions, Softmax, LogSoftmax, ArgMax.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::{layout, parallel, shape};
use crate::network::{Data, Reduction, Tensor};

/// Reduces x (f32) over `axes` (sorted, distinct). An empty set sums to 0, has maximum −∞ and minimum +∞.
///
/// # Errors
/// When x is not float, an axis is absent or repeated, or the result is not of shape `declared`.
pub(super) fn reduce(
    x: &Tensor,
    reduction: Reduction,
    axes: &[usize],
    keepdims: bool,
    declared: &[usize],
) -> Result<Tensor, String> {
    layout::floats(x, "x")?;
    let rank = x.shape.len();
    if axes.iter().any(|&axis| axis >= rank) || !axes.is_sorted_by(|a, b| a < b) {
        return Err(format!("axes {axes:?} are not sorted distinct axes of rank {rank}"));
    }
    layout::expect(&reduced_shape(&x.shape, axes, keepdims), declared)?;
    let kept = (0..rank).filter(|axis| !axes.contains(axis));
    let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
    let moved = if order.is_sorted() { None } else { Some(shape::permute(x, &order)?) };
    let values = layout::floats(moved.as_ref().unwrap_or(x), "x")?;
    let count: usize = axes.iter().map(|&axis| x.shape[axis]).product();
    let mut out = vec![0.0; layout::volume(declared)?];
    parallel::planes(&mut out, 1, |index, out| {
        out[0] = fold(reduction, values.get(index * count..(index + 1) * count).unwrap_or_default());
    });
    Ok(Tensor::f32(declared.to_vec(), out))
}

/// `shape` without `axes`, or with 1 in their place.
fn reduced_shape(shape: &[usize], axes: &[usize], keepdims: bool) -> Vec<usize> {
    let extents = shape.iter().enumerate();
    extents
        .filter_map(|(axis, &n)| if axes.contains(&axis) { keepdims.then_some(1) } else { Some(n) })
        .collect()
}

/// One reduction of consecutive values; sums run in f64.
fn fold(reduction: Reduction, values: &[f32]) -> f32 {
    let sum = |term: fn(f64) -> f64| values.iter().map(|&x| term(f64::from(x))).sum::<f64>();
    let result = match reduction {
        Reduction::Sum => sum(|x| x),
        Reduction::Mean => sum(|x| x) / values.len() as f64,
        Reduction::Max => f64::from(maximum(values)),
        Reduction::Min => f64::from(-maximum(&values.iter().map(|x| -x).collect::<Vec<_>>())),
        Reduction::L1 => sum(f64::abs),
        Reduction::L2 => sum(|x| x * x).sqrt(),
        Reduction::SumSquare => sum(|x| x * x),
        Reduction::LogSumExp => {
            let largest = f64::from(maximum(values));
            // An infinite maximum is the answer; subtracting it would give NaN.
            let scaled = |largest: f64| values.iter().map(|&x| (f64::from(x) - largest).exp()).sum::<f64>();
            if largest.is_infinite() { largest } else { largest + scaled(largest).ln() }
        }
    };
    result as f32
}

/// Largest value; NaN when there is one, −∞ when there are none.
fn maximum(values: &[f32]) -> f32 {
    values.iter().fold(f32::NEG_INFINITY, |best, &x| if x > best || x.is_nan() { x } else { best })
}

/// Softmax, or with `log` its logarithm, of x (f32) along `axis`.
///
/// # Errors
/// When x is not float, the axis is absent, or x is not of shape `declared`.
pub(super) fn softmax(
    x: Cow<'_, Tensor>,
    axis: usize,
    log: bool,
    declared: &[usize],
) -> Result<Tensor, String> {
    layout::expect(&x.shape, declared)?;
    let [_, extent, inner] = layout::around(&x.shape, axis)?;
    let mut out = layout::into_floats(x, "x")?;
    parallel::planes(&mut out, extent * inner, |_, slab| {
        let mut largest = vec![f32::NEG_INFINITY; inner];
        for row in slab.chunks(inner) {
            largest.iter_mut().zip(row).for_each(|(best, &x)| *best = if x > *best { x } else { *best });
        }
        let mut sum = vec![0.0; inner];
        for row in slab.chunks_mut(inner) {
            for ((x, largest), sum) in row.iter_mut().zip(&largest).zip(&mut sum) {
                *x -= largest;
                let power = x.exp();
                *sum += power;
                if !log {
                    *x = power;
                }
            }
        }
        for row in slab.chunks_mut(inner) {
            let pairs = row.iter_mut().zip(&sum);
            if log {
                pairs.for_each(|(x, sum): (&mut f32, &f32)| *x -= sum.ln());
            } else {
                pairs.for_each(|(x, sum)| *x /= sum);
            }
        }
    });
    Ok(Tensor::f32(declared.to_vec(), out))
}

/// Index (i64) of the largest element of x (f32) along `axis`, the first or with `last` the last of equals.
///
/// # Errors
/// When x is not float, the axis is absent or empty, or the result is not of shape `declared`.
pub(super) fn argmax(
    x: &Tensor,
    axis: usize,
    keepdims: bool,
    last: bool,
    declared: &[usize],
) -> Result<Tensor, String> {
    let values = layout::floats(x, "x")?;
    let [outer, extent, inner] = layout::around(&x.shape, axis)?;
    layout::expect(&reduced_shape(&x.shape, &[axis], keepdims), declared)?;
    if extent == 0 {
        return Err(format!("axis {axis} is empty"));
    }
    let mut indices = vec![0; outer * inner];
    if indices.is_empty() {
        return Ok(Tensor { shape: declared.to_vec(), data: Data::I64(indices) });
    }
    for (slab, indices) in values.chunks(extent * inner).zip(indices.chunks_mut(inner)) {
        let (first, rest) = slab.split_at(inner);
        let mut best = first.to_vec();
        for (index, row) in (1..).zip(rest.chunks(inner)) {
            for ((&x, best), winner) in row.iter().zip(&mut best).zip(indices.iter_mut()) {
                if x > *best || (last && x == *best) {
                    *best = x;
                    *winner = index;
                }
            }
        }
    }
    Ok(Tensor { shape: declared.to_vec(), data: Data::I64(indices) })
}
