//! MaxPool and AveragePool (ONNX operators of these names, versions 1 to 22), 2-D only.

use super::super::call::Call;
use super::super::problem::Fault;
use super::image;
use super::window::{POOL_EXTENT_MAX, covered, pair, window};
use crate::network::{Op, Window};

/// The window, whether extents round up, and the output shape.
fn pool(call: &Call<'_, '_>) -> Result<(Window, bool, Vec<usize>), Fault> {
    let [batch, channels, height, width] = image(&call.shape(call.input(0)?))?;
    if !call.has("kernel_shape") {
        return Err(Fault::at("kernel_shape", "the attribute is missing", "export the model again"));
    }
    let kernel = pair(call, "kernel_shape", [1, 1], POOL_EXTENT_MAX)?;
    let input = [height, width];
    let (window, mut output) = window(call, kernel, input, POOL_EXTENT_MAX)?;
    let ceil = call.flag("ceil_mode")?;
    for axis in 0..2 {
        let (before, after) = (window.pads[axis], window.pads[axis + 2]);
        let covers = covered(kernel[axis], window.dilation[axis]);
        if before >= covers || after >= covers || window.dilation[axis] > input[axis] {
            let what = format!("with pads {:?} some windows hold no pixel", window.pads);
            return Err(Fault::at("pads", what, "pad less than the kernel, dilate less than the input"));
        }
        if ceil {
            output[axis] = ceil_extent(input[axis], before, after, covers, window.stride[axis]);
        }
    }
    Ok((window, ceil, vec![batch, channels, output[0], output[1]]))
}

/// Output extent with `ceil_mode`: a last window that would start in the padding after the input is left
/// out (the rule PyTorch has always had and ONNX Runtime and the operator's documentation share).
fn ceil_extent(input: usize, before: usize, after: usize, covers: usize, stride: usize) -> usize {
    let room = (input + before + after).saturating_sub(covers);
    let extent = room.div_ceil(stride) + 1;
    if (extent - 1) * stride >= input + before { extent - 1 } else { extent }
}

/// MaxPool; its Indices output is not supported.
pub(in super::super) fn max_pool(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let (window, ceil, shape) = pool(call)?;
    let input = call.input(0)?;
    call.finish(Op::MaxPool { window, ceil }, &[input], shape)
}

/// AveragePool.
pub(in super::super) fn average_pool(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let (window, ceil, shape) = pool(call)?;
    let count_include_pad = call.flag("count_include_pad")?;
    let input = call.input(0)?;
    call.finish(Op::AveragePool { window, ceil, count_include_pad }, &[input], shape)
}
