//! Chooses among schedules: the fastest within a budget, but for a little time that saves much memory.

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
    /// Products per nanosecond of the kernels on one thread, for the model of cost.
    pub rate: f64,
    /// Threads that share every run of rows; 0 means one.
    pub threads: usize,
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
/// Most stored rows of a tensor that is held by rows.
const ROWS_LIMIT: usize = 1 << 15;
/// What half the bytes are worth: a schedule with half of another's may cost 2^0.07, five percent, more.
const BYTES_EXPONENT: f64 = 0.07;
/// A schedule this factor behind the best is not followed by finer ones.
const FAR_BEHIND: f64 = 1.15;
/// A streaming schedule may cost this factor more than the fastest.
const STREAMING: f64 = 2.0;

/// The schedule for a goal. Where none fits the bytes, the smallest there is.
///
/// # Errors
/// [`PlanError`]; never after the plan was parsed.
pub fn plan(plan: &Plan<'_>, goal: Goal) -> Result<Planned, PlanError> {
    let Some(units) = units(plan)? else { return as_stated(plan) };
    // Schedules can be long: each is weighed and dropped, and the chosen one made again.
    let mut weighed = Vec::with_capacity(CHUNKS.len());
    for chunk in CHUNKS {
        if let Some(planned) = candidate(plan, &units, chunk, goal)? {
            let bytes = planned.arena_bytes + planned.schedule_bytes();
            weighed.push(Weighed { chunk, bytes, cost: planned.cost, tail: planned.tail });
        }
        if is_settled(&weighed, goal) {
            break;
        }
    }
    let Some(best) = choose(&weighed, goal) else { return as_stated(plan) };
    candidate(plan, &units, best.chunk, goal)?.map_or_else(|| as_stated(plan), Ok)
}

/// What decides among schedules.
#[derive(Debug, Clone, Copy)]
struct Weighed {
    chunk: [usize; 2],
    bytes: usize,
    cost: f64,
    tail: f64,
}

impl Weighed {
    /// Time, with bytes at what they are worth.
    fn weight(&self) -> f64 {
        self.cost * (self.bytes as f64).powf(BYTES_EXPONENT)
    }
}

/// Whether still finer schedules, which take the longest to make, need not be looked at: the last is far
/// behind one that meets the goal.
fn is_settled(weighed: &[Weighed], goal: Goal) -> bool {
    let fits = |own: &&Weighed| goal.bytes.is_none_or(|limit| own.bytes <= limit);
    let best = weighed.iter().filter(fits).map(Weighed::weight).fold(f64::INFINITY, f64::min);
    let last = weighed.last().map_or(0.0, Weighed::weight);
    !goal.streaming && goal.number.is_none() && last > best * FAR_BEHIND
}

/// The best of `weighed`; none of none.
fn choose(weighed: &[Weighed], goal: Goal) -> Option<Weighed> {
    if let Some(number) = goal.number {
        return weighed.get(number).or(weighed.last()).copied();
    }
    let fitting = || weighed.iter().filter(|own| goal.bytes.is_none_or(|limit| own.bytes <= limit));
    let fastest = fitting().map(|own| own.cost).fold(f64::INFINITY, f64::min);
    let best = if goal.streaming {
        let near = fitting().filter(|own| own.cost <= fastest * STREAMING);
        near.min_by(|a, b| a.tail.total_cmp(&b.tail))
    } else {
        fitting().min_by(|a, b| a.weight().total_cmp(&b.weight()))
    };
    best.or_else(|| weighed.iter().min_by_key(|own| own.bytes)).copied()
}

/// Every schedule that is tried, whole tensors first; of `goal` only the output and the rate matter.
///
/// # Errors
/// [`PlanError`]; never after the plan was parsed.
pub fn survey(plan: &Plan<'_>, goal: Goal) -> Result<Vec<Planned>, PlanError> {
    let Some(units) = units(plan)? else { return Ok(vec![as_stated(plan)?]) };
    let mut list = Vec::new();
    for chunk in CHUNKS {
        list.extend(candidate(plan, &units, chunk, goal)?);
    }
    if list.is_empty() { Ok(vec![as_stated(plan)?]) } else { Ok(list) }
}

/// The units of a plan that can be run by rows.
fn units<'p>(plan: &Plan<'p>) -> Result<Option<Units<'p>>, PlanError> {
    for index in 0..plan.tensors() {
        if plan.tensor(index)?.layout.stored_rows() > ROWS_LIMIT {
            return Ok(None);
        }
    }
    Units::new(plan)
}

/// The schedule of one entry of [`CHUNKS`]; `None` when it would be too long or a window fits in no ring.
fn candidate(
    plan: &Plan<'_>,
    units: &Units<'_>,
    chunk: [usize; 2],
    goal: Goal,
) -> Result<Option<Planned>, PlanError> {
    let full = plan.tensor(0)?.layout.height;
    let [pixels, reach] = chunk;
    let width = |unit: &Unit| plan.tensor(unit.tensor).map_or(1, |tensor| tensor.layout.width);
    let global = |unit: &Unit| unit.steps.clone().any(|step| units.steps[step].op.is_global());
    let rows = |unit: &Unit| {
        if global(unit) {
            unit.height
        } else {
            (pixels / width(unit)).min(reach.saturating_mul(unit.height) / full).max(1)
        }
    };
    let Some(stretches) = order(plan, units, rows)? else { return Ok(None) };
    let Some(mut planned) = build(plan, units, &stretches, goal)? else { return Ok(None) };
    planned.chunk = chunk;
    planned.find_peak();
    Ok(Some(planned))
}

fn build(
    plan: &Plan<'_>,
    units: &Units<'_>,
    stretches: &[Stretch],
    goal: Goal,
) -> Result<Option<Planned>, PlanError> {
    let stores = Stores::new(plan, units, stretches, goal.keep_output)?;
    let Some(mut planned) = Emitter::new(plan, units, stores).run(stretches)? else { return Ok(None) };
    (planned.cost, planned.tail) = cost::cost(plan, units, &planned, &goal)?;
    Ok(Some(planned))
}

/// The plan's own order and places, for plans that allow no other.
fn as_stated(plan: &Plan<'_>) -> Result<Planned, PlanError> {
    let mut places = Vec::new();
    for index in 0..plan.tensors() {
        let tensor = plan.tensor(index)?;
        let slots = tensor.layout.stored_rows();
        if slots > usize::from(u16::MAX) {
            return Err(PlanError::Tensor { tensor: index as u32, word: 1 });
        }
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
    for (input, place) in places.iter().enumerate().take(plan.inputs()) {
        let layout = place.layout;
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
        let finishes = plan.is_last_writer(index);
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
