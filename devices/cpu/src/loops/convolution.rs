//! Dense and transposed convolution as passes of the dense loop nest.

use crate::loops::bounds;
use crate::loops::dense::{self, Dense, Neighbour};
use crate::loops::vector::{PIXEL, Vector};
use crate::loops::walk::Plane;
use candor_core::ops::order::{OUTPUT_BLOCK, Order};
use candor_core::ops::transposed::{self, Phase, STRIDE_LIMIT};
use candor_core::ops::{Convolution, TransposedConvolution, convolution};
use candor_core::tensor::{Element, Layout, Rows, RowsMut};

/// Dense convolution of any stride and dilation.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(crate) unsafe fn convolve<V: Vector>(op: &Convolution<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    match pass(op, &input, &mut output, V::LANES) {
        // SAFETY: the pass was checked.
        Some(pass) => unsafe { dense::run::<V>(&pass) },
        None => convolution::reference(op, input, output),
    }
}

/// The pass over the covered rows, every tap, output pixel and constant of which was checked to lie within
/// its slice; `None` where that is not so.
pub(crate) fn pass<'p>(
    op: &Convolution<'p>,
    input: &Rows<'_>,
    output: &mut RowsMut<'_>,
    lanes: usize,
) -> Option<Dense<'p>> {
    let (window, filter) = (&op.window, &op.filter);
    let (from, to) = (input.layout, output.layout);
    let order = Order::new(window.kernel, from.blocks());
    if !bounds::window_fits(window, input, output)
        || !bounds::filter_fits(filter, &order, to.channels)
        || !Dense::is_small(&order, input.data.len())
    {
        return None;
    }
    let first_row = window.first_row(&from, output.first) - input.origin;
    let first = first_row * from.row_stride + window.first_column(&from, 0) * PIXEL;
    let tap_steps = [window.dilation[0] * from.row_stride, window.dilation[1] * PIXEL];
    let reach = reach(window.kernel, tap_steps, &from);
    let plane = Plane {
        source: input.data.as_ptr().wrapping_add(first),
        source_row: window.stride[0] * from.row_stride,
        source_stride: window.stride[1],
        target: output.data.as_mut_ptr().wrapping_add(to.offset_in_row(0, 0)),
        target_row: to.row_stride,
        target_stride: 1,
        target_pixel: PIXEL * to.element.bytes(),
        rows: output.count,
        columns: to.width,
        whole_until: Plane::whole_until(input.data, reach, lanes, window.stride[1]),
    };
    Some(Dense {
        plane,
        order,
        tap_steps,
        block_step: from.block_stride(),
        target_block: to.block_stride(),
        outputs: to.channels,
        element: to.element,
        weights: filter.weights,
        bias: filter.bias,
        weight_sums: filter.weight_sums,
        multipliers: filter.multipliers,
        range: filter.range,
        neighbour: None,
    })
}

/// Bytes from the first tap of the first input block to the last tap of the last.
fn reach(taps: [usize; 2], tap_steps: [usize; 2], from: &Layout) -> usize {
    let span = |axis: usize| taps[axis].saturating_sub(1) * tap_steps[axis];
    span(0) + span(1) + (from.blocks() - 1) * from.block_stride()
}

/// Transposed convolution: one dense pass per output phase, stored to every stride-th column.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(crate) unsafe fn transpose<V: Vector>(
    op: &TransposedConvolution<'_>,
    input: Rows<'_>,
    output: RowsMut<'_>,
) {
    if !transposed_fits(op, &input, &output) {
        return transposed::reference(op, input, output);
    }
    let target = output.data.as_mut_ptr();
    let paired = pairs_columns::<V>(op, &output);
    for row in 0..op.stride[0] {
        for column in 0..if paired { 1 } else { op.stride[1] } {
            if let Some(mut pass) = phase_pass(op, &input, &output, target, [row, column], V::LANES) {
                if paired {
                    let (weights, bias, weight_sums) = op.phase_filter(input.layout.blocks(), row, 1);
                    pass.neighbour = Some(Neighbour { weights, bias, weight_sums });
                }
                // SAFETY: `transposed_fits` bounds every tap, output pixel and constant of every phase.
                unsafe { dense::run::<V>(&pass) }
            }
        }
    }
}

/// Whether the two phases of a row read the same pixels for as many outputs and a tile has room for both.
fn pairs_columns<V: Vector>(op: &TransposedConvolution<'_>, output: &RowsMut<'_>) -> bool {
    let (to, [left, right]) = (&output.layout, [0, 1].map(|column| op.phase(1, column)));
    V::REGISTERS == 32
        && op.stride[1] == 2
        && to.width % 2 == 0
        && to.element == Element::Code
        && (left.taps, left.first) == (right.taps, right.first)
}

