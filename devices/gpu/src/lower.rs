//! One step of a plan as launches of kernels: the place an operator is told to the devices.

use crate::constants::Constants;
use crate::program::{Item, Regions};
use crate::step::{Kernel, Launch, Step, View};
use candor::ood::features::Tap;
use candor_core::arithmetic::Range;
use candor_core::ops::max_pool::ClippedWindow;
use candor_core::ops::order::{OUTPUT_BLOCK, Order};
use candor_core::ops::record::Window;
use candor_core::ops::{Convolution, Depthwise, GlobalAverage, GroupNorm, Op, TransposedConvolution};
use candor_core::tensor::BLOCK;

/// Pixels of a row that one call of the convolution's kernel computes, and how far apart they lie.
const PIXELS: u32 = 4;
const WARP: u32 = 32;

/// Appends the launches of `op`, step `index` of its plan; `step` holds the views of its tensors.
pub fn lower(
    op: &Op<'_>,
    index: usize,
    step: Step,
    regions: &Regions,
    constants: &mut Constants,
    items: &mut Vec<Item>,
) {
    match op {
        Op::Convolution(op) => items.push(Item::Launch(convolution(op, step, constants))),
        Op::Depthwise(op) => items.push(Item::Launch(depthwise(op, step, constants))),
        Op::TransposedConvolution(op) => items.push(Item::Launch(transposed(op, step, constants))),
        Op::GlobalAverage(op) => global_average(op, step, regions, items),
        Op::GroupNorm(op) => items.extend(group_norm(op, index, step, regions, constants)),
        _ => items.extend(elementwise(op, step, constants).map(Item::Launch)),
    }
}

/// The launch of an operator that works position by position on stored positions of its output.
fn elementwise(op: &Op<'_>, step: Step, constants: &mut Constants) -> Option<Launch> {
    let (kernel, step) = match op {
        Op::Add(op) => {
            let [first, second] = op.factors;
            let factors = [first, second, op.constant];
            let step = Step { factors, multiplier: op.multiplier.get(), ..within(op.range, step) };
            (Kernel::AddCodes, step)
        }
        Op::Multiply(op) => {
            let step = Step { multiplier: op.multiplier.get(), ..within(op.range, step) };
            (Kernel::MultiplyCodes, step)
        }
        Op::Lookup(op) => {
            let (rows, flag) = (constants.push(op.tables), u32::from(op.per_channel));
            (Kernel::Lookup, Step { rows, flag, ..step })
        }
        Op::MaxPool(op) => (Kernel::MaxPool, clipped(&op.window, step)),
        Op::AveragePool(op) => {
            let multipliers = constants.push(op.multipliers);
            let step = Step { multipliers, ..clipped(&op.window, within(op.range, step)) };
            (Kernel::AveragePool, step)
        }
        Op::Remap(op) => {
            let (rows, columns) = (constants.push(op.rows), constants.push(op.columns));
            let factors = [0, 0, i32::from(op.fill)];
            (Kernel::Remap, Step { rows, columns, factors, ..step })
        }
        Op::ResizeLinear(op) => {
            let step = Step {
                rows: constants.push(op.rows),
                columns: constants.push(op.columns),
                denominators: op.denominators,
                multiplier: op.multiplier.get(),
                ..within(op.range, step)
            };
            (Kernel::ResizeLinear, step)
        }
        Op::CopyChannels(op) => {
            let rows = op.table.map_or(0, |table| constants.push(table));
            let flag = u32::from(op.table.is_some());
            let (from, to, count) = (op.from as u32, op.to as u32, op.count as u32);
            (Kernel::CopyChannels, Step { rows, flag, from, to, count, ..step })
        }
        Op::Convolution(_)
        | Op::Depthwise(_)
        | Op::TransposedConvolution(_)
        | Op::GlobalAverage(_)
        | Op::GroupNorm(_) => return None,
    };
    Some(Launch { kernel, grid: stored_grid(&step.output), step })
}

/// Every stored position of a tensor.
pub fn stored_grid(view: &View) -> [u32; 3] {
    [view.stored_width, view.stored_height, view.blocks()]
}

fn within(range: Range, step: Step) -> Step {
    Step { zero_point: range.zero_point, bounds: [range.low, range.high], ..step }
}

fn words(extent: [usize; 2]) -> [u32; 2] {
    extent.map(|extent| extent as u32)
}

/// The step with a window: kernel, stride, dilation, pads.
fn windowed([kernel, stride, dilation, pads]: [[usize; 2]; 4], step: Step) -> Step {
    let (kernel, stride) = (words(kernel), words(stride));
    Step { kernel, stride, dilation: words(dilation), pads: words(pads), ..step }
}

fn sliding(window: &Window, step: Step) -> Step {
    windowed([window.kernel, window.stride, window.dilation, window.pads], step)
}

fn clipped(window: &ClippedWindow, step: Step) -> Step {
    windowed([window.kernel, window.stride, window.dilation, window.pads], step)
}

