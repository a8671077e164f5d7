//! The logarithm of the softmax over channels, with its gradient.

use super::floats;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor};

/// ln softmax over axis 1 of logits `[N,K,…]`, the greatest logit subtracted first; the same shape.
/// f64 goes Candle's way, for checks of gradients.
///
/// # Errors
/// Fewer than two axes.
pub fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    if logits.dtype() != DType::F32 {
        return candle_nn::ops::log_softmax(logits, 1);
    }
    logits.contiguous()?.apply_op1(LogSoftmax)
}

struct LogSoftmax;

/// Values of an image, classes, pixels.
fn extents(shape: &Shape) -> Result<[usize; 2]> {
    let classes = shape.dim(1)?;
    Ok([classes, shape.dims().iter().skip(2).product()])
}

impl CustomOp1 for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [classes, pixels] = extents(layout.shape())?;
        let mut result = floats(logits, layout)?.to_vec();
        let mut greatest = vec![0.0f32; pixels];
        let mut total = vec![0.0f32; pixels];
        for image in result.chunks_mut(classes * pixels) {
            greatest.fill(f32::NEG_INFINITY);
            for plane in image.chunks(pixels) {
                greatest.iter_mut().zip(plane).for_each(|(greatest, &value)| *greatest = greatest.max(value));
            }
            total.fill(0.0);
            for plane in image.chunks_mut(pixels) {
                for ((value, greatest), total) in plane.iter_mut().zip(&greatest).zip(&mut total) {
                    *value -= greatest;
                    *total += value.exp();
                }
            }
            total.iter_mut().for_each(|total| *total = total.ln());
            for plane in image.chunks_mut(pixels) {
                plane.iter_mut().zip(&total).for_each(|(value, total)| *value -= total);
            }
        }
        Ok((CpuStorage::F32(result), layout.shape().clone()))
    }

    /// dL/dx = g − softmax(x) Σ g.
    fn bwd(&self, logits: &Tensor, result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let [classes, pixels] = extents(logits.shape())?;
        let result = result.flatten_all()?.to_vec1::<f32>()?;
        let mut gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
        let mut total = vec![0.0f32; pixels];
        for (image, result) in gradient.chunks_mut(classes * pixels).zip(result.chunks(classes * pixels)) {
            total.fill(0.0);
            for plane in image.chunks(pixels) {
                total.iter_mut().zip(plane).for_each(|(total, value)| *total += value);
            }
            for (plane, result) in image.chunks_mut(pixels).zip(result.chunks(pixels)) {
                for ((value, result), total) in plane.iter_mut().zip(result).zip(&total) {
                    *value -= result.exp() * total;
                }
            }
        }
        Tensor::from_vec(gradient, logits.shape(), &Device::Cpu).map(Some)
    }
}