/// The pass of one phase over the covered rows; `None` when no output position belongs to it.
pub(crate) fn phase_pass<'p>(
    op: &TransposedConvolution<'p>,
    input: &Rows<'_>,
    output: &RowsMut<'_>,
    target: *mut u8,
    phase: [usize; 2],
    lanes: usize,
) -> Option<Dense<'p>> {
    let (from, to) = (input.layout, output.layout);
    let [row, column] = phase;
    let end = output.first + output.count;
    let skip = (row + op.stride[0] - output.first % op.stride[0]) % op.stride[0];
    let y = output.first + skip;
    if y >= end || column >= to.width {
        return None;
    }
    let (rows, columns) = (op.phase(0, row), op.phase(1, column));
    let (weights, bias, weight_sums) = op.phase_filter(from.blocks(), row, column);
    // A phase without taps reads nothing; its start may lie outside the tensor, so wrapping arithmetic forms
    // it.
    let first_row = from.halo.top.wrapping_add(y / op.stride[0]).wrapping_add_signed(rows.first);
    let first_row = first_row.wrapping_sub(input.origin);
    let first_column = from.halo.left.wrapping_add_signed(columns.first);
    let source = first_row.wrapping_mul(from.row_stride).wrapping_add(first_column.wrapping_mul(PIXEL));
    let pixel = PIXEL * to.element.bytes();
    let order = op.order(from.blocks(), row, column);
    let tap_steps = [from.row_stride, PIXEL];
    let reach = reach(order.taps, tap_steps, &from);
    let plane = Plane {
        source: input.data.as_ptr().wrapping_add(source),
        source_row: from.row_stride,
        source_stride: 1,
        target: target.wrapping_add(skip * to.row_stride + to.offset_in_row(0, 0) + column * pixel),
        target_row: op.stride[0] * to.row_stride,
        target_stride: op.stride[1],
        target_pixel: pixel,
        rows: (end - y).div_ceil(op.stride[0]),
        columns: (to.width - column).div_ceil(op.stride[1]),
        whole_until: Plane::whole_until(input.data, reach, lanes, 1),
    };
    Some(Dense {
        plane,
        order,
        tap_steps,
        block_step: from.block_stride(),
        target_block: to.block_stride(),
        outputs: to.channels,
        element: to.element,
        weights,
        bias,
        weight_sums,
        multipliers: op.filter.multipliers,
        range: op.filter.range,
        neighbour: None,
    })
}

/// Whether every tap of every phase is stored and the filter holds every phase.
pub(crate) fn transposed_fits(
    op: &TransposedConvolution<'_>,
    input: &Rows<'_>,
    output: &RowsMut<'_>,
) -> bool {
    let (from, to, filter) = (&input.layout, &output.layout, &op.filter);
    let small = |extents: [usize; 2], limit| extents.iter().all(|extent| (1..=limit).contains(extent));
    if !bounds::writable(output)
        || !small(op.stride, STRIDE_LIMIT)
        || !small(op.kernel, 1 << 8)
        || op.pads[0] > 1 << 8
        || op.pads[1] > 1 << 8
    {
        return false;
    }
    let fits = |axis: usize, extent: usize, halo: usize, stored: usize| {
        (0..op.stride[axis].min(extent)).all(|remainder| {
            let phase: Phase = op.phase(axis, remainder);
            let low = halo as isize + phase.first;
            let last = ((extent - 1 - remainder) / op.stride[axis]) as isize;
            phase.taps == 0 || (low >= 0 && low + last + phase.taps as isize <= stored as isize)
        })
    };
    let phases = op.stride[0] * op.stride[1];
    let outputs = filter.multipliers.len();
    let all = |row: usize| (0..op.stride[1]).map(move |column| op.order(from.blocks(), row, column));
    let orders = || (0..op.stride[0]).flat_map(all);
    outputs == to.channels.next_multiple_of(OUTPUT_BLOCK)
        && orders().all(|order| Dense::is_small(&order, input.data.len()))
        && filter.weights.len() >= orders().map(|order| order.weights()).sum::<usize>() * outputs
        && filter.bias.len() >= phases * outputs
        && filter.weight_sums.len() >= phases * outputs
        && fits(0, output.first + output.count, from.halo.top, from.stored_rows())
        && fits(1, to.width, from.halo.left, from.stored_width())
        && bounds::readable(input, op.input_rows(from, output.first..output.first + output.count))
}
