//! What each step of a plan costs on the session's device, one by one, and what the device does at most.

use super::Session;
use crate::backend::Roofs;
use crate::buffer::AlignedBuffer;
use crate::error::Error;
use candor_core::interpreter::{load_input, run_step};
use std::time::Instant;

/// Seconds that the runs of a step that are timed together shall take.
const TOGETHER: f64 = 2e-3;
/// Most of them.
const TOGETHER_MAX: usize = 10_000;
/// Times that this is done, of which the best counts.
const ROUNDS: usize = 5;

/// Seconds of one run of what `run` does so many times.
///
/// # Errors
/// Those of `run`.
pub(super) fn time(mut run: impl FnMut(usize) -> Result<(), Error>) -> Result<f64, Error> {
    let mut timed = |times: usize| {
        let start = Instant::now();
        run(times).map(|()| start.elapsed().as_secs_f64() / times as f64)
    };
    // The first brings what is needed into the caches, and may choose a kernel.
    timed(1)?;
    let once = timed(1)?;
    let times = ((TOGETHER / once.max(1e-9)) as usize).clamp(1, TOGETHER_MAX);
    let mut best = once;
    for _ in 0..ROUNDS {
        best = best.min(timed(times)?);
    }
    Ok(best)
}

impl Session<'_> {
    /// Seconds that each step of the plan takes alone, over whole tensors, on the session's device; `inputs`
    /// are planar codes `[C,H,W]`. On this processor an arena for the plan layer by layer is allocated beside
    /// the session's own; a frame runs in schedules that need less, and is not the sum of its steps.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](crate::ErrorKind::Input) for other inputs than the model's,
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) when the device fails.
    pub fn time_steps(&mut self, inputs: &[&[u8]]) -> Result<Vec<f64>, Error> {
        let plan = self.plan;
        if let Some(remote) = &mut self.remote {
            return remote.time_steps(&plan, inputs);
        }
        let mut arena = AlignedBuffer::zeroed(plan.arena_bytes());
        for (input, codes) in inputs.iter().enumerate() {
            load_input(&plan, arena.as_mut_slice(), input, codes)?;
        }
        let of = |step| {
            time(|times| {
                (0..times).try_for_each(|_| run_step(&plan, step, &self.kernels, arena.as_mut_slice()))?;
                Ok(())
            })
        };
        (0..plan.steps()).map(of).collect()
    }

    /// What the session's device does at most, measured on it; `None` where that is not known. For this
    /// processor see [`Session::roof_products`].
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) when the device fails.
    pub fn device_roofs(&mut self) -> Result<Option<Roofs>, Error> {
        self.remote.as_mut().map_or(Ok(None), |remote| remote.roofs())
    }
}
