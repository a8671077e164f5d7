//! Operators that slide a window over each channel by itself: depthwise convolution, average and max
//! pooling.

use crate::loops::bounds;
use crate::loops::quartets::{self, Products, Quartets};
use crate::loops::vector::{OutputStep, PIXEL, Vector, read, reading, write};
use crate::loops::walk::{Plane, Site, Walk};
use candor_core::arithmetic::requantize;
use candor_core::ops::max_pool::ClippedWindow;
use candor_core::ops::{AveragePool, Depthwise, MaxPool, average_pool, depthwise, max_pool};
use candor_core::tensor::{BLOCK, Element, Layout, Rows, RowsMut};
use core::ops::Range;

/// One channel block under a window of taps.
#[derive(Clone, Copy)]
pub(crate) struct Taps<'p> {
    pub plane: Plane,
    /// Address at which the input ends.
    pub end: usize,
    /// Taps (h, w).
    pub taps: [usize; 2],
    /// Input bytes between taps (h, w).
    pub steps: [usize; 2],
    /// `[h][w][4]`, or one group of four for all taps when `weight_step` is 0.
    pub weights: &'p [i8],
    /// Bytes from one tap's weights to the next's.
    pub weight_step: usize,
    /// Start of each channel's sum.
    pub bias: [i32; BLOCK],
    pub step: OutputStep,
}

/// Weights of an average: every tap counts once.
static ONES: [i8; BLOCK] = [1; BLOCK];

/// Depthwise convolution.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(crate) unsafe fn depthwise<V: Quartets>(op: &Depthwise<'_>, input: Rows<'_>, output: RowsMut<'_>) {
    let (window, from, to) = (&op.window, input.layout, output.layout);
    let taps = window.kernel[0] * window.kernel[1];
    let channels = to.blocks() * BLOCK;
    if !bounds::window_fits(window, &input, &output)
        || from.blocks() != to.blocks()
        || to.element != Element::Code
        || op.weights.len() < channels * taps
        || op.bias.len() < channels
        || op.weight_sums.len() < channels
        || op.multipliers.len() < channels
    {
        return depthwise::reference(op, input, output);
    }
    let first_row = window.first_row(&from, output.first) - input.origin;
    let first = first_row * from.row_stride + window.first_column(&from, 0) * PIXEL;
    let reach = (window.kernel[0] - 1) * window.dilation[0] * from.row_stride
        + (window.kernel[1] - 1) * window.dilation[1] * PIXEL;
    let target = output.data.as_mut_ptr();
    for block in 0..to.blocks() {
        let c = block * BLOCK;
        let bias = [0, 1, 2, 3].map(|k| {
            let centre = if V::CENTRED { op.weight_sums[c + k].wrapping_mul(128) } else { 0 };
            op.bias[c + k].wrapping_add(centre)
        });
        let plane = Plane {
            source: input.data.as_ptr().wrapping_add(first + block * from.block_stride()),
            source_row: window.stride[0] * from.row_stride,
            source_stride: window.stride[1],
            target: target.wrapping_add(to.offset_in_row(block, 0)),
            target_row: to.row_stride,
            target_stride: 1,
            target_pixel: PIXEL,
            rows: output.count,
            columns: to.width,
            whole_until: Plane::whole_until(input.data, reach, V::LANES, window.stride[1]),
        };
        let taps = Taps {
            plane,
            end: input.data.as_ptr().addr() + input.data.len(),
            taps: window.kernel,
            steps: [window.dilation[0] * from.row_stride, window.dilation[1] * PIXEL],
            weights: &op.weights[c * taps..],
            weight_step: BLOCK,
            bias,
            step: OutputStep::new([0, 1, 2, 3].map(|k| op.multipliers[c + k]), op.range),
        };
        // SAFETY: the checks above bound every tap, output pixel and constant.
        unsafe { weighted::<V>(&taps) }
    }
}

