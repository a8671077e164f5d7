//! In which order rows are computed: depth first, so that few of them wait.

use super::units::{Unit, Units};
use candor_core::plan::{Plan, PlanError};
use std::ops::Range;

/// Rows of one unit computed at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Index of the unit.
    pub unit: usize,
    /// First row.
    pub first: usize,
    /// Rows.
    pub count: usize,
}

impl Stretch {
    /// The image rows among them.
    pub fn rows(&self, unit: &Unit) -> Range<usize> {
        self.first..(self.first + self.count).min(unit.height)
    }
}

/// Most stretches of an order; finer orders are not tried.
const STRETCHES_LIMIT: usize = 1 << 15;

/// Orders rows so that the unit farthest downstream runs as soon as it has about `chunk(unit)` rows to
/// compute, or all that are left; `None` when that would take too many stretches. The halo below a tensor
/// counts as one more row of it.
///
/// Half a chunk is enough to run: a window needs rows beyond those it yields, and waiting for a full chunk at
/// every step would hold back each of them by one.
pub(super) fn order(
    plan: &Plan<'_>,
    units: &Units<'_>,
    chunk: impl Fn(&Unit) -> usize,
) -> Result<Option<Vec<Stretch>>, PlanError> {
    let chunks: Vec<usize> = units.list.iter().map(|unit| chunk(unit).clamp(1, unit.height)).collect();
    let count: usize = units.list.iter().zip(&chunks).map(|(unit, chunk)| unit.height.div_ceil(*chunk)).sum();
    if count > STRETCHES_LIMIT {
        return Ok(None);
    }
    let mut progress = Progress::new(plan, units);
    let mut stretches = Vec::with_capacity(2 * count);
    let mut at = units.list.len();
    while at > 0 {
        at -= 1;
        let (unit, done) = (&units.list[at], progress.done[at]);
        let ready = progress.ready(plan, units, at)?;
        let whole = chunks[at] == unit.height;
        let least = if ready == unit.height {
            1
        } else if whole {
            unit.height
        } else {
            chunks[at].div_ceil(2)
        };
        let rows = match ready - done.min(ready) {
            0 if done == unit.height && unit.halo_below => 1,
            waiting if waiting < least => continue,
            // A tensor computed at once gets its halo at once.
            waiting if whole && waiting == unit.height => unit.height + usize::from(unit.halo_below),
            waiting => waiting.min(chunks[at]),
        };
        stretches.push(Stretch { unit: at, first: done, count: rows });
        progress.done[at] += rows;
        at = units.list.len();
    }
    Ok(Some(stretches))
}

/// Rows computed so far.
struct Progress {
    done: Vec<usize>,
    ready: Vec<usize>,
    unit_of: Vec<usize>,
}

impl Progress {
    fn new(plan: &Plan<'_>, units: &Units<'_>) -> Self {
        let mut unit_of = vec![0; plan.tensors()];
        for (index, unit) in units.list.iter().enumerate() {
            unit_of[unit.tensor] = index;
        }
        Self { done: vec![0; units.list.len()], ready: vec![0; units.list.len()], unit_of }
    }

    /// Rows of a unit that can be computed from what is done.
    fn ready(&mut self, plan: &Plan<'_>, units: &Units<'_>, at: usize) -> Result<usize, PlanError> {
        let unit = &units.list[at];
        if unit.steps.is_empty() {
            return Ok(unit.height);
        }
        while self.ready[at] < unit.height {
            let row = self.ready[at];
            for &(step, which, tensor) in &unit.reads {
                let layout = plan.tensor(tensor)?.layout;
                let done = self.done[self.unit_of[tensor]];
                let below = if done > layout.height { layout.halo.bottom } else { 0 };
                let stored = layout.halo.top + done.min(layout.height) + below;
                let needed = units.steps[step].op.input_rows(which, &layout, row..row + 1);
                if !needed.is_empty() && needed.end > stored {
                    return Ok(row);
                }
            }
            self.ready[at] += 1;
        }
        Ok(unit.height)
    }
}
