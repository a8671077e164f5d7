//! Elementwise operators of two or more values with NumPy broadcasting.

use super::super::call::Call;
use super::super::element::Element;
use super::super::problem::Fault;
use super::broadcast;
use crate::network::{Binary, Data, Op, Tensor, ValueId};

/// Largest magnitude up to which f32 holds every integer.
const EXACT_IN_F32: i64 = 1 << 24;

/// Add, Sub, Mul, Div and Pow.
pub(in super::super) fn binary(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let (a, mut b) = (call.input(0)?, call.input(1)?);
    let binary = match call.op() {
        "Add" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        _ => {
            b = float_exponent(call, a, b)?;
            Binary::Pow
        }
    };
    let shape = broadcast(&call.shape(a), &call.shape(b))?;
    call.finish(Op::Binary(binary), &[a, b], shape)
}

/// Pow may mix types: a constant integer exponent of a float base becomes the same float exponent.
fn float_exponent(call: &mut Call<'_, '_>, base: ValueId, exponent: ValueId) -> Result<ValueId, Fault> {
    if !call.element(base).is_float() || call.element(exponent).is_float() {
        return Ok(exponent);
    }
    match call.constant_of(exponent) {
        Some(Tensor { shape, data: Data::I64(values) })
            if values.iter().all(|value| (-EXACT_IN_F32..=EXACT_IN_F32).contains(value)) =>
        {
            #[allow(clippy::cast_precision_loss)] // Exact: the magnitude is at most 2^24.
            let values = values.iter().map(|&value| value as f32).collect();
            let tensor = Tensor::f32(shape.clone(), values);
            call.constant(tensor, Element::F32)
        }
        _ => Err(Fault::at("Y", "an integer exponent is not a small constant", "use a float exponent")),
    }
}

/// Max, Min, Sum and Mean of any number of values, as a chain of binary operators.
pub(in super::super) fn variadic(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let (binary, mean) = match call.op() {
        "Max" => (Binary::Max, false),
        "Min" => (Binary::Min, false),
        "Sum" => (Binary::Add, false),
        _ => (Binary::Add, true),
    };
    let mut result = call.input(0)?;
    if !call.element(result).is_float() && call.constant_of(result).is_none() {
        let what = format!("it computes on {} data at run time", call.element(result).name());
        return Err(Fault::new(what, "export a network that computes on floats"));
    }
    for index in 1..call.input_count() {
        let next = call.input(index)?;
        let shape = broadcast(&call.shape(result), &call.shape(next))?;
        result = call.emit(Op::Binary(binary), &[result, next], shape)?;
    }
    if mean {
        let shape = call.shape(result);
        let count = u16::try_from(call.input_count())
            .map_err(|_| Fault::new("too many inputs", "average fewer values"))?;
        let count = call.scalar(f32::from(count))?;
        result = call.emit(Op::Binary(Binary::Div), &[result, count], shape)?;
    }
    call.bind(0, result)
}
