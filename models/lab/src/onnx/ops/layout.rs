//! Operators that move elements without computing: reshapes, transposes, concatenation, expansion.

use super::super::call::Call;
use super::super::model::RANK_MAX;
use super::super::problem::Fault;
use super::{axes, axis, broadcast, listed_axes};
use crate::network::{Data, Op, Tensor};

/// Identity, and Dropout of inference.
pub(in super::super) fn identity(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let input = call.input(0)?;
    call.bind(0, input)
}

/// Dropout from operator set 12, whose training mode is an input.
pub(in super::super) fn dropout(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let training = match call.constant_input(2, "training_mode")?.map(|tensor| &tensor.data) {
        None => false,
        Some(Data::Bool(values)) => values.iter().any(|&value| value),
        Some(_) => true,
    };
    if training {
        let what = "the network was exported in training mode";
        return Err(Fault::at("training_mode", what, "call eval() on the network before the export"));
    }
    identity(call)
}

fn reshape_to(call: &mut Call<'_, '_>, shape: Vec<usize>) -> Result<(), Fault> {
    let input = call.input(0)?;
    call.finish(Op::Reshape, &[input], shape)
}

/// Reshape: 0 copies an extent (unless `allowzero`), −1 takes what is left.
pub(in super::super) fn reshape(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let shape = call.shape(call.input(0)?);
    let wanted = call.constant_ints(1, "shape")?.unwrap_or_default();
    let fault = || {
        let what = format!("a value of shape {shape:?} cannot take shape {wanted:?}");
        Fault::at("shape", what, "check the input size the network was exported for")
    };
    let zero_copies = !call.flag("allowzero")?;
    let mut target = Vec::with_capacity(wanted.len().min(shape.len() + 8));
    let mut inferred = None;
    for (axis, &extent) in wanted.iter().enumerate() {
        target.push(match extent {
            0 if zero_copies => *shape.get(axis).ok_or_else(fault)?,
            -1 if inferred.is_none() => {
                inferred = Some(axis);
                1
            }
            extent => usize::try_from(extent).map_err(|_| fault())?,
        });
    }
    let count: usize = shape.iter().product();
    let stated =
        target.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent)).ok_or_else(fault)?;
    if let Some(axis) = inferred {
        target[axis] = count.checked_div(stated).ok_or_else(fault)?;
    }
    if target.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent)) != Some(count) {
        return Err(fault());
    }
    reshape_to(call, target)
}

/// Flatten to a matrix at `axis`.
pub(in super::super) fn flatten(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let shape = call.shape(call.input(0)?);
    // One past the last axis is allowed, so the axis is looked up in a shape with one more.
    let at = match call.int("axis")?.unwrap_or(1) {
        at if at < 0 => axis("axis", at, shape.len())?,
        at => axis("axis", at, shape.len() + 1)?,
    };
    let (rows, columns) = shape.split_at(at);
    reshape_to(call, vec![rows.iter().product(), columns.iter().product()])
}

/// `axes` from its attribute or its second input.
fn stated_axes(call: &Call<'_, '_>) -> Result<Option<Vec<i64>>, Fault> {
    match call.ints("axes")? {
        Some(list) => Ok(Some(list.to_vec())),
        None => call.constant_ints(1, "axes"),
    }
}

/// Squeeze; without axes, every extent of 1 goes.
pub(in super::super) fn squeeze(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let shape = call.shape(call.input(0)?);
    let dropped = match stated_axes(call)? {
        Some(list) => axes("axes", &list, shape.len())?,
        None => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect(),
    };
    if let Some(axis) = dropped.iter().find(|&&axis| shape[axis] != 1) {
        let what = format!("axis {axis} of shape {shape:?} does not have extent 1");
        return Err(Fault::at("axes", what, "check the input size the network was exported for"));
    }
    let kept = (0..shape.len()).filter(|axis| !dropped.contains(axis)).map(|axis| shape[axis]).collect();
    reshape_to(call, kept)
}

/// Unsqueeze; axes count in the output.
pub(in super::super) fn unsqueeze(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let shape = call.shape(call.input(0)?);
    let list = stated_axes(call)?.unwrap_or_default();
    let rank = shape.len() + list.len();
    if rank > RANK_MAX {
        return Err(Fault::at("axes", format!("the result has {rank} axes"), "use at most 8 axes"));
    }
    let added = axes("axes", &list, rank)?;
    let mut extents = shape.into_iter();
    let grown = (0..rank).map(|axis| if added.contains(&axis) { 1 } else { extents.next().unwrap_or(1) });
    let grown = grown.collect();
    reshape_to(call, grown)
}

/// Transpose; without `perm` the axes are reversed.
pub(in super::super) fn transpose(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let input = call.input(0)?;
    let shape = call.shape(input);
    let permutation: Vec<usize> = match call.ints("perm")? {
        None => (0..shape.len()).rev().collect(),
        Some(list) => listed_axes("perm", list, shape.len())?,
    };
    if permutation.len() != shape.len() {
        let what = format!("{permutation:?} is no permutation of {} axes", shape.len());
        return Err(Fault::at("perm", what, "export the model again"));
    }
    let permuted = permutation.iter().map(|&axis| shape[axis]).collect();
    call.finish(Op::Transpose { permutation }, &[input], permuted)
}

