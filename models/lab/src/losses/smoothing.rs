//! Softer labels and penalties on logits: label smoothing, entropy, SVLS, NACL, MbLS.

use super::pixel::{cross_entropy, pixels};
use candle_core::{D, Result, Tensor};

/// Cross-entropy against (1 − α) y + α / K.
pub(super) fn label_smoothing(log_p: &Tensor, truth: &Tensor, alpha: f64) -> Result<Tensor> {
    let classes = log_p.dim(1)? as f64;
    cross_entropy(log_p, &truth.affine(1.0 - alpha, alpha / classes)?)
}

/// Cross-entropy less `weight` · mean entropy.
pub(super) fn entropy_penalty(log_p: &Tensor, truth: &Tensor, weight: f64) -> Result<Tensor> {
    let negative_entropy = ((log_p.exp()? * log_p)?.sum_all()? / pixels(log_p)?)?;
    cross_entropy(log_p, truth)? + (negative_entropy * weight)?
}

/// The mean over a 3×3 window whose weights are `weights[|dy|][|dx|]`, edges repeated: `[N,K,H,W]` likewise.
fn windowed(labels: &Tensor, weights: [[f64; 2]; 2]) -> Result<Tensor> {
    let padded = labels.pad_with_same(2, 1, 1)?.pad_with_same(3, 1, 1)?;
    let (height, width) = (labels.dim(2)?, labels.dim(3)?);
    let mut sum = labels.zeros_like()?;
    let mut total = 0.0;
    for y in 0..3usize {
        for x in 0..3usize {
            let weight = weights[y.abs_diff(1)][x.abs_diff(1)];
            total += weight;
            sum = (sum + (padded.narrow(2, y, height)?.narrow(3, x, width)? * weight)?)?;
        }
    }
    sum / total
}

/// One-hot labels averaged over a 3×3 Gaussian whose centre weighs as much as its neighbours together
/// (Islam & Glocker 2021, eq. 3–4).
pub(super) fn spatial_labels(truth: &Tensor, sigma: f64) -> Result<Tensor> {
    let gauss = |squared: f64| (-squared / (2.0 * sigma * sigma)).exp();
    let neighbours = 4.0 * (gauss(1.0) + gauss(2.0));
    windowed(truth, [[neighbours, gauss(1.0)], [gauss(1.0), gauss(2.0)]])
}

/// mean |share of the class in the 3×3 window − l| over pixels and classes (Murugesan et al. 2023, eq. 5).
pub(super) fn neighbour_distance(logits: &Tensor, truth: &Tensor) -> Result<Tensor> {
    (logits - windowed(truth, [[1.0; 2]; 2])?)?.abs()?.mean_all()
}

/// max_j l_j − l_k, `[N,K,H,W]`.
fn distances(logits: &Tensor) -> Result<Tensor> {
    logits.max_keepdim(1)?.broadcast_sub(logits)
}

/// mean ReLU(max_j l_j − l_k − m) over pixels and classes.
pub(super) fn excess_over(logits: &Tensor, margin: f64) -> Result<Tensor> {
    (distances(logits)? - margin)?.relu()?.mean_all()
}

/// Share of (pixel, class) pairs, largest logits excepted, on which the margin penalty acts, 0..=1.
///
/// # Errors
/// Candle's error; none is known.
pub fn active_margin_share(logits: &Tensor, margin: f64) -> Result<f64> {
    let distances = distances(logits)?.flatten_all()?.to_dtype(candle_core::DType::F64)?;
    let classes = logits.dim(1)? as f64;
    let active =
        distances.gt(margin)?.to_dtype(candle_core::DType::F64)?.sum(D::Minus1)?.to_scalar::<f64>()?;
    Ok(active / (distances.elem_count() as f64 * (classes - 1.0) / classes))
}
