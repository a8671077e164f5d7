//! The convolution of training, forward and backward: direct sums that stay in vector registers.
//!
//! Candle computes convolutions through columns nine times the image and their input gradients by plain
//! loops. Here a padded image is one run of pixels, so that a tile of sums may go across the ends of rows.
//! Every sum is taken in one fixed order of fused multiply-adds: the bits depend neither on the number of
//! threads nor on the width of the processor's vectors.

mod kernel;

use super::{floats, values};
use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail};
use kernel::{Correlate, LANES, OUTPUTS, SLACK, WeightGradient};
use pulp::Arch;
use rayon::prelude::*;

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
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias, Convolution)
}

struct Convolution;

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
        let blocks = blocks(floats(weight, weight_layout)?, extents, false);
        let x = padded(floats(x, x_layout)?, extents);
        let result = correlate(&x, &blocks, floats(bias, bias_layout)?, extents);
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
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu).map(Some);
        let gradients = values(gradient)?;
        let of_bias = match bias.track_op() {
            true => {
                let sums = gradients.par_chunks(extents.plane()).map(|plane| plane.iter().sum::<f32>());
                let sums: Vec<f32> = sums.collect();
                let of = |output| sums[output..].iter().step_by(extents.outputs).sum();
                tensor((0..extents.outputs).map(of).collect(), bias)?
            }
            false => None,
        };
        let gradients = padded(&gradients, extents);
        let of_x = match x.track_op() {
            true => {
                let transposed = extents.transposed();
                let blocks = blocks(&values(weight)?, transposed, true);
                tensor(correlate(&gradients, &blocks, &vec![0.0; extents.inputs], transposed), x)?
            }
            false => None,
        };
        let of_weight = weight_gradient(&padded(&values(x)?, extents), &gradients, extents);
        Ok((of_x, tensor(of_weight, weight)?, of_bias))
    }
}

/// Weights in the order in which they are used, `[outputs / 4][inputs][taps][4]`; `weights` is `[O,C,K,K]`,
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

/// Sums of all images, in tasks of one image and four outputs.
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
                let (kernel, row) = (extents.kernel, extents.row());
                let (plane_of_x, run_of_sums) = (extents.padded(), run);
                Arch::new().dispatch(Correlate {
                    image,
                    plane: plane_of_x,
                    row,
                    kernel,
                    block,
                    sums,
                    run: run_of_sums,
                });
                for (own, target) in target.chunks_mut(plane).enumerate() {
                    let bias = bias[at * OUTPUTS + own];
                    let rows = sums[own * run..].chunks(row);
                    for (source, target) in rows.zip(target.chunks_mut(extents.width)) {
                        target.iter_mut().zip(source).for_each(|(to, from)| *to = from + bias);
                    }
                }
            },
        );
    });
    result
}

/// Gradient `[O,C,K,K]` of the weights, in tasks of one image and four outputs, added image after image.
fn weight_gradient(x: &[f32], gradient: &[f32], extents: Extents) -> Vec<f32> {
    let (taps, plane) = (extents.taps(), extents.padded());
    let halo = extents.kernel / 2 * (extents.row() + 1);
    let per_group = OUTPUTS * extents.inputs * taps;
    let groups = extents.outputs.div_ceil(OUTPUTS);
    let shares: Vec<Vec<f32>> = (0..extents.images * groups)
        .into_par_iter()
        .map(|task| {
            let (image, group) = (task / groups, task % groups);
            let own = OUTPUTS.min(extents.outputs - group * OUTPUTS);
            let first = image * extents.outputs + group * OUTPUTS;
            let mut sums = vec![[0.0; LANES]; per_group];
            Arch::new().dispatch(WeightGradient {
                image: &x[image * extents.inputs * plane..(image + 1) * extents.inputs * plane],
                gradient: &gradient[first * plane + halo..],
                outputs: own,
                plane,
                row: extents.row(),
                run: extents.run(),
                kernel: extents.kernel,
                sums: &mut sums,
            });
            sums.iter().map(|lanes| lanes.iter().sum()).collect()
        })
        .collect();
    let mut result = vec![0.0; extents.outputs * extents.inputs * taps];
    for (task, share) in shares.iter().enumerate() {
        let target = &mut result[task % groups * per_group..];
        target.iter_mut().zip(share).for_each(|(to, from)| *to += from);
    }
    result
}