/// Concat.
pub(in super::super) fn concat(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let stated = call
        .int("axis")?
        .ok_or_else(|| Fault::at("axis", "the attribute is missing", "export the model again"))?;
    let first = call.shape(call.input(0)?);
    let axis = axis("axis", stated, first.len())?;
    let mut shape = first.clone();
    shape[axis] = 0;
    let mut inputs = Vec::with_capacity(call.input_count());
    for index in 0..call.input_count() {
        let input = call.input(index)?;
        let next = call.shape(input);
        let agrees = next.len() == shape.len()
            && (0..shape.len()).all(|other| other == axis || next[other] == shape[other]);
        if !agrees {
            let what = format!("shapes {first:?} and {next:?} differ beside axis {axis}");
            let fix = "use an input size the network's strides divide (often a multiple of 32)";
            return Err(Fault::new(what, fix));
        }
        // Some decoders join a part without channels; it adds nothing.
        if next[axis] > 0 {
            inputs.push(input);
        }
        shape[axis] = shape[axis].saturating_add(next[axis]);
    }
    if inputs.is_empty() {
        return identity(call);
    }
    call.finish(Op::Concat { axis }, &inputs, shape)
}

/// Expand to the broadcast of the input's shape and a constant shape.
pub(in super::super) fn expand(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let input = call.input(0)?;
    let wanted = extents(call, 1, "shape")?;
    let shape = broadcast(&call.shape(input), &wanted)?;
    call.finish(Op::Expand, &[input], shape)
}

/// A constant input as non-negative extents.
pub(super) fn extents(call: &Call<'_, '_>, index: usize, name: &str) -> Result<Vec<usize>, Fault> {
    let list = call.constant_ints(index, name)?.unwrap_or_default();
    list.iter()
        .map(|&extent| usize::try_from(extent))
        .collect::<Result<_, _>>()
        .map_err(|_| Fault::at(name, "an extent is negative", "export with static shapes"))
}

/// Tile: each axis is repeated by stretching an axis of 1 put before it.
pub(in super::super) fn tile(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let input = call.input(0)?;
    let shape = call.shape(input);
    let repeats = extents(call, 1, "repeats")?;
    let total = |(&repeat, &extent): (&usize, &usize)| repeat.checked_mul(extent);
    let tiled: Option<Vec<usize>> = repeats.iter().zip(&shape).map(total).collect();
    let tiled = tiled.filter(|tiled| tiled.len() == shape.len() && repeats.len() == shape.len());
    let tiled = tiled.ok_or_else(|| {
        let what = format!("{repeats:?} does not repeat a value of shape {shape:?}");
        Fault::at("repeats", what, "export the model again")
    })?;
    let mut split = Vec::new();
    let mut stretched = Vec::new();
    for (&repeat, &extent) in repeats.iter().zip(&shape) {
        if repeat != 1 {
            split.push(1);
            stretched.push(repeat);
        }
        split.push(extent);
        stretched.push(extent);
    }
    let split = call.emit(Op::Reshape, &[input], split)?;
    let stretched = call.emit(Op::Expand, &[split], stretched)?;
    call.finish(Op::Reshape, &[stretched], tiled)
}

/// Input extents and block size of DepthToSpace and SpaceToDepth.
fn blocks(call: &Call<'_, '_>) -> Result<([usize; 4], usize), Fault> {
    let shape = super::image(&call.shape(call.input(0)?))?;
    let block = call.int("blocksize")?.unwrap_or(0);
    match usize::try_from(block).ok().filter(|block| (1..=64).contains(block)) {
        Some(block) => Ok((shape, block)),
        None => {
            let what = format!("{block} is not from 1 to 64");
            Err(Fault::at("blocksize", what, "export the model again"))
        }
    }
}

/// Reshape, transpose, reshape.
fn rearrange(
    call: &mut Call<'_, '_>,
    split: [usize; 6],
    permutation: [usize; 6],
    joined: [usize; 4],
) -> Result<(), Fault> {
    let input = call.input(0)?;
    let permuted = permutation.iter().map(|&axis| split[axis]).collect();
    let blocks = call.emit(Op::Reshape, &[input], split.to_vec())?;
    let moved = call.emit(Op::Transpose { permutation: permutation.to_vec() }, &[blocks], permuted)?;
    call.finish(Op::Reshape, &[moved], joined.to_vec())
}

fn block_fault(shape: [usize; 4], block: usize) -> Fault {
    let what = format!("blocks of {block} do not divide shape {shape:?}");
    Fault::at("blocksize", what, "use an input size the block divides")
}

/// DepthToSpace in DCR and CRD order.
pub(in super::super) fn depth_to_space(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let (shape, block) = blocks(call)?;
    let [n, c, h, w] = shape;
    let square = block * block;
    if c % square != 0 {
        return Err(block_fault(shape, block));
    }
    let joined = [n, c / square, h * block, w * block];
    match call.text("mode", "DCR")? {
        "DCR" => rearrange(call, [n, block, block, c / square, h, w], [0, 3, 4, 1, 5, 2], joined),
        "CRD" => rearrange(call, [n, c / square, block, block, h, w], [0, 1, 4, 2, 5, 3], joined),
        _ => Err(Fault::at("mode", "unknown value", "use DCR or CRD")),
    }
}

/// SpaceToDepth.
pub(in super::super) fn space_to_depth(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let (shape, block) = blocks(call)?;
    let [n, c, h, w] = shape;
    if h % block != 0 || w % block != 0 {
        return Err(block_fault(shape, block));
    }
    let joined = [n, c * block * block, h / block, w / block];
    rearrange(call, [n, c, h / block, block, w / block, block], [0, 3, 5, 1, 2, 4], joined)
}

/// A constant of int64 extents, for shape arithmetic.
pub(super) fn extents_tensor(values: Vec<i64>) -> Tensor {
    Tensor { shape: vec![values.len()], data: Data::I64(values) }
}
