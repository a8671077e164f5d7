//! Carries out a schedule over tags instead of bytes: whatever an entry reads must be what was meant for it.

use candor_core::ops::{CopyChannels, Op};
use candor_core::plan::{Plan, Step};
use candor_core::schedule::{Entry, Place, Schedule};
use candor_core::tensor::{BLOCK, Element, Layout};
use std::ops::Range;

/// What lies in a byte of the arena: whose it is, and which. Zero is nothing of meaning.
type Tag = u64;

/// The row of the zero point around a tensor; beyond any real one.
const HALO: u64 = 0xf_ffff;

/// Follows a schedule of `plan`; the steps' finished rows are counted.
pub struct Simulation<'a> {
    plan: &'a Plan<'a>,
    schedule: &'a Schedule<'a>,
    steps: Vec<Step<'a>>,
    arena: Vec<Tag>,
    /// Rows of each step that the observer saw.
    finished: Vec<usize>,
    /// Rows of each input that were loaded.
    loaded: Vec<usize>,
    /// Tensors that are parts of others: the tensor they lie in, and their first byte in its rows.
    parts: Vec<Option<(usize, usize)>>,
}

/// Checks `schedule`; with `keep_output` also that the output is whole at the end.
///
/// # Errors
/// The first thing wrong.
pub fn check(plan: &Plan<'_>, schedule: &Schedule<'_>, keep_output: bool) -> Result<(), String> {
    let steps: Vec<Step<'_>> = (0..plan.steps()).map(|step| plan.step(step).expect("parsed")).collect();
    let runs = |index: usize| {
        schedule
            .entries
            .iter()
            .any(|entry| matches!(*entry, Entry::Run { step, .. } if usize::from(step) == index))
    };
    let mut parts = vec![None; plan.tensors()];
    for (index, step) in steps.iter().enumerate().filter(|&(index, _)| !runs(index)) {
        let Op::CopyChannels(copy) = &step.op else { return Err(format!("step {index} never runs")) };
        parts[step.inputs[0]] =
            Some((step.output, copy.to / BLOCK * schedule.places[step.output].layout.block_stride()));
    }
    let mut simulation = Simulation {
        plan,
        schedule,
        arena: vec![0; schedule.arena_bytes],
        finished: vec![0; steps.len()],
        loaded: vec![0; plan.inputs()],
        steps,
        parts,
    };
    for (index, entry) in schedule.entries.iter().enumerate() {
        simulation.entry(*entry).map_err(|what| format!("entry {index}, {entry:?}: {what}"))?;
    }
    simulation.end(keep_output)
}

