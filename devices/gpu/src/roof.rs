//! What a CUDA device does at most: products of its matrix units in registers alone, copies of its memory.

use crate::error::GpuError;
use crate::step::{Kernel, Launch, Step};
use candle_core::{DType, Device, Result, Tensor};
use std::time::Instant;

/// Warps: more than a card runs at once.
const WARPS: u32 = 16_384;
/// Products of a round of a warp, by `kernels/matrix.h`: two tiles of sixteen pixels, four groups of eight
/// outputs, 32 products of each.
const PRODUCTS: u64 = 2 * 16 * 4 * 8 * 32;
/// Rounds of a run.
const ROUNDS: u32 = 2_000;
/// Bytes that are copied: more than any cache holds.
const BYTES: usize = 128 << 20;
/// Runs of which the best counts.
const RUNS: usize = 7;

/// The kernel over all warps.
pub fn launch(rounds: u32) -> Launch {
    let step = Step { count: rounds, ..Step::default() };
    Launch { kernel: Kernel::MatrixRoof, grid: [32 * WARPS, 1, 1], step }
}

/// Products a second; `run` carries out [`launch`] and waits for it.
pub fn products(
    run: impl Fn(u32) -> std::result::Result<(), GpuError>,
) -> std::result::Result<f64, GpuError> {
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        run(ROUNDS)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok((PRODUCTS * u64::from(WARPS) * u64::from(ROUNDS)) as f64 / best)
}

/// Bytes read and written a second by copies within the device's memory.
pub fn bytes(device: &Device) -> Result<f64> {
    let source = Tensor::zeros(BYTES, DType::U8, device)?;
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        let copy = source.copy()?;
        device.synchronize()?;
        best = best.min(start.elapsed().as_secs_f64());
        drop(copy);
    }
    Ok(2.0 * BYTES as f64 / best)
}