/// All pixels of a block: Σ weight·code per channel, then the output step.
#[inline(always)]
unsafe fn weighted<V: Quartets>(taps: &Taps<'_>) {
    if let Some(products) = Products::new::<V>(taps) {
        // SAFETY: the caller's contract.
        return unsafe { quartets::run::<V>(taps, &products) };
    }
    let mut walk = Walk::new(&taps.plane, V::LANES);
    // SAFETY: the caller promises taps, pixels and weights; where whole registers may be read, FULL and
    // EVEN do.
    unsafe {
        while walk.remaining >= 2 {
            let (sites, whole) = walk.take::<2>();
            weighted_sites::<V, 2>(taps, &sites, whole);
        }
        if walk.remaining > 0 {
            let (sites, whole) = walk.take::<1>();
            weighted_sites::<V, 1>(taps, &sites, whole);
        }
    }
}

/// Chooses how a tile reads its pixels.
///
/// # Safety
/// As [`Vector`]; taps, pixels and weights are stored.
#[inline(always)]
pub(super) unsafe fn weighted_sites<V: Vector, const N: usize>(
    taps: &Taps<'_>,
    sites: &[Site; N],
    whole: bool,
) {
    // SAFETY: the caller's contract.
    unsafe {
        match (taps.plane.source_stride, whole) {
            (1, true) => weighted_tile::<V, N, { reading::FULL }>(taps, sites),
            (1, false) => weighted_tile::<V, N, { reading::PARTIAL }>(taps, sites),
            (2, true) => weighted_tile::<V, N, { reading::EVEN }>(taps, sites),
            _ => weighted_tile::<V, N, { reading::STRIDED }>(taps, sites),
        }
    }
}

/// One tile of `N` registers. Each channel's sum is a product with weights that are zero in the other
/// channels.
#[inline(always)]
unsafe fn weighted_tile<V: Vector, const N: usize, const READING: u8>(taps: &Taps<'_>, sites: &[Site; N]) {
    let stride = taps.plane.source_stride;
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [[V::start(0); BLOCK]; N];
        for n in 0..N {
            for c in 0..BLOCK {
                sums[n][c] = V::start(taps.bias[c]);
            }
        }
        let mut weights = taps.weights.as_ptr();
        for row in 0..taps.taps[0] {
            let mut offset = row * taps.steps[0];
            for _ in 0..taps.taps[1] {
                let word = i32::from_le(weights.cast::<i32>().read_unaligned());
                for n in 0..N {
                    let source = sites[n].source.add(offset);
                    let codes = V::codes(read::<V, READING>(source, stride, sites[n].count));
                    for c in 0..BLOCK {
                        let weights = V::weights_of(word & (0xff << (8 * c)));
                        sums[n][c] = V::dot(sums[n][c], codes, weights);
                    }
                }
                weights = weights.wrapping_add(taps.weight_step);
                offset += taps.steps[1];
            }
        }
        for n in 0..N {
            let pixels = V::requantize(sums[n], &taps.step);
            write::<V>(sites[n].target, pixels, 1, sites[n].count);
        }
    }
}

/// Output columns whose whole window lies inside the image.
fn inner_columns(window: &ClippedWindow, from: &Layout, to: &Layout) -> Range<usize> {
    let (stride, pad) = (window.stride[1], window.pads[1]);
    let span = (window.kernel[1] - 1) * window.dilation[1];
    let first = pad.div_ceil(stride).min(to.width);
    let end = (from.width + pad).checked_sub(span + 1).map_or(0, |last| last / stride + 1);
    first..end.min(to.width).max(first)
}

/// First image row that output row `y` meets, and how many rows.
fn met_rows(window: &ClippedWindow, from: &Layout, y: usize) -> (usize, usize) {
    let mut taps = window.taps(0, y, from.height);
    taps.next().map_or((0, 0), |first| (first, 1 + taps.count()))
}

/// Whether a clipped window's numbers are sane and each output row meets a pixel.
fn clipped_fits(window: &ClippedWindow, input: &Rows<'_>, output: &RowsMut<'_>) -> bool {
    let extents = [window.kernel, window.stride, window.dilation];
    bounds::writable(output)
        && extents.as_flattened().iter().all(|extent| (1..=1 << 8).contains(extent))
        && window.pads.iter().all(|pad| *pad <= 1 << 16)
        && input.layout.element == Element::Code
        && output.layout.element == Element::Code
        && input.layout.blocks() == output.layout.blocks()
        && input.layout.channels == output.layout.channels
        && bounds::readable(
            input,
            window.input_rows(&input.layout, output.first..output.first + output.count),
        )
}

