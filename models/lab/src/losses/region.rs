//! Losses of overlap per class: Dice, Tversky, their ++ forms, and surgery on their gradient.

use crate::nets::ops::channel_sums;
use candle_core::{Result, Tensor};

/// Added above and below, so that a class that nowhere occurs costs nothing.
const SMOOTH: f64 = 1.0;
/// Keeps the slope of a root finite at 0.
const TINY: f64 = 1e-7;

/// `[N,K,H,W]` to `[K]`.
fn per_class(values: &Tensor) -> Result<Tensor> {
    channel_sums(values)
}

/// Soft Dice with plain sums below.
pub(super) fn dice(p: &Tensor, truth: &Tensor) -> Result<Tensor> {
    let overlap = (per_class(&(p * truth)?)? * 2.0)?;
    let sizes = (per_class(p)? + per_class(truth)?)?;
    ((overlap + SMOOTH)? / (sizes + SMOOTH)?)?.mean_all()?.affine(-1.0, 1.0)
}

/// Soft Dice with squares below.
pub(super) fn squared_dice(p: &Tensor, truth: &Tensor) -> Result<Tensor> {
    let overlap = (per_class(&(p * truth)?)? * 2.0)?;
    let sizes = (per_class(&p.sqr()?)? + per_class(&truth.sqr()?)?)?;
    ((overlap + SMOOTH)? / (sizes + SMOOTH)?)?.mean_all()?.affine(-1.0, 1.0)
}

/// Weights of the Tversky index; δ = ½ makes it Dice, γ = 2 the ++ form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tversky {
    pub(super) delta: f64,
    pub(super) gamma: f64,
}

impl Tversky {
    /// TP / (TP + δ Σ(y(1−p))^γ + (1−δ) Σ((1−y)p)^γ) per class, `[K]`; half of [`SMOOTH`] above and below.
    pub(super) fn index(self, p: &Tensor, truth: &Tensor) -> Result<Tensor> {
        let hit = (p * truth)?;
        let missed = per_class(&power(&(truth - &hit)?, self.gamma)?)?;
        let wrong = per_class(&power(&(p - &hit)?, self.gamma)?)?;
        let hit = (per_class(&hit)? + SMOOTH / 2.0)?;
        let errors = ((missed * self.delta)? + (wrong * (1.0 - self.delta))?)?;
        &hit / (&hit + errors)?
    }

    /// 1 − the mean index over classes.
    pub(super) fn loss(self, p: &Tensor, truth: &Tensor) -> Result<Tensor> {
        self.index(p, truth)?.mean_all()?.affine(-1.0, 1.0)
    }
}

/// mean of 1 − index for the background and (1 − index)^(1 − focus) for the rest (Yeung et al. 2022, modified
/// asymmetric focal Tversky).
pub(super) fn asymmetric(index: &Tensor, focus: f64) -> Result<Tensor> {
    let classes = index.dim(0)?;
    let missing = index.affine(-1.0, 1.0)?;
    let rest = power(&missing.narrow(0, 1, classes - 1)?, 1.0 - focus)?;
    Tensor::cat(&[&missing.narrow(0, 0, 1)?, &rest], 0)?.mean_all()
}

/// x^exponent for x ≥ 0; a root counts from a hair above 0, where its slope is finite.
pub(super) fn power(x: &Tensor, exponent: f64) -> Result<Tensor> {
    if exponent == 0.0 {
        x.ones_like()
    } else if exponent == 1.0 {
        Ok(x.clone())
    } else if exponent == 2.0 {
        x.sqr()
    } else if exponent == 3.0 {
        x.sqr()? * x
    } else {
        x.clamp(TINY, f64::MAX)?.powf(exponent)
    }
}

/// p with the same value, whose gradient is scaled by |p − y|.
pub(super) fn surgery(p: &Tensor, truth: &Tensor) -> Result<Tensor> {
    let scaled = (p * (p - truth)?.abs()?.detach())?;
    let rest = (p - &scaled)?.detach();
    scaled + rest
}
