//! The units of a schedule: model inputs, and the steps that together write one tensor.

use candor_core::ops::Op;
use candor_core::plan::{Plan, PlanError, Step};
use candor_core::tensor::BLOCK;

/// One model input, or the neighbouring steps that write one tensor.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// The tensor written.
    pub tensor: usize,
    /// Its rows.
    pub height: usize,
    /// Whether rows of halo follow the last.
    pub halo_below: bool,
    /// Steps; empty for a model input.
    pub steps: std::ops::Range<usize>,
    /// Tensors read: (step, which of its inputs, tensor).
    pub reads: Vec<(usize, usize, usize)>,
}

/// A plan as units in an order in which each reads only what those before it write.
#[derive(Debug)]
pub(super) struct Units<'p> {
    pub list: Vec<Unit>,
    pub steps: Vec<Step<'p>>,
    /// For each tensor the copy step that would write it to its only reader, where its producer can write
    /// in place: (step, tensor it becomes part of).
    pub parts: Vec<Option<(usize, usize)>>,
}

impl<'p> Units<'p> {
    /// Groups the steps of `plan`; `None` when some tensor is read before it is written or written by steps
    /// apart from each other, so that only the plan's own order will do.
    ///
    /// # Errors
    /// [`PlanError`]; never after the plan was parsed.
    pub fn new(plan: &Plan<'p>) -> Result<Option<Self>, PlanError> {
        let steps = (0..plan.steps()).map(|index| plan.step(index)).collect::<Result<Vec<_>, _>>()?;
        let mut list = Vec::new();
        let mut written = vec![false; plan.tensors()];
        for (tensor, written) in written.iter_mut().enumerate().take(plan.inputs()) {
            let layout = plan.tensor(tensor)?.layout;
            let (height, halo_below) = (layout.height, layout.halo.bottom > 0);
            list.push(Unit { tensor, height, halo_below, steps: 0..0, reads: Vec::new() });
            *written = true;
        }
        let mut first = 0;
        while first < steps.len() {
            let tensor = steps[first].output;
            let group = steps[first..].iter().take_while(|step| step.output == tensor).count();
            let range = first..first + group;
            let mut reads = Vec::new();
            for index in range.clone() {
                let inputs = steps[index].inputs;
                reads.push((index, 0, inputs[0]));
                if inputs[1] != inputs[0] {
                    reads.push((index, 1, inputs[1]));
                }
            }
            if written[tensor] || reads.iter().any(|&(_, _, input)| !written[input]) {
                return Ok(None);
            }
            written[tensor] = true;
            let layout = plan.tensor(tensor)?.layout;
            let (height, halo_below) = (layout.height, layout.halo.bottom > 0);
            list.push(Unit { tensor, height, halo_below, steps: range.clone(), reads });
            first = range.end;
        }
        if !written[plan.output()] {
            return Ok(None);
        }
        let mut units = Self { list, steps, parts: vec![None; plan.tensors()] };
        units.find_parts(plan)?;
        Ok(Some(units))
    }

    /// Finds the copies that need not be made: whole tensors without rescaling, read by nothing else.
    fn find_parts(&mut self, plan: &Plan<'_>) -> Result<(), PlanError> {
        let mut readers = vec![0usize; plan.tensors()];
        self.list.iter().flat_map(|unit| &unit.reads).for_each(|&(_, _, tensor)| readers[tensor] += 1);
        for (index, step) in self.steps.iter().enumerate() {
            let Op::CopyChannels(copy) = &step.op else { continue };
            let part = step.inputs[0];
            let (from, to) = (plan.tensor(part)?, plan.tensor(step.output)?);
            let whole = copy.from == 0 && copy.count == from.layout.channels && copy.table.is_none();
            let fits = copy.to.is_multiple_of(BLOCK)
                && (copy.count.is_multiple_of(BLOCK) || copy.to + copy.count == to.layout.channels);
            let group = self.list.iter().find(|unit| unit.tensor == step.output);
            let overwritten = group.is_some_and(|unit| {
                unit.steps.clone().filter(|&other| other != index).any(|other| !self.is_apart(other, copy))
            });
            let producer = self.list.iter().find(|unit| unit.tensor == part);
            let single = producer.is_some_and(|unit| unit.steps.len() == 1);
            let free = readers[part] == 1 && part >= plan.inputs() && part != plan.output();
            if whole && fits && free && single && !overwritten && from.zero_point == to.zero_point {
                self.parts[part] = Some((index, step.output));
            }
        }
        // The halo of a part is that of the whole.
        for unit in &mut self.list {
            unit.halo_below &= self.parts[unit.tensor].is_none();
        }
        Ok(())
    }

    /// Whether step `other` copies to none of the channels that `copy` writes.
    fn is_apart(&self, other: usize, copy: &candor_core::ops::CopyChannels<'_>) -> bool {
        let Op::CopyChannels(other) = &self.steps[other].op else { return false };
        other.to + other.count <= copy.to || copy.to + copy.count <= other.to
    }

    /// The steps of a unit that really run.
    pub fn running(&self, unit: &Unit) -> impl Iterator<Item = usize> {
        unit.steps.clone().filter(|&step| {
            let input = self.steps[step].inputs[0];
            self.parts[input].is_none_or(|(copy, _)| copy != step)
        })
    }

    /// The tensor in which `tensor` lies: itself, or the one it is a part of.
    pub fn root(&self, tensor: usize) -> usize {
        self.parts[tensor].map_or(tensor, |(_, whole)| self.root(whole))
    }
}