impl Simulation<'_> {
    /// The tensor whose rows `tensor` lies in, and its first byte in them.
    fn root(&self, tensor: usize) -> (usize, usize) {
        match self.parts[tensor] {
            Some((whole, at)) => {
                let (root, more) = self.root(whole);
                (root, at + more)
            }
            None => (tensor, 0),
        }
    }

    fn place(&self, tensor: usize) -> Place {
        self.schedule.places[tensor]
    }

    fn tag(root: usize, row: u64, at: usize) -> Tag {
        (root as u64 + 1) << 44 | row << 24 | at as u64
    }

    /// Arena bytes of `slot` of `tensor`.
    fn slot(&self, tensor: usize, slot: usize) -> Result<Range<usize>, String> {
        let place = self.place(tensor);
        if slot >= place.slots {
            return Err(format!("slot {slot} of tensor {tensor}, which has {}", place.slots));
        }
        let start = place.offset + slot * place.layout.row_stride;
        let end = start + place.layout.row_bytes();
        if end > self.arena.len() { Err(format!("slot {slot} ends at {end}")) } else { Ok(start..end) }
    }

    /// Bytes of a stored row that hold image columns of `channels`.
    fn image_bytes(layout: &Layout, channels: Range<usize>) -> impl Iterator<Item = usize> {
        let (bytes, layout) = (layout.element.bytes(), *layout);
        channels.flat_map(move |channel| {
            (0..layout.width).flat_map(move |column| {
                let at = layout.offset_in_row(channel / BLOCK, column) + channel % BLOCK * bytes;
                at..at + bytes
            })
        })
    }

    /// Bytes of a stored row that hold halo columns of `channels`.
    fn halo_bytes(layout: &Layout, channels: Range<usize>) -> impl Iterator<Item = usize> {
        let layout = *layout;
        let columns =
            move || (0..layout.halo.left).chain(layout.halo.left + layout.width..layout.stored_width());
        let channels = if layout.element == Element::Code { channels } else { 0..0 };
        channels.flat_map(move |channel| {
            columns()
                .map(move |column| channel / BLOCK * layout.block_stride() + column * BLOCK + channel % BLOCK)
        })
    }

    fn write(
        &mut self,
        tensor: usize,
        slot: usize,
        row: usize,
        channels: Range<usize>,
    ) -> Result<(), String> {
        let (range, (root, base)) = (self.slot(tensor, slot)?, self.root(tensor));
        let layout = self.place(tensor).layout;
        for at in Self::image_bytes(&layout, channels) {
            self.arena[range.start + at] = Self::tag(root, row as u64, base + at);
        }
        Ok(())
    }

    /// Checks that stored row `row` of `tensor` lies in `slot`, with its halo where `halo`.
    fn read(&self, tensor: usize, slot: usize, row: usize, halo: bool) -> Result<(), String> {
        let (range, (root, base)) = (self.slot(tensor, slot)?, self.root(tensor));
        let layout = self.place(tensor).layout;
        let image = (layout.halo.top..layout.halo.top + layout.height).contains(&row);
        let row_tag = if image { row as u64 } else { HALO };
        let found = |at: usize| self.arena[range.start + at];
        let expect = |row: u64, at: usize| {
            let (wanted, found) = (Self::tag(root, row, base + at), found(at));
            let name = |tag: Tag| (tag >> 44, tag >> 24 & 0xf_ffff, tag & 0xff_ffff);
            if wanted == found {
                return Ok(());
            }
            let (wanted, found) = (name(wanted), name(found));
            Err(format!(
                "row {row} of {tensor} in slot {slot}: {found:?}, not {wanted:?} (tensor + 1, row, byte)"
            ))
        };
        Self::image_bytes(&layout, 0..layout.channels).try_for_each(|at| expect(row_tag, at))?;
        if halo {
            Self::halo_bytes(&layout, 0..layout.channels).try_for_each(|at| expect(HALO, at))?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: Entry) -> Result<(), String> {
        match entry {
            Entry::Edges { tensor } => {
                let tensor = usize::from(tensor);
                let layout = self.place(tensor).layout;
                for slot in 0..self.place(tensor).slots {
                    let start = self.slot(tensor, slot)?.start;
                    for at in Self::halo_bytes(&layout, 0..layout.blocks() * BLOCK) {
                        self.arena[start + at] = Self::tag(tensor, HALO, at);
                    }
                }
            }
            Entry::Halo { tensor, slot, count } => {
                let tensor = usize::from(tensor);
                for slot in usize::from(slot)..usize::from(slot + count) {
                    let range = self.slot(tensor, slot)?;
                    for (at, tag) in self.arena[range].iter_mut().enumerate() {
                        *tag = Self::tag(tensor, HALO, at);
                    }
                }
            }
            Entry::Load { input, first, count, slot } => {
                let tensor = usize::from(input);
                let layout = self.place(tensor).layout;
                if self.loaded[tensor] != usize::from(first) {
                    return Err(format!("row {} would be next", self.loaded[tensor]));
                }
                self.loaded[tensor] += usize::from(count);
                for row in 0..usize::from(count) {
                    let stored = layout.halo.top + usize::from(first) + row;
                    self.write(tensor, usize::from(slot) + row, stored, 0..layout.channels)?;
                }
            }
            Entry::Move { tensor, from, to, count } => {
                for row in 0..usize::from(count) {
                    // As one memmove: a row written is not read again.
                    let back = from < to;
                    let row = if back { usize::from(count) - 1 - row } else { row };
                    let source = self.slot(usize::from(tensor), usize::from(from) + row)?;
                    let target = self.slot(usize::from(tensor), usize::from(to) + row)?;
                    self.arena.copy_within(source, target.start);
                }
            }
            Entry::Run { step, first, count, slot, inputs, finishes } => {
                let rows = usize::from(first)..usize::from(first + count);
                self.run(usize::from(step), rows.clone(), usize::from(slot), inputs.map(usize::from))?;
                if finishes {
                    self.finish(usize::from(step), rows, usize::from(slot))?;
                }
            }
            Entry::Finish { step, first, count, slot } => {
                self.finish(
                    usize::from(step),
                    usize::from(first)..usize::from(first + count),
                    usize::from(slot),
                )?;
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        index: usize,
        rows: Range<usize>,
        slot: usize,
        inputs: [usize; 2],
    ) -> Result<(), String> {
        let step = self.steps[index];
        let layout = self.place(step.output).layout;
        let windowed =
            matches!(step.op, Op::Convolution(_) | Op::Depthwise(_) | Op::TransposedConvolution(_));
        if step.op.is_global() {
            if rows != (0..layout.height) {
                return Err("a global operator in pieces".into());
            }
            let channels = self.place(step.inputs[0]).layout.channels;
            let scratch = self.schedule.scratch..self.schedule.scratch + Plan::scratch_bytes(channels);
            if scratch.end > self.arena.len() {
                return Err("the scratch reaches beyond the arena".into());
            }
            self.arena[scratch].fill(1);
        }
        for (which, &tensor) in step.inputs.iter().enumerate() {
            let own = self.place(tensor).layout;
            for (position, row) in step.op.input_rows(which, &own, rows.clone()).enumerate() {
                self.read(tensor, inputs[which] + position, row, windowed)?;
            }
        }
        let channels = match &step.op {
            Op::CopyChannels(CopyChannels { to, count, .. }) => *to..to + count,
            _ => 0..layout.channels,
        };
        for (position, row) in rows.enumerate() {
            self.write(step.output, slot + position, layout.halo.top + row, channels.clone())?;
        }
        Ok(())
    }

    /// The observer's rows: in order, and all channels there.
    fn finish(&mut self, index: usize, rows: Range<usize>, slot: usize) -> Result<(), String> {
        let tensor = self.steps[index].output;
        if self.finished[index] != rows.start {
            return Err(format!("row {} would be next of step {index}", self.finished[index]));
        }
        self.finished[index] = rows.end;
        let top = self.place(tensor).layout.halo.top;
        rows.enumerate().try_for_each(|(position, row)| self.read(tensor, slot + position, top + row, false))
    }

    fn end(&self, keep_output: bool) -> Result<(), String> {
        for (index, step) in self.steps.iter().enumerate() {
            let last = self.steps[index + 1..].iter().all(|later| later.output != step.output);
            let height = if last { self.place(step.output).layout.height } else { 0 };
            if self.finished[index] != height {
                return Err(format!("{} of {height} rows of step {index} finished", self.finished[index]));
            }
        }
        for (input, &loaded) in self.loaded.iter().enumerate() {
            if loaded != self.place(input).layout.height {
                return Err(format!("{loaded} rows of input {input} loaded"));
            }
        }
        if keep_output {
            let output = self.plan.output();
            let layout = self.place(output).layout;
            let mut rows = layout.halo.top..layout.halo.top + layout.height;
            rows.try_for_each(|row| self.read(output, row, row, false))?;
        }
        Ok(())
    }
}
