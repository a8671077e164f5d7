//! Evaluates operators on constants: shape arithmetic and the float folds exporters leave behind.

use super::problem::Fault;
use crate::network::{Binary, Data, Op, Reduction, Tensor, Unary};

/// Applies an expression to the elements of any [`Data`], keeping its variant.
macro_rules! each_variant {
    ($data:expr, $elements:ident => $result:expr) => {
        match $data {
            Data::F32($elements) => Data::F32($result),
            Data::I64($elements) => Data::I64($result),
            Data::I8($elements) => Data::I8($result),
            Data::U8($elements) => Data::U8($result),
            Data::Bool($elements) => Data::Bool($result),
        }
    };
}

/// True when [`fold`] can evaluate `op` on these constants.
pub(super) fn can_fold(op: &Op, inputs: &[&Tensor]) -> bool {
    let same = |test: fn(&Data) -> bool| inputs.iter().all(|tensor| test(&tensor.data));
    let floats = same(|data| matches!(data, Data::F32(_)));
    let integers = same(|data| matches!(data, Data::I64(_)));
    match op {
        Op::Reshape | Op::Transpose { .. } | Op::Slice { .. } | Op::Expand => true,
        Op::Concat { .. } | Op::Gather { .. } => true,
        Op::Binary(_) => floats || integers,
        Op::Unary(Unary::Neg | Unary::Abs) => floats || integers,
        Op::Unary(Unary::Sqrt | Unary::Reciprocal | Unary::Exp | Unary::Log) => floats,
        Op::Unary(Unary::Relu | Unary::Clip { .. }) => floats,
        Op::Reduce { reduction: Reduction::Sum | Reduction::Max | Reduction::Min, .. } => integers,
        _ => false,
    }
}

/// The elements of `op` applied to constants, row-major in `shape`; only where [`can_fold`] holds.
///
/// # Errors
/// When integer arithmetic overflows or divides by zero.
pub(super) fn fold(op: &Op, inputs: &[&Tensor], shape: &[usize]) -> Result<Data, Fault> {
    let first = inputs.first().ok_or_else(outside)?;
    match op {
        Op::Reshape => Ok(first.data.clone()),
        Op::Transpose { permutation } => {
            let strides = strides(&first.shape);
            let strides: Option<Vec<isize>> =
                permutation.iter().map(|&axis| strides.get(axis).copied()).collect();
            strided(&first.data, 0, shape, &strides.ok_or_else(outside)?)
        }
        Op::Slice { start, step } => {
            let strides = strides(&first.shape);
            let mut base = 0isize;
            let mut steps = Vec::with_capacity(strides.len());
            for ((&stride, &start), &step) in strides.iter().zip(start).zip(step) {
                let start = isize::try_from(start).map_err(|_| outside())?;
                let step = isize::try_from(step).map_err(|_| outside())?;
                base += start * stride;
                // A step beyond every extent is only ever taken zero times.
                steps.push(step.saturating_mul(stride));
            }
            strided(&first.data, base, shape, &steps)
        }
        Op::Expand => strided(&first.data, 0, shape, &broadcast_strides(&first.shape, shape)),
        Op::Concat { axis } => concat(*axis, inputs),
        Op::Gather { axis } => gather(*axis, first, inputs.get(1).ok_or_else(outside)?),
        Op::Binary(binary) => fold_binary(*binary, first, inputs.get(1).ok_or_else(outside)?, shape),
        Op::Unary(unary) => fold_unary(*unary, &first.data),
        Op::Reduce { reduction, axes, .. } => fold_reduce(*reduction, first, axes),
        _ => Err(outside()),
    }
}

fn outside() -> Fault {
    Fault::new("a constant could not be folded", "export the model with constants folded")
}

fn overflow() -> Fault {
    Fault::new("its shape arithmetic overflows or divides by zero", "export with static shapes")
}

/// Row-major element strides.
fn strides(shape: &[usize]) -> Vec<isize> {
    let mut stride = 1isize;
    let mut strides = vec![0; shape.len()];
    for (slot, &extent) in strides.iter_mut().zip(shape).rev() {
        *slot = stride;
        stride = stride.saturating_mul(isize::try_from(extent).unwrap_or(isize::MAX));
    }
    strides
}

