//! What a session holds, and the schedule that fits a budget.

use super::Session;
use super::device::Remote;
use crate::buffer::AlignedBuffer;
use crate::error::{Error, ErrorKind};
use crate::planner::{self, Goal};

impl Session<'_> {
    /// Bytes the session holds for frames of `extent` (rows, columns), beyond the package.
    pub fn bytes(&self, extent: [usize; 2]) -> usize {
        self.planned.arena_bytes() + self.planned.schedule_bytes() + self.other_bytes(extent)
    }

    /// Bytes held beside arena and schedule.
    fn other_bytes(&self, extent: [usize; 2]) -> usize {
        let planes = self.preprocessor.as_ref().map_or(0, |p| p.bytes(extent[0], extent[1]));
        let placed = if self.is_direct(extent) { 0 } else { 3 * extent[0] * extent[1] };
        let remote = self.remote.as_ref().map_or(0, Remote::bytes);
        self.line.len() + planes + 3 * self.model_mask.len() + placed + remote
    }

    /// Makes sure that frames of `extent` fit the budget, by another schedule if need be.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] with the least budget that would do.
    pub(super) fn fit(&mut self, extent: [usize; 2]) -> Result<(), Error> {
        let empty = self.arena.as_slice().is_empty();
        let fits = |needed: usize| self.options.memory.is_none_or(|budget| needed <= budget);
        if !empty && fits(self.bytes(extent)) {
            return Ok(());
        }
        let other = self.other_bytes(extent);
        if let Some(remote) = &self.remote {
            return if fits(other) {
                Ok(())
            } else {
                Err(beyond(remote, extent, other, self.options.memory))
            };
        }
        let goal =
            Goal { bytes: self.options.memory.map(|budget| budget.saturating_sub(other)), ..self.goal() };
        let mut planned = planner::plan(&self.plan, goal)?;
        planned.slim();
        let needed = planned.arena_bytes() + planned.schedule_bytes() + other;
        if let Some(budget) = self.options.memory
            && needed > budget
        {
            let (step, bytes) = planned.peak();
            let op = step.map_or(Ok("input"), |step| self.plan.step(step).map(|step| step.op.name()))?;
            let what = format!(
                "a frame of {}x{} needs {needed} bytes, {} of them the arena, most of it ({bytes}) at \
                 step {} ({op}), but the budget is {budget}; give at least {needed}",
                extent[1],
                extent[0],
                planned.arena_bytes(),
                step.map_or("-".into(), |step| step.to_string()),
            );
            return Err(Error::new(ErrorKind::Memory, what));
        }
        self.arena = AlignedBuffer::default();
        self.arena = AlignedBuffer::zeroed(planned.arena_bytes());
        self.planned = planned;
        Ok(())
    }

    /// What the session's schedule is for, without the budget.
    pub fn goal(&self) -> Goal {
        Goal {
            bytes: None,
            streaming: self.options.streaming,
            keep_output: self.options.keep_output,
            number: self.options.schedule,
            rate: self.tier().products_per_nanosecond(),
            threads: self.options.threads,
        }
    }

    /// Whether the model's pixels are the frame's own, so that results need not be placed.
    pub(super) fn is_direct(&self, extent: [usize; 2]) -> bool {
        let same = |index: usize| {
            self.plan.tensor(index).is_ok_and(|tensor| [tensor.layout.height, tensor.layout.width] == extent)
        };
        same(0) && same(self.plan.output())
    }

    /// Makes room for results of `extent`.
    pub(super) fn resize_results(&mut self, extent: [usize; 2]) -> Result<(), Error> {
        self.fit(extent)?;
        self.extent = extent;
        let pixels = if self.is_direct(extent) { 0 } else { extent[0] * extent[1] };
        self.mask.resize(pixels, 0);
        self.confidence.resize(pixels, 0);
        Ok(())
    }
}

/// What a frame on a device needs, when that is more than the budget.
fn beyond(remote: &Remote<'_>, extent: [usize; 2], needed: usize, budget: Option<usize>) -> Error {
    let what = format!(
        "a frame of {}x{} needs {needed} bytes, {} of them on and for {}, but the budget is {}; give at \
         least {needed}",
        extent[1],
        extent[0],
        remote.bytes(),
        remote.name(),
        budget.unwrap_or(0),
    );
    Error::new(ErrorKind::Memory, what)
}
