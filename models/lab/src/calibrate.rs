//! Calibration: fitted in floats from histograms of integer logits, shipped as monotone integer tables.
//!
//! The evidence is the *quantized* model's own logits. A logit index `i` in 0..4096 stands for the logit
//! `(i − 2048)·step`, so every fit is O(4096) whatever the number of pixels, and what comes out is the
//! table the device looks probabilities up in: no exponential is left for the device to compute.
mod beta;
mod choose;
mod error;
mod histogram;
mod isotonic;
mod logistic;
mod multiclass;
mod table;

pub use choose::{Candidate, Choice, Evidence, Scope, choose};
pub use error::CalibrateError;
pub use histogram::{CENTRE, Histogram, LEVELS, MAX_LEVEL, logit_index};
pub use isotonic::{Block, pool_adjacent_violators};
pub use multiclass::{
    LogitSample, MulticlassCandidate, MulticlassChoice, choose_multiclass, fit_temperature,
};
pub use table::{Calibrator, Kind, Table};

/// A family of monotone maps from logit to probability, simplest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The sigmoid itself: nothing is fitted.
    Identity,
    /// σ(z/T) (Guo et al., 2017).
    Temperature,
    /// σ(slope·z + offset) (Platt, 1999).
    Platt,
    /// Beta calibration (Kull, Silva Filho & Flach, 2017).
    Beta,
    /// Isotonic regression (Zadrozny & Elkan, 2002).
    Isotonic,
}

impl Method {
    /// Every method, simplest first; ties in a selection go to the earlier.
    pub const ALL: [Self; 5] = [Self::Identity, Self::Temperature, Self::Platt, Self::Beta, Self::Isotonic];
}

/// What was fitted, for the report; the table is what is applied.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Parameters {
    /// Nothing.
    Identity,
    /// σ(z / temperature), temperature in 1/256..=256.
    Temperature {
        /// Above 1 softens.
        temperature: f64,
    },
    /// σ(slope·z + offset), slope ≥ 0.
    Platt {
        /// Factor of the logit.
        slope: f64,
        /// Added after the factor.
        offset: f64,
    },
    /// logit(q) = a·ln p − b·ln(1 − p) + c with p = σ(z), a ≥ 0, b ≥ 0.
    Beta {
        /// Weight of ln p.
        a: f64,
        /// Weight of −ln(1 − p).
        b: f64,
        /// Offset.
        c: f64,
    },
    /// A non-decreasing step function.
    Isotonic {
        /// Constant pieces.
        blocks: usize,
    },
}

/// A fitted map and its table.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The fitted numbers.
    pub parameters: Parameters,
    /// Calibrated probability of every logit index.
    pub table: Table,
}

/// Fits one method to a histogram by maximum likelihood.
///
/// * Temperature, Platt: logistic regression by damped Newton without regularisation. A slope that would be
///   negative becomes 0, so that tables never fall.
/// * Beta: the same on (ln p, −ln(1−p), 1), with the exact optimum under a, b ≥ 0.
/// * Isotonic: pool-adjacent-violators, see [`pool_adjacent_violators`] and the rules stated there.
///
/// When the two classes do not overlap the likelihood of the parametric maps has no maximum; the descent
/// then stops at a likelihood within 1e-10 of certain, and tables saturate at 1 and 65534.
///
/// # Errors
/// [`CalibrateError::Empty`] without pixels and [`CalibrateError::SingleClass`] when all pixels have one
/// label, except for [`Method::Identity`], which needs no evidence.
pub fn fit(method: Method, histogram: &Histogram) -> Result<Fit, CalibrateError> {
    if method != Method::Identity {
        histogram.require_both_classes()?;
    }
    let step = histogram.step();
    Ok(match method {
        Method::Identity => {
            let table = Table::from_logits(|index| histogram::logit(index, step));
            Fit { parameters: Parameters::Identity, table }
        }
        Method::Temperature => logistic::fit_temperature(histogram),
        Method::Platt => logistic::fit_platt(histogram),
        Method::Beta => beta::fit(histogram),
        Method::Isotonic => isotonic::fit(histogram),
    })
}

#[cfg(test)]
mod tests;
