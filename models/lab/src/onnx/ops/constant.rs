//! Constants, shapes, casts, and the integer and logical operators that exist only to compute shapes.

use super::super::call::Call;
use super::super::element::Element;
use super::super::fold::{broadcast as stretch, reduce_integers};
use super::super::importer::checked_count;
use super::super::problem::Fault;
use super::broadcast;
use super::layout::{extents, extents_tensor};
use super::reduction::{keep_dims, reduced_axes, reduced_shape};
use crate::network::{Data, Op, Tensor, ValueId};

const EXPORT_STATIC: &str = "export with static shapes so that it folds to a constant";

fn bind_constant(call: &mut Call<'_, '_>, tensor: Tensor, element: Element) -> Result<(), Fault> {
    let id = call.constant(tensor, element)?;
    call.bind(0, id)
}

/// Constant input `index` of an operator that exists for shape arithmetic only.
fn known<'c>(call: &'c Call<'_, '_>, index: usize) -> Result<&'c Tensor, Fault> {
    let id = call.input(index)?;
    call.constant_of(id).ok_or_else(|| {
        let what =
            format!("the operator is supported on constants only; input {index} is computed at run time");
        Fault::new(what, EXPORT_STATIC)
    })
}

fn type_fault(element: Element) -> Fault {
    Fault::new(format!("the operator is not supported on {} constants", element.name()), EXPORT_STATIC)
}

/// Constant.
pub(in super::super) fn constant(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    for name in ["sparse_value", "value_string", "value_strings"] {
        if call.has(name) {
            return Err(Fault::at(name, "this kind of constant is not supported", "use a dense tensor"));
        }
    }
    if let Some((element, tensor)) = call.tensor("value")? {
        return bind_constant(call, tensor, element);
    }
    if let Some(value) = call.int("value_int")? {
        return bind_constant(call, Tensor { shape: Vec::new(), data: Data::I64(vec![value]) }, Element::I64);
    }
    if let Some(values) = call.ints("value_ints")? {
        return bind_constant(call, extents_tensor(values.to_vec()), Element::I64);
    }
    if let Some(value) = call.float("value_float")? {
        return bind_constant(call, Tensor::f32(Vec::new(), vec![value]), Element::F32);
    }
    match call.floats("value_floats")? {
        Some(values) => bind_constant(call, Tensor::f32(vec![values.len()], values.to_vec()), Element::F32),
        None => Err(Fault::new("the constant has no value", "export the model again")),
    }
}

/// ConstantOfShape.
pub(in super::super) fn constant_of_shape(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let shape = extents(call, 0, "shape")?;
    let (element, value) = call.tensor("value")?.unwrap_or((Element::F32, Tensor::f32(vec![1], vec![0.0])));
    if value.shape.iter().product::<usize>() != 1 {
        return Err(Fault::at("value", "the value is not one element", "export the model again"));
    }
    let one = Tensor { shape: vec![1; shape.len()], data: value.data };
    let one = call.constant(one, element)?;
    call.finish(Op::Expand, &[one], shape)
}

/// Shape; static for every value, constant or not.
pub(in super::super) fn shape(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let shape = call.shape(call.input(0)?);
    let rank = i64::try_from(shape.len()).unwrap_or(0);
    let bound = |value: i64| {
        let index = if value < 0 { value.saturating_add(rank) } else { value };
        usize::try_from(index.clamp(0, rank)).unwrap_or(0)
    };
    let start = bound(call.int("start")?.unwrap_or(0));
    let end = bound(call.int("end")?.unwrap_or(rank)).max(start);
    let values = shape[start..end].iter().map(|&extent| extent as i64).collect();
    bind_constant(call, extents_tensor(values), Element::I64)
}

/// Size: the number of elements.
pub(in super::super) fn size(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let count = checked_count(&call.shape(call.input(0)?))? as i64;
    bind_constant(call, Tensor { shape: Vec::new(), data: Data::I64(vec![count]) }, Element::I64)
}