/// Strides that read a tensor of shape `from` as if broadcast to `to`: 0 along stretched axes.
fn broadcast_strides(from: &[usize], to: &[usize]) -> Vec<isize> {
    let own = strides(from);
    let lead = to.len().saturating_sub(from.len());
    (0..to.len())
        .map(|axis| match axis.checked_sub(lead) {
            Some(axis) if from.get(axis) != Some(&1) => own.get(axis).copied().unwrap_or(0),
            _ => 0,
        })
        .collect()
}

/// Offsets of a strided walk over `extents`, in row-major order.
fn offsets(base: isize, extents: &[usize], strides: &[isize]) -> impl Iterator<Item = Option<usize>> {
    let count: usize = extents.iter().product();
    let mut index = vec![0usize; extents.len()];
    let mut offset = base;
    (0..count).map(move |_| {
        let current = usize::try_from(offset).ok();
        for ((position, &extent), &stride) in index.iter_mut().zip(extents).zip(strides).rev() {
            *position += 1;
            offset = offset.saturating_add(stride);
            if *position < extent {
                break;
            }
            let back = stride.saturating_mul(isize::try_from(extent).unwrap_or(isize::MAX));
            offset = offset.saturating_sub(back);
            *position = 0;
        }
        current
    })
}

fn pick<T: Copy>(source: &[T], offsets: impl Iterator<Item = Option<usize>>) -> Result<Vec<T>, Fault> {
    // A walk that knows its length reserves it; growing by doubling would keep up to twice the memory.
    let mut picked = Vec::with_capacity(offsets.size_hint().1.unwrap_or(0));
    for offset in offsets {
        picked.push(offset.and_then(|offset| source.get(offset).copied()).ok_or_else(outside)?);
    }
    Ok(picked)
}

fn strided(data: &Data, base: isize, extents: &[usize], strides: &[isize]) -> Result<Data, Fault> {
    Ok(each_variant!(data, elements => pick(elements, offsets(base, extents, strides))?))
}

/// `values` of shape `from` broadcast to `to`.
pub(super) fn broadcast<T: Copy>(values: &[T], from: &[usize], to: &[usize]) -> Result<Vec<T>, Fault> {
    pick(values, offsets(0, to, &broadcast_strides(from, to)))
}

fn gather(axis: usize, data: &Tensor, indices: &Tensor) -> Result<Data, Fault> {
    let Data::I64(indices) = &indices.data else { return Err(outside()) };
    let extent = *data.shape.get(axis).ok_or_else(outside)?;
    let inner: usize = data.shape.iter().skip(axis + 1).product();
    let outer: usize = data.shape.iter().take(axis).product();
    let offsets = (0..outer).flat_map(|row| {
        indices.iter().flat_map(move |&index| {
            let start = usize::try_from(index).ok().map(|index| (row * extent + index) * inner);
            (0..inner).map(move |column| start.map(|start| start + column))
        })
    });
    Ok(each_variant!(&data.data, elements => pick(elements, offsets)?))
}

fn concat(axis: usize, inputs: &[&Tensor]) -> Result<Data, Fault> {
    let first = inputs.first().ok_or_else(outside)?;
    let outer: usize = first.shape.iter().take(axis).product();
    /// Rows of every input, in turn.
    fn rows<T: Copy>(outer: usize, parts: &[(&[T], usize)]) -> Result<Vec<T>, Fault> {
        let mut joined = Vec::with_capacity(parts.iter().map(|(elements, _)| elements.len()).sum());
        for row in 0..outer {
            for (elements, length) in parts {
                let part = elements.get(row * length..(row + 1) * length).ok_or_else(outside)?;
                joined.extend_from_slice(part);
            }
        }
        Ok(joined)
    }
    macro_rules! join {
        ($variant:ident) => {{
            let mut parts = Vec::with_capacity(inputs.len());
            for tensor in inputs {
                let Data::$variant(elements) = &tensor.data else { return Err(outside()) };
                parts.push((elements.as_slice(), tensor.shape.iter().skip(axis).product()));
            }
            Ok(Data::$variant(rows(outer, &parts)?))
        }};
    }
    match &first.data {
        Data::F32(_) => join!(F32),
        Data::I64(_) => join!(I64),
        Data::I8(_) => join!(I8),
        Data::U8(_) => join!(U8),
        Data::Bool(_) => join!(Bool),
    }
}

