//! Kernel, stride, dilation and padding of convolutions and pools, checked, with `auto_pad` resolved.

use super::super::call::Call;
use super::super::problem::Fault;
use crate::network::Window;

/// Largest kernel, stride and dilation of a convolution.
pub(super) const CONVOLUTION_EXTENT_MAX: usize = 64;
/// Largest kernel and stride of a pool; global pools written as windows are this large.
pub(super) const POOL_EXTENT_MAX: usize = 1024;
/// Largest padding on one side.
const PAD_MAX: usize = 1024;
const EXPORT_AGAIN: &str = "export the model again";

/// How `auto_pad` asks for padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AutoPad {
    /// Padding is given by `pads`.
    Explicit,
    /// Output extent is ceil(input / stride); an odd pixel goes to the end.
    SameUpper,
    /// As `SameUpper` with an odd pixel at the start.
    SameLower,
    /// No padding.
    Valid,
}

/// A pair attribute (h, w) whose entries lie in 1..=max; `default` if absent.
pub(super) fn pair(
    call: &Call<'_, '_>,
    name: &str,
    default: [usize; 2],
    max: usize,
) -> Result<[usize; 2], Fault> {
    let Some(values) = call.ints(name)? else { return Ok(default) };
    let fault = || {
        let what = format!("{values:?} is not two extents from 1 to {max}");
        Fault::at(name, what, "use a 2-D network with windows of sensible size")
    };
    let [h, w] = <[i64; 2]>::try_from(values).map_err(|_| fault())?;
    let extent =
        |value: i64| usize::try_from(value).ok().filter(|value| (1..=max).contains(value)).ok_or_else(fault);
    Ok([extent(h)?, extent(w)?])
}

/// Reads `auto_pad`.
pub(super) fn auto_pad(call: &Call<'_, '_>) -> Result<AutoPad, Fault> {
    match call.text("auto_pad", "NOTSET")? {
        "NOTSET" | "" => Ok(AutoPad::Explicit),
        "SAME_UPPER" => Ok(AutoPad::SameUpper),
        "SAME_LOWER" => Ok(AutoPad::SameLower),
        "VALID" => Ok(AutoPad::Valid),
        _ => Err(Fault::at("auto_pad", "unknown value", "export with explicit pads")),
    }
}

/// Reads `pads` as top, left, bottom, right; zeros if absent.
pub(super) fn explicit_pads(call: &Call<'_, '_>) -> Result<[usize; 4], Fault> {
    let Some(values) = call.ints("pads")? else { return Ok([0; 4]) };
    let fault = || {
        let what = format!("{values:?} is not four pads from 0 to {PAD_MAX}");
        Fault::at("pads", what, "use a 2-D network; express negative padding as Slice")
    };
    let mut pads = [0; 4];
    let values = <[i64; 4]>::try_from(values).map_err(|_| fault())?;
    for (pad, value) in pads.iter_mut().zip(values) {
        *pad = usize::try_from(value).ok().filter(|&value| value <= PAD_MAX).ok_or_else(fault)?;
    }
    Ok(pads)
}

/// Splits `total` padding per axis into top, left, bottom, right; an odd pixel goes to the end or the
/// start.
pub(super) fn split_pads(total: [usize; 2], odd_at_end: bool) -> [usize; 4] {
    let small = total.map(|total| total / 2);
    let large = [total[0] - small[0], total[1] - small[1]];
    let (begin, end) = if odd_at_end { (small, large) } else { (large, small) };
    [begin[0], begin[1], end[0], end[1]]
}

/// Extent a kernel covers once dilated.
pub(super) fn covered(kernel: usize, dilation: usize) -> usize {
    dilation * (kernel - 1) + 1
}

/// The window of a Conv or pool over extents `input`, and its output extents, rounded down.
pub(super) fn window(
    call: &Call<'_, '_>,
    kernel: [usize; 2],
    input: [usize; 2],
    max: usize,
) -> Result<(Window, [usize; 2]), Fault> {
    let stride = pair(call, "strides", [1, 1], max)?;
    let dilation = pair(call, "dilations", [1, 1], CONVOLUTION_EXTENT_MAX)?;
    let covers = [covered(kernel[0], dilation[0]), covered(kernel[1], dilation[1])];
    let mode = auto_pad(call)?;
    let pads = match mode {
        AutoPad::Explicit => explicit_pads(call)?,
        AutoPad::Valid => [0; 4],
        AutoPad::SameUpper | AutoPad::SameLower => {
            let total = [0, 1].map(|axis| {
                let output = input[axis].div_ceil(stride[axis]);
                ((output - 1) * stride[axis] + covers[axis]).saturating_sub(input[axis])
            });
            split_pads(total, mode == AutoPad::SameUpper)
        }
    };
    let mut output = [0; 2];
    for axis in 0..2 {
        let padded = input[axis] + pads[axis] + pads[axis + 2];
        let room = padded.checked_sub(covers[axis]).ok_or_else(|| {
            let what = format!("a window covering {} is larger than the padded input {padded}", covers[axis]);
            Fault::at("kernel_shape", what, "use a larger input")
        })?;
        output[axis] = room / stride[axis] + 1;
    }
    Ok((Window { kernel, stride, dilation, pads }, output))
}

/// Checks that `kernel_shape`, where given, agrees with the weight.
pub(super) fn kernel_of_weight(call: &Call<'_, '_>, weight: [usize; 2]) -> Result<[usize; 2], Fault> {
    if weight.iter().any(|extent| !(1..=CONVOLUTION_EXTENT_MAX).contains(extent)) {
        let what =
            format!("the weight's kernel {weight:?} is not two extents from 1 to {CONVOLUTION_EXTENT_MAX}");
        return Err(Fault::at("kernel_shape", what, EXPORT_AGAIN));
    }
    let stated = pair(call, "kernel_shape", weight, CONVOLUTION_EXTENT_MAX)?;
    if stated != weight {
        let what = format!("{stated:?} is not the weight's kernel {weight:?}");
        return Err(Fault::at("kernel_shape", what, EXPORT_AGAIN));
    }
    Ok(weight)
}
