//! The convolution of training, forward and backward: direct sums that stay in vector registers.
//!
//! Candle computes convolutions through columns nine times the image and their input gradients by plain
//! loops. Here a padded image is one run of pixels, so that a tile of sums may go across the ends of rows.
//! Every sum is taken in one fixed order of fused multiply-adds: the bits depend neither on the number of
//! threads nor on the width of the processor's vectors.

mod kernel;

use super::{floats, reading};
use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail};
use kernel::{Correlate, LANES, OUTPUTS, SLACK, WeightGradient};
use pulp::Arch;
use rayon::prelude::*;
use std::sync::OnceLock;

/// K×K convolution, K 1 or 3, stride 1, zero padding that keeps the extent: x `[N,C,H,W]`, weight
/// `[O,C,K,K]`, bias `[O]` or none, result `[N,O,H,W]`, f32.
///
/// # Errors
/// Shapes that do not fit.
pub fn convolve(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let bias = match bias {
        Some(bias) => bias.contiguous()?,
        None => Tensor::zeros(weight.dim(0)?, DType::F32, &Device::Cpu)?,
    };
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias, Convolution::default())
}

/// Planes, or weights, that are summed side by side: a sum waits for its own last addition alone, and keeps
/// its order.
const ABREAST: usize = 8;

#[derive(Default)]
struct Convolution {
    /// The padded planes of x, for the way back.
    padded: OnceLock<Vec<f32>>,
}

/// Extents of one convolution.
#[derive(Debug, Clone, Copy)]
struct Extents {
    images: usize,
    inputs: usize,
    outputs: usize,
    height: usize,
    width: usize,
    kernel: usize,
}

impl Extents {
    fn of(x: &Shape, weight: &Shape) -> Result<Self> {
        let (images, inputs, height, width) = x.dims4()?;
        let (outputs, own, kernel, columns) = weight.dims4()?;
        if own != inputs || kernel != columns || !matches!(kernel, 1 | 3) || x.elem_count() == 0 {
            bail!("a convolution of {x:?} by {weight:?}: it takes 1x1 or 3x3 weights of as many channels");
        }
        Ok(Self { images, inputs, outputs, height, width, kernel })
    }

    /// Those of the convolution that gives the gradient of the input.
    fn transposed(self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, ..self }
    }

    /// Pixels of a padded row: the row and a halo that its right end shares with the next row's left.
    fn row(self) -> usize {
        self.width + self.kernel - 1
    }

    /// Pixels from the first sum of a plane to the end of its last row, the halo between rows included.
    fn run(self) -> usize {
        self.height * self.row()
    }

    /// Pixels of a padded plane, and what the last tile reads beyond it.
    fn padded(self) -> usize {
        (self.height + self.kernel - 1) * self.row() + SLACK
    }

    fn plane(self) -> usize {
        self.height * self.width
    }

    fn taps(self) -> usize {
        self.kernel * self.kernel
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let extents = Extents::of(x_layout.shape(), weight_layout.shape())?;
        if bias_layout.shape().elem_count() != extents.outputs {
            bail!("a convolution to {} channels with {:?} biases", extents.outputs, bias_layout.shape());
        }
        let (given, weight) = (floats(x, x_layout)?, floats(weight, weight_layout)?);
        let blocks = blocks(weight, extents, false);
        let x = self.padded.get_or_init(|| padded(given, extents));
        let result = correlate(x, &blocks, floats(bias, bias_layout)?, extents);
        let shape = Shape::from((extents.images, extents.outputs, extents.height, extents.width));
        Ok((CpuStorage::F32(result), shape))
    }

    /// The gradient of x is the convolution of the result's gradient with the weights turned round and their
    /// channels exchanged; that of a weight the product of both images, moved by its tap.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let extents = Extents::of(x.shape(), weight.shape())?;
        let (has_x, has_bias) = (x.track_op(), bias.track_op());
        let gradients = reading([x, weight, &gradient.contiguous()?], |[x, weight, gradient]| {
            let of_bias = has_bias.then(|| bias_gradient(gradient, extents));
            let gradient = padded(gradient, extents);
            let of_x = has_x.then(|| {
                let transposed = extents.transposed();
                let blocks = blocks(weight, transposed, true);
                correlate(&gradient, &blocks, &vec![0.0; extents.inputs], transposed)
            });
            let x = self.padded.get_or_init(|| padded(x, extents));
            (of_x, weight_gradient(x, &gradient, extents), of_bias)
        });
        let (of_x, of_weight, of_bias) = gradients?;
        let tensor = |values: Option<Vec<f32>>, like: &Tensor| {
            values.map(|values| Tensor::from_vec(values, like.shape(), &Device::Cpu)).transpose()
        };
        Ok((tensor(of_x, x)?, tensor(Some(of_weight), weight)?, tensor(of_bias, bias)?))
    }
}

/// Gradient `[O]` of the biases.
fn bias_gradient(gradient: &[f32], extents: Extents) -> Vec<f32> {
    let planes = gradient.par_chunks(ABREAST * extents.plane());
    let sums: Vec<f32> = planes.flat_map_iter(|own| plane_sums(own, extents.plane())).collect();
    (0..extents.outputs).map(|output| sums[output..].iter().step_by(extents.outputs).sum()).collect()
}

