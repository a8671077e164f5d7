//! Differentiable operators of training that Candle lacks or computes slowly on a CPU.

mod convolution;
mod depthwise;
mod log_softmax;
mod norm;
mod resample;

pub use convolution::convolve;
pub use depthwise::convolve_depthwise;
pub use log_softmax::log_softmax;
pub use norm::{Groups, Statistics, normalize, rescale};
pub use resample::{double, halve};

use candle_core::{CpuStorage, Layout, Result, Tensor, bail};

/// The values of a contiguous tensor.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("the operator needs contiguous tensors")
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// The values of a tensor, in order.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1::<f32>()
}

#[cfg(test)]
mod tests;
