//! Conv and ConvTranspose (ONNX operators of these names, versions 1 to 22), 2-D only.

use super::super::call::Call;
use super::super::problem::Fault;
use super::image;
use super::window::{
    AutoPad, CONVOLUTION_EXTENT_MAX, auto_pad, covered, explicit_pads, kernel_of_weight, pair, split_pads,
    window,
};
use crate::network::{Op, ValueId, Window};

/// Most channel groups.
const GROUPS_MAX: i64 = 1 << 16;

fn groups(call: &Call<'_, '_>) -> Result<usize, Fault> {
    let groups = call.int("group")?.unwrap_or(1);
    if !(1..=GROUPS_MAX).contains(&groups) {
        let what = format!("{groups} groups are not from 1 to {GROUPS_MAX}");
        return Err(Fault::at("group", what, "export the model again"));
    }
    usize::try_from(groups).map_err(|_| Fault::at("group", "too many groups", "export the model again"))
}

/// Inputs x, weight and optional bias, once the bias extent is known to be `channels`.
fn inputs(call: &Call<'_, '_>, channels: usize) -> Result<Vec<ValueId>, Fault> {
    let mut inputs = vec![call.input(0)?, call.input(1)?];
    if let Some(bias) = call.optional(2) {
        let shape = call.shape(bias);
        if shape != [channels] {
            let what = format!("shape {shape:?} is not one value for each of {channels} output channels");
            return Err(Fault::at("B", what, "export the model again"));
        }
        inputs.push(bias);
    }
    Ok(inputs)
}

fn channels_fault(channels: usize, weight: &[usize], groups: usize) -> Fault {
    let what =
        format!("{channels} input channels in {groups} groups do not fit a weight of shape {weight:?}");
    Fault::at("W", what, "export the model again")
}

/// Conv.
pub(in super::super) fn conv(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let [batch, channels, height, width] = image(&call.shape(call.input(0)?))?;
    let weight = image(&call.shape(call.input(1)?))?;
    let groups = groups(call)?;
    if weight[1].checked_mul(groups) != Some(channels) || weight[0] == 0 || !weight[0].is_multiple_of(groups)
    {
        return Err(channels_fault(channels, &weight, groups));
    }
    let kernel = kernel_of_weight(call, [weight[2], weight[3]])?;
    let (window, output) = window(call, kernel, [height, width], CONVOLUTION_EXTENT_MAX)?;
    let inputs = inputs(call, weight[0])?;
    call.finish(Op::Conv { window, groups }, &inputs, vec![batch, weight[0], output[0], output[1]])
}

/// ConvTranspose; `output_shape` and `auto_pad` become explicit pads.
pub(in super::super) fn conv_transpose(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let [batch, channels, height, width] = image(&call.shape(call.input(0)?))?;
    let weight = image(&call.shape(call.input(1)?))?;
    let groups = groups(call)?;
    if weight[0] != channels || weight[1] == 0 || !channels.is_multiple_of(groups) {
        return Err(channels_fault(channels, &weight, groups));
    }
    let kernel = kernel_of_weight(call, [weight[2], weight[3]])?;
    let stride = pair(call, "strides", [1, 1], CONVOLUTION_EXTENT_MAX)?;
    let dilation = pair(call, "dilations", [1, 1], CONVOLUTION_EXTENT_MAX)?;
    let mut output_padding = output_padding(call, stride, dilation)?;
    let input = [height, width];
    let full = [0, 1].map(|axis| {
        stride[axis] * (input[axis] - 1) + output_padding[axis] + covered(kernel[axis], dilation[axis])
    });
    let (pads, extra) = transposed_pads(call, full, input, stride)?;
    let mut output = [0; 2];
    for axis in 0..2 {
        output_padding[axis] += extra[axis];
        let cut = pads[axis] + pads[axis + 2];
        output[axis] =
            (full[axis] + extra[axis]).checked_sub(cut).filter(|&extent| extent > 0).ok_or_else(|| {
                let what = format!("pads {pads:?} remove the whole output of extent {}", full[axis]);
                Fault::at("pads", what, "use a larger input")
            })?;
    }
    let out_channels =
        weight[1].checked_mul(groups).ok_or_else(|| channels_fault(channels, &weight, groups))?;
    let inputs = inputs(call, out_channels)?;
    let window = Window { kernel, stride, dilation, pads };
    let shape = vec![batch, out_channels, output[0], output[1]];
    call.finish(Op::ConvTranspose { window, output_padding, groups }, &inputs, shape)
}

/// `output_padding`, each entry below its stride or its dilation as the operator demands.
fn output_padding(
    call: &Call<'_, '_>,
    stride: [usize; 2],
    dilation: [usize; 2],
) -> Result<[usize; 2], Fault> {
    let Some(values) = call.ints("output_padding")? else { return Ok([0; 2]) };
    let fault = || {
        let what = format!("{values:?} is not two extents, each below its stride {stride:?} or dilation");
        Fault::at("output_padding", what, "export the model again")
    };
    let values = <[i64; 2]>::try_from(values).map_err(|_| fault())?;
    let mut padding = [0; 2];
    for axis in 0..2 {
        padding[axis] = usize::try_from(values[axis])
            .ok()
            .filter(|&value| value < stride[axis].max(dilation[axis]))
            .ok_or_else(fault)?;
    }
    Ok(padding)
}

/// Pads of a ConvTranspose whose unpadded output has extents `full`, and what `output_padding` must grow
/// by.
///
/// The formulas for `output_shape` and `auto_pad` are those of the operator's documentation; where the
/// wanted output is larger than `full`, the rest is added at the end, as ONNX Runtime does.
fn transposed_pads(
    call: &Call<'_, '_>,
    full: [usize; 2],
    input: [usize; 2],
    stride: [usize; 2],
) -> Result<([usize; 4], [usize; 2]), Fault> {
    let mode = auto_pad(call)?;
    let wanted = match (call.ints("output_shape")?, mode) {
        (Some(shape), _) => {
            let fault = || {
                let what = format!("{shape:?} is not two positive extents near {full:?}");
                Fault::at("output_shape", what, "export with the height and width only")
            };
            let [h, w] = <[i64; 2]>::try_from(shape).map_err(|_| fault())?;
            let extent = |value: i64, axis: usize| {
                let most = full[axis] + CONVOLUTION_EXTENT_MAX;
                usize::try_from(value).ok().filter(|value| (1..=most).contains(value)).ok_or_else(fault)
            };
            [extent(h, 0)?, extent(w, 1)?]
        }
        (None, AutoPad::SameUpper | AutoPad::SameLower) => [input[0] * stride[0], input[1] * stride[1]],
        (None, AutoPad::Valid) => return Ok(([0; 4], [0; 2])),
        (None, AutoPad::Explicit) => return Ok((explicit_pads(call)?, [0; 2])),
    };
    let total = [0, 1].map(|axis| full[axis].saturating_sub(wanted[axis]));
    let extra = [0, 1].map(|axis| wanted[axis].saturating_sub(full[axis]));
    Ok((split_pads(total, mode == AutoPad::SameUpper), extra))
}
