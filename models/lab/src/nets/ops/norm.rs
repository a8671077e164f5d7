//! Normalisation by the statistics of a batch or of an image, with an affine map and ReLU in the same pass.

use super::{floats, values};
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::{Arc, Mutex};

/// Whose mean and variance a channel is normalised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// The channel over the whole batch (Ioffe & Szegedy 2015, batch normalisation).
    Batch,
    /// The channel of each image (Ulyanov et al. 2016, instance normalisation).
    Image,
}

/// Mean and biased variance of every group, as the last forward pass found them.
pub type Statistics = Arc<Mutex<Vec<[f32; 2]>>>;

/// max(0, scale · (x − mean) / √(variance + epsilon) + shift): x `[N,C,H,W]`, scale and shift `[C]`. What
/// was found of the groups is left in `statistics`. Without `relu` the result may be negative.
///
/// # Errors
/// Shapes that do not fit.
pub fn normalize(
    x: &Tensor,
    [scale, shift]: [&Tensor; 2],
    groups: Groups,
    relu: bool,
    epsilon: f64,
    statistics: &Statistics,
) -> Result<Tensor> {
    let op = Normalize { groups, relu, epsilon, statistics: Arc::clone(statistics) };
    x.contiguous()?.apply_op3(&scale.contiguous()?, &shift.contiguous()?, op)
}

/// max(0, factor · x + summand) with one factor and summand per channel: batch normalisation by running
/// statistics, without a gradient of its own for them.
///
/// # Errors
/// Shapes that do not fit.
pub fn rescale(x: &Tensor, factor: &Tensor, summand: &Tensor, relu: bool) -> Result<Tensor> {
    let channels = factor.dim(0)?;
    let of = |tensor: &Tensor| tensor.reshape((1, channels, 1, 1));
    let result = x.broadcast_mul(&of(factor)?)?.broadcast_add(&of(summand)?)?;
    if relu { result.relu() } else { Ok(result) }
}

struct Normalize {
    groups: Groups,
    relu: bool,
    epsilon: f64,
    statistics: Statistics,
}

/// Extents of the input, the way groups lie in it.
#[derive(Clone, Copy)]
struct Planes {
    images: usize,
    channels: usize,
    pixels: usize,
}

impl Planes {
    fn of(shape: &Shape, scale: &Shape) -> Result<Self> {
        let (images, channels, height, width) = shape.dims4()?;
        if scale.dims1()? != channels {
            bail!("normalising {shape:?} with scales {scale:?}: one per channel is needed");
        }
        Ok(Self { images, channels, pixels: height * width })
    }

    /// Planes of each group, in order.
    fn groups(self, groups: Groups) -> Vec<Vec<usize>> {
        let plane = |image: usize, channel: usize| image * self.channels + channel;
        match groups {
            Groups::Batch => (0..self.channels)
                .map(|channel| (0..self.images).map(|image| plane(image, channel)).collect())
                .collect(),
            Groups::Image => (0..self.images * self.channels).map(|plane| vec![plane]).collect(),
        }
    }

    fn plane(self, values: &[f32], plane: usize) -> &[f32] {
        &values[plane * self.pixels..(plane + 1) * self.pixels]
    }
}

/// Mean and biased variance, summed in f64.
fn moments(planes: Planes, x: &[f32], group: &[usize]) -> [f64; 2] {
    let count = (group.len() * planes.pixels) as f64;
    let sum = |f: &dyn Fn(f64) -> f64| -> f64 {
        group.iter().map(|&own| planes.plane(x, own).iter().map(|&v| f(f64::from(v))).sum::<f64>()).sum()
    };
    let mean = sum(&|v| v) / count;
    [mean, sum(&|v| (v - mean) * (v - mean)) / count]
}

