//! Logistic regression on up to three features by damped Newton: temperature and Platt scaling.
use super::histogram::{Histogram, logit};
use super::table::{sigmoid, softplus};
use super::{Fit, Parameters, Table};
use crate::detect::linear::{cholesky, solve};

/// Temperatures are kept in 1/256..=256.
pub(super) const TEMPERATURE_MAX: f64 = 256.0;
const ITERATIONS: usize = 200;
/// The descent ends when half the squared Newton decrement, in nats per pixel, is below this.
const DECREMENT_MIN: f64 = 1e-24;
/// Below this expected gain rounding hides the decrease, so Newton steps are taken without a check.
const DECREMENT_UNCHECKED: f64 = 1e-10;
/// Loss per pixel at which non-overlapping classes end the descent.
const LOSS_MIN: f64 = 1e-10;

/// One row of a design: features, weight of positives, weight of negatives (weights sum to 1 over rows).
pub(super) struct Row {
    features: [f64; 3],
    positive: f64,
    negative: f64,
}

/// Rows of a histogram under a feature map of the logit.
pub(super) fn design(histogram: &Histogram, features: impl Fn(f64) -> [f64; 3]) -> Vec<Row> {
    let total = histogram.count() as f64;
    histogram
        .occupied()
        .map(|(_, logit, positives, negatives)| Row {
            features: features(logit),
            positive: positives as f64 / total,
            negative: negatives as f64 / total,
        })
        .collect()
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Mean negative log-likelihood in nats.
fn loss(rows: &[Row], weights: [f64; 3]) -> f64 {
    rows.iter()
        .map(|row| {
            let z = dot(row.features, weights);
            row.positive * softplus(-z) + row.negative * softplus(z)
        })
        .sum()
}

/// Gradient and lower triangle of the Hessian over the active features, in their order.
fn derivatives(rows: &[Row], weights: [f64; 3], active: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let size = active.len();
    let (mut gradient, mut hessian) = (vec![0.0; size], vec![0.0; size * size]);
    for row in rows {
        let z = dot(row.features, weights);
        // Both tails in the form that does not cancel.
        let slope = row.negative * sigmoid(z) - row.positive * sigmoid(-z);
        let curvature = (row.positive + row.negative) * sigmoid(z) * sigmoid(-z);
        for (i, &a) in active.iter().enumerate() {
            gradient[i] += slope * row.features[a];
            for (j, &b) in active.iter().enumerate().take(i + 1) {
                hessian[i * size + j] += curvature * row.features[a] * row.features[b];
            }
        }
    }
    (gradient, hessian)
}

/// Newton step H⁻¹g with Levenberg damping on the diagonal; `None` when H is not positive definite.
fn newton_step(gradient: &[f64], hessian: &[f64], damping: f64) -> Option<Vec<f64>> {
    let size = gradient.len();
    let mut factor = hessian.to_vec();
    for i in 0..size {
        factor[i * size + i] += damping * (hessian[i * size + i] + f64::MIN_POSITIVE);
    }
    cholesky(&mut factor, size).then(|| solve(&factor, gradient))
}

/// Minimises the loss over the features in `active`, the other weights staying as they are in `start`.
///
/// Newton steps; while a step would not lower the loss the diagonal of the Hessian is damped tenfold more
/// (Levenberg, 1944). The loss is convex, so the result does not depend on the start. Returns the weights
/// and their loss.
pub(super) fn minimise(rows: &[Row], start: [f64; 3], active: &[usize]) -> ([f64; 3], f64) {
    let (mut weights, mut best) = (start, loss(rows, start));
    let mut damping = 0.0;
    for _ in 0..ITERATIONS {
        if best < LOSS_MIN {
            break;
        }
        let (gradient, hessian) = derivatives(rows, weights, active);
        let Some(step) = newton_step(&gradient, &hessian, damping) else {
            damping = f64::max(damping * 10.0, 1e-9);
            continue;
        };
        let decrement = gradient.iter().zip(&step).map(|(g, s)| g * s).sum::<f64>() / 2.0;
        let mut next = weights;
        for (&feature, change) in active.iter().zip(&step) {
            next[feature] -= change;
        }
        let trial = loss(rows, next);
        if trial < best || (decrement < DECREMENT_UNCHECKED && trial.is_finite()) {
            (weights, best) = (next, trial);
            damping = if damping < 1e-8 { 0.0 } else { damping / 10.0 };
        } else {
            damping = f64::max(damping * 10.0, 1e-9);
        }
        if decrement < DECREMENT_MIN || damping > 1e12 {
            break;
        }
    }
    (weights, best)
}

/// ln(positives / negatives) over all pixels: the best constant logit.
pub(super) fn prior_logit(rows: &[Row]) -> f64 {
    let (positive, negative) =
        rows.iter().fold((0.0, 0.0), |(p, n), row| (p + row.positive, n + row.negative));
    (positive / negative).ln()
}

/// Temperature scaling: σ(z/T) with 1/T in 1/256..=256 (Guo et al., 2017).
pub(super) fn fit_temperature(histogram: &Histogram) -> Fit {
    let rows = design(histogram, |z| [z, 0.0, 0.0]);
    let (weights, _) = minimise(&rows, [1.0, 0.0, 0.0], &[0]);
    let slope = weights[0].clamp(1.0 / TEMPERATURE_MAX, TEMPERATURE_MAX);
    let step = histogram.step();
    Fit {
        parameters: Parameters::Temperature { temperature: 1.0 / slope },
        table: Table::from_logits(|index| slope * logit(index, step)),
    }
}

/// Platt scaling: σ(slope·z + offset), slope ≥ 0, unregularised (Platt, 1999, without its target
/// smoothing).
pub(super) fn fit_platt(histogram: &Histogram) -> Fit {
    let rows = design(histogram, |z| [z, 1.0, 0.0]);
    let ([mut slope, mut offset, _], _) = minimise(&rows, [1.0, 0.0, 0.0], &[0, 1]);
    if slope < 0.0 {
        (slope, offset) = (0.0, prior_logit(&rows));
    }
    let step = histogram.step();
    Fit {
        parameters: Parameters::Platt { slope, offset },
        table: Table::from_logits(|index| slope * logit(index, step) + offset),
    }
}
