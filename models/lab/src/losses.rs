//! Losses of segmentation, each named in a recipe with its settings, and of embeddings.
//!
//! Logits are `[N,K,H,W]`, labels one-hot likewise, background first; p is the softmax over K, y the label.
//! Means are over all pixels of the batch; sums of region losses run over all pixels of the batch, so that a
//! class that one image lacks does not count as missed there. Every gradient is checked against central
//! differences.

mod calibration;
mod embedding;
mod pixel;
mod region;
mod smoothing;

pub use embedding::{contrastive, triplet};
pub use smoothing::active_margin_share;

use crate::nets::ops::log_softmax;
use candle_core::{Result, Tensor};
use region::Tversky;
use serde::{Deserialize, Serialize};

/// A loss and its settings; `name = "mbls"` and so on in a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// −mean Σ_k y_k ln p_k.
    CrossEntropy,
    /// 1 − mean_k (2Σpy + 1) / (Σp + Σy + 1) (soft Dice, Milletari et al. 2016, with plain sums below).
    Dice,
    /// 1 − mean_k (2Σpy + 1) / (Σp² + Σy + 1) (Milletari et al. 2016).
    SquaredDice,
    /// Cross-entropy plus soft Dice (Isensee et al. 2021, nnU-Net).
    CrossEntropyDice,
    /// −mean Σ_k y_k (1 − p_k)^γ ln p_k (Lin et al. 2017).
    Focal {
        /// γ; 3 in Murugesan et al. 2022.
        #[serde(default = "three")]
        gamma: f64,
    },
    /// Cross-entropy against (1 − α) y + α / K (Szegedy et al. 2016).
    LabelSmoothing {
        /// α.
        #[serde(default = "tenth")]
        alpha: f64,
    },
    /// Cross-entropy − λ · mean entropy of p (Pereyra et al. 2017).
    EntropyPenalty {
        /// λ.
        #[serde(default = "tenth")]
        weight: f64,
    },
    /// Cross-entropy against labels smoothed over a 3×3 window (SVLS, Islam & Glocker 2021).
    SpatialSmoothing {
        /// Standard deviation of the window in pixels.
        #[serde(default = "one")]
        sigma: f64,
    },
    /// Cross-entropy + α · mean |l − share of the class among the 3×3 neighbours| (NACL, Murugesan et al.
    /// 2023).
    NeighbourAware {
        /// α.
        #[serde(default = "tenth")]
        alpha: f64,
    },
    /// Cross-entropy + α · mean ReLU(max_j l_j − l_k − m) (MbLS, Liu et al. 2022; Murugesan et al. 2022).
    Mbls {
        /// m, in logits.
        #[serde(default = "ten")]
        margin: f64,
        /// α.
        #[serde(default = "tenth")]
        alpha: f64,
    },
    /// 1 − mean_k 2TP / (2TP + Σ(y(1−p))^γ + Σ((1−y)p)^γ), TP = Σpy (DSC++, Yeung et al. 2023); γ = 1 is
    /// Dice.
    DicePlusPlus {
        /// γ.
        #[serde(default = "two")]
        gamma: f64,
    },
    /// Cross-entropy plus DSC++ (Yeung et al. 2023).
    CrossEntropyDicePlusPlus {
        /// γ.
        #[serde(default = "two")]
        gamma: f64,
    },
    /// 1 − mean_k TP / (TP + δ Σ(y(1−p))^γ + (1−δ) Σ((1−y)p)^γ) (Salehi et al. 2017 with γ = 1).
    Tversky {
        /// δ, the weight of missed pixels.
        #[serde(default = "seven_tenths")]
        delta: f64,
        /// γ; 2 is the ++ form.
        #[serde(default = "two")]
        gamma: f64,
    },
    /// mean_k (1 − Tversky index)^exponent (Abraham & Khan 2019 with γ = 1).
    FocalTversky {
        /// δ, the weight of missed pixels.
        #[serde(default = "seven_tenths")]
        delta: f64,
        /// Exponent.
        #[serde(default = "three_quarters")]
        exponent: f64,
        /// γ; 2 is the ++ form.
        #[serde(default = "two")]
        gamma: f64,
    },
    /// λ · asymmetric focal + (1 − λ) · asymmetric focal Tversky (Yeung et al. 2022, Unified Focal, with γ
    /// = 1).
    UnifiedFocal {
        /// λ.
        #[serde(default = "half")]
        weight: f64,
        /// δ, the weight of foreground.
        #[serde(default = "six_tenths")]
        delta: f64,
        /// How much easy background and how little easy foreground counts.
        #[serde(default = "half")]
        focus: f64,
        /// γ of the Tversky index; 2 is the ++ form.
        #[serde(default = "two")]
        gamma: f64,
    },
    /// Cross-entropy + Dice + weight · marginal L1 average calibration error per image (Barfoot et al.
    /// 2024, 2025).
    AverageCalibration {
        /// Of the calibration error.
        #[serde(default = "one")]
        weight: f64,
        /// Equal-width bins of probability.
        #[serde(default = "twenty")]
        bins: usize,
        /// Whether a pixel counts in the two nearest bins by its distance rather than in one.
        #[serde(default)]
        soft: bool,
    },
    /// Soft Dice whose gradient to each p is scaled by |p − y| (Lux et al. 2026, gradient vector field
    /// surgery).
    DiceSurgery,
}

