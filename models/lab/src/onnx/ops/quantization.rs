//! QuantizeLinear and DequantizeLinear to and from 8 bits (and from int32 biases).

use super::super::call::Call;
use super::super::element::Element;
use super::super::problem::Fault;
use super::axis;
use crate::network::{Data, Op, Tensor, ValueId};

/// Scale, zero point and axis shared by both directions.
struct Parameters {
    scale: ValueId,
    zero_point: ValueId,
    axis: usize,
}

/// Blocked quantization and unusual precisions are refused by name.
fn check_forms(call: &Call<'_, '_>) -> Result<(), Fault> {
    if call.int("block_size")?.unwrap_or(0) != 0 {
        let what = "blocked quantization is not supported";
        return Err(Fault::at("block_size", what, "quantize per tensor or per channel"));
    }
    match call.int("precision")?.unwrap_or(0) {
        0 | 1 => Ok(()),
        other => Err(Fault::at("precision", format!("type code {other} is not float"), "divide in float")),
    }
}

/// Reads the parameters; an absent zero point is a zero of type `quantized`.
fn parameters(call: &mut Call<'_, '_>, quantized: Element, shape: &[usize]) -> Result<Parameters, Fault> {
    let scale = call.input(1)?;
    let scales = call.constant_floats(1, "scale")?.unwrap_or_default();
    if scales.is_empty() || scales.iter().any(|&scale| !(scale.is_finite() && scale > 0.0)) {
        let what = "a scale is not a positive finite number";
        return Err(Fault::at("scale", what, "calibrate the quantizer again"));
    }
    let scale_shape = call.shape(scale);
    let at = match (scales.len(), scale_shape.len()) {
        (1, _) if scale_shape.len() <= 1 && shape.is_empty() => 0,
        (_, 0 | 1) => {
            let stated = call.int("axis")?.unwrap_or(1);
            match axis("axis", stated, shape.len()) {
                Ok(at) => at,
                Err(_) if scales.len() == 1 => 0,
                Err(fault) => return Err(fault),
            }
        }
        _ => {
            return Err(Fault::at(
                "scale",
                "the scale has several axes",
                "quantize per tensor or per channel",
            ));
        }
    };
    if scales.len() > 1 && shape.get(at) != Some(&scales.len()) {
        let what = format!("{} scales for axis {at} of shape {shape:?}", scales.len());
        return Err(Fault::at("scale", what, "quantize per tensor or per channel"));
    }
    let zero_point = match call.optional(2) {
        Some(id) => {
            if call.element(id) != quantized || call.shape(id).iter().product::<usize>() != scales.len() {
                let what = format!("the zero point is not {} {} value(s)", scales.len(), quantized.name());
                return Err(Fault::at("zero_point", what, "export the model again"));
            }
            call.constant_input(2, "zero_point")?;
            id
        }
        None => {
            let zeros = quantized.integers(vec![0; scales.len()]);
            let data = zeros.ok_or_else(|| unsupported("zero_point", quantized))?;
            call.constant(Tensor { shape: scale_shape, data }, quantized)?
        }
    };
    Ok(Parameters { scale, zero_point, axis: at })
}

fn unsupported(name: &str, element: Element) -> Fault {
    let what = format!("quantization to {} is not supported", element.name());
    Fault::at(name, what, "quantize to int8 or uint8")
}

/// QuantizeLinear of floats to int8 or uint8.
pub(in super::super) fn quantize(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    check_forms(call)?;
    let code = call.int("output_dtype")?.unwrap_or(0);
    let stated = match code {
        0 => None,
        code => Some(Element::from_code(code).map_err(|name| {
            let what = format!("quantization to {name} is not supported");
            Fault::at("output_dtype", what, "quantize to int8 or uint8")
        })?),
    };
    let quantized = call.optional(2).map(|id| call.element(id)).or(stated).unwrap_or(Element::U8);
    if !quantized.is_quantized() || stated.is_some_and(|stated| stated != quantized) {
        return Err(unsupported("zero_point", quantized));
    }
    let input = call.input(0)?;
    let shape = call.shape(input);
    let Parameters { scale, zero_point, axis } = parameters(call, quantized, &shape)?;
    call.finish(Op::Quantize { axis }, &[input, scale, zero_point], shape)
}

/// DequantizeLinear of int8, uint8 or int32.
pub(in super::super) fn dequantize(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    check_forms(call)?;
    match call.int("output_dtype")?.unwrap_or(0) {
        0 | 1 => {}
        other => {
            let what = format!("type code {other} is not float");
            return Err(Fault::at("output_dtype", what, "dequantize to float"));
        }
    }
    let input = call.input(0)?;
    let quantized = call.element(input);
    if !quantized.is_quantized() && quantized != Element::I32 {
        let what = format!("dequantization of {} is not supported", quantized.name());
        return Err(Fault::new(what, "quantize to int8 or uint8"));
    }
    let shape = call.shape(input);
    let Parameters { scale, zero_point, axis } = parameters(call, quantized, &shape)?;
    let per_channel = call.shape(scale).iter().product::<usize>() > 1;
    let zero = call.constant_of(zero_point).is_none_or(|tensor| match &tensor.data {
        Data::I8(values) => values.iter().all(|&value| value == 0),
        Data::U8(values) => values.iter().all(|&value| value == 0),
        Data::I64(values) => values.iter().all(|&value| value == 0),
        Data::F32(_) | Data::Bool(_) => false,
    });
    if !zero && call.constant_of(input).is_some() && (per_channel || quantized == Element::I32) {
        let what = "a weight quantized per channel has a zero point other than 0";
        return Err(Fault::at("zero_point", what, "quantize weights symmetrically"));
    }
    call.finish(Op::Dequantize { axis }, &[input, scale, zero_point], shape)
}
