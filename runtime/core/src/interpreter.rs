//! Runs a plan over one arena, on any [`Kernels`].

use crate::kernels::Kernels;
use crate::ops::Op;
use crate::ops::group_norm::Affine;
use crate::plan::{ALIGNMENT, Plan, PlanError, Tensor};
use crate::schedule::Source;
use crate::tensor::{Layout, Rows, RowsMut, fill_halo};
use core::ops::Range;

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
    /// Image rows `rows.image_rows()` of tensor `tensor` are finished; `step` is the last step that writes
    /// the tensor. Rows of one tensor come in order, all at once or a few at a time.
    fn after_rows(&mut self, step: usize, tensor: usize, rows: Rows<'_>);

    /// Whether it looks at all: devices with memory of their own bring only what is looked at.
    fn is_watching(&self) -> bool {
        true
    }
}

/// An observer that looks at nothing.
impl Observer for () {
    fn after_rows(&mut self, _: usize, _: usize, _: Rows<'_>) {}

    fn is_watching(&self) -> bool {
        false
    }
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
    let mut source: &[&[u8]] = &[codes];
    source.load(0, RowsMut::whole(layout, data));
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
    Ok(Rows::whole(tensor.layout, &arena[tensor.range()]))
}

/// Runs every step in order, each over whole tensors where the plan itself places them: the schedule that
/// needs no planner.
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
    for index in 0..plan.steps() {
        run_step(plan, index, kernels, arena)?;
        if plan.is_last_writer(index) {
            let output = plan.step(index)?.output;
            observer.after_rows(index, output, tensor_rows(plan, arena, output)?);
        }
    }
    Ok(())
}

/// Runs step `index` over whole tensors where the plan itself places them, and fills its output's halo.
///
/// # Errors
/// [`RunError`] when the arena does not fit the plan or there is no such step.
pub fn run_step(
    plan: &Plan<'_>,
    index: usize,
    kernels: &impl Kernels,
    arena: &mut [u8],
) -> Result<(), RunError> {
    check_arena(plan, arena)?;
    let view = |index: usize| {
        plan.tensor(index).map(|tensor| View { layout: tensor.layout, origin: 0, range: tensor.range() })
    };
    let step = plan.step(index)?;
    let output = plan.tensor(step.output)?;
    let inputs = [view(step.inputs[0])?, view(step.inputs[1])?];
    let target = (output.layout, image_range(&output));
    run_rows(&step.op, kernels, arena, inputs, target, 0..output.layout.height, plan.scratch())?;
    fill_halo(output.layout, &mut arena[output.range()], output.zero_point);
    Ok(())
}

/// Arena bytes of a whole tensor's image rows.
fn image_range(tensor: &Tensor) -> Range<usize> {
    let layout = &tensor.layout;
    let start = tensor.offset + layout.halo.top * layout.row_stride;
    start..start + (layout.height - 1) * layout.row_stride + layout.row_bytes()
}

/// Stored rows of an input: layout of the tensor, first stored row, arena bytes.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub layout: Layout,
    pub origin: usize,
    pub range: Range<usize>,
}

/// Runs image rows `rows` of one step: `inputs` hold the stored rows it reads, `output` the layout and the
/// arena bytes of those rows. Global operators sum into `scratch`.
pub(crate) fn run_rows(
    op: &Op<'_>,
    kernels: &impl Kernels,
    arena: &mut [u8],
    inputs: [View; 2],
    output: (Layout, Range<usize>),
    rows: Range<usize>,
    scratch: Range<usize>,
) -> Result<(), RunError> {
    let (layout, range) = output;
    if op.is_global() {
        let [input, _] = inputs;
        return run_global(op, kernels, arena, input, (layout, range), scratch);
    }
    let ([a, b], data) = borrow(arena, inputs, range)?;
    let output = RowsMut { layout, first: rows.start, count: rows.len(), data };
    match op {
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

/// The bytes of two inputs and the output, borrowed apart; inputs may be the same tensor, never the output.
fn borrow<'a>(
    arena: &'a mut [u8],
    inputs: [View; 2],
    range: Range<usize>,
) -> Result<([Rows<'a>; 2], &'a mut [u8]), RunError> {
    let (before, rest) = arena.split_at_mut_checked(range.start).ok_or(RunError::Arena)?;
    let (target, after) = rest.split_at_mut_checked(range.len()).ok_or(RunError::Arena)?;
    let (before, after): (&'a [u8], &'a [u8]) = (before, after);
    let rows = |view: View| {
        let at = view.range;
        let data = if at.end <= range.start {
            before.get(at)
        } else {
            let start = at.start.checked_sub(range.end);
            start.and_then(|start| after.get(start..start + at.len()))
        };
        data.map(|data| Rows { layout: view.layout, origin: view.origin, data }).ok_or(RunError::Arena)
    };
    let [a, b] = inputs;
    Ok(([rows(a)?, rows(b)?], target))
}

/// Operators that first sum over the whole image, into the scratch region.
fn run_global(
    op: &Op<'_>,
    kernels: &impl Kernels,
    arena: &mut [u8],
    input: View,
    output: (Layout, Range<usize>),
    scratch: Range<usize>,
) -> Result<(), RunError> {
    let (layout, range) = output;
    let channels = input.layout.channels;
    let pixels = (input.layout.height * input.layout.width) as u64;
    let scratch = scratch.start..scratch.start + Plan::scratch_bytes(channels);
    let [source, work, data] =
        arena.get_disjoint_mut([input.range, scratch, range]).map_err(|_| RunError::Arena)?;
    let (sums, affine) = work.split_at_mut(channels * 16);
    let sums: &mut [[u64; 2]] = bytemuck::try_cast_slice_mut(sums).map_err(|_| RunError::Arena)?;
    let affine: &mut [Affine] = bytemuck::try_cast_slice_mut(affine).map_err(|_| RunError::Arena)?;
    let source = Rows { layout: input.layout, origin: input.origin, data: source };
    let mut output = RowsMut { layout, first: 0, count: layout.height, data };
    kernels.channel_sums(source, sums);
    match op {
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
