//! Slice, Split and Gather with constant bounds and indices.

use super::super::call::Call;
use super::super::element::Element;
use super::super::problem::Fault;
use super::axis;
use crate::network::{Data, Op, Tensor};

/// Largest step of a Slice.
const STEP_MAX: i64 = 1 << 24;

/// Slice before operator set 10: bounds are attributes.
pub(in super::super) fn slice_attributes(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let starts = call.ints("starts")?.unwrap_or_default();
    let ends = call.ints("ends")?.unwrap_or_default();
    let axes = call.ints("axes")?;
    slice(call, starts, ends, axes, None)
}

/// Slice from operator set 10: bounds are constant inputs.
pub(in super::super) fn slice_inputs(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let starts = call.constant_ints(1, "starts")?.unwrap_or_default();
    let ends = call.constant_ints(2, "ends")?.unwrap_or_default();
    let axes = call.constant_ints(3, "axes")?;
    let steps = call.constant_ints(4, "steps")?;
    slice(call, &starts, &ends, axes.as_deref(), steps.as_deref())
}

fn slice(
    call: &mut Call<'_, '_>,
    starts: &[i64],
    ends: &[i64],
    axes: Option<&[i64]>,
    steps: Option<&[i64]>,
) -> Result<(), Fault> {
    let input = call.input(0)?;
    let shape = call.shape(input);
    let count = starts.len();
    let same = ends.len() == count
        && axes.is_none_or(|axes| axes.len() == count)
        && steps.is_none_or(|steps| steps.len() == count);
    if !same || count > shape.len() {
        let what = "starts, ends, axes and steps differ in length, or exceed the input's axes";
        return Err(Fault::new(what, "export the model again"));
    }
    let mut start = vec![0; shape.len()];
    let mut step = vec![1; shape.len()];
    let mut sliced = shape.clone();
    let mut seen = vec![false; shape.len()];
    for index in 0..count {
        let stated = axes.map_or(i64::try_from(index).unwrap_or(0), |axes| axes[index]);
        let at = axis("axes", stated, shape.len())?;
        if std::mem::replace(&mut seen[at], true) {
            return Err(Fault::at("axes", format!("axis {at} is sliced twice"), "export the model again"));
        }
        step[at] = steps.map_or(1, |steps| steps[index]);
        (start[at], sliced[at]) = bounds(shape[at], starts[index], ends[index], step[at])?;
    }
    call.finish(Op::Slice { start, step }, &[input], sliced)
}

/// First index and count of a slice of one axis; bounds are clamped as the operator's documentation says.
fn bounds(extent: usize, start: i64, end: i64, step: i64) -> Result<(usize, usize), Fault> {
    if step == 0 || !(-STEP_MAX..=STEP_MAX).contains(&step) {
        let what = format!("step {step} is 0 or beyond {STEP_MAX}");
        return Err(Fault::at("steps", what, "export the model again"));
    }
    let extent = i64::try_from(extent).unwrap_or(i64::MAX);
    let from_end = |bound: i64| if bound < 0 { bound.saturating_add(extent) } else { bound };
    let (first, span) = if step > 0 {
        let first = from_end(start).clamp(0, extent);
        (first, from_end(end).clamp(0, extent) - first)
    } else {
        let first = from_end(start).clamp(0, (extent - 1).max(0));
        (first, first - from_end(end).clamp(-1, extent - 1))
    };
    let count = if span <= 0 || extent == 0 { 0 } else { (span - 1) / step.abs() + 1 };
    let first = if count == 0 { 0 } else { first };
    Ok((usize::try_from(first).unwrap_or(0), usize::try_from(count).unwrap_or(0)))
}

/// Split: one Slice for each output that is read.
pub(in super::super) fn split(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let input = call.input(0)?;
    let shape = call.shape(input);
    let at = axis("axis", call.int("axis")?.unwrap_or(0), shape.len())?;
    let sizes = split_sizes(call, shape[at])?;
    if sizes.len() != call.output_count() {
        let what = format!("{} parts for {} outputs", sizes.len(), call.output_count());
        return Err(Fault::at("split", what, "export the model again"));
    }
    let mut offset = 0;
    for (index, &size) in sizes.iter().enumerate() {
        let mut start = vec![0; shape.len()];
        start[at] = offset;
        offset += size;
        if !call.output_used(index) {
            continue;
        }
        let mut part = shape.clone();
        part[at] = size;
        let step = vec![1; shape.len()];
        let id = call.emit(Op::Slice { start, step }, &[input], part)?;
        call.bind(index, id)?;
    }
    Ok(())
}

/// Part sizes; they add up to `extent`.
fn split_sizes(call: &Call<'_, '_>, extent: usize) -> Result<Vec<usize>, Fault> {
    let stated = match call.ints("split")? {
        Some(list) => Some(list.to_vec()),
        None => call.constant_ints(1, "split")?,
    };
    let fault = |what: String| Fault::at("split", what, "export the model again");
    if let Some(list) = stated {
        let sizes = list.iter().map(|&size| usize::try_from(size)).collect::<Result<Vec<_>, _>>();
        let sizes = sizes.map_err(|_| fault("a part is negative".into()))?;
        let total = sizes.iter().try_fold(0usize, |total, &size| total.checked_add(size));
        return match total == Some(extent) {
            true => Ok(sizes),
            false => Err(fault(format!("parts {list:?} do not add up to {extent}"))),
        };
    }
    let outputs = call.output_count();
    let parts = match call.int("num_outputs")? {
        None => outputs,
        Some(parts) => usize::try_from(parts).unwrap_or(0),
    };
    if parts == 0 || parts != outputs {
        return Err(fault(format!("{parts} parts for {outputs} outputs")));
    }
    if call.opset() < 18 && !extent.is_multiple_of(parts) {
        return Err(fault(format!("an extent of {extent} does not split into {parts} equal parts")));
    }
    let size = extent.div_ceil(parts);
    let sizes: Vec<usize> = (0..parts).map(|part| extent.saturating_sub(part * size).min(size)).collect();
    Ok(sizes)
}

/// Gather with constant indices; negative ones count from the end.
pub(in super::super) fn gather(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let input = call.input(0)?;
    let shape = call.shape(input);
    let at = axis("axis", call.int("axis")?.unwrap_or(0), shape.len())?;
    let list = call.constant_ints(1, "indices")?.unwrap_or_default();
    let indices_shape = call.shape(call.input(1)?);
    let normalized = list.iter().map(|&index| axis("indices", index, shape[at]).map(|index| index as i64));
    let normalized = normalized.collect::<Result<Vec<i64>, Fault>>()?;
    let mut gathered = shape[..at].to_vec();
    gathered.extend(&indices_shape);
    gathered.extend(&shape[at + 1..]);
    let indices = match normalized == list {
        true => call.input(1)?,
        false => {
            let tensor = Tensor { shape: indices_shape, data: Data::I64(normalized) };
            call.constant(tensor, Element::I64)?
        }
    };
    call.finish(Op::Gather { axis: at }, &[input, indices], gathered)
}