/// The plane of one output row restricted to `columns`, starting at the window's first met tap.
fn row_plane(
    window: &ClippedWindow,
    input: &Rows<'_>,
    output: (*mut u8, Layout),
    at: (usize, usize, usize),
    columns: &Range<usize>,
    lanes: usize,
) -> Plane {
    let (from, (target, to)) = (&input.layout, output);
    let (block, input_row, output_row) = at;
    let column = columns.start * window.stride[1] - window.pads[1];
    let reach = (window.kernel[0] - 1) * window.dilation[0] * from.row_stride
        + (window.kernel[1] - 1) * window.dilation[1] * PIXEL;
    let first_row = from.halo.top + input_row - input.origin;
    let source = first_row * from.row_stride + from.offset_in_row(block, column);
    Plane {
        source: input.data.as_ptr().wrapping_add(source),
        source_row: 0,
        source_stride: window.stride[1],
        target: target.wrapping_add(output_row * to.row_stride + to.offset_in_row(block, columns.start)),
        target_row: 0,
        target_stride: 1,
        target_pixel: PIXEL,
        rows: 1,
        columns: columns.len(),
        whole_until: Plane::whole_until(input.data, reach, lanes, window.stride[1]),
    }
}

/// Average pooling: windows inside the image row by row as sums with unit weights, the others pixel by
/// pixel.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(crate) unsafe fn average_pool<V: Quartets>(
    op: &AveragePool<'_>,
    input: Rows<'_>,
    mut output: RowsMut<'_>,
) {
    let (window, from, to) = (&op.window, input.layout, output.layout);
    if !clipped_fits(window, &input, &output) || op.multipliers.len() <= window.kernel[0] * window.kernel[1] {
        return average_pool::reference(op, input, output);
    }
    let inner = inner_columns(window, &from, &to);
    for y in output.first..output.first + output.count {
        let (row, rows) = met_rows(window, &from, y);
        let count = rows * window.kernel[1];
        let centre = if V::CENTRED { 128 * count as i32 } else { 0 };
        let bias = (count as i32).wrapping_mul(op.zero_point).wrapping_neg().wrapping_add(centre);
        let target = output.data.as_mut_ptr();
        for block in 0..if inner.is_empty() { 0 } else { to.blocks() } {
            let at = (block, row, y - output.first);
            let taps = Taps {
                plane: row_plane(window, &input, (target, to), at, &inner, V::LANES),
                end: input.data.as_ptr().addr() + input.data.len(),
                taps: [rows, window.kernel[1]],
                steps: [window.dilation[0] * from.row_stride, window.dilation[1] * PIXEL],
                weights: &ONES,
                weight_step: 0,
                bias: [bias; BLOCK],
                step: OutputStep::new([op.multipliers[count]; BLOCK], op.range),
            };
            // SAFETY: rows and inner columns lie inside the image, which `clipped_fits` found stored.
            unsafe { weighted::<V>(&taps) }
        }
        for x in (0..inner.start).chain(inner.end..to.width) {
            for c in 0..to.channels {
                let (mut sum, mut met) = (0, 0);
                for iy in window.taps(0, y, from.height) {
                    for ix in window.taps(1, x, from.width) {
                        sum += i32::from(input.code(iy, ix, c)) - op.zero_point;
                        met += 1;
                    }
                }
                output.set_code(y, x, c, requantize(sum, op.multipliers[met], op.range) as u8);
            }
        }
    }
}

