//! Losses that are means over pixels: cross-entropy and its focal forms.

use super::region::power;
use candle_core::{Result, Tensor};

/// Pixels of `[N,K,H,W]`.
pub(super) fn pixels(tensor: &Tensor) -> Result<f64> {
    Ok((tensor.elem_count() / tensor.dim(1)?) as f64)
}

/// −mean Σ_k y_k ln p_k; `truth` may be soft.
pub(super) fn cross_entropy(log_p: &Tensor, truth: &Tensor) -> Result<Tensor> {
    (truth * log_p)?.sum_all()? * (-1.0 / pixels(log_p)?)
}

/// −mean Σ_k y_k (1 − p_k)^γ ln p_k.
pub(super) fn focal(log_p: &Tensor, truth: &Tensor, gamma: f64) -> Result<Tensor> {
    let missing = power(&log_p.exp()?.affine(-1.0, 1.0)?, gamma)?;
    cross_entropy(&(log_p * missing)?, truth)
}

/// −mean of δ y_k ln p_k over foreground classes and (1 − δ) (1 − p_0)^focus y_0 ln p_0 (Yeung et al. 2022,
/// eq. of the modified asymmetric focal loss).
pub(super) fn asymmetric_focal(log_p: &Tensor, truth: &Tensor, delta: f64, focus: f64) -> Result<Tensor> {
    let classes = log_p.dim(1)?;
    let (background, rest) = (log_p.narrow(1, 0, 1)?, log_p.narrow(1, 1, classes - 1)?);
    let missing = power(&background.exp()?.affine(-1.0, 1.0)?, focus)?;
    let background = ((background * missing)? * (1.0 - delta))?;
    cross_entropy(&Tensor::cat(&[&background, &(rest * delta)?], 1)?, truth)
}
