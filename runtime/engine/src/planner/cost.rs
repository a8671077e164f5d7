//! A model of what a schedule costs, good enough to compare schedules of one plan.

use super::units::Units;
use super::{Goal, Planned};
use candor_core::ops::Op;
use candor_core::plan::{Plan, PlanError};
use candor_core::schedule::Entry;
use candor_core::tensor::Layout;

/// Nanoseconds to begin a run of rows.
const BEGIN: f64 = 50.0;
/// Nanoseconds to lay out the constants of one output channel of a convolution.
const CHANNEL: f64 = 5.0;
/// Nanoseconds more to share it among threads.
const SHARE: f64 = 3500.0;
/// Products per nanosecond where nothing is known of the kernels.
const RATE: f64 = 100.0;
/// Pixels of a register.
const REGISTER: usize = 16;
/// Output values per nanosecond that a convolution requantizes and stores.
const VALUES: f64 = 12.0;
/// Bytes per nanosecond of simple operators, whose data lie in the second-level cache.
const BYTES: f64 = 12.0;
/// Bytes per nanosecond from beyond the second-level cache.
const FAR: f64 = 25.0;
/// Bytes per nanosecond of weights that other work has driven out.
const WEIGHTS: f64 = 20.0;
/// Bytes per nanosecond that a window's rows are moved.
const MOVED: f64 = 25.0;
/// Bytes per nanosecond from memory.
const MEMORY: f64 = 14.0;
/// Bytes per nanosecond from the cache of another core.
const FOREIGN: f64 = 12.0;
/// Rows that a thread reads of those another made when both share every run of a few rows.
const FOREIGN_ROWS: usize = 4;
/// Bytes that are taken to stay in the second-level cache.
const NEAR_BYTES: usize = 512 << 10;
/// Bytes that are taken to stay in the last-level cache.
const CACHED_BYTES: usize = 4 << 20;

/// Modelled nanoseconds of all entries, and of those after the last load.
pub(super) fn cost(
    plan: &Plan<'_>,
    units: &Units<'_>,
    planned: &Planned,
    goal: &Goal,
) -> Result<(f64, f64), PlanError> {
    let threads = goal.threads.max(1) as f64;
    let rate = if goal.rate > 0.0 { goal.rate } else { RATE } * threads;
    let begin = if threads > 1.0 { BEGIN + SHARE } else { BEGIN };
    // Nanoseconds to move so many bytes of a tensor.
    let moved = |tensor: usize, bytes: usize| {
        let held = planned.places[tensor].bytes().len() / goal.threads.max(1);
        let speed = threads * if held <= CACHED_BYTES { FAR } else { MEMORY };
        if held <= NEAR_BYTES { 0.0 } else { bytes as f64 / speed }
    };
    let (mut total, mut tail) = (0.0, 0.0);
    for entry in &planned.entries {
        let own = match *entry {
            Entry::Run { step, count, .. } => {
                let step = &units.steps[usize::from(step)];
                let (from, to) = (plan.tensor(step.inputs[0])?.layout, plan.tensor(step.output)?.layout);
                let rows = usize::from(count);
                let read = (rows * from.height).div_ceil(to.height) * from.row_bytes();
                let mut data = moved(step.output, rows * to.row_bytes()) + moved(step.inputs[0], read);
                // Weights come back from afar whenever much else was run in between.
                let weights = weights(&step.op);
                data += if weights > NEAR_BYTES / 16 { weights as f64 / WEIGHTS } else { 0.0 };
                if goal.threads > 1 && rows < to.height {
                    // The window's slots were written, and the rows beside the shares made, by other threads;
                    // of a whole tensor each thread reads what it wrote.
                    let foreign = read.min(FOREIGN_ROWS * from.row_bytes()) + rows * to.row_bytes() / 2;
                    data += foreign as f64 / FOREIGN;
                }
                begin
                    + CHANNEL * constants(&step.op, &to)
                    + compute(&step.op, &from, &to, rows, [rate, BYTES * threads]).max(data)
            }
            Entry::Move { tensor, count, .. } => {
                let row = planned.places[usize::from(tensor)].layout.row_bytes();
                usize::from(count) as f64 * row as f64 / MOVED
            }
            Entry::Load { .. } => {
                tail = 0.0;
                BEGIN
            }
            _ => 0.0,
        };
        total += own;
        tail += own;
    }
    Ok((total, tail))
}

/// Output channels whose constants one run lays out.
fn constants(op: &Op<'_>, to: &Layout) -> f64 {
    match op {
        Op::Convolution(_) | Op::TransposedConvolution(_) | Op::Depthwise(_) => to.channels as f64,
        _ => 0.0,
    }
}

/// Bytes of the weights that one run reads.
fn weights(op: &Op<'_>) -> usize {
    match op {
        Op::Convolution(op) => op.filter.weights.len(),
        Op::TransposedConvolution(op) => op.filter.weights.len(),
        Op::Depthwise(op) => op.weights.len(),
        _ => 0,
    }
}

/// Nanoseconds to compute `rows` output rows at so many products, and for simple operators bytes, per
/// nanosecond.
fn compute(op: &Op<'_>, from: &Layout, to: &Layout, rows: usize, [rate, bytes]: [f64; 2]) -> f64 {
    let outputs = (rows * to.width * to.channels) as f64;
    let stored = outputs * BYTES / VALUES / bytes;
    // A run of few registers fills neither the sums of a tile nor the rows of a step.
    let registers = (rows * to.width.div_ceil(REGISTER)) as f64;
    let rate = rate * registers / (registers + 1.0);
    match op {
        Op::Convolution(op) => {
            stored + outputs * (op.window.kernel[0] * op.window.kernel[1] * from.channels) as f64 / rate
        }
        Op::TransposedConvolution(op) => {
            let taps = (op.kernel[0] * op.kernel[1]).div_ceil(op.stride[0] * op.stride[1]);
            stored + outputs * (taps * from.channels) as f64 / rate
        }
        Op::Depthwise(op) => outputs * (op.window.kernel[0] * op.window.kernel[1]) as f64 / 2.0 / bytes,
        _ => outputs / bytes,
    }
}
