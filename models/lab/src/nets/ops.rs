//! Differentiable operators of training that Candle lacks or computes slowly on a CPU.

mod convolution;
mod depthwise;
mod log_softmax;
mod norm;
mod rectify;
mod resample;
mod sums;

pub use convolution::convolve;
pub use depthwise::convolve_depthwise;
pub use log_softmax::log_softmax;
pub use norm::{Groups, Statistics, normalize, rescale};
pub use rectify::rectify;
pub use resample::{double, halve};
pub use sums::channel_sums;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

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

/// What `read` makes of the values of contiguous tensors, which are not copied.
pub(crate) fn reading<T, const N: usize>(
    tensors: [&Tensor; N],
    read: impl FnOnce([&[f32]; N]) -> T,
) -> Result<T> {
    let stored = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&stored) {
        let Storage::Cpu(storage) = &**storage else { bail!("the operator runs on the CPU alone") };
        *slice = floats(storage, layout)?;
    }
    Ok(read(slices))
}

#[cfg(test)]
mod tests;
