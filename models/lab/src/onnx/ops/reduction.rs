//! Reduce operators, global pools, ArgMax and softmax.

use super::super::call::Call;
use super::super::problem::Fault;
use super::{axes, axis};
use crate::network::{Op, Reduction, Unary};

/// The axes of a Reduce operator, from its attribute or second input; `None` when it changes nothing.
pub(super) fn reduced_axes(call: &Call<'_, '_>, rank: usize) -> Result<Option<Vec<usize>>, Fault> {
    let list = match call.ints("axes")? {
        Some(list) => Some(list.to_vec()),
        None => call.constant_ints(1, "axes")?,
    };
    match list {
        Some(list) if !list.is_empty() => axes("axes", &list, rank).map(Some),
        _ if call.flag("noop_with_empty_axes")? => Ok(None),
        _ => Ok(Some((0..rank).collect())),
    }
}

/// `keepdims`, true if absent.
pub(super) fn keep_dims(call: &Call<'_, '_>) -> Result<bool, Fault> {
    if call.has("keepdims") { call.flag("keepdims") } else { Ok(true) }
}

/// Shape after reducing `axes`.
pub(super) fn reduced_shape(shape: &[usize], axes: &[usize], keepdims: bool) -> Vec<usize> {
    shape
        .iter()
        .enumerate()
        .filter_map(|(axis, &extent)| match axes.contains(&axis) {
            true => keepdims.then_some(1),
            false => Some(extent),
        })
        .collect()
}

/// ReduceSum, -Mean, -Max, -Min, -L1, -L2, -SumSquare, -LogSum and -LogSumExp.
pub(in super::super) fn reduce(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let (reduction, log) = match call.op() {
        "ReduceSum" => (Reduction::Sum, false),
        "ReduceMean" => (Reduction::Mean, false),
        "ReduceMax" => (Reduction::Max, false),
        "ReduceMin" => (Reduction::Min, false),
        "ReduceL1" => (Reduction::L1, false),
        "ReduceL2" => (Reduction::L2, false),
        "ReduceSumSquare" => (Reduction::SumSquare, false),
        "ReduceLogSum" => (Reduction::Sum, true),
        _ => (Reduction::LogSumExp, false),
    };
    let input = call.input(0)?;
    let shape = call.shape(input);
    let Some(axes) = reduced_axes(call, shape.len())? else {
        let unchanged =
            matches!(reduction, Reduction::Sum | Reduction::Mean | Reduction::Max | Reduction::Min) && !log;
        if !unchanged || !call.element(input).is_float() {
            let what = "an empty list of axes is not supported here";
            return Err(Fault::at("noop_with_empty_axes", what, "name the axes"));
        }
        return call.bind(0, input);
    };
    let keepdims = keep_dims(call)?;
    let reduced = reduced_shape(&shape, &axes, keepdims);
    let mut result = call.emit(Op::Reduce { reduction, axes, keepdims }, &[input], reduced.clone())?;
    if log {
        result = call.emit(Op::Unary(Unary::Log), &[result], reduced)?;
    }
    call.bind(0, result)
}

/// GlobalAveragePool and GlobalMaxPool: a reduction of every position.
pub(in super::super) fn global_pool(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let input = call.input(0)?;
    let shape = call.shape(input);
    if shape.len() < 3 {
        let what = format!("an input of shape {shape:?} has no positions");
        return Err(Fault::new(what, "export a network with NCHW input"));
    }
    let reduction = if call.op() == "GlobalMaxPool" { Reduction::Max } else { Reduction::Mean };
    let axes: Vec<usize> = (2..shape.len()).collect();
    let reduced = reduced_shape(&shape, &axes, true);
    call.finish(Op::Reduce { reduction, axes, keepdims: true }, &[input], reduced)
}

/// ArgMax; its result is int64.
pub(in super::super) fn arg_max(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let input = call.input(0)?;
    let shape = call.shape(input);
    let axis = axis("axis", call.int("axis")?.unwrap_or(0), shape.len())?;
    let keepdims = keep_dims(call)?;
    let last = call.flag("select_last_index")?;
    let reduced = reduced_shape(&shape, &[axis], keepdims);
    call.finish(Op::ArgMax { axis, keepdims, last }, &[input], reduced)
}

/// Softmax and LogSoftmax. Before operator set 13 the input is first flattened to a matrix at `axis`.
pub(in super::super) fn softmax(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let log = call.op() == "LogSoftmax";
    let input = call.input(0)?;
    let shape = call.shape(input);
    let flattens = call.opset() < 13;
    let default = if flattens { 1 } else { -1 };
    let axis = axis("axis", call.int("axis")?.unwrap_or(default), shape.len())?;
    let inner: usize = shape.iter().skip(axis + 1).product();
    if !flattens || inner == 1 {
        return call.finish(Op::Softmax { axis, log }, &[input], shape);
    }
    let rows = shape.iter().take(axis).product();
    let flat = vec![rows, shape[axis] * inner];
    let matrix = call.emit(Op::Reshape, &[input], flat.clone())?;
    let result = call.emit(Op::Softmax { axis: 1, log }, &[matrix], flat)?;
    call.finish(Op::Reshape, &[result], shape)
}
