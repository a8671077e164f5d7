//! The depthwise 3×3 convolution of training, forward and backward.

use super::{floats, values};
use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Taps along a side.
const KERNEL: usize = 3;

/// 3×3 convolution of every channel by itself, zero padding 1: x `[N,C,H,W]`, weight `[C,1,3,3]`, result as
/// x.
///
/// # Errors
/// Shapes that do not fit.
pub fn convolve_depthwise(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weight.contiguous()?, Depthwise)
}

struct Depthwise;

/// Channels, rows, columns.
fn extents(x: &Shape, weight: &Shape) -> Result<[usize; 3]> {
    let (_, channels, height, width) = x.dims4()?;
    if weight.dims4()? != (channels, 1, KERNEL, KERNEL) {
        bail!("a depthwise convolution of {x:?} by {weight:?}: [C,1,3,3] is needed");
    }
    Ok([channels, height, width])
}

/// Rows or columns of `0..extent` that stay inside when moved by `tap − 1`: target start, source start,
/// count.
fn inside(tap: usize, extent: usize) -> [usize; 3] {
    match tap {
        0 => [1, 0, extent - 1],
        1 => [0, 0, extent],
        _ => [0, 1, extent - 1],
    }
}

/// Calls `visit` with every tap, and the stretches of the target and of the source that it joins.
fn taps(height: usize, width: usize, mut visit: impl FnMut(usize, usize, usize, usize)) {
    for tap in 0..KERNEL * KERNEL {
        let [to_y, from_y, rows] = inside(tap / KERNEL, height);
        let [to_x, from_x, count] = inside(tap % KERNEL, width);
        for y in 0..rows {
            visit(tap, (to_y + y) * width + to_x, (from_y + y) * width + from_x, count);
        }
    }
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [channels, height, width] = extents(x_layout.shape(), weight_layout.shape())?;
        let (x, weight) = (floats(x, x_layout)?, floats(weight, weight_layout)?);
        let mut result = vec![0.0f32; x.len()];
        let planes = result.par_chunks_mut(height * width).zip(x.par_chunks(height * width)).enumerate();
        planes.for_each(|(plane, (target, source))| {
            let weight = &weight[plane % channels * KERNEL * KERNEL..];
            taps(height, width, |tap, to, from, count| {
                let pairs = target[to..to + count].iter_mut().zip(&source[from..from + count]);
                pairs.for_each(|(to, from)| *to += from * weight[tap]);
            });
        });
        Ok((CpuStorage::F32(result), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [channels, height, width] = extents(x.shape(), weight.shape())?;
        let (own, weights, gradient) = (values(x)?, values(weight)?, values(gradient)?);
        let mut x_gradient = vec![0.0f32; own.len()];
        let planes = x_gradient.par_chunks_mut(height * width).zip(own.par_chunks(height * width));
        let shares: Vec<[f32; KERNEL * KERNEL]> = planes
            .zip(gradient.par_chunks(height * width))
            .enumerate()
            .map(|(plane, ((target, source), gradient))| {
                let weight = &weights[plane % channels * KERNEL * KERNEL..];
                let mut share = [0.0; KERNEL * KERNEL];
                taps(height, width, |tap, to, from, count| {
                    let gradient = &gradient[to..to + count];
                    let pairs = target[from..from + count].iter_mut().zip(gradient);
                    pairs.for_each(|(to, g)| *to += g * weight[tap]);
                    share[tap] +=
                        source[from..from + count].iter().zip(gradient).map(|(v, g)| v * g).sum::<f32>();
                });
                share
            })
            .collect();
        let mut weight_gradient = vec![0.0f32; weights.len()];
        for (plane, share) in shares.iter().enumerate() {
            let own = &mut weight_gradient[plane % channels * KERNEL * KERNEL..][..KERNEL * KERNEL];
            own.iter_mut().zip(share).for_each(|(to, from)| *to += from);
        }
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu).map(Some);
        Ok((tensor(x_gradient, x)?, tensor(weight_gradient, weight)?))
    }
}
