//! Beta calibration: three parameters that can bend a sigmoid map asymmetrically, identity included.
use super::histogram::{Histogram, logit};
use super::logistic::{design, minimise, prior_logit};
use super::table::softplus;
use super::{Fit, Parameters, Table};

/// ln σ(z), −ln(1 − σ(z)) and 1: the features of beta calibration, without cancellation at any logit.
fn features(z: f64) -> [f64; 3] {
    [-softplus(-z), softplus(z), 1.0]
}

/// Beta calibration (Kull, Silva Filho & Flach, 2017): logit(q) = a·ln p − b·ln(1 − p) + c, a ≥ 0, b ≥ 0.
///
/// The likelihood is concave, so its maximum under the two bounds lies inside or on one face: all four
/// faces (both free, a = 0, b = 0, both 0) are fitted and the best that obeys the bounds is taken, exactly.
pub(super) fn fit(histogram: &Histogram) -> Fit {
    let rows = design(histogram, features);
    let constant = [0.0, 0.0, prior_logit(&rows)];
    let mut best = minimise(&rows, constant, &[]);
    for (start, active) in [
        ([1.0, 0.0, 0.0], [0, 2].as_slice()),
        ([0.0, 1.0, 0.0], [1, 2].as_slice()),
        ([1.0, 1.0, 0.0], [0, 1, 2].as_slice()),
    ] {
        let (weights, loss) = minimise(&rows, start, active);
        if weights[0] >= 0.0 && weights[1] >= 0.0 && loss < best.1 {
            best = (weights, loss);
        }
    }
    let [a, b, c] = best.0;
    let step = histogram.step();
    let calibrated = |index| {
        let [log_p, log_q, _] = features(logit(index, step));
        a * log_p + b * log_q + c
    };
    Fit { parameters: Parameters::Beta { a, b, c }, table: Table::from_logits(calibrated) }
}
