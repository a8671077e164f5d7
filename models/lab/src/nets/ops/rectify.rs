//! max(0, x) with its gradient in one pass.

use super::{floats, reading};
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Values that a thread takes at a time.
const PART: usize = 16 << 10;

/// max(0, x) of any shape; at 0 the gradient passes, as Candle has it. f64 goes Candle's way, for checks of
/// gradients.
///
/// # Errors
/// Candle's error; none is known.
pub fn rectify(x: &Tensor) -> Result<Tensor> {
    if x.dtype() != DType::F32 {
        return x.relu();
    }
    x.contiguous()?.apply_op1(Rectify)
}

struct Rectify;

impl CustomOp1 for Rectify {
    fn name(&self) -> &'static str {
        "rectify"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = floats(x, layout)?;
        let mut result = vec![0.0f32; x.len()];
        let parts = result.par_chunks_mut(PART).zip(x.par_chunks(PART));
        parts.for_each(|(target, x)| target.iter_mut().zip(x).for_each(|(to, v)| *to = v.max(0.0)));
        Ok((CpuStorage::F32(result), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let result = reading([x, &gradient.contiguous()?], |[x, gradient]| {
            let mut result = vec![0.0f32; x.len()];
            let parts = result.par_chunks_mut(PART).zip(x.par_chunks(PART)).zip(gradient.par_chunks(PART));
            parts.for_each(|((target, x), gradient)| {
                let pairs = x.iter().zip(gradient);
                target.iter_mut().zip(pairs).for_each(|(to, (&v, &g))| *to = if v >= 0.0 { g } else { 0.0 });
            });
            result
        })?;
        Tensor::from_vec(result, x.shape(), &Device::Cpu).map(Some)
    }
}
