//! Resize and Upsample of images by nearest neighbour or linear interpolation.

use super::super::call::Call;
use super::super::problem::Fault;
use super::{image, listed_axes};
use crate::network::{Coordinates, Interpolation, Nearest, Op};

/// Largest enlargement or reduction along one axis.
const SCALE_MAX: f32 = 1024.0;

/// What a Resize is asked for.
struct Request {
    interpolation: Interpolation,
    coordinates: Coordinates,
    scales: [f32; 2],
    output: [usize; 2],
}

fn emit(call: &mut Call<'_, '_>, request: &Request) -> Result<(), Fault> {
    let input = call.input(0)?;
    let [batch, channels, ..] = image(&call.shape(input))?;
    let Request { interpolation, coordinates, scales, output } = *request;
    let op = Op::Resize { interpolation, coordinates, scales };
    call.finish(op, &[input], vec![batch, channels, output[0], output[1]])
}

/// Upsample (operator sets 7 to 9).
pub(in super::super) fn upsample(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let scales = match call.floats("scales")? {
        Some(scales) => scales.to_vec(),
        None => call.constant_floats(1, "scales")?.unwrap_or_default(),
    };
    legacy(call, &scales)
}

/// Resize of operator set 10.
pub(in super::super) fn resize_10(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let scales = call.constant_floats(1, "scales")?.unwrap_or_default();
    legacy(call, &scales)
}

/// The coordinate conventions before operator set 11 were not written down; ONNX Runtime's are followed:
/// asymmetric coordinates, nearest rounding down when enlarging. PyTorch wrote the operator for half-pixel
/// interpolation too, so linear interpolation can be overridden per model.
fn legacy(call: &mut Call<'_, '_>, scales: &[f32]) -> Result<(), Fault> {
    let shape = image(&call.shape(call.input(0)?))?;
    let scales = spatial_scales(scales, &[0, 1, 2, 3])?;
    let output = scaled(shape, scales)?;
    let (interpolation, coordinates) = match call.text("mode", "nearest")? {
        "nearest" => {
            // Reducing, ONNX Runtime rounds up instead; both agree where each step is whole.
            if scales.iter().any(|&scale| scale < 1.0 && (1.0 / scale).fract() != 0.0) {
                let what = format!("reducing by {scales:?} has no agreed rounding before operator set 11");
                return Err(Fault::at("scales", what, "export with operator set 11 or newer"));
            }
            (Interpolation::Nearest(Nearest::Floor), Coordinates::Asymmetric)
        }
        "linear" | "bilinear" => {
            let chosen = call.options().resize_coordinates;
            let coordinates = chosen.unwrap_or(Coordinates::Asymmetric);
            let why = match chosen {
                Some(_) => "as asked for",
                None => "as ONNX Runtime does; PyTorch trained with half_pixel, which can be asked for",
            };
            let text = format!(
                "linear {} before operator set 11: {} coordinates are followed, {why}",
                call.op(),
                coordinates_name(coordinates)
            );
            call.note(text);
            (Interpolation::Linear, coordinates)
        }
        other => return Err(mode_fault(other)),
    };
    emit(call, &Request { interpolation, coordinates, scales, output })
}

fn mode_fault(mode: &str) -> Fault {
    let mode = super::super::problem::quote(mode);
    Fault::at("mode", format!("{mode} interpolation is not supported"), "use nearest or linear interpolation")
}

fn coordinates_name(coordinates: Coordinates) -> &'static str {
    match coordinates {
        Coordinates::HalfPixel => "half_pixel",
        Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
        Coordinates::AlignCorners => "align_corners",
        Coordinates::Asymmetric => "asymmetric",
    }
}

/// Resize from operator set 11.
pub(in super::super) fn resize(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let shape = image(&call.shape(call.input(0)?))?;
    for name in ["antialias", "exclude_outside"] {
        if call.flag(name)? {
            return Err(Fault::at(name, "the option is not supported", "export without it"));
        }
    }
    let policy = call.text("keep_aspect_ratio_policy", "stretch")?;
    if policy != "stretch" {
        let fault = Fault::at("keep_aspect_ratio_policy", "only stretch is supported", "state both sizes");
        return Err(fault);
    }
    let axes = match call.ints("axes")? {
        None => vec![0, 1, 2, 3],
        Some(list) => listed_axes("axes", list, 4)?,
    };
    let scales = call.constant_floats(2, "scales")?.filter(|scales| !scales.is_empty());
    let sizes = call.constant_ints(3, "sizes")?.filter(|sizes| !sizes.is_empty());
    let (scales, output) = match (scales, sizes) {
        (Some(scales), None) => {
            let scales = spatial_scales(&scales, &axes)?;
            (scales, scaled(shape, scales)?)
        }
        (None, Some(sizes)) => spatial_sizes(&sizes, &axes, shape)?,
        _ => {
            let what = "exactly one of scales and sizes must be given";
            return Err(Fault::new(what, "export the model again"));
        }
    };
    let interpolation = match call.text("mode", "nearest")? {
        "nearest" => Interpolation::Nearest(nearest_mode(call)?),
        "linear" => Interpolation::Linear,
        other => return Err(mode_fault(other)),
    };
    let coordinates = coordinates(call, shape, scales, output)?;
    emit(call, &Request { interpolation, coordinates, scales, output })
}