/// Cast.
pub(in super::super) fn cast(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let code = call.int("to")?.unwrap_or(0);
    let to = Element::from_code(code).map_err(|name| {
        Fault::at("to", format!("element type {name} is not supported"), "export without this cast")
    })?;
    cast_to(call, to)
}

/// CastLike: the target type is that of the second input.
pub(in super::super) fn cast_like(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let to = call.element(call.input(1)?);
    cast_to(call, to)
}

fn cast_to(call: &mut Call<'_, '_>, to: Element) -> Result<(), Fault> {
    let input = call.input(0)?;
    let from = call.element(input);
    if from == to {
        return call.bind(0, input);
    }
    if let Some(tensor) = call.constant_of(input) {
        let (shape, count) = (tensor.shape.clone(), tensor.len());
        call.afford(count, to)?;
        let data = call.constant_of(input).and_then(|tensor| cast_data(&tensor.data, from, to));
        let data = data.ok_or_else(|| {
            let what = format!("a {} constant does not convert to {}", from.name(), to.name());
            Fault::at("to", what, "export with constants folded")
        })?;
        return bind_constant(call, Tensor { shape, data }, to);
    }
    if from.is_float() && to.is_float() {
        for element in [from, to] {
            if matches!(element, Element::F16 | Element::BF16) {
                call.note_precision(element);
            }
        }
        return call.bind(0, input);
    }
    if to.is_float() && (from.is_quantized() || matches!(from, Element::I32 | Element::I64)) {
        return dequantize_by_one(call, input, from);
    }
    let what = format!("a cast from {} to {} at run time is not supported", from.name(), to.name());
    Err(Fault::at("to", what, "export a network that computes on floats"))
}

/// An integer becomes a float by dequantizing with scale 1 and zero point 0, which is the same function.
fn dequantize_by_one(call: &mut Call<'_, '_>, input: ValueId, from: Element) -> Result<(), Fault> {
    let shape = call.shape(input);
    let scale = call.scalar(1.0)?;
    let zero = from.integers(vec![0]).ok_or_else(|| type_fault(from))?;
    let zero = call.constant(Tensor { shape: Vec::new(), data: zero }, from)?;
    call.finish(Op::Dequantize { axis: 0 }, &[input, scale, zero], shape)
}

/// Converts constants; `None` when a value does not fit, or depends on precision that f32 does not have.
fn cast_data(data: &Data, from: Element, to: Element) -> Option<Data> {
    let integers: Vec<i64> = match data {
        Data::F32(values) if to.is_float() => {
            return Some(Data::F32(values.iter().map(|&value| to.round(value)).collect()));
        }
        Data::F32(values) if to == Element::Bool => {
            return Some(Data::Bool(values.iter().map(|&value| value != 0.0).collect()));
        }
        Data::F32(_) if from != Element::F32 => return None,
        Data::F32(values) => values.iter().map(|&value| truncate(value)).collect::<Option<_>>()?,
        Data::I64(values) => values.clone(),
        Data::I8(values) => values.iter().map(|&value| i64::from(value)).collect(),
        Data::U8(values) => values.iter().map(|&value| i64::from(value)).collect(),
        Data::Bool(values) => values.iter().map(|&value| i64::from(value)).collect(),
    };
    if to.is_float() {
        #[allow(clippy::cast_precision_loss)] // The conversion ONNX Cast defines: rounding to nearest.
        return Some(Data::F32(integers.iter().map(|&value| to.round(value as f32)).collect()));
    }
    if to == Element::Bool {
        return Some(Data::Bool(integers.iter().map(|&value| value != 0).collect()));
    }
    to.integers(integers)
}

/// A float towards zero, when an i64 holds it.
fn truncate(value: f32) -> Option<i64> {
    let whole = value.trunc();
    #[allow(clippy::cast_possible_truncation)] // In range by the test.
    (whole.abs() < 9.2e18).then_some(whole as i64)
}