impl CustomOp3 for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let planes = Planes::of(x_layout.shape(), scale_layout.shape())?;
        let (x, scale, shift) =
            (floats(x, x_layout)?, floats(scale, scale_layout)?, floats(shift, shift_layout)?);
        let groups = planes.groups(self.groups);
        let found: Vec<[f64; 2]> = groups.par_iter().map(|group| moments(planes, x, group)).collect();
        let mut maps = vec![[0.0f32; 2]; planes.images * planes.channels];
        for (group, [mean, variance]) in groups.iter().zip(&found) {
            for &plane in group {
                let channel = plane % planes.channels;
                let factor = f64::from(scale[channel]) / (variance + self.epsilon).sqrt();
                maps[plane] = [factor as f32, (f64::from(shift[channel]) - mean * factor) as f32];
            }
        }
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        let mut result = vec![0.0; x.len()];
        let pairs = result.par_chunks_mut(planes.pixels).zip(x.par_chunks(planes.pixels));
        pairs.zip(&maps).for_each(|((target, source), [factor, summand])| {
            target.iter_mut().zip(source).for_each(|(to, &v)| *to = (v * factor + summand).max(floor));
        });
        if let Ok(mut statistics) = self.statistics.lock() {
            *statistics = found.iter().map(|found| found.map(|v| v as f32)).collect();
        }
        Ok((CpuStorage::F32(result), x_layout.shape().clone()))
    }

    /// With n = (x − mean)/σ and g the gradient where the result is not cut off: dL/dscale = Σ g n,
    /// dL/dshift = Σ g, dL/dx = scale/σ · (g − mean(g) − n · mean(g n)).
    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let planes = Planes::of(x.shape(), scale.shape())?;
        let (own, scales, mut gradient) = (values(x)?, values(scale)?, values(gradient)?);
        if self.relu {
            let result = values(result)?;
            gradient.iter_mut().zip(&result).filter(|(_, v)| **v <= 0.0).for_each(|(g, _)| *g = 0.0);
        }
        let groups = planes.groups(self.groups);
        let sums: Vec<([f64; 2], [f64; 2])> = groups
            .par_iter()
            .map(|group| {
                let [mean, variance] = moments(planes, &own, group);
                let inverse = 1.0 / (variance + self.epsilon).sqrt();
                let mut sums = [0.0; 2];
                for &plane in group {
                    for (&g, &v) in planes.plane(&gradient, plane).iter().zip(planes.plane(&own, plane)) {
                        sums[0] += f64::from(g);
                        sums[1] += f64::from(g) * (f64::from(v) - mean) * inverse;
                    }
                }
                ([mean, inverse], sums)
            })
            .collect();
        let mut of_plane = vec![([0.0; 2], [0.0; 2], 0.0); planes.images * planes.channels];
        let mut by_channel = [vec![0.0f64; planes.channels], vec![0.0f64; planes.channels]];
        for (group, &(moments, sums)) in groups.iter().zip(&sums) {
            by_channel[0][group[0] % planes.channels] += sums[1];
            by_channel[1][group[0] % planes.channels] += sums[0];
            for &plane in group {
                of_plane[plane] = (moments, sums, (group.len() * planes.pixels) as f64);
            }
        }
        let mut x_gradient = vec![0.0f32; own.len()];
        let targets = x_gradient.par_chunks_mut(planes.pixels).zip(&of_plane).enumerate();
        targets.for_each(|(plane, (target, &([mean, inverse], sums, count)))| {
            let factor = f64::from(scales[plane % planes.channels]) * inverse;
            let (mean_gradient, slope) = (sums[0] / count, sums[1] / count * inverse);
            // g·a + v·b + c in f32, the constants from f64.
            let [a, b] = [factor as f32, (-factor * slope) as f32];
            let c = (factor * (slope * mean - mean_gradient)) as f32;
            let pairs = planes.plane(&gradient, plane).iter().zip(planes.plane(&own, plane));
            target.iter_mut().zip(pairs).for_each(|(to, (&g, &v))| *to = g * a + v * b + c);
        });
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu).map(Some);
        let [scale_gradient, shift_gradient] =
            by_channel.map(|sums| sums.into_iter().map(|v| v as f32).collect::<Vec<f32>>());
        Ok((tensor(x_gradient, x)?, tensor(scale_gradient, scale)?, tensor(shift_gradient, shift)?))
    }
}
