//! Pad; a negative pad becomes a Slice.

use super::super::call::Call;
use super::super::problem::Fault;
use super::listed_axes;
use crate::network::{Op, PadMode};

/// Largest padding on one side.
const PAD_MAX: i64 = 1 << 16;

/// Pad before operator set 11: everything is an attribute.
pub(in super::super) fn pad_attributes(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let pads = call.ints("pads")?.unwrap_or_default().to_vec();
    let value = call.float("value")?.unwrap_or(0.0);
    let axes = (0..call.shape(call.input(0)?).len()).collect::<Vec<usize>>();
    pad(call, &pads, value, &axes)
}

/// Pad from operator set 11: pads, value and axes are constant inputs.
pub(in super::super) fn pad_inputs(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let rank = call.shape(call.input(0)?).len();
    let pads = call.constant_ints(1, "pads")?.unwrap_or_default();
    let value = match call.constant_floats(2, "constant_value") {
        Ok(None) => 0.0,
        Ok(Some(values)) => match values.as_slice() {
            [] => 0.0,
            [value] => *value,
            _ => return Err(Fault::at("constant_value", "not one number", "export the model again")),
        },
        // The value of an integer Pad is only reached by pads, which are then refused by type.
        Err(_) if !call.element(call.input(0)?).is_float() => 0.0,
        Err(fault) => return Err(fault),
    };
    let axes = match call.constant_ints(3, "axes")? {
        None => (0..rank).collect(),
        Some(list) => listed_axes("axes", &list, rank)?,
    };
    pad(call, &pads, value, &axes)
}

fn pad(call: &mut Call<'_, '_>, pads: &[i64], value: f32, axes: &[usize]) -> Result<(), Fault> {
    let input = call.input(0)?;
    let shape = call.shape(input);
    let mode = match call.text("mode", "constant")? {
        "constant" if value.is_nan() => {
            return Err(Fault::at("constant_value", "the value is NaN", "pad with a number"));
        }
        "constant" => PadMode::Constant(value),
        "edge" => PadMode::Edge,
        "reflect" => PadMode::Reflect,
        other => {
            let what = format!("mode {} is not supported", super::super::problem::quote(other));
            return Err(Fault::at("mode", what, "use constant, edge or reflect"));
        }
    };
    let sides = sides(pads, axes, shape.len())?;
    let (start, cropped) = crop(&sides, &shape, mode)?;
    let mut value = input;
    if cropped != shape {
        let step = vec![1; shape.len()];
        value = call.emit(Op::Slice { start, step }, &[value], cropped.clone())?;
    }
    let grow: Vec<usize> = sides.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
    let (begins, ends) = grow.split_at(shape.len());
    let mut padded = Vec::with_capacity(shape.len());
    for ((&extent, &begin), &end) in cropped.iter().zip(begins).zip(ends) {
        if mode == PadMode::Reflect && begin.max(end) >= extent.max(1) {
            let what = format!("reflecting {begin} and {end} pixels of an extent of {extent}");
            return Err(Fault::at("pads", what, "pad by less than the extent"));
        }
        padded.push(extent.saturating_add(begin).saturating_add(end));
    }
    if grow.iter().any(|&side| side > 0) {
        value = call.emit(Op::Pad { pads: grow, mode }, &[value], padded)?;
    }
    call.bind(0, value)
}

/// Begin and end pads of all axes from those of the listed axes.
fn sides(pads: &[i64], axes: &[usize], rank: usize) -> Result<Vec<i64>, Fault> {
    if pads.len() != 2 * axes.len() || pads.iter().any(|pad| !(-PAD_MAX..=PAD_MAX).contains(pad)) {
        let what = format!("{pads:?} is not two pads of at most {PAD_MAX} for each of {} axes", axes.len());
        return Err(Fault::at("pads", what, "export the model again"));
    }
    let (begins, ends) = pads.split_at(axes.len());
    let mut sides = vec![0; 2 * rank];
    for ((&axis, &begin), &end) in axes.iter().zip(begins).zip(ends) {
        sides[axis] = begin;
        sides[axis + rank] = end;
    }
    Ok(sides)
}

/// Where negative pads start reading, and the shape they leave.
fn crop(sides: &[i64], shape: &[usize], mode: PadMode) -> Result<(Vec<usize>, Vec<usize>), Fault> {
    let (begins, ends) = sides.split_at(shape.len());
    let mut start = Vec::with_capacity(shape.len());
    let mut cropped = Vec::with_capacity(shape.len());
    for ((&extent, &begin), &end) in shape.iter().zip(begins).zip(ends) {
        if begin.min(end) < 0 && !matches!(mode, PadMode::Constant(_)) {
            let what = "negative pads are supported with constant mode only";
            return Err(Fault::at("pads", what, "crop with Slice before padding"));
        }
        let cut = |side: i64| usize::try_from(side.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        let left = extent.checked_sub(cut(begin)).and_then(|left| left.checked_sub(cut(end)));
        let left = left.filter(|&left| left > 0 || extent == 0).ok_or_else(|| {
            let what = format!("pads {begin} and {end} remove all of an extent of {extent}");
            Fault::at("pads", what, "crop less")
        })?;
        start.push(cut(begin));
        cropped.push(left);
    }
    Ok((start, cropped))
}
