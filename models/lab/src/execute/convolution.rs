//! ONNX Conv in two dimensions: strips of im2col columns times the weights; direct loops when depthwise.
//!
//! Method: Chellapilla, Puri, Simard, "High performance convolutional neural networks for document
//! processing" (2006), section 3.1, here per strip of output columns so that a strip stays in the
//! second-level cache.

#[cfg(test)]
mod tests;

use std::ops::Range;

use super::matrix::{self, Matrix};
use super::{layout, parallel, window};
use crate::network::{Tensor, Window};

/// Elements of one strip's im2col matrix: half a mebibyte of floats, a part of a second-level cache.
const STRIP_ELEMENTS: usize = 1 << 17;
/// Bounds on the columns of a strip: below, packing the weights dominates; above, nothing is gained.
const STRIP_COLUMNS: Range<usize> = 192..4096;
/// Columns per core are a multiple of this, the width of the widest product kernel.
const GRAIN: usize = 64;

/// A checked convolution.
struct Convolution<'a> {
    /// Input, [N, C, H, W].
    x: &'a [f32],
    /// Weights, [O, C / groups, kh, kw].
    weight: &'a [f32],
    /// One per output channel; empty means zero.
    bias: &'a [f32],
    window: &'a Window,
    groups: usize,
    /// C / groups and O / groups.
    group_channels: [usize; 2],
    /// Input H, W.
    input: [usize; 2],
    /// Output H, W.
    output: [usize; 2],
}

/// Convolves x [N, C, H, W] with weight [O, C / groups, kh, kw] and an optional bias [O]; all f32.
///
/// # Errors
/// When an operand is not float or the shapes, groups and window do not fit each other and `declared`.
pub(super) fn conv(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
    groups: usize,
    declared: &[usize],
) -> Result<Tensor, String> {
    let [images, channels, height, width] = window::image(&x.shape, "x")?;
    let [out_channels, group_in, kernel_height, kernel_width] = window::image(&weight.shape, "weight")?;
    if x.is_empty() || weight.is_empty() {
        return Err("x and weight must not be empty".into());
    }
    if groups == 0 || out_channels % groups != 0 || group_in.checked_mul(groups) != Some(channels) {
        return Err(format!(
            "{groups} groups of {group_in} channels do not divide {channels} in, {out_channels} out"
        ));
    }
    if window.kernel != [kernel_height, kernel_width] {
        return Err(format!(
            "weight has kernel {kernel_height}×{kernel_width}, the window {:?}",
            window.kernel
        ));
    }
    let bias = match bias {
        Some(bias) => layout::channel_floats(bias, "bias", out_channels)?,
        None => &[],
    };
    let output = window::extents(window, [height, width], false)?;
    layout::expect(&[images, out_channels, output[0], output[1]], declared)?;
    let convolution = Convolution {
        x: layout::floats(x, "x")?,
        weight: layout::floats(weight, "weight")?,
        bias,
        window,
        groups,
        group_channels: [group_in, out_channels / groups],
        input: [height, width],
        output,
    };
    let mut out = vec![0.0; layout::volume(declared)?];
    if group_in == 1 {
        convolution.depthwise(&mut out);
    } else {
        parallel::columns(&mut out, output[0] * output[1], GRAIN, |range, rows| {
            convolution.strips(range, rows)
        });
    }
    Ok(Tensor::f32(declared.to_vec(), out))
}

