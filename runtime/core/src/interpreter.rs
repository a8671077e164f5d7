//! Runs a plan over one arena, on any [`Kernels`].

use crate::kernels::Kernels;
use crate::ops::Op;
use crate::ops::group_norm::Affine;
use crate::plan::{ALIGNMENT, Plan, PlanError, Step, Tensor};
use crate::tensor::{BLOCK, Rows, RowsMut, fill_halo};

/// Why a frame could not be run; both are mistakes of the caller, found before any byte is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunError {
    /// The arena is shorter than [`Plan::arena_bytes`] or not aligned to [`ALIGNMENT`].
    Arena,
    /// The input has another number of codes than height · width · channels.
    Input,
    /// The plan itself; impossible after [`Plan::parse`].
    Plan(PlanError),
}

impl From<PlanError> for RunError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

/// Called with every finished output: taps, per-operator digests, traces.
pub trait Observer {
    /// `rows` is the whole output tensor of step `step`, halo filled. A tensor that several steps in a row
    /// fill (concat) is shown once, after the last of them.
    fn after_step(&mut self, step: usize, tensor: usize, rows: Rows<'_>);
}

/// An observer that looks at nothing.
impl Observer for () {
    fn after_step(&mut self, _: usize, _: usize, _: Rows<'_>) {}
}

/// Checks that `arena` can hold `plan`.
///
/// # Errors
/// [`RunError::Arena`] when it is too short or misaligned.
pub fn check_arena(plan: &Plan<'_>, arena: &[u8]) -> Result<(), RunError> {
    let aligned = arena.as_ptr().addr().is_multiple_of(ALIGNMENT);
    if arena.len() < plan.arena_bytes() || !aligned { Err(RunError::Arena) } else { Ok(()) }
}

/// Writes planar codes `[C,H,W]` into input tensor `input` and fills its halo.
///
/// # Errors
/// [`RunError`] when the arena or the number of codes is wrong.
pub fn load_input(plan: &Plan<'_>, arena: &mut [u8], input: usize, codes: &[u8]) -> Result<(), RunError> {
    check_arena(plan, arena)?;
    let tensor = plan.tensor(input)?;
    let layout = tensor.layout;
    if input >= plan.inputs() || codes.len() != layout.height * layout.width * layout.channels {
        return Err(RunError::Input);
    }
    let data = &mut arena[tensor.range()];
    let mut rows = RowsMut::whole(layout, data);
    for y in 0..layout.height {
        let row = rows.row_mut(y);
        for c in 0..layout.channels {
            let source = &codes[(c * layout.height + y) * layout.width..][..layout.width];
            let target = &mut row[layout.offset_in_row(c / BLOCK, 0) + c % BLOCK..];
            for (pixel, &code) in target.chunks_mut(BLOCK).zip(source) {
                pixel[0] = code;
            }
        }
    }
    fill_halo(layout, data, tensor.zero_point);
    Ok(())
}

/// A view of tensor `index` after a run.
///
/// # Errors
/// [`RunError`] when the arena is wrong or there is no such tensor.
pub fn tensor_rows<'a>(plan: &Plan<'_>, arena: &'a [u8], index: usize) -> Result<Rows<'a>, RunError> {
    check_arena(plan, arena)?;
    let tensor = plan.tensor(index)?;
    Ok(Rows { layout: tensor.layout, data: &arena[tensor.range()] })
}

/// Runs every step in order.
///
/// # Errors
/// [`RunError`] when the arena does not fit the plan.
///
/// # Exactness
/// The bytes of every image position equal those of [`Reference`](crate::kernels::Reference) for any
/// `kernels`.
pub fn run(
    plan: &Plan<'_>,
    kernels: &impl Kernels,
    arena: &mut [u8],
    observer: &mut impl Observer,
) -> Result<(), RunError> {
    check_arena(plan, arena)?;
    for index in 0..plan.steps() {
        let step = plan.step(index)?;
        let output = plan.tensor(step.output)?;
        run_step(plan, &step, kernels, arena)?;
        let data = &mut arena[output.range()];
        fill_halo(output.layout, data, output.zero_point);
        let unfinished = index + 1 < plan.steps() && plan.step(index + 1)?.output == step.output;
        if unfinished {
            continue;
        }
        observer.after_step(index, step.output, Rows { layout: output.layout, data });
    }
    Ok(())
}

/// The bytes of two inputs and the output, borrowed apart; inputs may be the same tensor, never the output.
fn borrow<'a>(
    arena: &'a mut [u8],
    inputs: [Tensor; 2],
    output: Tensor,
) -> Result<([Rows<'a>; 2], RowsMut<'a>), RunError> {
    let range = output.range();
    let (before, rest) = arena.split_at_mut(range.start);
    let (target, after) = rest.split_at_mut(range.len());
    let (before, after): (&'a [u8], &'a [u8]) = (before, after);
    let view = |tensor: Tensor| {
        let at = tensor.range();
        let data = if at.end <= range.start {
            before.get(at)
        } else {
            let start = at.start.checked_sub(range.end);
            start.and_then(|start| after.get(start..start + at.len()))
        };
        data.map(|data| Rows { layout: tensor.layout, data }).ok_or(RunError::Arena)
    };
    Ok(([view(inputs[0])?, view(inputs[1])?], RowsMut::whole(output.layout, target)))
}

fn run_step(
    plan: &Plan<'_>,
    step: &Step<'_>,
    kernels: &impl Kernels,
    arena: &mut [u8],
) -> Result<(), RunError> {
    if matches!(step.op, Op::GlobalAverage(_) | Op::GroupNorm(_)) {
        return run_global(plan, step, kernels, arena);
    }
    let inputs = [plan.tensor(step.inputs[0])?, plan.tensor(step.inputs[1])?];
    let ([a, b], output) = borrow(arena, inputs, plan.tensor(step.output)?)?;
    match &step.op {
        Op::Convolution(op) => kernels.convolution(op, a, output),
        Op::Depthwise(op) => kernels.depthwise(op, a, output),
        Op::TransposedConvolution(op) => kernels.transposed(op, a, output),
        Op::Add(op) => kernels.add(op, a, b, output),
        Op::Multiply(op) => kernels.multiply(op, a, b, output),
        Op::Lookup(op) => kernels.lookup(op, a, output),
        Op::MaxPool(op) => kernels.max_pool(op, a, output),
        Op::AveragePool(op) => kernels.average_pool(op, a, output),
        Op::Remap(op) => kernels.remap(op, a, output),
        Op::ResizeLinear(op) => kernels.resize_linear(op, a, output),
        Op::CopyChannels(op) => kernels.copy_channels(op, a, output),
        Op::GlobalAverage(_) | Op::GroupNorm(_) => {}
    }
    Ok(())
}

/// Operators that first sum over the whole image, into the plan's scratch region.
fn run_global(
    plan: &Plan<'_>,
    step: &Step<'_>,
    kernels: &impl Kernels,
    arena: &mut [u8],
) -> Result<(), RunError> {
    let input = plan.tensor(step.inputs[0])?;
    let target = plan.tensor(step.output)?;
    let channels = input.layout.channels;
    let pixels = (input.layout.height * input.layout.width) as u64;
    let scratch = plan.scratch().start..plan.scratch().start + Plan::scratch_bytes(channels);
    let [source, work, destination] =
        arena.get_disjoint_mut([input.range(), scratch, target.range()]).map_err(|_| RunError::Arena)?;
    let (sums, affine) = work.split_at_mut(channels * 16);
    let sums: &mut [[u64; 2]] = bytemuck::try_cast_slice_mut(sums).map_err(|_| RunError::Arena)?;
    let affine: &mut [Affine] = bytemuck::try_cast_slice_mut(affine).map_err(|_| RunError::Arena)?;
    let source = Rows { layout: input.layout, data: source };
    let mut output = RowsMut::whole(target.layout, destination);
    kernels.channel_sums(source, sums);
    match &step.op {
        Op::GlobalAverage(op) => {
            for (c, [sum, _]) in sums.iter().enumerate() {
                output.set_code(0, 0, c, op.apply(*sum));
            }
        }
        Op::GroupNorm(op) => {
            op.coefficients(sums, pixels, affine);
            kernels.group_norm(op, affine, source, output);
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
