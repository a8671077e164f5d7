//! Halving by the greatest of four pixels and doubling by repetition, with their gradients.

use super::floats;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// 2×2 max-pooling, stride 2: `[N,C,H,W]` to `[N,C,H/2,W/2]`, H and W even. The gradient goes to the first
/// of equals.
///
/// # Errors
/// Odd extents.
pub fn halve(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Halve)
}

/// Every pixel twice along both axes: `[N,C,H,W]` to `[N,C,2H,2W]`.
///
/// # Errors
/// Another number of axes.
pub fn double(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Double)
}

struct Halve;
struct Double;

/// The gradient in the place of the first of the greatest of four values, 0 elsewhere; without a branch,
/// which would be guessed wrong as often as not.
#[inline(always)]
fn to_first_greatest(values: [f32; 4], gradient: f32) -> [f32; 4] {
    let mut greatest = values[0];
    let mut later = [false; 4];
    for place in 1..4 {
        later[place] = values[place] > greatest;
        greatest = if later[place] { values[place] } else { greatest };
    }
    let [_, second, third, fourth] = later;
    let wins = [!(second | third | fourth), second & !(third | fourth), third & !fourth, fourth];
    wins.map(|wins| if wins { gradient } else { 0.0 })
}

impl CustomOp1 for Halve {
    fn name(&self) -> &'static str {
        "halve"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, channels, height, width) = layout.shape().dims4()?;
        if height % 2 + width % 2 != 0 {
            bail!("halving {:?}: rows and columns must be even", layout.shape());
        }
        let x = floats(x, layout)?;
        let mut result = vec![0.0; x.len() / 4];
        let planes = result.par_chunks_mut(height * width / 4).zip(x.par_chunks(height * width));
        planes.for_each(|(target, plane)| {
            for (row, pair) in target.chunks_mut(width / 2).zip(plane.chunks(2 * width)) {
                let (top, bottom) = pair.split_at(width);
                let pairs = top.as_chunks::<2>().0.iter().zip(bottom.as_chunks::<2>().0);
                for (to, (top, bottom)) in row.iter_mut().zip(pairs) {
                    *to = top[0].max(top[1]).max(bottom[0]).max(bottom[1]);
                }
            }
        });
        Ok((CpuStorage::F32(result), Shape::from((images, channels, height / 2, width / 2))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, height, width) = x.dims4()?;
        let values = x.flatten_all()?.to_vec1::<f32>()?;
        let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
        let mut result = vec![0.0; values.len()];
        let planes = result.par_chunks_mut(height * width).zip(values.par_chunks(height * width));
        planes.zip(gradient.par_chunks(height * width / 4)).for_each(|((target, plane), gradient)| {
            let rows = target.chunks_mut(2 * width).zip(plane.chunks(2 * width));
            for ((target, pair), gradient) in rows.zip(gradient.chunks(width / 2)) {
                let (top, bottom) = pair.split_at(width);
                let pairs = top.as_chunks::<2>().0.iter().zip(bottom.as_chunks::<2>().0);
                let (to_top, to_bottom) = target.split_at_mut(width);
                let targets = to_top.as_chunks_mut::<2>().0.iter_mut().zip(to_bottom.as_chunks_mut::<2>().0);
                for (((to_top, to_bottom), (top, bottom)), &gradient) in targets.zip(pairs).zip(gradient) {
                    let shares = to_first_greatest([top[0], top[1], bottom[0], bottom[1]], gradient);
                    (*to_top, *to_bottom) = ([shares[0], shares[1]], [shares[2], shares[3]]);
                }
            }
        });
        Tensor::from_vec(result, x.shape(), &Device::Cpu).map(Some)
    }
}

impl CustomOp1 for Double {
    fn name(&self) -> &'static str {
        "double"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, channels, height, width) = layout.shape().dims4()?;
        let x = floats(x, layout)?;
        let mut result = vec![0.0; x.len() * 4];
        let planes = result.par_chunks_mut(4 * height * width).zip(x.par_chunks(height * width));
        planes.for_each(|(target, plane)| {
            for (pair, row) in target.chunks_mut(4 * width).zip(plane.chunks(width)) {
                let (top, bottom) = pair.split_at_mut(2 * width);
                top.as_chunks_mut::<2>().0.iter_mut().zip(row).for_each(|(to, &value)| *to = [value; 2]);
                bottom.copy_from_slice(top);
            }
        });
        Ok((CpuStorage::F32(result), Shape::from((images, channels, 2 * height, 2 * width))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, height, width) = x.dims4()?;
        let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
        let mut result = vec![0.0; gradient.len() / 4];
        let planes = result.par_chunks_mut(height * width).zip(gradient.par_chunks(4 * height * width));
        planes.for_each(|(target, gradient)| {
            for (row, pair) in target.chunks_mut(width).zip(gradient.chunks(4 * width)) {
                let (top, bottom) = pair.split_at(2 * width);
                let pairs = top.as_chunks::<2>().0.iter().zip(bottom.as_chunks::<2>().0);
                for (to, (top, bottom)) in row.iter_mut().zip(pairs) {
                    *to = (top[0] + top[1]) + (bottom[0] + bottom[1]);
                }
            }
        });
        Tensor::from_vec(result, x.shape(), &Device::Cpu).map(Some)
    }
}
