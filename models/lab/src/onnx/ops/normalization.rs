//! Batch, instance, group and layer normalization in inference form.

use super::super::call::Call;
use super::super::problem::Fault;
use super::axis;
use crate::network::{Binary, Data, Op, Reduction, Tensor, Unary, ValueId};

fn epsilon(call: &Call<'_, '_>) -> Result<f32, Fault> {
    let epsilon = call.float("epsilon")?.unwrap_or(1e-5);
    if epsilon < 0.0 {
        return Err(Fault::at("epsilon", format!("{epsilon} is negative"), "export the model again"));
    }
    Ok(epsilon)
}

fn channels(call: &Call<'_, '_>, least_rank: usize) -> Result<(Vec<usize>, usize), Fault> {
    let shape = call.shape(call.input(0)?);
    match shape.get(1) {
        Some(&channels) if shape.len() >= least_rank && channels > 0 => Ok((shape, channels)),
        _ => Err(Fault::new(
            format!("the input of shape {shape:?} has no channels and positions"),
            "export a network with NCHW input",
        )),
    }
}

/// Input `index`, which must hold one value per channel.
fn per_channel(call: &Call<'_, '_>, index: usize, name: &str, channels: usize) -> Result<ValueId, Fault> {
    let id = call.input(index)?;
    let shape = call.shape(id);
    if shape != [channels] {
        let what = format!("shape {shape:?} is not one value for each of {channels} channels");
        return Err(Fault::at(name, what, "export the model again"));
    }
    Ok(id)
}

/// BatchNormalization with running statistics.
pub(in super::super) fn batch(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    if call.int("spatial")?.unwrap_or(1) != 1 {
        return Err(Fault::at("spatial", "statistics per position are not supported", "use spatial = 1"));
    }
    if call.flag("training_mode")? {
        let what = "the network was exported in training mode";
        return Err(Fault::at("training_mode", what, "call eval() on the network before the export"));
    }
    let (shape, channels) = channels(call, 2)?;
    let mut inputs = vec![call.input(0)?];
    for (index, name) in [(1, "scale"), (2, "B"), (3, "mean"), (4, "var")] {
        inputs.push(per_channel(call, index, name, channels)?);
    }
    if let Some(Tensor { data: Data::F32(variance), .. }) = call.constant_of(inputs[4])
        && variance.iter().any(|&value| value < 0.0)
    {
        return Err(Fault::at("var", "a variance is negative", "export a trained network"));
    }
    let epsilon = epsilon(call)?;
    call.finish(Op::BatchNorm { epsilon }, &inputs, shape)
}

/// InstanceNormalization: group normalization with as many groups as channels.
pub(in super::super) fn instance(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let (shape, channels) = channels(call, 3)?;
    let scale = per_channel(call, 1, "scale", channels)?;
    let bias = per_channel(call, 2, "B", channels)?;
    let epsilon = epsilon(call)?;
    grouped(call, channels, epsilon, [scale, bias], shape)
}

/// GroupNormalization; before version 21 scale and bias hold one value per group.
pub(in super::super) fn group(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    check_stash(call)?;
    let (shape, channels) = channels(call, 3)?;
    let stated = call.int("num_groups")?.unwrap_or(0);
    let groups = usize::try_from(stated)
        .ok()
        .filter(|&groups| groups > 0 && channels.is_multiple_of(groups))
        .ok_or_else(|| {
            let what = format!("{stated} groups do not divide {channels} channels");
            Fault::at("num_groups", what, "export the model again")
        })?;
    let mut affine = [call.input(1)?, call.input(2)?];
    for (id, name) in affine.iter_mut().zip(["scale", "bias"]) {
        *id = match call.opset() {
            21.. => per_channel(call, if name == "scale" { 1 } else { 2 }, name, channels)?,
            _ => repeat_per_group(call, *id, name, groups, channels / groups)?,
        };
    }
    let epsilon = epsilon(call)?;
    grouped(call, groups, epsilon, affine, shape)
}

