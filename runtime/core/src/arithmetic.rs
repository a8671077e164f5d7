//! The only floating-point arithmetic of the specification: scales, and the one requantize step.
//!
//! Semantics are those of ONNX `QLinearConv` (operator set 10). A code is an unsigned byte; a signed
//! model's int8 value is the code minus 128, so one representation serves both and x86 dot products need no
//! conversion.

use bytemuck::{Pod, Zeroable};

/// Adding and subtracting 1.5·2^23 rounds an f32 of magnitude below 2^22 to an integer, half to even.
const ROUNDING: f32 = 12_582_912.0;

/// A positive or negative real factor applied by [`requantize`], stored as its IEEE-754 binary32 value.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Multiplier(f32);

impl Multiplier {
    /// Wraps `value`; [`Multiplier::is_valid`] says whether it may be used.
    pub const fn new(value: f32) -> Self {
        Self(value)
    }

    /// `scale_in · scale_weight / scale_out`, in that order, each operation rounded to f32.
    pub fn from_scales(scale_in: f32, scale_weight: f32, scale_out: f32) -> Self {
        Self(scale_in * scale_weight / scale_out)
    }

    /// Reinterprets the 32 bits stored in a package.
    pub const fn from_bits(bits: u32) -> Self {
        Self(f32::from_bits(bits))
    }

    /// The 32 bits to store in a package.
    pub const fn to_bits(self) -> u32 {
        self.0.to_bits()
    }

    /// The value itself, for SIMD code.
    pub const fn get(self) -> f32 {
        self.0
    }

    /// True for finite values; anything else is refused when a package is read.
    pub fn is_valid(self) -> bool {
        self.0.is_finite()
    }
}

/// The real size of one code step; positive and finite.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Scale(f32);

impl Scale {
    /// Wraps `value`; [`Scale::is_valid`] says whether it may be used.
    pub const fn new(value: f32) -> Self {
        Self(value)
    }

    /// Reinterprets the 32 bits stored in a package.
    pub const fn from_bits(bits: u32) -> Self {
        Self(f32::from_bits(bits))
    }

    /// The 32 bits to store in a package.
    pub const fn to_bits(self) -> u32 {
        self.0.to_bits()
    }

    /// The value itself.
    pub const fn get(self) -> f32 {
        self.0
    }

    /// True for positive, finite values.
    pub fn is_valid(self) -> bool {
        self.0.is_finite() && self.0 > 0.0
    }

    /// The real value of an integer at this scale: one f32 conversion and one multiply.
    pub fn dequantize(self, value: i32) -> f32 {
        value as f32 * self.0
    }

    /// The code of a real value: `clamp(rne(x / scale) + zero_point, 0, 255)`; `None` when `x` is not a
    /// number.
    ///
    /// # Exactness
    /// ONNX `QuantizeLinear`: one IEEE division, rounding half to even, saturation.
    pub fn quantize(self, x: f32, zero_point: u8) -> Option<u8> {
        if x.is_nan() {
            return None;
        }
        let zero = f32::from(zero_point);
        let steps = (x / self.0).clamp(-zero, 255.0 - zero);
        Some((round_half_even(steps) + i32::from(zero_point)) as u8)
    }
}

/// Where a requantized value may lie: `low..=high` around `zero_point`, all in codes of the output.
///
/// `low` and `high` carry ReLU and ReLU6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Code of real zero, 0..=255.
    pub zero_point: i32,
    /// Least code, 0..=255.
    pub low: i32,
    /// Greatest code, `low..=255`.
    pub high: i32,
}

/// Rounds half to even; `x` must lie within ±2^22.
#[inline(always)]
pub fn round_half_even(x: f32) -> i32 {
    // The sum's unit is 1, so its bits count integers; this needs neither a conversion nor its checks.
    (x + ROUNDING).to_bits().wrapping_sub(ROUNDING.to_bits()) as i32
}

/// `x` within `low..=high`; a NaN becomes `low`.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let raised = if x > low { x } else { low };
    if raised < high { raised } else { high }
}

/// The one requantize step: `clamp(rne(f32(accumulator) · multiplier) + zero_point, low, high)`.
///
/// # Exactness
/// `f32(accumulator)` rounds half to even, the product is one IEEE multiply, never fused. Clamping before
/// rounding equals clamping after it, because the bounds are integers and rounding is monotone; it keeps
/// the conversion to an integer in range on machines that disagree about overflow.
#[inline(always)]
pub fn requantize(accumulator: i32, multiplier: Multiplier, range: Range) -> i32 {
    let product = accumulator as f32 * multiplier.0;
    let low = (range.low - range.zero_point) as f32;
    let high = (range.high - range.zero_point) as f32;
    round_half_even(clamp(product, low, high)) + range.zero_point
}