/// The sum of every plane of up to [`ABREAST`], from the first pixel to the last.
fn plane_sums(planes: &[f32], plane: usize) -> Vec<f32> {
    let own: Vec<&[f32]> = planes.chunks(plane).collect();
    let Ok(own) = <[&[f32]; ABREAST]>::try_from(own.as_slice()) else {
        return own.iter().map(|plane| plane.iter().sum()).collect();
    };
    let mut sums = [0.0; ABREAST];
    for pixel in 0..plane {
        for (sum, plane) in sums.iter_mut().zip(own) {
            *sum += plane[pixel];
        }
    }
    sums.to_vec()
}

/// Weights in the order in which they are used, `[outputs / 8][inputs][taps][8]`; `weights` is `[O,C,K,K]`,
/// or its transpose for gradients, whose taps are turned round.
fn blocks(weights: &[f32], extents: Extents, transpose: bool) -> Vec<[f32; OUTPUTS]> {
    let Extents { inputs, outputs, .. } = extents;
    let taps = extents.taps();
    let mut blocks = vec![[0.0; OUTPUTS]; outputs.div_ceil(OUTPUTS) * inputs * taps];
    for output in 0..outputs {
        for input in 0..inputs {
            for tap in 0..taps {
                let source = match transpose {
                    true => (input * outputs + output) * taps + taps - 1 - tap,
                    false => (output * inputs + input) * taps + tap,
                };
                blocks[(output / OUTPUTS * inputs + input) * taps + tap][output % OUTPUTS] = weights[source];
            }
        }
    }
    blocks
}

/// Planes with a halo of zeros and the slack of a tile behind each.
fn padded(images: &[f32], extents: Extents) -> Vec<f32> {
    let (row, halo, plane) = (extents.row(), extents.kernel / 2, extents.padded());
    let mut target = vec![0.0; images.len() / extents.plane() * plane];
    images.par_chunks(extents.plane()).zip(target.par_chunks_mut(plane)).for_each(|(source, target)| {
        let rows = target[halo * (row + 1)..].chunks_mut(row);
        for (source, target) in source.chunks(extents.width).zip(rows) {
            target[..extents.width].copy_from_slice(source);
        }
    });
    target
}

/// Sums of all images, in tasks of one image and eight outputs.
fn correlate(x: &[f32], blocks: &[[f32; OUTPUTS]], bias: &[f32], extents: Extents) -> Vec<f32> {
    let (plane, run) = (extents.plane(), extents.run() + SLACK);
    let per_block = extents.inputs * extents.taps();
    let mut result = vec![0.0; extents.images * extents.outputs * plane];
    let images =
        result.par_chunks_mut(extents.outputs * plane).zip(x.par_chunks(extents.inputs * extents.padded()));
    images.for_each(|(target, image)| {
        let groups = target.par_chunks_mut(OUTPUTS * plane).zip(blocks.par_chunks(per_block)).enumerate();
        groups.for_each_init(
            || vec![0.0; OUTPUTS * run],
            |sums, (at, (target, block))| {
                Arch::new().dispatch(Correlate {
                    image,
                    plane: extents.padded(),
                    row: extents.row(),
                    kernel: extents.kernel,
                    block,
                    sums,
                    run,
                    bias: &bias[at * OUTPUTS..],
                    target,
                    pixels: plane,
                    width: extents.width,
                });
            },
        );
    });
    result
}

/// The sum of the partial sums of every weight, from the first to the last.
fn lane_sums(weights: &[[f32; LANES]]) -> Vec<f32> {
    let mut result = vec![0.0; weights.len()];
    let (abreast, rest) = weights.as_chunks::<ABREAST>();
    let (of_abreast, of_rest) = result.as_chunks_mut::<ABREAST>();
    for (sums, weights) in of_abreast.iter_mut().zip(abreast) {
        for lane in 0..LANES {
            sums.iter_mut().zip(weights).for_each(|(sum, lanes)| *sum += lanes[lane]);
        }
    }
    of_rest.iter_mut().zip(rest).for_each(|(sum, lanes)| *sum = lanes.iter().sum());
    result
}

/// Gradient `[O,C,K,K]` of the weights, in tasks of one image and eight outputs, added image after image.
fn weight_gradient(x: &[f32], gradient: &[f32], extents: Extents) -> Vec<f32> {
    let (taps, plane) = (extents.taps(), extents.padded());
    let halo = extents.kernel / 2 * (extents.row() + 1);
    let per_group = OUTPUTS * extents.inputs * taps;
    let groups = extents.outputs.div_ceil(OUTPUTS);
    let shares: Vec<Vec<f32>> = (0..extents.images * groups)
        .into_par_iter()
        .map_init(
            || vec![[0.0; LANES]; per_group],
            |sums, task| {
                let (image, group) = (task / groups, task % groups);
                let own = OUTPUTS.min(extents.outputs - group * OUTPUTS);
                let first = image * extents.outputs + group * OUTPUTS;
                let sums = &mut sums[..own * extents.inputs * taps];
                Arch::new().dispatch(WeightGradient {
                    image: &x[image * extents.inputs * plane..(image + 1) * extents.inputs * plane],
                    gradient: &gradient[first * plane + halo..],
                    outputs: own,
                    plane,
                    row: extents.row(),
                    run: extents.run(),
                    kernel: extents.kernel,
                    sums,
                });
                lane_sums(sums)
            },
        )
        .collect();
    let mut result = vec![0.0; extents.outputs * extents.inputs * taps];
    for (task, share) in shares.iter().enumerate() {
        let target = &mut result[task % groups * per_group..];
        target.iter_mut().zip(share).for_each(|(to, from)| *to += from);
    }
    result
}
