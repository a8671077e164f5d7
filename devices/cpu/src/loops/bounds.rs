//! The checks that make raw loads and stores sound: every address a loop forms lies within its slices.
//!
//! A checked plan always passes them. Where one fails, the caller falls back to the reference, whose
//! indexing stops.

use candor_core::ops::convolution::Filter;
use candor_core::ops::order::{OUTPUT_BLOCK, Order};
use candor_core::ops::record::Window;
use candor_core::tensor::{Layout, Rows, RowsMut};

/// Greatest extent, halo, kernel, stride or dilation taken; products of a few of them fit 64 bits.
const EXTENT_LIMIT: usize = 1 << 16;
/// Greatest row stride taken.
const STRIDE_LIMIT: u64 = 1 << 36;

/// Whether extents and strides are small enough to multiply and rows do not overlap.
fn plausible(layout: &Layout) -> bool {
    let extents = [layout.height, layout.width, layout.channels];
    let halo = [layout.halo.top, layout.halo.left, layout.halo.bottom, layout.halo.right];
    usize::BITS == 64
        && extents.iter().all(|extent| (1..=EXTENT_LIMIT).contains(extent))
        && halo.iter().all(|extent| *extent <= EXTENT_LIMIT)
        && layout.row_stride >= layout.row_bytes()
        && layout.row_stride as u64 <= STRIDE_LIMIT
}

/// Whether `rows` holds stored rows `needed` of a sane layout.
pub(crate) fn readable(rows: &Rows<'_>, needed: core::ops::Range<usize>) -> bool {
    plausible(&rows.layout)
        && rows.origin <= needed.start
        && needed.end <= rows.layout.stored_rows()
        && needed.end <= rows.present().end
}

/// Whether `rows` holds the image rows it names.
pub(crate) fn writable(rows: &RowsMut<'_>) -> bool {
    let layout = &rows.layout;
    plausible(layout)
        && (1..=layout.height).contains(&rows.count)
        && rows.first <= layout.height - rows.count
        && rows.data.len() >= (rows.count - 1) * layout.row_stride + layout.row_bytes()
}

/// Whether every tap of every covered output position is held by `input`.
pub(crate) fn window_fits(window: &Window, input: &Rows<'_>, output: &RowsMut<'_>) -> bool {
    let from = &input.layout;
    let fits = |axis: usize, outputs: usize, halo: usize, stored: usize| {
        let (kernel, stride) = (window.kernel[axis], window.stride[axis]);
        let (dilation, pad) = (window.dilation[axis], window.pads[axis]);
        let small = [kernel, stride, dilation].iter().all(|extent| (1..=EXTENT_LIMIT).contains(extent));
        small && pad <= halo && (outputs - 1) * stride + (kernel - 1) * dilation + halo - pad < stored
    };
    plausible(from)
        && writable(output)
        && fits(0, output.first + output.count, from.halo.top, from.stored_rows())
        && fits(1, output.layout.width, from.halo.left, from.stored_width())
        && readable(input, window.input_rows(from, output.first..output.first + output.count))
}

/// Whether a filter holds what an order with `channels` output channels reads.
pub(crate) fn filter_fits(filter: &Filter<'_>, order: &Order, channels: usize) -> bool {
    let outputs = channels.next_multiple_of(OUTPUT_BLOCK);
    filter.multipliers.len() == outputs
        && filter.weights.len() >= order.weights() * outputs
        && filter.bias.len() >= outputs
        && filter.weight_sums.len() >= outputs
}
