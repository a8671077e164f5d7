//! Geometry of a sliding window: output extents and which positions fall inside the input.

use std::ops::Range;

use crate::network::Window;

/// Largest kernel extent, stride, dilation or pad: keeps every sum and product of two of them far from
/// overflow.
const PARAMETER_MAX: usize = 1 << 16;

/// The four extents (N, C, H, W) of an image operand.
///
/// # Errors
/// When the rank is not 4.
pub(super) fn image(shape: &[usize], role: &str) -> Result<[usize; 4], String> {
    shape.try_into().map_err(|_| format!("{role} must have rank 4, has shape {shape:?}"))
}

/// Checks that every number of `window` is usable: kernel, stride and dilation at least 1, all bounded.
///
/// # Errors
/// Names the window.
pub(super) fn check(window: &Window) -> Result<(), String> {
    let positive = [window.kernel, window.stride, window.dilation];
    if positive.as_flattened().contains(&0) {
        return Err("kernel, stride and dilation must be at least 1".into());
    }
    let largest = positive.as_flattened().iter().chain(&window.pads).max();
    match largest {
        Some(&largest) if largest > PARAMETER_MAX => {
            Err(format!("window parameter {largest} > {PARAMETER_MAX}"))
        }
        _ => Ok(()),
    }
}

/// Output extents (H, W) of `window` over `input`, as ONNX Conv and pooling define them. With `ceil` a last
/// partial window counts, unless it would start in the bottom or right padding.
///
/// # Errors
/// When the window is unusable or does not fit the padded input.
pub(super) fn extents(window: &Window, input: [usize; 2], ceil: bool) -> Result<[usize; 2], String> {
    check(window)?;
    let mut output = [0; 2];
    for axis in 0..2 {
        let (begin, end) = (window.pads[axis], window.pads[axis + 2]);
        let stride = window.stride[axis];
        let span = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
        let Some(room) = (input[axis] + begin + end).checked_sub(span) else {
            return Err(format!(
                "the window spans {span}, more than the padded input {}",
                input[axis] + begin + end
            ));
        };
        output[axis] = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
        if ceil && (output[axis] - 1) * stride >= input[axis] + begin {
            output[axis] -= 1;
        }
    }
    Ok(output)
}

/// The indices `i` of `0..count` for which `i · stride + offset` lies in `0..extent`.
pub(super) fn reach(count: usize, extent: usize, stride: usize, offset: isize) -> Range<usize> {
    let steps_to = |position: isize| (position - offset).max(0).cast_unsigned().div_ceil(stride).min(count);
    steps_to(0)..steps_to(extent.cast_signed())
}

/// `i · stride + offset`, for an `i` that [`reach`] returned.
pub(super) fn position(index: usize, stride: usize, offset: isize) -> usize {
    (index * stride).saturating_add_signed(offset)
}

/// Offset of kernel tap `tap` from a window's first position.
pub(super) fn tap_offset(tap: usize, dilation: usize, pad: usize) -> isize {
    (tap * dilation).cast_signed() - pad.cast_signed()
}
