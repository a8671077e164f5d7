//! Elementwise functions of one float.

use super::super::call::Call;
use super::super::problem::Fault;
use super::broadcast;
use crate::network::{Binary, Op, Unary};

/// Every operator of one input whose attributes are plain floats; defaults are those of the documentation.
pub(in super::super) fn unary(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let alpha = |default: f32| Ok::<f32, Fault>(call.float("alpha")?.unwrap_or(default));
    let unary = match call.op() {
        "Relu" => Unary::Relu,
        "LeakyRelu" => Unary::LeakyRelu { alpha: alpha(0.01)? },
        "Sigmoid" => Unary::Sigmoid,
        "HardSigmoid" => Unary::HardSigmoid { alpha: alpha(0.2)?, beta: call.float("beta")?.unwrap_or(0.5) },
        "HardSwish" => Unary::HardSwish,
        "Mish" => Unary::Mish,
        "Tanh" => Unary::Tanh,
        "Exp" => Unary::Exp,
        "Log" => Unary::Log,
        "Sqrt" => Unary::Sqrt,
        "Erf" => Unary::Erf,
        "Gelu" => match call.text("approximate", "none")? {
            "none" => Unary::Gelu { tanh: false },
            "tanh" => Unary::Gelu { tanh: true },
            _ => return Err(Fault::at("approximate", "unknown value", "use none or tanh")),
        },
        "Softplus" => Unary::Softplus,
        "Elu" => Unary::Elu { alpha: alpha(1.0)? },
        "Selu" => {
            Unary::Selu { alpha: alpha(1.673_263_2)?, gamma: call.float("gamma")?.unwrap_or(1.050_701) }
        }
        "ThresholdedRelu" => Unary::ThresholdedRelu { alpha: alpha(1.0)? },
        "Neg" => Unary::Neg,
        "Abs" => Unary::Abs,
        "Reciprocal" => Unary::Reciprocal,
        other => return Err(Fault::new(format!("{other} is no unary operator"), "report this")),
    };
    apply(call, unary)
}

fn apply(call: &mut Call<'_, '_>, unary: Unary) -> Result<(), Fault> {
    let input = call.input(0)?;
    let shape = call.shape(input);
    call.finish(Op::Unary(unary), &[input], shape)
}

/// Swish (operator set 24): x · sigmoid(alpha · x), with alpha 1 only.
pub(in super::super) fn swish(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    match call.float("alpha")?.unwrap_or(1.0) {
        1.0 => apply(call, Unary::Silu),
        alpha => Err(Fault::at("alpha", format!("{alpha} is not 1"), "write it as Mul and Sigmoid")),
    }
}

/// Clip before operator set 11: bounds are attributes.
pub(in super::super) fn clip_attributes(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let low = call.float("min")?.unwrap_or(f32::MIN);
    let high = call.float("max")?.unwrap_or(f32::MAX);
    apply(call, Unary::Clip { low, high })
}

/// Clip from operator set 11: bounds are constant inputs, infinite ones included.
pub(in super::super) fn clip_inputs(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let bound = |index: usize, name: &str, default: f32| match call.constant_floats(index, name)? {
        None => Ok(default),
        Some(values) => match values.as_slice() {
            [value] if !value.is_nan() => Ok(*value),
            _ => Err(Fault::at(name, "the bound is not one number", "export the model again")),
        },
    };
    if !call.element(call.input(0)?).is_float() {
        return clip_integers(call);
    }
    let low = bound(1, "min", f32::MIN)?;
    let high = bound(2, "max", f32::MAX)?;
    apply(call, Unary::Clip { low, high })
}

/// Clip in shape arithmetic: Max and Min, which fold on integer constants and are refused at run time.
fn clip_integers(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let mut result = call.input(0)?;
    let shape = call.shape(result);
    for (index, binary) in [(1, Binary::Max), (2, Binary::Min)] {
        if let Some(bound) = call.optional(index) {
            result = call.emit(Op::Binary(binary), &[result, bound], shape.clone())?;
        }
    }
    if call.constant_of(result).is_none() {
        let what = format!("it computes on {} data at run time", call.element(result).name());
        return Err(Fault::new(what, "export a network that computes on floats"));
    }
    call.bind(0, result)
}

/// PRelu: the slope broadcasts to the input, never the other way.
pub(in super::super) fn parametric_relu(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let (input, slope) = (call.input(0)?, call.input(1)?);
    let shape = call.shape(input);
    if broadcast(&shape, &call.shape(slope))? != shape {
        return Err(Fault::at("slope", "the slope is larger than the input", "export the model again"));
    }
    call.finish(Op::PRelu, &[input, slope], shape)
}
