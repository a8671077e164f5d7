//! The exponential and the logistic function from basic operations, alike on every machine.

use crate::ood::score::natural_log;

/// e^x to a relative error below 2⁻⁴⁵, from correctly rounded operations only; 0 below −700, e^700 above
/// 700.
///
/// x = k·ln 2 + r with |r| ≤ ln 2 / 2, e^r by its series to r¹⁵ (Horner), 2^k by its bits.
pub fn exponential(x: f64) -> f64 {
    if x.is_nan() || x < -700.0 {
        return 0.0;
    }
    let x = x.min(700.0);
    let power = (x * std::f64::consts::LOG2_E).round_ties_even();
    // ln 2 in two parts (Cody & Waite).
    let rest = (x - power * 6.931_471_803_691_238e-1) - power * 1.908_214_929_270_587_7e-10;
    let mut series = 1.0;
    for divisor in (1..=15).rev() {
        series = 1.0 + series * rest / f64::from(divisor);
    }
    series * f64::from_bits(((power as i64 + 1023) as u64) << 52)
}

/// 1/(1 + e^−z).
pub(super) fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + exponential(-z))
    } else {
        let tail = exponential(z);
        tail / (1.0 + tail)
    }
}

/// ln(p/(1 − p)), with p kept 2⁻¹⁷ away from 0 and 1.
pub(super) fn logit(p: f64) -> f64 {
    let least = 1.0 / f64::from(1 << 17);
    let p = p.clamp(least, 1.0 - least);
    natural_log(p / (1.0 - p))
}