const fn half() -> f64 {
    0.5
}
const fn six_tenths() -> f64 {
    0.6
}
const fn seven_tenths() -> f64 {
    0.7
}
const fn three_quarters() -> f64 {
    0.75
}
const fn tenth() -> f64 {
    0.1
}
const fn one() -> f64 {
    1.0
}
const fn two() -> f64 {
    2.0
}
const fn three() -> f64 {
    3.0
}
const fn ten() -> f64 {
    10.0
}
const fn twenty() -> usize {
    20
}

impl Loss {
    /// Every loss with the settings of its paper, once each; the ++ forms beside their plain ones.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::CrossEntropy,
            Self::Dice,
            Self::SquaredDice,
            Self::CrossEntropyDice,
            Self::Focal { gamma: 3.0 },
            Self::LabelSmoothing { alpha: 0.1 },
            Self::EntropyPenalty { weight: 0.1 },
            Self::SpatialSmoothing { sigma: 1.0 },
            Self::NeighbourAware { alpha: 0.1 },
            Self::Mbls { margin: 10.0, alpha: 0.1 },
            Self::DicePlusPlus { gamma: 2.0 },
            Self::CrossEntropyDicePlusPlus { gamma: 2.0 },
            Self::DiceSurgery,
        ];
        for gamma in [1.0, 2.0] {
            all.push(Self::Tversky { delta: 0.7, gamma });
            all.push(Self::FocalTversky { delta: 0.7, exponent: 0.75, gamma });
            all.push(Self::UnifiedFocal { weight: 0.5, delta: 0.6, focus: 0.5, gamma });
        }
        all.extend([false, true].map(|soft| Self::AverageCalibration { weight: 1.0, bins: 20, soft }));
        all
    }

    /// A name that tells settings apart, for tables.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::CrossEntropy => "CE".into(),
            Self::Dice => "Dice".into(),
            Self::SquaredDice => "squared Dice".into(),
            Self::CrossEntropyDice => "CE + Dice".into(),
            Self::Focal { gamma } => format!("focal {gamma}"),
            Self::LabelSmoothing { alpha } => format!("label smoothing {alpha}"),
            Self::EntropyPenalty { weight } => format!("entropy penalty {weight}"),
            Self::SpatialSmoothing { sigma } => format!("SVLS {sigma}"),
            Self::NeighbourAware { alpha } => format!("NACL {alpha}"),
            Self::Mbls { margin, alpha } => format!("MbLS m={margin} α={alpha}"),
            Self::DicePlusPlus { .. } => "DSC++".into(),
            Self::CrossEntropyDicePlusPlus { .. } => "CE + DSC++".into(),
            Self::Tversky { gamma, .. } => format!("Tversky{}", plus(*gamma)),
            Self::FocalTversky { gamma, .. } => format!("focal Tversky{}", plus(*gamma)),
            Self::UnifiedFocal { gamma, .. } => format!("unified focal{}", plus(*gamma)),
            Self::AverageCalibration { soft, .. } => {
                format!("CE + Dice + mL1-ACE {}", if *soft { "soft" } else { "hard" })
            }
            Self::DiceSurgery => "Dice, gradient surgery".into(),
        }
    }

    /// Settings out of range, one line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let within = |key: &str, value: f64, low: f64, high: f64| {
            let fits = (low..=high).contains(&value);
            (!fits).then(|| format!("loss.{key} is {value}: it must lie within {low}..={high}"))
        };
        let found = match *self {
            Self::Focal { gamma } => vec![within("gamma", gamma, 0.0, 10.0)],
            Self::DicePlusPlus { gamma } | Self::CrossEntropyDicePlusPlus { gamma } => {
                vec![within("gamma", gamma, 1.0, 10.0)]
            }
            Self::LabelSmoothing { alpha } | Self::NeighbourAware { alpha } => {
                vec![within("alpha", alpha, 0.0, 1.0)]
            }
            Self::EntropyPenalty { weight } => vec![within("weight", weight, 0.0, 10.0)],
            Self::SpatialSmoothing { sigma } => vec![within("sigma", sigma, 0.1, 10.0)],
            Self::Mbls { margin, alpha } => {
                vec![within("margin", margin, 0.0, 100.0), within("alpha", alpha, 0.0, 10.0)]
            }
            Self::Tversky { delta, gamma } => {
                vec![within("delta", delta, 0.0, 1.0), within("gamma", gamma, 1.0, 10.0)]
            }
            Self::FocalTversky { delta, exponent, gamma } => vec![
                within("delta", delta, 0.0, 1.0),
                within("exponent", exponent, 0.1, 10.0),
                within("gamma", gamma, 1.0, 10.0),
            ],
            Self::UnifiedFocal { weight, delta, focus, gamma } => vec![
                within("weight", weight, 0.0, 1.0),
                within("delta", delta, 0.0, 1.0),
                within("focus", focus, 0.0, 0.9),
                within("gamma", gamma, 1.0, 10.0),
            ],
            Self::AverageCalibration { weight, bins, .. } => {
                vec![within("weight", weight, 0.0, 100.0), within("bins", bins as f64, 2.0, 100.0)]
            }
            Self::CrossEntropy
            | Self::Dice
            | Self::SquaredDice
            | Self::CrossEntropyDice
            | Self::DiceSurgery => vec![],
        };
        found.into_iter().flatten().collect()
    }

    /// The loss of `logits` against the one-hot `truth`, a scalar.
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn of(&self, logits: &Tensor, truth: &Tensor) -> Result<Tensor> {
        let log_p = log_softmax(logits)?;
        let cross_entropy = || pixel::cross_entropy(&log_p, truth);
        let probabilities = || log_p.exp();
        match *self {
            Self::CrossEntropy => cross_entropy(),
            Self::Dice => region::dice(&probabilities()?, truth),
            Self::SquaredDice => region::squared_dice(&probabilities()?, truth),
            Self::CrossEntropyDice => cross_entropy()? + region::dice(&probabilities()?, truth)?,
            Self::Focal { gamma } => pixel::focal(&log_p, truth, gamma),
            Self::LabelSmoothing { alpha } => smoothing::label_smoothing(&log_p, truth, alpha),
            Self::EntropyPenalty { weight } => smoothing::entropy_penalty(&log_p, truth, weight),
            Self::SpatialSmoothing { sigma } => {
                pixel::cross_entropy(&log_p, &smoothing::spatial_labels(truth, sigma)?)
            }
            Self::NeighbourAware { alpha } => {
                cross_entropy()? + (smoothing::neighbour_distance(logits, truth)? * alpha)?
            }
            Self::Mbls { margin, alpha } => {
                cross_entropy()? + (smoothing::excess_over(logits, margin)? * alpha)?
            }
            Self::DicePlusPlus { gamma } => Tversky { delta: 0.5, gamma }.loss(&probabilities()?, truth),
            Self::CrossEntropyDicePlusPlus { gamma } => {
                cross_entropy()? + Tversky { delta: 0.5, gamma }.loss(&probabilities()?, truth)?
            }
            Self::Tversky { delta, gamma } => Tversky { delta, gamma }.loss(&probabilities()?, truth),
            Self::FocalTversky { delta, exponent, gamma } => {
                let index = Tversky { delta, gamma }.index(&probabilities()?, truth)?;
                region::power(&index.affine(-1.0, 1.0)?, exponent)?.mean_all()
            }
            Self::UnifiedFocal { weight, delta, focus, gamma } => {
                let focal = pixel::asymmetric_focal(&log_p, truth, delta, focus)?;
                let index = Tversky { delta, gamma }.index(&probabilities()?, truth)?;
                let region = region::asymmetric(&index, focus)?;
                (focal * weight)? + (region * (1.0 - weight))?
            }
            Self::AverageCalibration { weight, bins, soft } => {
                let p = probabilities()?;
                let own = (cross_entropy()? + region::dice(&p, truth)?)?;
                own + (calibration::average_error(&p, truth, bins, soft)? * weight)?
            }
            Self::DiceSurgery => region::dice(&region::surgery(&probabilities()?, truth)?, truth),
        }
    }
}

const fn plus(gamma: f64) -> &'static str {
    if gamma > 1.0 { "++" } else { "" }
}

#[cfg(test)]
mod tests;
