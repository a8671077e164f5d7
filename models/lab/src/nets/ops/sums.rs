//! Sums over images, rows and columns, with their gradient.

use super::{floats, values};
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor};

/// Σ over everything but channels: `[N,C,H,W]` to `[C]`, in the order of the values, as Candle adds them. f64
/// goes Candle's way, for checks of gradients.
///
/// # Errors
/// Another number of axes.
pub fn channel_sums(x: &Tensor) -> Result<Tensor> {
    if x.dtype() != DType::F32 {
        return x.sum((0, 2, 3));
    }
    x.contiguous()?.apply_op1(ChannelSums)
}

struct ChannelSums;

impl CustomOp1 for ChannelSums {
    fn name(&self) -> &'static str {
        "channel_sums"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, channels, height, width) = layout.shape().dims4()?;
        let mut sums = vec![0.0f32; channels];
        for image in floats(x, layout)?.chunks(channels * height * width) {
            for (sum, plane) in sums.iter_mut().zip(image.chunks(height * width)) {
                plane.iter().for_each(|value| *sum += value);
            }
        }
        Ok((CpuStorage::F32(sums), Shape::from(channels)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (images, _, height, width) = x.dims4()?;
        let gradient = values(gradient)?;
        let image = gradient.iter().flat_map(|&own| std::iter::repeat_n(own, height * width));
        let image: Vec<f32> = image.collect();
        Tensor::from_vec(image.repeat(images), x.shape(), &Device::Cpu).map(Some)
    }
}
