//! Scalar functions of one element, and arithmetic of two tensors with broadcasting.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::f64::consts::FRAC_2_SQRT_PI;

use super::layout::{self, View};
use super::{parallel, shape};
use crate::network::{Binary, Tensor, Unary};

/// Elements handled at a time; one block is the unit of work shared out over the cores.
const BLOCK: usize = 1 << 13;

/// The value of `function` at `x`, as ONNX defines it; NaN stays NaN.
pub fn unary_value(function: Unary, x: f32) -> f32 {
    match function {
        Unary::Relu => relu(x),
        Unary::LeakyRelu { alpha } => leaky_relu(x, alpha),
        Unary::Clip { low, high } => clip(x, low, high),
        Unary::Sigmoid => sigmoid(x),
        Unary::HardSigmoid { alpha, beta } => clip(alpha * x + beta, 0.0, 1.0),
        Unary::HardSwish => hard_swish(x),
        Unary::Silu => x * sigmoid(x),
        Unary::Mish => x * softplus(x).tanh(),
        Unary::Tanh => x.tanh(),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Erf => erf(x),
        Unary::Gelu { tanh: false } => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
        Unary::Gelu { tanh: true } => {
            let root = (2.0 * std::f32::consts::FRAC_1_PI).sqrt();
            0.5 * x * (1.0 + (root * (x + 0.044_715 * x * x * x)).tanh())
        }
        Unary::Softplus => softplus(x),
        Unary::Elu { alpha } => elu(x, alpha),
        Unary::Selu { alpha, gamma } => gamma * elu(x, alpha),
        Unary::ThresholdedRelu { alpha } => {
            if x <= alpha {
                0.0
            } else {
                x
            }
        }
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Reciprocal => x.recip(),
    }
}

/// Applies `function` to every element of x (f32).
///
/// # Errors
/// When x is not float or has another shape than `declared`.
pub(super) fn unary(function: Unary, x: Cow<'_, Tensor>, declared: &[usize]) -> Result<Tensor, String> {
    layout::expect(&x.shape, declared)?;
    let mut out = layout::into_floats(x, "x")?;
    match function {
        // The cheap functions get loops of their own, without a match inside, so that they vectorise.
        Unary::Relu => map(&mut out, relu),
        Unary::LeakyRelu { alpha } => map(&mut out, |x| leaky_relu(x, alpha)),
        Unary::Clip { low, high } => map(&mut out, |x| clip(x, low, high)),
        Unary::HardSwish => map(&mut out, hard_swish),
        other => map(&mut out, |x| unary_value(other, x)),
    }
    Ok(Tensor::f32(declared.to_vec(), out))
}

/// `function` of a and b (both f32) with NumPy broadcasting.
///
/// # Errors
/// When an operand is not float or the shapes do not broadcast to `declared`.
pub(super) fn binary(
    function: Binary,
    a: Cow<'_, Tensor>,
    b: &Tensor,
    declared: &[usize],
) -> Result<Tensor, String> {
    layout::expect(&layout::broadcast(&a.shape, &b.shape)?, declared)?;
    match function {
        Binary::Add => combine(a, b, declared, |a, b| a + b),
        Binary::Sub => combine(a, b, declared, |a, b| a - b),
        Binary::Mul => combine(a, b, declared, |a, b| a * b),
        Binary::Div => combine(a, b, declared, |a, b| a / b),
        Binary::Pow => combine(a, b, declared, f32::powf),
        Binary::Max => combine(a, b, declared, |a, b| if a > b || a.is_nan() { a } else { b }),
        Binary::Min => combine(a, b, declared, |a, b| if a < b || a.is_nan() { a } else { b }),
    }
}

/// x where x ≥ 0, slope · x elsewhere; the slope broadcasts to x. Both f32.
///
/// # Errors
/// When an operand is not float or the slope does not broadcast to x.
pub(super) fn prelu(x: Cow<'_, Tensor>, slope: &Tensor, declared: &[usize]) -> Result<Tensor, String> {
    layout::expect(&x.shape, declared)?;
    if layout::broadcast(&x.shape, &slope.shape)? != x.shape {
        return Err("the slope does not broadcast to x".into());
    }
    combine(x, slope, declared, |x, slope| if x < 0.0 { slope * x } else { x })
}

/// Replaces every element by its image.
fn map(data: &mut [f32], function: impl Fn(f32) -> f32 + Sync) {
    parallel::planes(data, BLOCK, |_, block| block.iter_mut().for_each(|x| *x = function(*x)));
}

/// Combines a and b into a tensor of shape `shape`, to which both broadcast; in a's own memory when it is
/// owned and of that shape.
fn combine(
    a: Cow<'_, Tensor>,
    b: &Tensor,
    shape: &[usize],
    function: impl Fn(f32, f32) -> f32 + Sync,
) -> Result<Tensor, String> {
    let b_data = layout::floats(b, "b")?;
    let a = if a.shape == shape { a } else { Cow::Owned(shape::expand(&a, shape)?) };
    let mut out = layout::into_floats(a, "a")?;
    let view = View::new(0, shape, &layout::broadcast_strides(&b.shape, shape));
    if view.run == out.len() && view.stride == 1 {
        parallel::planes(&mut out, BLOCK, |index, block| {
            let b = b_data.get(index * BLOCK..).unwrap_or_default();
            block.iter_mut().zip(b).for_each(|(a, b)| *a = function(*a, *b));
        });
    } else {
        parallel::planes(&mut out, view.run, |index, run| {
            let b = b_data.get(view.run_start(index)..).unwrap_or_default();
            match (view.stride, b.first()) {
                (0, Some(&b)) => run.iter_mut().for_each(|a| *a = function(*a, b)),
                _ => run.iter_mut().zip(b).for_each(|(a, b)| *a = function(*a, *b)),
            }
        });
    }
    Ok(Tensor::f32(shape.to_vec(), out))
}

fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

fn leaky_relu(x: f32, alpha: f32) -> f32 {
    if x < 0.0 { alpha * x } else { x }
}

/// min(max(x, low), high): `high` wins when the bounds cross.
fn clip(x: f32, low: f32, high: f32) -> f32 {
    let raised = if x < low { low } else { x };
    if raised > high { high } else { raised }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn hard_swish(x: f32) -> f32 {
    x * clip(x / 6.0 + 0.5, 0.0, 1.0)
}

/// ln(1 + e^x), without overflow.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn elu(x: f32, alpha: f32) -> f32 {
    if x < 0.0 { alpha * x.exp_m1() } else { x }
}

/// The error function to 2·10⁻⁷: the Maclaurin series near 0, elsewhere Abramowitz and Stegun, "Handbook of
/// Mathematical Functions" (1964), formula 7.1.26.
fn erf(x: f32) -> f32 {
    let magnitude = f64::from(x.abs());
    let value = if magnitude < 0.5 {
        let square = magnitude * magnitude;
        let (mut power, mut sum) = (magnitude, magnitude);
        for n in 1..9 {
            power *= -square / f64::from(n);
            sum += power / f64::from(2 * n + 1);
        }
        FRAC_2_SQRT_PI * sum
    } else {
        let t = 1.0 / (1.0 + 0.327_591_1 * magnitude);
        let coefficients = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
        let polynomial = coefficients.iter().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
        1.0 - polynomial * (-magnitude * magnitude).exp()
    };
    (value as f32).copysign(x)
}
