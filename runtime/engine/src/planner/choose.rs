//! Chooses among schedules: the fastest within a budget, and the smallest of those that are about as fast.

use super::emit::Emitter;
use super::order::{Stretch, order};
use super::rows::Stores;
use super::units::{Unit, Units};
use super::{Planned, cost};
use candor_core::plan::{Plan, PlanError};
use candor_core::schedule::{Entry, Place};

/// What a schedule is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Goal {
    /// Most bytes of arena and schedule.
    pub bytes: Option<usize>,
    /// Whether little should be left to do after the last input row.
    pub streaming: bool,
    /// Whether the output must be whole at the end.
    pub keep_output: bool,
    /// The number of a schedule in the [`survey`], whatever the rest asks for.
    pub number: Option<usize>,
    /// Products per nanosecond of the kernels, for the model of cost.
    pub rate: f64,
}

/// Pixels that one unit computes at a time, and the rows of the model's input that this may stand for, from
/// whole tensors to single rows.
const CHUNKS: [[usize; 2]; 10] = [
    [usize::MAX, usize::MAX],
    [8192, usize::MAX],
    [4096, usize::MAX],
    [2048, 128],
    [2048, 64],
    [2048, 32],
    [2048, 16],
    [1024, 16],
    [1024, 8],
    [1, 1],
];
/// Among schedules within this factor of the fastest the smallest is taken.
const CLOSE: f64 = 1.04;
/// A streaming schedule may cost this factor more than the fastest.
const STREAMING: f64 = 1.3;

/// The schedule for a goal. Where none fits the bytes, the smallest there is.
///
/// # Errors
/// [`PlanError`]; never after the plan was parsed.
pub fn plan(plan: &Plan<'_>, goal: Goal) -> Result<Planned, PlanError> {
    let mut candidates = survey(plan, goal)?;
    if let Some(number) = goal.number {
        candidates = vec![candidates.swap_remove(number.min(candidates.len() - 1))];
    }
    let bytes = |planned: &Planned| planned.arena_bytes + planned.schedule_bytes();
    let fits = |planned: &Planned| goal.bytes.is_none_or(|limit| bytes(planned) <= limit);
    if !candidates.iter().any(fits) {
        candidates.sort_by_key(bytes);
        candidates.truncate(1);
    }
    let fitting = |planned: &&Planned| candidates.len() == 1 || fits(planned);
    let least = |value: fn(&Planned) -> f64| {
        candidates.iter().filter(fitting).map(value).fold(f64::INFINITY, f64::min)
    };
    let fastest = least(|planned| planned.cost);
    let limit = fastest * if goal.streaming { STREAMING } else { CLOSE };
    let near = candidates.iter().filter(fitting).filter(|planned| planned.cost <= limit);
    let best = if goal.streaming {
        near.min_by(|a, b| a.tail.total_cmp(&b.tail))
    } else {
        near.min_by_key(|planned| bytes(planned))
    };
    let index = best.and_then(|best| candidates.iter().position(|planned| std::ptr::eq(planned, best)));
    Ok(candidates.swap_remove(index.unwrap_or(0)))
}

/// Every schedule that is tried, whole tensors first; of `goal` only the output and the rate matter.
///
/// # Errors
/// [`PlanError`]; never after the plan was parsed.
pub fn survey(plan: &Plan<'_>, goal: Goal) -> Result<Vec<Planned>, PlanError> {
    let representable = |index| plan.tensor(index).map(|tensor| tensor.layout.stored_rows() <= 1 << 15);
    let units = match Units::new(plan)? {
        Some(units) if (0..plan.tensors()).all(|index| representable(index) == Ok(true)) => units,
        _ => return Ok(vec![as_stated(plan)?]),
    };
    let mut list = Vec::new();
    let full = plan.tensor(0)?.layout.height;
    for [pixels, reach] in CHUNKS {
        let width = |unit: &Unit| plan.tensor(unit.tensor).map_or(1, |tensor| tensor.layout.width);
        let global = |unit: &Unit| unit.steps.clone().any(|step| units.steps[step].op.is_global());
        let chunk = |unit: &Unit| {
            if global(unit) {
                unit.height
            } else {
                (pixels / width(unit)).min(reach.saturating_mul(unit.height) / full).max(1)
            }
        };
        let Some(stretches) = order(plan, &units, chunk)? else { break };
        if let Some(mut planned) = build(plan, &units, &stretches, goal)? {
            planned.chunk = [pixels, reach];
            planned.find_peak();
            list.push(planned);
        }
    }
    if list.is_empty() { Ok(vec![as_stated(plan)?]) } else { Ok(list) }
}

fn build(
    plan: &Plan<'_>,
    units: &Units<'_>,
    stretches: &[Stretch],
    goal: Goal,
) -> Result<Option<Planned>, PlanError> {
    let stores = Stores::new(plan, units, stretches, goal.keep_output)?;
    let Some(mut planned) = Emitter::new(plan, units, stores).run(stretches)? else { return Ok(None) };
    (planned.cost, planned.tail) = cost::cost(plan, units, &planned, goal.rate)?;
    Ok(Some(planned))
}

/// The plan's own order and places, for plans that allow no other.
fn as_stated(plan: &Plan<'_>) -> Result<Planned, PlanError> {
    let mut places = Vec::new();
    for index in 0..plan.tensors() {
        let tensor = plan.tensor(index)?;
        let slots = tensor.layout.stored_rows();
        places.push(Place { offset: tensor.offset, slots, layout: tensor.layout });
    }
    let mut entries = Vec::new();
    let halo = |entries: &mut Vec<Entry>, index: usize| {
        let layout = places[index].layout;
        let (tensor, top) = (index as u16, layout.halo.top as u16);
        let bottom = (layout.halo.top + layout.height) as u16;
        entries.push(Entry::Edges { tensor });
        entries.push(Entry::Halo { tensor, slot: 0, count: top });
        entries.push(Entry::Halo { tensor, slot: bottom, count: layout.halo.bottom as u16 });
    };
    for input in 0..plan.inputs() {
        let layout = places[input].layout;
        let (count, slot) = (layout.height as u16, layout.halo.top as u16);
        entries.push(Entry::Load { input: input as u16, first: 0, count, slot });
        halo(&mut entries, input);
    }
    for index in 0..plan.steps() {
        let step = plan.step(index)?;
        let layout = places[step.output].layout;
        let read = |which: usize| {
            let input = places[step.inputs[which]].layout;
            step.op.input_rows(which, &input, 0..layout.height).start as u16
        };
        let finishes = index + 1 == plan.steps() || plan.step(index + 1)?.output != step.output;
        halo(&mut entries, step.output);
        entries.push(Entry::Run {
            step: index as u16,
            first: 0,
            count: layout.height as u16,
            slot: layout.halo.top as u16,
            inputs: [read(0), read(1)],
            finishes,
        });
    }
    Ok(Planned {
        places,
        entries,
        stretches: Vec::new(),
        lifetimes: Vec::new(),
        arena_bytes: plan.arena_bytes(),
        scratch: plan.scratch().start,
        ..Planned::default()
    })
}