/// A constant of one value per group, repeated for each of the group's channels.
fn repeat_per_group(
    call: &mut Call<'_, '_>,
    id: ValueId,
    name: &str,
    groups: usize,
    repeats: usize,
) -> Result<ValueId, Fault> {
    let element = call.element(id);
    match call.constant_of(id) {
        Some(Tensor { shape, data: Data::F32(values) }) if *shape == [groups] => {
            let values: Vec<f32> =
                values.iter().flat_map(|&value| std::iter::repeat_n(value, repeats)).collect();
            call.constant(Tensor::f32(vec![values.len()], values), element)
        }
        _ => {
            let what = format!("it is not a constant of one value for each of {groups} groups");
            Err(Fault::at(name, what, "export with operator set 21"))
        }
    }
}

fn check_stash(call: &Call<'_, '_>) -> Result<(), Fault> {
    match call.int("stash_type")?.unwrap_or(1) {
        1 => Ok(()),
        other => Err(Fault::at("stash_type", format!("{other} is not float"), "export with stash_type 1")),
    }
}

/// Emits GroupNorm over a 4-axis view of the input: positions of other ranks are laid out as (L, 1).
fn grouped(
    call: &mut Call<'_, '_>,
    groups: usize,
    epsilon: f32,
    affine: [ValueId; 2],
    shape: Vec<usize>,
) -> Result<(), Fault> {
    let op = Op::GroupNorm { groups, epsilon };
    let input = call.input(0)?;
    if shape.len() == 4 {
        return call.finish(op, &[input, affine[0], affine[1]], shape);
    }
    let positions = shape.iter().skip(2).product();
    let flat = vec![shape[0], shape[1], positions, 1];
    let viewed = call.emit(Op::Reshape, &[input], flat.clone())?;
    let normalized = call.emit(op, &[viewed, affine[0], affine[1]], flat)?;
    call.finish(Op::Reshape, &[normalized], shape)
}

/// LayerNormalization, written out: (x − mean) / √(mean((x − mean)²) + ε) · scale + bias over the last
/// axes.
pub(in super::super) fn layer(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    check_stash(call)?;
    let input = call.input(0)?;
    let shape = call.shape(input);
    let first = axis("axis", call.int("axis")?.unwrap_or(-1), shape.len())?;
    let axes: Vec<usize> = (first..shape.len()).collect();
    let normalized = &shape[first..];
    let mut affine = vec![call.input(1)?];
    affine.extend(call.optional(2));
    for &id in &affine {
        let own = call.shape(id);
        if own.len() > normalized.len() || super::broadcast(&own, normalized)? != normalized {
            let what = format!("scale or bias of shape {own:?} does not fit {normalized:?}");
            return Err(Fault::new(what, "export the model again"));
        }
    }
    let epsilon = epsilon(call)?;
    let epsilon = call.scalar(epsilon)?;
    let mut reduced = shape.clone();
    reduced.iter_mut().skip(first).for_each(|extent| *extent = 1);
    let mean = Op::Reduce { reduction: Reduction::Mean, axes, keepdims: true };
    let average = call.emit(mean.clone(), &[input], reduced.clone())?;
    let centred = call.emit(Op::Binary(Binary::Sub), &[input, average], shape.clone())?;
    let squared = call.emit(Op::Binary(Binary::Mul), &[centred, centred], shape.clone())?;
    let variance = call.emit(mean, &[squared], reduced.clone())?;
    let raised = call.emit(Op::Binary(Binary::Add), &[variance, epsilon], reduced.clone())?;
    let deviation = call.emit(Op::Unary(Unary::Sqrt), &[raised], reduced)?;
    if call.output_used(1) {
        call.bind(1, average)?;
    }
    if call.output_used(2) {
        let inverse = call.emit(Op::Unary(Unary::Reciprocal), &[deviation], call.shape(deviation))?;
        call.bind(2, inverse)?;
    }
    let mut result = call.emit(Op::Binary(Binary::Div), &[centred, deviation], shape.clone())?;
    for (id, binary) in affine.into_iter().zip([Binary::Mul, Binary::Add]) {
        result = call.emit(Op::Binary(binary), &[result, id], shape.clone())?;
    }
    call.bind(0, result)
}