/// Requantize with a real offset, for normalisation: `clamp(rne(f32(accumulator)·multiplier + offset) +
/// zero_point)`.
///
/// # Exactness
/// As [`requantize`], with one IEEE addition after the multiply, never fused.
#[inline(always)]
pub fn requantize_affine(accumulator: i32, multiplier: Multiplier, offset: Multiplier, range: Range) -> i32 {
    let value = accumulator as f32 * multiplier.0 + offset.0;
    let low = (range.low - range.zero_point) as f32;
    let high = (range.high - range.zero_point) as f32;
    round_half_even(clamp(value, low, high)) + range.zero_point
}

/// `part / total` in 1/65535, rounded to nearest, halves up; `part` ≤ `total` < 2^24.
///
/// # Exactness
/// The f32 estimate is within 2^-6 of the quotient, so its nearest integer is off by one at most; the rest of
/// the integer division, which wraps around 2^32 but is small, tells. Unlike that division this is done for
/// several pixels at once where a processor can.
#[inline(always)]
pub fn share(part: u16, total: u32) -> u16 {
    const WHOLE: u32 = u16::MAX as u32;
    let total = total.max(1);
    let estimate = round_half_even(f32::from(part) * WHOLE as f32 / total as i32 as f32);
    let rounded = (u32::from(part) * WHOLE).wrapping_add(total / 2);
    let rest = rounded.wrapping_sub((estimate as u32).wrapping_mul(total)) as i32;
    (estimate + i32::from(rest >= total as i32) - i32::from(rest < 0)) as u16
}

/// The constants of a normalisation that are known when the package is made.
#[derive(Debug, Clone, Copy)]
pub struct Normalization {
    /// Variance floor (epsilon) divided by the square of the input scale.
    pub epsilon: Multiplier,
    /// The reciprocal of the output scale.
    pub output_steps: Multiplier,
}

/// Sums of codes over one normalisation group: `count` values, `sum` = Σv, `squares` = Σv².
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moments {
    /// Number of values, below 2^31.
    pub count: u64,
    /// Σ code.
    pub sum: u64,
    /// Σ code².
    pub squares: u64,
}

impl Moments {
    /// `count² · variance` of the codes, exactly.
    pub fn scaled_variance(self) -> u128 {
        let product = u128::from(self.count) * u128::from(self.squares);
        let square = u128::from(self.sum) * u128::from(self.sum);
        product.saturating_sub(square)
    }

    /// Turns group moments into `(multiplier, offset)` such that `rne(code·multiplier + offset)` is the
    /// normalised, scaled and shifted value in output steps: `((code − mean) / √(variance +
    /// epsilon)·gamma + beta) / scale_out`.
    ///
    /// # Exactness
    /// Mean and variance are exact integers; then f64 in the written order with correctly rounded division
    /// and an integer square root, so every IEEE machine agrees; the results round once to f32.
    pub fn affine(
        self,
        constants: Normalization,
        gamma: Multiplier,
        beta: Multiplier,
    ) -> (Multiplier, Multiplier) {
        let count = self.count.max(1) as f64;
        let mean = self.sum as f64 / count;
        let variance = self.scaled_variance() as f64 / count / count;
        let deviation = square_root(variance + f64::from(constants.epsilon.0));
        let steps = f64::from(constants.output_steps.0);
        // A constant group is all mean: a slope would only add the rounding of slope · mean, which f32
        // cannot cancel.
        let slope = if variance > 0.0 { f64::from(gamma.0) * steps / deviation } else { 0.0 };
        let offset = f64::from(beta.0) * steps - mean * slope;
        (Multiplier(slope as f32), Multiplier(offset as f32))
    }
}

/// √x for x ≥ 0 to within one part in 2^52, from exact integer arithmetic: `core` has no f64 square root.
fn square_root(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return 0.0;
    }
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i64 - 1075;
    if exponent == -1075 {
        return 0.0;
    }
    let significand = (bits & ((1 << 52) - 1)) | (1 << 52);
    let shift = 52 + (exponent & 1);
    let root = (u128::from(significand) << shift).isqrt() as f64;
    let power = (exponent - shift) / 2;
    root * f64::from_bits(((power + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests;
