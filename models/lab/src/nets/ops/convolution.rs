//! The 3×3 convolution of training: patches as columns, then matrix products, forward and backward.
//!
//! Candle's own convolution computes input gradients by a loop that is far slower on a CPU than a product.
//! Images are taken one at a time, so that the columns (nine times an image) stay small and are never kept.

use super::floats;
use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor};

/// Taps of the kernel.
const TAPS: usize = 9;

/// The 3×3 convolution with zero padding 1: x `[N,C,H,W]`, weight `[O,C,3,3]`, result `[N,O,H,W]`.
///
/// # Errors
/// Shapes that do not fit.
pub fn convolve(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weight.contiguous()?, Convolution)
}

struct Convolution;

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        "convolution3x3"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (images, channels, height, width) = x_layout.shape().dims4()?;
        let outputs = weight_layout.shape().dims4()?.0;
        let matrix =
            Tensor::from_slice(floats(weight, weight_layout)?, (outputs, channels * TAPS), &Device::Cpu)?;
        let mut result = Vec::with_capacity(images * outputs * height * width);
        for image in floats(x, x_layout)?.chunks(channels * height * width) {
            let product = matrix.matmul(&unfold(image, [channels, height, width])?)?;
            result.extend(product.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok((CpuStorage::F32(result), Shape::from((images, outputs, height, width))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (images, channels, height, width) = x.dims4()?;
        let outputs = weight.dim(0)?;
        let matrix = weight.detach().reshape((outputs, channels * TAPS))?;
        let mut weight_gradient = matrix.zeros_like()?;
        let mut x_gradient = Vec::with_capacity(images * channels * height * width);
        for index in 0..images {
            let own = gradient.get(index)?.reshape((outputs, height * width))?.contiguous()?;
            let image = x.get(index)?.flatten_all()?.to_vec1::<f32>()?;
            let columns = unfold(&image, [channels, height, width])?;
            weight_gradient = (weight_gradient + own.matmul(&columns.t()?)?)?;
            let columns = matrix.t()?.matmul(&own)?.flatten_all()?.to_vec1::<f32>()?;
            x_gradient.extend(fold(&columns, [channels, height, width]));
        }
        let x_gradient = Tensor::from_vec(x_gradient, x.shape(), &Device::Cpu)?;
        Ok((Some(x_gradient), Some(weight_gradient.reshape(weight.shape())?)))
    }
}

/// Rows or columns of `0..extent` that stay inside when moved by `tap − 1`: target start, source start,
/// count.
fn inside(tap: usize, extent: usize) -> (usize, usize, usize) {
    match tap {
        0 => (1, 0, extent - 1),
        1 => (0, 0, extent),
        _ => (0, 1, extent - 1),
    }
}

/// `[C,H,W]` to `[9·C,H·W]`: row `9·c + 3·ky + kx` is channel c moved by (1 − ky, 1 − kx), zero outside.
fn unfold(image: &[f32], [channels, height, width]: [usize; 3]) -> Result<Tensor> {
    let plane = height * width;
    let mut columns = vec![0.0; channels * TAPS * plane];
    for (row, column) in columns.chunks_mut(plane).enumerate() {
        let (channel, tap) = (row / TAPS, row % TAPS);
        let source = &image[channel * plane..(channel + 1) * plane];
        let (to_y, from_y, rows) = inside(tap / 3, height);
        let (to_x, from_x, count) = inside(tap % 3, width);
        for y in 0..rows {
            let (to, from) = ((to_y + y) * width + to_x, (from_y + y) * width + from_x);
            column[to..to + count].copy_from_slice(&source[from..from + count]);
        }
    }
    Tensor::from_vec(columns, (channels * TAPS, plane), &Device::Cpu)
}

/// The adjoint of [`unfold`]: every column summed back into its patch, `[C,H,W]`.
fn fold(columns: &[f32], [channels, height, width]: [usize; 3]) -> Vec<f32> {
    let plane = height * width;
    let mut image = vec![0.0; channels * plane];
    for (row, column) in columns.chunks(plane).enumerate() {
        let (channel, tap) = (row / TAPS, row % TAPS);
        let target = &mut image[channel * plane..(channel + 1) * plane];
        let (from_y, to_y, rows) = inside(tap / 3, height);
        let (from_x, to_x, count) = inside(tap % 3, width);
        for y in 0..rows {
            let (to, from) = ((to_y + y) * width + to_x, (from_y + y) * width + from_x);
            for (to, from) in target[to..to + count].iter_mut().zip(&column[from..from + count]) {
                *to += from;
            }
        }
    }
    image
}