/// Max pooling: windows inside the image by registers, the others pixel by pixel.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(crate) unsafe fn max_pool<V: Quartets>(op: &MaxPool, input: Rows<'_>, mut output: RowsMut<'_>) {
    let (window, from, to) = (&op.window, input.layout, output.layout);
    if !clipped_fits(window, &input, &output) {
        return max_pool::reference(op, input, output);
    }
    let inner = inner_columns(window, &from, &to);
    let pairs = (window.kernel[1], window.stride[1], window.dilation[1]) == (2, 2, 1);
    for y in output.first..output.first + output.count {
        let (row, rows) = met_rows(window, &from, y);
        let target = output.data.as_mut_ptr();
        for block in 0..if inner.is_empty() || rows == 0 { 0 } else { to.blocks() } {
            let at = (block, row, y - output.first);
            let plane = row_plane(window, &input, (target, to), at, &inner, V::LANES);
            let steps = [window.dilation[0] * from.row_stride, window.dilation[1] * PIXEL];
            // SAFETY: rows and inner columns lie inside the image, which `clipped_fits` found stored.
            unsafe {
                if pairs {
                    greatest_of_pairs::<V>(&plane, rows, steps[0]);
                } else {
                    greatest::<V>(&plane, [rows, window.kernel[1]], steps);
                }
            }
        }
        for x in (0..inner.start).chain(inner.end..to.width) {
            for c in 0..to.channels {
                let mut greatest = 0;
                for iy in window.taps(0, y, from.height) {
                    for ix in window.taps(1, x, from.width) {
                        greatest = greatest.max(input.code(iy, ix, c));
                    }
                }
                output.set_code(y, x, c, greatest);
            }
        }
    }
}

/// The greatest code under two columns of `rows` taps, at least one row `step` bytes apart, for the one row
/// of a plane whose outputs lie two pixels apart.
#[inline(always)]
unsafe fn greatest_of_pairs<V: Quartets>(plane: &Plane, rows: usize, step: usize) {
    let mut column = 0;
    while column < plane.columns {
        let count = V::LANES.min(plane.columns - column);
        // SAFETY: the caller's contract: two stored pixels for each output, and no others are read.
        unsafe {
            let source = plane.source.add(2 * column * PIXEL);
            let target = plane.target.add(column * PIXEL);
            if count == V::LANES {
                let mut greatest = [V::load(source), V::load(source.add(V::LANES * PIXEL))];
                for row in 1..rows {
                    let source = source.add(row * step);
                    greatest[0] = V::greater(greatest[0], V::load(source));
                    greatest[1] = V::greater(greatest[1], V::load(source.add(V::LANES * PIXEL)));
                }
                V::store(target, V::greater_of_pairs(greatest[0], greatest[1]));
            } else {
                let (near, far) = ((2 * count).min(V::LANES), (2 * count).saturating_sub(V::LANES));
                let rest = near * PIXEL;
                let mut greatest = [V::load_first(source, near), V::load_first(source.add(rest), far)];
                for row in 1..rows {
                    let source = source.add(row * step);
                    greatest[0] = V::greater(greatest[0], V::load_first(source, near));
                    greatest[1] = V::greater(greatest[1], V::load_first(source.add(rest), far));
                }
                V::store_first(target, V::greater_of_pairs(greatest[0], greatest[1]), count);
            }
        }
        column += count;
    }
}

/// The greatest code under `taps`, at least one, for all pixels of a plane.
#[inline(always)]
unsafe fn greatest<V: Vector>(plane: &Plane, taps: [usize; 2], steps: [usize; 2]) {
    let mut walk = Walk::new(plane, V::LANES);
    while walk.remaining > 0 {
        let ([site], whole) = walk.take::<1>();
        // SAFETY: the caller's contract; where whole registers may be read, FULL and EVEN do.
        unsafe {
            match (plane.source_stride, whole) {
                (1, true) => greatest_tile::<V, { reading::FULL }>(plane, &site, taps, steps),
                (1, false) => greatest_tile::<V, { reading::PARTIAL }>(plane, &site, taps, steps),
                (2, true) => greatest_tile::<V, { reading::EVEN }>(plane, &site, taps, steps),
                _ => greatest_tile::<V, { reading::STRIDED }>(plane, &site, taps, steps),
            }
        }
    }
}

/// One register of maxima.
#[inline(always)]
unsafe fn greatest_tile<V: Vector, const READING: u8>(
    plane: &Plane,
    site: &Site,
    taps: [usize; 2],
    steps: [usize; 2],
) {
    let stride = plane.source_stride;
    // SAFETY: the caller's contract.
    unsafe {
        let mut greatest = read::<V, READING>(site.source, stride, site.count);
        for row in 0..taps[0] {
            for column in 0..taps[1] {
                let source = site.source.add(row * steps[0] + column * steps[1]);
                greatest = V::greater(greatest, read::<V, READING>(source, stride, site.count));
            }
        }
        write::<V>(site.target, greatest, 1, site.count);
    }
}