impl Convolution<'_> {
    /// Bias of output channel `channel`.
    fn bias(&self, channel: usize) -> f32 {
        self.bias.get(channel).copied().unwrap_or(0.0)
    }

    /// True when the im2col matrix is the input itself.
    fn is_pointwise(&self) -> bool {
        self.window.kernel == [1, 1] && self.window.stride == [1, 1] && self.window.pads == [0; 4]
    }

    /// Computes the output columns `range` of every image and channel; `rows` is their part of the output.
    fn strips(&self, range: Range<usize>, rows: &mut [&mut [f32]]) {
        let [group_in, group_out] = self.group_channels;
        let depth = group_in * self.window.kernel[0] * self.window.kernel[1];
        let strip = (STRIP_ELEMENTS / depth).clamp(STRIP_COLUMNS.start, STRIP_COLUMNS.end).min(range.len());
        let in_plane = self.input[0] * self.input[1];
        let mut columns = if self.is_pointwise() { vec![] } else { vec![0.0; depth * strip] };
        let mut product = vec![0.0; group_out * strip];
        let inputs = self.x.chunks(group_in * in_plane);
        let weights = self.weight.chunks(group_out * depth);
        let groups = inputs.zip(weights.cycle()).zip(rows.chunks_mut(group_out));
        for (index, ((input, weight), rows)) in groups.enumerate() {
            let first_channel = index % self.groups * group_out;
            for start in range.clone().step_by(strip) {
                let count = strip.min(range.end - start);
                let right = if self.is_pointwise() {
                    Matrix::row_major(&input[start..], in_plane)
                } else {
                    self.im2col(input, start..start + count, &mut columns[..depth * count]);
                    Matrix::row_major(&columns, count)
                };
                let product = &mut product[..group_out * count];
                matrix::multiply([group_out, depth, count], Matrix::row_major(weight, depth), right, product);
                for (channel, (row, product)) in rows.iter_mut().zip(product.chunks(count)).enumerate() {
                    let bias = self.bias(first_channel + channel);
                    let row = &mut row[start - range.start..][..count];
                    row.iter_mut().zip(product).for_each(|(out, sum)| *out = sum + bias);
                }
            }
        }
    }

    /// Fills `columns` [C / groups · kh · kw, range.len()] with the inputs under each tap for the output
    /// positions `range`; `input` is one group's channels.
    fn im2col(&self, input: &[f32], range: Range<usize>, columns: &mut [f32]) {
        let [kernel_height, kernel_width] = self.window.kernel;
        let planes = input.chunks(self.input[0] * self.input[1]);
        let mut rows = columns.chunks_mut(range.len());
        for plane in planes {
            for tap_y in 0..kernel_height {
                for (tap_x, row) in (0..kernel_width).zip(&mut rows) {
                    self.gather_tap(plane, [tap_y, tap_x], range.clone(), row);
                }
            }
        }
    }

    /// The inputs that kernel tap `tap` sees at the output positions `range`, zero in the padding.
    fn gather_tap(&self, plane: &[f32], tap: [usize; 2], range: Range<usize>, row: &mut [f32]) {
        let [stride_y, stride_x] = self.window.stride;
        let [offset_y, offset_x] = self.tap_offsets(tap);
        let [inside_y, inside_x] = self.reach([offset_y, offset_x]);
        let mut rest = row;
        let mut at = range.start;
        while at < range.end {
            let (y, x) = (at / self.output[1], at % self.output[1]);
            let count = (self.output[1] - x).min(range.end - at);
            let (segment, tail) = rest.split_at_mut(count);
            (rest, at) = (tail, at + count);
            let from = inside_x.start.clamp(x, x + count);
            let to = inside_x.end.clamp(from, x + count);
            if !inside_y.contains(&y) || from == to {
                segment.fill(0.0);
                continue;
            }
            segment[..from - x].fill(0.0);
            segment[to - x..].fill(0.0);
            let line = &plane[window::position(y, stride_y, offset_y) * self.input[1]..][..self.input[1]];
            let line = &line[window::position(from, stride_x, offset_x)..];
            let inside = &mut segment[from - x..to - x];
            if stride_x == 1 {
                inside.copy_from_slice(&line[..to - from]);
            } else {
                inside.iter_mut().zip(line.iter().step_by(stride_x)).for_each(|(out, value)| *out = *value);
            }
        }
    }

    /// Offsets (y, x) of a kernel tap from the window's first position.
    fn tap_offsets(&self, tap: [usize; 2]) -> [isize; 2] {
        [0, 1].map(|axis| window::tap_offset(tap[axis], self.window.dilation[axis], self.window.pads[axis]))
    }

    /// The output rows and columns at which a tap with these offsets lies inside the input.
    fn reach(&self, offsets: [isize; 2]) -> [Range<usize>; 2] {
        [0, 1].map(|axis| {
            window::reach(self.output[axis], self.input[axis], self.window.stride[axis], offsets[axis])
        })
    }

    /// One input channel per group: every output plane is a sum of shifted, scaled input rows.
    fn depthwise(&self, out: &mut [f32]) {
        let [_, group_out] = self.group_channels;
        let out_channels = group_out * self.groups;
        let in_plane = self.input[0] * self.input[1];
        let taps = self.window.kernel[0] * self.window.kernel[1];
        parallel::planes(out, self.output[0] * self.output[1], |index, plane| {
            let (image, channel) = (index / out_channels, index % out_channels);
            plane.fill(self.bias(channel));
            let input = &self.x[(image * self.groups + channel / group_out) * in_plane..][..in_plane];
            let weights = &self.weight[channel * taps..][..taps];
            for (y, row) in plane.chunks_mut(self.output[1]).enumerate() {
                self.depthwise_row(input, weights, y, row);
            }
        });
    }

    /// Adds to output row `y` what each tap of one channel contributes.
    fn depthwise_row(&self, input: &[f32], weights: &[f32], y: usize, row: &mut [f32]) {
        let [stride_y, stride_x] = self.window.stride;
        for (tap, weight) in weights.iter().enumerate() {
            let offsets = self.tap_offsets([tap / self.window.kernel[1], tap % self.window.kernel[1]]);
            let [inside_y, inside_x] = self.reach(offsets);
            if !inside_y.contains(&y) || inside_x.is_empty() {
                continue;
            }
            let line = &input[window::position(y, stride_y, offsets[0]) * self.input[1]..][..self.input[1]];
            let line = &line[window::position(inside_x.start, stride_x, offsets[1])..];
            let row = &mut row[inside_x];
            if stride_x == 1 {
                row.iter_mut().zip(line).for_each(|(out, value)| *out += weight * value);
            } else {
                row.iter_mut()
                    .zip(line.iter().step_by(stride_x))
                    .for_each(|(out, value)| *out += weight * value);
            }
        }
    }
}
