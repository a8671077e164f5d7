//! ONNX ConvTranspose in two dimensions: weights times input, then col2im scattered into the output.
//!
//! Method: Dumoulin, Visin, "A guide to convolution arithmetic for deep learning" (2016), chapter 4: the
//! transpose of the matrix that im2col multiplies by.

#[cfg(test)]
mod tests;

use std::ops::Range;

use super::matrix::{self, Matrix};
use super::{layout, parallel, window};
use crate::network::{Tensor, Window};

/// Elements of one strip's column matrix: 2 MiB of floats.
const STRIP_ELEMENTS: usize = 1 << 19;

/// A checked transposed convolution.
struct ConvTranspose<'a> {
    /// Input, [N, C, H, W].
    x: &'a [f32],
    /// Weights, [C, O / groups, kh, kw].
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

/// Transposed convolution of x [N, C, H, W] with weight [C, O / groups, kh, kw] and an optional bias [O];
/// all f32.
///
/// # Errors
/// When an operand is not float or the shapes, groups and window do not fit each other and `declared`.
pub(super) fn conv_transpose(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
    output_padding: [usize; 2],
    groups: usize,
    declared: &[usize],
) -> Result<Tensor, String> {
    window::check(window)?;
    let [images, channels, height, width] = window::image(&x.shape, "x")?;
    let [in_channels, group_out, kernel_height, kernel_width] = window::image(&weight.shape, "weight")?;
    if x.is_empty() || weight.is_empty() {
        return Err("x and weight must not be empty".into());
    }
    if groups == 0 || channels % groups != 0 || in_channels != channels {
        return Err(format!(
            "weight for {in_channels} channels in {groups} groups does not fit {channels} channels"
        ));
    }
    if window.kernel != [kernel_height, kernel_width] {
        return Err(format!(
            "weight has kernel {kernel_height}×{kernel_width}, the window {:?}",
            window.kernel
        ));
    }
    let out_channels = group_out.checked_mul(groups).ok_or("too many output channels")?;
    let bias = match bias {
        Some(bias) => layout::channel_floats(bias, "bias", out_channels)?,
        None => &[],
    };
    let line = (group_out * kernel_height * kernel_width).checked_mul(width);
    if line.is_none_or(|line| line > layout::ELEMENTS_MAX) {
        return Err(format!("one input line unfolds to more than {} elements", layout::ELEMENTS_MAX));
    }
    let output = extents(window, [height, width], output_padding)?;
    layout::expect(&[images, out_channels, output[0], output[1]], declared)?;
    let transposed = ConvTranspose {
        x: layout::floats(x, "x")?,
        weight: layout::floats(weight, "weight")?,
        bias,
        window,
        groups,
        group_channels: [channels / groups, group_out],
        input: [height, width],
        output,
    };
    let mut out = vec![0.0; layout::volume(declared)?];
    if !out.is_empty() {
        for (image, out) in out.chunks_mut(out_channels * output[0] * output[1]).enumerate() {
            transposed.image(image, out);
        }
    }
    Ok(Tensor::f32(declared.to_vec(), out))
}

/// Output extents: (in − 1) · stride + span + output padding − pads.
fn extents(window: &Window, input: [usize; 2], output_padding: [usize; 2]) -> Result<[usize; 2], String> {
    let mut output = [0; 2];
    for axis in 0..2 {
        let steps = input[axis].checked_sub(1).ok_or("x has an empty spatial axis")?;
        let span = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
        let full = (steps * window.stride[axis] + span).checked_add(output_padding[axis]);
        let pads = window.pads[axis] + window.pads[axis + 2];
        output[axis] = full.and_then(|full| full.checked_sub(pads)).ok_or("the pads exceed the output")?;
    }
    Ok(output)
}

impl ConvTranspose<'_> {
    /// Computes one image's output [O, H, W], its channels shared out over the cores.
    fn image(&self, image: usize, out: &mut [f32]) {
        let [group_in, group_out] = self.group_channels;
        let out_plane = self.output[0] * self.output[1];
        let group_input = group_in * self.input[0] * self.input[1];
        let share = group_out.div_ceil(parallel::threads());
        for (group, out) in out.chunks_mut(group_out * out_plane).enumerate() {
            let input = &self.x[(image * self.groups + group) * group_input..][..group_input];
            parallel::planes(out, share * out_plane, |index, planes| {
                let first = index * share;
                for (channel, plane) in planes.chunks_mut(out_plane).enumerate() {
                    let bias = self.bias.get(group * group_out + first + channel).copied();
                    plane.fill(bias.unwrap_or(0.0));
                }
                self.channels(group, first..first + planes.len() / out_plane, input, planes);
            });
        }
    }

    /// Adds the contribution of `input` (one group's channels) to output channels `range` of the group.
    fn channels(&self, group: usize, range: Range<usize>, input: &[f32], planes: &mut [f32]) {
        let [group_in, group_out] = self.group_channels;
        let [height, width] = self.input;
        let taps = self.window.kernel[0] * self.window.kernel[1];
        let rows = range.len() * taps;
        let lines = (STRIP_ELEMENTS / (rows * width)).clamp(1, height);
        let mut columns = vec![0.0; rows * lines * width];
        let weight = &self.weight[(group * group_in * group_out + range.start) * taps..];
        let weight = Matrix { data: weight, row_stride: 1, column_stride: group_out * taps };
        for start in (0..height).step_by(lines) {
            let count = lines.min(height - start) * width;
            let strip = Matrix::row_major(&input[start * width..], height * width);
            let columns = &mut columns[..rows * count];
            matrix::multiply([rows, group_in, count], weight, strip, columns);
            let out_plane = self.output[0] * self.output[1];
            for (plane, taps) in planes.chunks_mut(out_plane).zip(columns.chunks(taps * count)) {
                for (tap, column) in taps.chunks(count).enumerate() {
                    self.scatter(tap, start, column, plane);
                }
            }
        }
    }

    /// Adds one tap's products for the input lines from `first_line` on to an output plane.
    fn scatter(&self, tap: usize, first_line: usize, column: &[f32], plane: &mut [f32]) {
        let [height, width] = self.input;
        let [stride_y, stride_x] = self.window.stride;
        let taps = [tap / self.window.kernel[1], tap % self.window.kernel[1]];
        let offsets = [0, 1]
            .map(|axis| window::tap_offset(taps[axis], self.window.dilation[axis], self.window.pads[axis]));
        let inside_y = window::reach(height, self.output[0], stride_y, offsets[0]);
        let inside_x = window::reach(width, self.output[1], stride_x, offsets[1]);
        if inside_x.is_empty() {
            return;
        }
        for (line, values) in (first_line..).zip(column.chunks(width)) {
            if !inside_y.contains(&line) {
                continue;
            }
            let row =
                &mut plane[window::position(line, stride_y, offsets[0]) * self.output[1]..][..self.output[1]];
            let row = &mut row[window::position(inside_x.start, stride_x, offsets[1])..];
            let values = &values[inside_x.clone()];
            row.iter_mut().step_by(stride_x).zip(values).for_each(|(out, value)| *out += value);
        }
    }
}