fn fold_binary(binary: Binary, a: &Tensor, b: &Tensor, shape: &[usize]) -> Result<Data, Fault> {
    match (&a.data, &b.data) {
        (Data::F32(left), Data::F32(right)) => {
            let left = broadcast(left, &a.shape, shape)?;
            let right = broadcast(right, &b.shape, shape)?;
            let apply = |(a, b)| float_binary(binary, a, b);
            Ok(Data::F32(left.into_iter().zip(right).map(apply).collect()))
        }
        (Data::I64(left), Data::I64(right)) => {
            let left = broadcast(left, &a.shape, shape)?;
            let right = broadcast(right, &b.shape, shape)?;
            let apply = |(a, b)| integer_binary(binary, a, b).ok_or_else(overflow);
            Ok(Data::I64(left.into_iter().zip(right).map(apply).collect::<Result<_, _>>()?))
        }
        _ => Err(outside()),
    }
}

fn float_binary(binary: Binary, a: f32, b: f32) -> f32 {
    match binary {
        Binary::Max | Binary::Min if a.is_nan() || b.is_nan() => f32::NAN,
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => a.powf(b),
        Binary::Max => a.max(b),
        Binary::Min => a.min(b),
    }
}

/// Integer arithmetic; division truncates towards zero as ONNX Div does.
fn integer_binary(binary: Binary, a: i64, b: i64) -> Option<i64> {
    match binary {
        Binary::Add => a.checked_add(b),
        Binary::Sub => a.checked_sub(b),
        Binary::Mul => a.checked_mul(b),
        Binary::Div => a.checked_div(b),
        Binary::Pow => a.checked_pow(u32::try_from(b).ok()?),
        Binary::Max => Some(a.max(b)),
        Binary::Min => Some(a.min(b)),
    }
}

fn fold_unary(unary: Unary, data: &Data) -> Result<Data, Fault> {
    match data {
        Data::F32(values) => {
            let apply = |&value: &f32| match unary {
                Unary::Neg => Ok(-value),
                Unary::Abs => Ok(value.abs()),
                Unary::Sqrt => Ok(value.sqrt()),
                Unary::Reciprocal => Ok(1.0 / value),
                Unary::Exp => Ok(value.exp()),
                Unary::Log => Ok(value.ln()),
                // NaN stays NaN: the comparisons are written so that it fails them.
                Unary::Relu => Ok(if value < 0.0 { 0.0 } else { value }),
                Unary::Clip { low, high } => {
                    let raised = if value < low { low } else { value };
                    Ok(if raised > high { high } else { raised })
                }
                _ => Err(outside()),
            };
            Ok(Data::F32(values.iter().map(apply).collect::<Result<_, _>>()?))
        }
        Data::I64(values) => {
            let apply = |value: &i64| match unary {
                Unary::Neg => value.checked_neg().ok_or_else(overflow),
                Unary::Abs => value.checked_abs().ok_or_else(overflow),
                _ => Err(outside()),
            };
            Ok(Data::I64(values.iter().map(apply).collect::<Result<_, _>>()?))
        }
        _ => Err(outside()),
    }
}

fn fold_reduce(reduction: Reduction, tensor: &Tensor, axes: &[usize]) -> Result<Data, Fault> {
    let Data::I64(values) = &tensor.data else { return Err(outside()) };
    reduce_integers(values, &tensor.shape, axes, |a, b| match reduction {
        Reduction::Sum => a.checked_add(b),
        Reduction::Max => Some(a.max(b)),
        Reduction::Min => Some(a.min(b)),
        _ => None,
    })
    .map(Data::I64)
}

/// Folds integers along `axes` with `combine`.
///
/// # Errors
/// When `combine` overflows or nothing is left to combine.
pub(super) fn reduce_integers(
    values: &[i64],
    shape: &[usize],
    axes: &[usize],
    combine: impl Fn(i64, i64) -> Option<i64>,
) -> Result<Vec<i64>, Fault> {
    let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let own = strides(shape);
    let along = |list: &[usize]| -> (Vec<usize>, Vec<isize>) {
        list.iter().filter_map(|&axis| Some((*shape.get(axis)?, *own.get(axis)?))).unzip()
    };
    let (outer_extents, outer_strides) = along(&kept);
    let (inner_extents, inner_strides) = along(axes);
    let mut reduced = Vec::new();
    for base in offsets(0, &outer_extents, &outer_strides) {
        let base = base.and_then(|base| isize::try_from(base).ok()).ok_or_else(outside)?;
        let group = pick(values, offsets(base, &inner_extents, &inner_strides))?;
        let mut group = group.into_iter();
        let first = group.next().ok_or_else(outside)?;
        reduced.push(group.try_fold(first, &combine).ok_or_else(overflow)?);
    }
    Ok(reduced)
}