/// Filters of all phases, and their table: taps (h, w), first offsets (h, w), bytes of weights and biases.
fn transposed(op: &TransposedConvolution<'_>, step: Step, constants: &mut Constants) -> Launch {
    let blocks = step.input.blocks() as usize;
    let outputs = op.filter.multipliers.len();
    let mut table: Vec<[u32; 6]> = Vec::with_capacity(op.stride[0] * op.stride[1]);
    for row in 0..op.stride[0] {
        for column in 0..op.stride[1] {
            let (vertical, horizontal) = (op.phase(0, row), op.phase(1, column));
            let (weights, bias, _) = op.phase_filter(blocks, row, column);
            table.push([
                vertical.taps as u32,
                horizontal.taps as u32,
                vertical.first as i32 as u32,
                horizontal.first as i32 as u32,
                constants.push_filter(op.order(blocks, row, column), outputs, weights),
                constants.push(bias),
            ]);
        }
    }
    let step = Step {
        stride: words(op.stride),
        rows: constants.push(table.as_flattened()),
        multipliers: constants.push(op.filter.multipliers),
        ..within(op.filter.range, step)
    };
    let [rows, columns] = step.stride;
    let (width, height) = (step.output.stored_width, step.output.stored_height);
    let depth = (outputs / OUTPUT_BLOCK) as u32 * rows * columns;
    Launch { kernel: Kernel::Transposed, grid: [width.div_ceil(columns), height.div_ceil(rows), depth], step }
}

fn convolution(op: &Convolution<'_>, step: Step, constants: &mut Constants) -> Launch {
    let order = Order::new(op.window.kernel, step.input.blocks() as usize);
    let outputs = op.filter.multipliers.len();
    let step = Step {
        weights: constants.push_filter(order, outputs, op.filter.weights),
        bias: constants.push(op.filter.bias),
        multipliers: constants.push(op.filter.multipliers),
        ..sliding(&op.window, within(op.filter.range, step))
    };
    let threads = step.output.stored_width.div_ceil(PIXELS * WARP) * WARP;
    let grid = [threads, step.output.stored_height, (outputs / OUTPUT_BLOCK) as u32];
    Launch { kernel: Kernel::Convolution, grid, step }
}

fn depthwise(op: &Depthwise<'_>, step: Step, constants: &mut Constants) -> Launch {
    let step = Step {
        weights: constants.push(op.weights),
        bias: constants.push(op.bias),
        multipliers: constants.push(op.multipliers),
        ..sliding(&op.window, within(op.range, step))
    };
    Launch { kernel: Kernel::Depthwise, grid: stored_grid(&step.output), step }
}

/// Sums of every channel, row by row and then over the rows, to byte `from` of the arena.
fn sums(step: Step, from: u32, regions: &Regions) -> [Launch; 2] {
    let step = Step { scratch: regions.row_sums, from, ..step };
    let rows = [1, step.input.height, step.input.blocks()];
    let channels = [step.input.channels, 1, 1];
    [(Kernel::RowSums, rows), (Kernel::ChannelSums, channels)].map(|(kernel, grid)| Launch {
        kernel,
        grid,
        step,
    })
}

/// The rows of a tapped output that are looked at.
pub fn tapped(tap: &Tap, output: View) -> View {
    output.every(tap.place.every as u32)
}

/// Columns of which one call sums the products, as the kernel has it.
const TAP_COLUMNS: u32 = 128;

/// Pairs of blocks of a tap's spectrum, and segments of a row.
fn products(tap: &Tap, view: &View) -> [u32; 2] {
    let blocks = tap.spectrum().div_ceil(BLOCK) as u32;
    [blocks * (blocks + 1) / 2, view.width.div_ceil(TAP_COLUMNS)]
}

/// Working memory for the products of a tapped output's rows.
pub fn row_products_bytes(tap: &Tap, view: &View) -> usize {
    let [pairs, segments] = products(tap, view);
    (pairs * segments * view.height) as usize * 4 * BLOCK * BLOCK
}

/// Appends the launches that sum a tapped output to byte `to` of the arena.
pub fn tap(tap: &Tap, output: View, to: u32, regions: &Regions, items: &mut Vec<Item>) {
    let input = tapped(tap, output);
    items.extend(sums(Step { input, ..Step::default() }, to, regions).map(Item::Tap));
    let input = View { channels: tap.spectrum() as u32, ..input };
    let from = to + 16 * tap.channels as u32;
    let step = Step { input, scratch: regions.row_products, from, ..Step::default() };
    let [pairs, segments] = products(tap, &input);
    let entries = input.channels * (input.channels + 1) / 2;
    let rows = Launch { kernel: Kernel::RowProducts, grid: [pairs, input.height, segments], step };
    let whole = Launch { kernel: Kernel::ChannelProducts, grid: [entries, 1, 1], step };
    items.extend([rows, whole].map(Item::Tap));
}

fn global_average(op: &GlobalAverage, step: Step, regions: &Regions, items: &mut Vec<Item>) {
    items.extend(sums(step, regions.channel_sums, regions).map(Item::Launch));
    let step = Step {
        from: regions.channel_sums,
        count: op.pixels as u32,
        multiplier: op.multiplier.get(),
        ..within(op.range, step)
    };
    let grid = stored_grid(&step.output);
    items.push(Item::Launch(Launch { kernel: Kernel::GlobalAverage, grid, step }));
}

fn group_norm(
    op: &GroupNorm<'_>,
    index: usize,
    step: Step,
    regions: &Regions,
    constants: &mut Constants,
) -> [Item; 4] {
    let [rows, channels] = sums(step, regions.channel_sums, regions).map(Item::Launch);
    let own = Step {
        from: regions.channel_sums,
        scratch: regions.affine,
        rows: constants.push(op.gamma),
        columns: constants.push(op.beta),
        count: op.group as u32,
        to: step.input.height * step.input.width,
        multiplier: op.constants.epsilon.get(),
        factors: [op.constants.output_steps.get().to_bits() as i32, 0, 0],
        ..step
    };
    let launch = Launch { kernel: Kernel::Coefficients, grid: [step.input.channels, 1, 1], step: own };
    let step = Step { from: regions.affine, ..within(op.range, step) };
    let second = Launch { kernel: Kernel::GroupNorm, grid: stored_grid(&step.output), step };
    [rows, channels, Item::Coefficients { step: index, launch }, Item::Launch(second)]
}