/// Range.
pub(in super::super) fn range(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let element = call.element(call.input(0)?);
    let one = |index: usize| match &known(call, index)?.data {
        Data::I64(values) if values.len() == 1 => Ok(values[0]),
        _ => Err(type_fault(element)),
    };
    let (start, limit, delta) = (one(0)?, one(1)?, one(2)?);
    let span = if delta < 0 { start.checked_sub(limit) } else { limit.checked_sub(start) };
    let count = match (span, delta.checked_abs()) {
        (Some(span), Some(delta)) if delta > 0 => {
            if span <= 0 {
                0
            } else {
                (span - 1) / delta + 1
            }
        }
        _ => return Err(Fault::new("the step is 0 or the range overflows", EXPORT_STATIC)),
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    call.afford(checked_count(&[count])?, element)?;
    let values = std::iter::successors(Some(start), |&value| value.checked_add(delta)).take(count).collect();
    bind_constant(call, extents_tensor(values), element)
}

/// Floor, Ceil and Round (half to even) of constants.
pub(in super::super) fn rounding(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let element = call.element(call.input(0)?);
    let tensor = known(call, 0)?;
    let Data::F32(values) = &tensor.data else { return Err(type_fault(element)) };
    if element != Element::F32 {
        return Err(type_fault(element));
    }
    let round = match call.op() {
        "Floor" => f32::floor,
        "Ceil" => f32::ceil,
        _ => f32::round_ties_even,
    };
    let rounded = Tensor::f32(tensor.shape.clone(), values.iter().map(|&value| round(value)).collect());
    bind_constant(call, rounded, element)
}

/// Shapes the two constants broadcast to, after the budget allows both copies.
fn pair_shape(call: &mut Call<'_, '_>, first: usize) -> Result<Vec<usize>, Fault> {
    let (a, b) = (known(call, first)?.shape.clone(), known(call, first + 1)?.shape.clone());
    let shape = broadcast(&a, &b)?;
    call.afford(checked_count(&shape)?.saturating_mul(2), Element::I64)?;
    Ok(shape)
}

/// Equal, Less, Greater and their variants on constants.
pub(in super::super) fn compare(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let shape = pair_shape(call, 0)?;
    let (a, b) = (known(call, 0)?, known(call, 1)?);
    let data = match (&a.data, &b.data) {
        (Data::I64(x), Data::I64(y)) => compared(call.op(), (x, &a.shape), (y, &b.shape), &shape)?,
        (Data::F32(x), Data::F32(y)) => compared(call.op(), (x, &a.shape), (y, &b.shape), &shape)?,
        (Data::Bool(x), Data::Bool(y)) => compared(call.op(), (x, &a.shape), (y, &b.shape), &shape)?,
        _ => return Err(type_fault(call.element(call.input(0)?))),
    };
    bind_constant(call, Tensor { shape, data: Data::Bool(data) }, Element::Bool)
}

fn compared<T: Copy + PartialOrd>(
    op: &str,
    (a, a_shape): (&[T], &[usize]),
    (b, b_shape): (&[T], &[usize]),
    shape: &[usize],
) -> Result<Vec<bool>, Fault> {
    let holds = |a: &T, b: &T| match op {
        "Equal" => a == b,
        "Less" => a < b,
        "LessOrEqual" => a <= b,
        "Greater" => a > b,
        _ => a >= b,
    };
    let (a, b) = (stretch(a, a_shape, shape)?, stretch(b, b_shape, shape)?);
    Ok(a.iter().zip(&b).map(|(a, b)| holds(a, b)).collect())
}

/// And and Or of constants.
pub(in super::super) fn logic(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let shape = pair_shape(call, 0)?;
    let (a, b) = (known(call, 0)?, known(call, 1)?);
    let (Data::Bool(x), Data::Bool(y)) = (&a.data, &b.data) else {
        return Err(type_fault(call.element(call.input(0)?)));
    };
    let (x, y) = (stretch(x, &a.shape, &shape)?, stretch(y, &b.shape, &shape)?);
    let both = call.op() == "And";
    let data = x.iter().zip(&y).map(|(&x, &y)| if both { x && y } else { x || y }).collect();
    bind_constant(call, Tensor { shape, data: Data::Bool(data) }, Element::Bool)
}

/// Not of a constant.
pub(in super::super) fn not(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let tensor = known(call, 0)?;
    let Data::Bool(values) = &tensor.data else { return Err(type_fault(call.element(call.input(0)?))) };
    let data = Data::Bool(values.iter().map(|&value| !value).collect());
    let tensor = Tensor { shape: tensor.shape.clone(), data };
    bind_constant(call, tensor, Element::Bool)
}

/// Mod of integer constants: the sign follows the divisor, or the dividend with `fmod`.
pub(in super::super) fn modulo(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let c_sign = call.flag("fmod")?;
    let element = call.element(call.input(0)?);
    let shape = pair_shape(call, 0)?;
    let (a, b) = (known(call, 0)?, known(call, 1)?);
    let (Data::I64(x), Data::I64(y)) = (&a.data, &b.data) else { return Err(type_fault(element)) };
    let (x, y) = (stretch(x, &a.shape, &shape)?, stretch(y, &b.shape, &shape)?);
    let remainder = |(&x, &y): (&i64, &i64)| {
        let remainder = x.checked_rem(y)?;
        let other_sign = remainder != 0 && (remainder < 0) != (y < 0);
        Some(if other_sign && !c_sign { remainder + y } else { remainder })
    };
    let values: Option<Vec<i64>> = x.iter().zip(&y).map(remainder).collect();
    let values = values.ok_or_else(|| Fault::new("a division by zero", EXPORT_STATIC))?;
    bind_constant(call, Tensor { shape, data: Data::I64(values) }, element)
}

/// Where on constants.
pub(in super::super) fn select(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let element = call.element(call.input(1)?);
    let condition_shape = known(call, 0)?.shape.clone();
    let shape = broadcast(&condition_shape, &pair_shape(call, 1)?)?;
    call.afford(checked_count(&shape)?.saturating_mul(2), Element::I64)?;
    let (condition, x, y) = (known(call, 0)?, known(call, 1)?, known(call, 2)?);
    let Data::Bool(choices) = &condition.data else { return Err(type_fault(element)) };
    let choices = stretch(choices, &condition.shape, &shape)?;
    let data = match (&x.data, &y.data) {
        (Data::I64(a), Data::I64(b)) => {
            Data::I64(selected(&choices, &stretch(a, &x.shape, &shape)?, &stretch(b, &y.shape, &shape)?))
        }
        (Data::F32(a), Data::F32(b)) => {
            Data::F32(selected(&choices, &stretch(a, &x.shape, &shape)?, &stretch(b, &y.shape, &shape)?))
        }
        _ => return Err(type_fault(element)),
    };
    bind_constant(call, Tensor { shape, data }, element)
}

fn selected<T: Copy>(choices: &[bool], a: &[T], b: &[T]) -> Vec<T> {
    choices.iter().zip(a.iter().zip(b)).map(|(&choice, (&a, &b))| if choice { a } else { b }).collect()
}

/// ReduceProd of integer constants.
pub(in super::super) fn reduce_product(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let element = call.element(call.input(0)?);
    let shape = known(call, 0)?.shape.clone();
    let Some(axes) = reduced_axes(call, shape.len())? else {
        let input = call.input(0)?;
        return call.bind(0, input);
    };
    let keepdims = keep_dims(call)?;
    let Data::I64(values) = &known(call, 0)?.data else { return Err(type_fault(element)) };
    let values = reduce_integers(values, &shape, &axes, i64::checked_mul)?;
    let shape = reduced_shape(&shape, &axes, keepdims);
    bind_constant(call, Tensor { shape, data: Data::I64(values) }, element)
}