fn nearest_mode(call: &Call<'_, '_>) -> Result<Nearest, Fault> {
    match call.text("nearest_mode", "round_prefer_floor")? {
        "round_prefer_floor" => Ok(Nearest::RoundPreferFloor),
        "round_prefer_ceil" => Ok(Nearest::RoundPreferCeil),
        "floor" => Ok(Nearest::Floor),
        "ceil" => Ok(Nearest::Ceil),
        _ => Err(Fault::at("nearest_mode", "unknown value", "use floor or round_prefer_floor")),
    }
}

fn coordinates(
    call: &Call<'_, '_>,
    shape: [usize; 4],
    scales: [f32; 2],
    output: [usize; 2],
) -> Result<Coordinates, Fault> {
    let name = "coordinate_transformation_mode";
    match call.text(name, "half_pixel")? {
        "half_pixel" => Ok(Coordinates::HalfPixel),
        "pytorch_half_pixel" => Ok(Coordinates::PytorchHalfPixel),
        "align_corners" => Ok(Coordinates::AlignCorners),
        "asymmetric" => Ok(Coordinates::Asymmetric),
        // Where the output extent is exactly scale times the input's, the symmetric form adds nothing.
        "half_pixel_symmetric"
            if (0..2).all(|axis| exact_f32(shape[axis + 2]) * scales[axis] == exact_f32(output[axis])) =>
        {
            Ok(Coordinates::HalfPixel)
        }
        other => {
            let what = format!("{} is not supported", super::super::problem::quote(other));
            Err(Fault::at(name, what, "use half_pixel, align_corners or asymmetric"))
        }
    }
}

/// Scales of height and width, when those listed for other axes are 1.
fn spatial_scales(scales: &[f32], axes: &[usize]) -> Result<[f32; 2], Fault> {
    let fault = |what: String| Fault::at("scales", what, "resize height and width only");
    if scales.len() != axes.len() {
        return Err(fault(format!("{} scales for {} axes", scales.len(), axes.len())));
    }
    let mut spatial = [1.0; 2];
    for (&axis, &scale) in axes.iter().zip(scales) {
        if !scale.is_finite() || !(1.0 / SCALE_MAX..=SCALE_MAX).contains(&scale) {
            return Err(fault(format!("scale {scale} is not from 1/{SCALE_MAX} to {SCALE_MAX}")));
        }
        match axis.checked_sub(2) {
            Some(axis) => spatial[axis] = scale,
            None if scale == 1.0 => {}
            None => return Err(fault(format!("axis {axis} is scaled by {scale}"))),
        }
    }
    Ok(spatial)
}

/// Output extents ⌊extent · scale⌋, in f32 as the operator's shape inference computes them.
fn scaled(shape: [usize; 4], scales: [f32; 2]) -> Result<[usize; 2], Fault> {
    let mut output = [0; 2];
    for axis in 0..2 {
        let extent = (exact_f32(shape[axis + 2]) * scales[axis]).floor();
        if !(1.0..=16_777_216.0).contains(&extent) {
            let what = format!("the resized extent {extent} is not positive or too large");
            return Err(Fault::at("scales", what, "use a larger input"));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A whole number from 1 to 2^24.
        let extent = extent as usize;
        output[axis] = extent;
    }
    Ok(output)
}

/// Scales and output extents of height and width from `sizes`.
fn spatial_sizes(sizes: &[i64], axes: &[usize], shape: [usize; 4]) -> Result<([f32; 2], [usize; 2]), Fault> {
    let fault = |what: String| Fault::at("sizes", what, "resize height and width only");
    if sizes.len() != axes.len() {
        return Err(fault(format!("{} sizes for {} axes", sizes.len(), axes.len())));
    }
    let mut output = shape;
    for (&axis, &size) in axes.iter().zip(sizes) {
        let extent = usize::try_from(size).ok().filter(|extent| (1..=1 << 24).contains(extent));
        let extent = extent.ok_or_else(|| fault(format!("size {size} is not positive or too large")))?;
        if axis < 2 && extent != shape[axis] {
            return Err(fault(format!("axis {axis} is resized")));
        }
        output[axis] = extent;
    }
    let output = [output[2], output[3]];
    let scales = [0, 1].map(|axis| exact_f32(output[axis]) / exact_f32(shape[axis + 2]));
    Ok((scales, output))
}

/// An extent as f32; exact up to 2^24, beyond which the network's size bound is reached anyway.
#[allow(clippy::cast_precision_loss)]
fn exact_f32(extent: usize) -> f32 {
    extent as f32
}
