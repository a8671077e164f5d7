//! ONNX Resize of the two spatial axes: nearest neighbour and separable linear.

#[cfg(test)]
mod tests;

use super::{layout, parallel, window};
use crate::network::{Coordinates, Data, Interpolation, Nearest, Tensor};

/// For one output position: the two input positions it lies between and the weight of the second.
type Tap = (usize, usize, f32);

/// Resizes x [N, C, H, W] to the spatial extents of `declared`. Positions are computed in f32 from `scales`
/// (h, w) as the file states them and clamped to the edges. Nearest neighbour takes any element type,
/// linear f32.
///
/// # Errors
/// When x is not an image of the right type, a spatial axis is empty, a scale is not positive, or N and C
/// change.
pub(super) fn resize(
    x: &Tensor,
    interpolation: Interpolation,
    coordinates: Coordinates,
    scales: [f32; 2],
    declared: &[usize],
) -> Result<Tensor, String> {
    let [images, channels, height, width] = window::image(&x.shape, "x")?;
    let [_, _, out_height, out_width] = window::image(declared, "the result")?;
    layout::expect(&[images, channels, out_height, out_width], declared)?;
    if height == 0 || width == 0 {
        return Err("x has an empty spatial axis".into());
    }
    if !scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
        return Err(format!("scales {scales:?} must be positive"));
    }
    let volume = layout::volume(declared)?;
    let input = [height, width];
    let output = [out_height, out_width];
    let positions = [0, 1].map(|axis| positions(coordinates, input[axis], output[axis], scales[axis]));
    let data = match interpolation {
        Interpolation::Nearest(mode) => {
            let [rows, columns] = [0, 1].map(|axis| nearest(mode, &positions[axis], input[axis]));
            match &x.data {
                Data::F32(x) => Data::F32(gather(x, width, height, &rows, &columns, volume)),
                Data::I64(x) => Data::I64(gather(x, width, height, &rows, &columns, volume)),
                Data::I8(x) => Data::I8(gather(x, width, height, &rows, &columns, volume)),
                Data::U8(x) => Data::U8(gather(x, width, height, &rows, &columns, volume)),
                Data::Bool(x) => Data::Bool(gather(x, width, height, &rows, &columns, volume)),
            }
        }
        Interpolation::Linear => {
            let [rows, columns] = [0, 1].map(|axis| linear(&positions[axis], input[axis]));
            Data::F32(interpolate(layout::floats(x, "x")?, input, &rows, &columns, volume))
        }
    };
    Ok(Tensor { shape: declared.to_vec(), data })
}

/// Input coordinate of every output position along one axis.
fn positions(coordinates: Coordinates, input: usize, output: usize, scale: f32) -> Vec<f32> {
    let half_pixel = |at: f32| (at + 0.5) / scale - 0.5;
    let position = |at: usize| match coordinates {
        Coordinates::HalfPixel => half_pixel(at as f32),
        Coordinates::PytorchHalfPixel if output > 1 => half_pixel(at as f32),
        Coordinates::AlignCorners if output > 1 => at as f32 * (input - 1) as f32 / (output - 1) as f32,
        Coordinates::PytorchHalfPixel | Coordinates::AlignCorners => 0.0,
        Coordinates::Asymmetric => at as f32 / scale,
    };
    (0..output).map(position).collect()
}

/// The input position nearest to each coordinate.
fn nearest(mode: Nearest, positions: &[f32], input: usize) -> Vec<usize> {
    let round = |position: f32| match mode {
        Nearest::RoundPreferFloor => (position - 0.5).ceil(),
        Nearest::RoundPreferCeil => (position + 0.5).floor(),
        Nearest::Floor => position.floor(),
        Nearest::Ceil => position.ceil(),
    };
    // The cast saturates: a negative coordinate becomes 0.
    positions.iter().map(|&position| (round(position) as usize).min(input - 1)).collect()
}

/// The two input positions around each coordinate.
fn linear(positions: &[f32], input: usize) -> Vec<Tap> {
    let tap = |&position: &f32| {
        let clamped = position.clamp(0.0, (input - 1) as f32);
        let low = (clamped as usize).min(input - 1);
        (low, (low + 1).min(input - 1), clamped - low as f32)
    };
    positions.iter().map(tap).collect()
}

/// Copies the elements at the given rows and columns of every plane.
fn gather<T: Copy>(
    x: &[T],
    width: usize,
    height: usize,
    rows: &[usize],
    columns: &[usize],
    volume: usize,
) -> Vec<T> {
    let mut out = Vec::with_capacity(volume);
    for plane in x.chunks(height * width) {
        for &row in rows {
            let line = &plane[row * width..][..width];
            out.extend(columns.iter().map(|&column| line[column]));
        }
    }
    out
}

/// Blends the rows, then the columns, of every plane.
fn interpolate(
    x: &[f32],
    [height, width]: [usize; 2],
    rows: &[Tap],
    columns: &[Tap],
    volume: usize,
) -> Vec<f32> {
    let mut out = vec![0.0; volume];
    parallel::planes(&mut out, rows.len() * columns.len(), |index, plane| {
        let input = &x[index * height * width..][..height * width];
        let mut blended = vec![0.0; width];
        for (out, &(above, below, weight)) in plane.chunks_mut(columns.len()).zip(rows) {
            let lines = input[above * width..][..width].iter().zip(&input[below * width..][..width]);
            for (blended, (above, below)) in blended.iter_mut().zip(lines) {
                *blended = above * (1.0 - weight) + below * weight;
            }
            for (out, &(left, right, weight)) in out.iter_mut().zip(columns) {
                *out = blended[left] * (1.0 - weight) + blended[right] * weight;
            }
        }
    });
    out
}
