//! Normalisation by the statistics of a batch or of an image, with an affine map and ReLU in the same pass.

use super::{floats, reading, rectify};
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::array;
use std::sync::{Arc, Mutex, OnceLock};

/// Groups that are summed side by side: a sum waits for its own last addition alone, so that four take the
/// time of one, and each keeps its order.
const ABREAST: usize = 4;

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
    let (statistics, found) = (Arc::clone(statistics), OnceLock::new());
    let op = Normalize { groups, relu, epsilon, statistics, found };
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
    if relu { rectify(&result) } else { Ok(result) }
}

struct Normalize {
    groups: Groups,
    relu: bool,
    epsilon: f64,
    statistics: Statistics,
    /// Mean and biased variance of every group, for the way back.
    found: OnceLock<Vec<[f64; 2]>>,
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

/// The sum over each group's planes of the sums of their values, taken through `of` (group, value), in f64.
#[inline(always)]
fn totals<const N: usize>(
    planes: Planes,
    x: &[f32],
    groups: [&[usize]; N],
    of: impl Fn(usize, f64) -> f64,
) -> [f64; N] {
    let mut totals = [0.0; N];
    for image in 0..groups[0].len() {
        let values = groups.map(|group| planes.plane(x, group[image]));
        let mut sums = [0.0; N];
        for pixel in 0..planes.pixels {
            for (own, (sum, plane)) in sums.iter_mut().zip(values).enumerate() {
                *sum += of(own, f64::from(plane[pixel]));
            }
        }
        totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    totals
}

/// Mean and biased variance of groups.
fn moments<const N: usize>(planes: Planes, x: &[f32], groups: [&[usize]; N]) -> [[f64; 2]; N] {
    let count = (groups[0].len() * planes.pixels) as f64;
    let means = totals(planes, x, groups, |_, v| v).map(|sum| sum / count);
    let squares = totals(planes, x, groups, |own, v| (v - means[own]) * (v - means[own]));
    array::from_fn(|own| [means[own], squares[own] / count])
}

/// Σ g and Σ g n of groups, n the value normalised by mean and inverse deviation.
fn slopes<const N: usize>(
    planes: Planes,
    [x, gradient]: [&[f32]; 2],
    groups: [&[usize]; N],
    moments: [[f64; 2]; N],
) -> [[f64; 2]; N] {
    let mut sums = [[0.0; 2]; N];
    for image in 0..groups[0].len() {
        let values = groups.map(|group| [x, gradient].map(|values| planes.plane(values, group[image])));
        for pixel in 0..planes.pixels {
            for own in 0..N {
                let [v, g] = values[own].map(|plane| f64::from(plane[pixel]));
                let [mean, inverse] = moments[own];
                sums[own][0] += g;
                sums[own][1] += g * (v - mean) * inverse;
            }
        }
    }
    sums
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
        let of = |groups: &[Vec<usize>]| match groups {
            [a, b, c, d] => moments(planes, x, [a, b, c, d]).to_vec(),
            _ => groups.iter().flat_map(|group| moments(planes, x, [group])).collect(),
        };
        let found: Vec<[f64; 2]> = groups.par_chunks(ABREAST).flat_map_iter(of).collect();
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
        let _ = self.found.set(found);
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
        let Some(found) = self.found.get() else { bail!("a gradient of what was not computed") };
        let inverse = |[mean, variance]: [f64; 2]| [mean, 1.0 / (variance + self.epsilon).sqrt()];
        let found: Vec<[f64; 2]> = found.iter().copied().map(inverse).collect();
        let tensors = [x, scale, result, &gradient.contiguous()?];
        let [of_x, of_scale, of_shift] = reading(tensors, |[x, scales, result, gradient]| {
            if !self.relu {
                return self.gradients(planes, [x, gradient], scales, &found);
            }
            let pairs = result.iter().zip(gradient);
            let kept: Vec<f32> = pairs.map(|(&v, &g)| if v <= 0.0 { 0.0 } else { g }).collect();
            self.gradients(planes, [x, &kept], scales, &found)
        })?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu).map(Some);
        Ok((tensor(of_x, x)?, tensor(of_scale, scale)?, tensor(of_shift, shift)?))
    }
}

impl Normalize {
    /// Those of x, of the scales and of the shifts, from each group's mean and inverse deviation.
    fn gradients(
        &self,
        planes: Planes,
        [x, gradient]: [&[f32]; 2],
        scales: &[f32],
        found: &[[f64; 2]],
    ) -> [Vec<f32>; 3] {
        let groups = planes.groups(self.groups);
        let of = |(groups, found): (&[Vec<usize>], &[[f64; 2]])| match (groups, found) {
            ([a, b, c, d], &[e, f, g, h]) => {
                slopes(planes, [x, gradient], [a, b, c, d], [e, f, g, h]).to_vec()
            }
            _ => {
                let pairs = groups.iter().zip(found);
                pairs.flat_map(|(group, &own)| slopes(planes, [x, gradient], [group], [own])).collect()
            }
        };
        let pairs = groups.par_chunks(ABREAST).zip(found.par_chunks(ABREAST));
        let sums: Vec<[f64; 2]> = pairs.flat_map_iter(of).collect();
        let mut of_plane = vec![([0.0; 2], [0.0; 2], 0.0); planes.images * planes.channels];
        let mut by_channel = [vec![0.0f64; planes.channels], vec![0.0f64; planes.channels]];
        for ((group, &moments), &sums) in groups.iter().zip(found).zip(&sums) {
            by_channel[0][group[0] % planes.channels] += sums[1];
            by_channel[1][group[0] % planes.channels] += sums[0];
            for &plane in group {
                of_plane[plane] = (moments, sums, (group.len() * planes.pixels) as f64);
            }
        }
        let mut of_x = vec![0.0f32; x.len()];
        let targets = of_x.par_chunks_mut(planes.pixels).zip(&of_plane).enumerate();
        targets.for_each(|(plane, (target, &([mean, inverse], sums, count)))| {
            let factor = f64::from(scales[plane % planes.channels]) * inverse;
            let (mean_gradient, slope) = (sums[0] / count, sums[1] / count * inverse);
            // g·a + v·b + c in f32, the constants from f64.
            let [a, b] = [factor as f32, (-factor * slope) as f32];
            let c = (factor * (slope * mean - mean_gradient)) as f32;
            let pairs = planes.plane(gradient, plane).iter().zip(planes.plane(x, plane));
            target.iter_mut().zip(pairs).for_each(|(to, (&g, &v))| *to = g * a + v * b + c);
        });
        let [of_scale, of_shift] = by_channel.map(|sums| sums.into_iter().map(|v| v as f32).collect());
        [of_x, of_scale, of_shift]
    }
}
