//! Turns ordered stretches into the entries that core carries out, and places every tensor.

use super::order::Stretch;
use super::rows::Stores;
use super::units::{Unit, Units};
use super::{Lifetime, Planned, pack};
use candor_core::plan::{Plan, PlanError};
use candor_core::schedule::{Entry, Place};
use candor_core::tensor::BLOCK;
use std::ops::Range;

/// Entries under construction.
pub(super) struct Emitter<'a, 'p> {
    plan: &'a Plan<'p>,
    units: &'a Units<'p>,
    stores: Stores,
    begun: Vec<bool>,
    entries: Vec<Entry>,
    /// For every entry the stretch it belongs to.
    stretches: Vec<u32>,
}

impl<'a, 'p> Emitter<'a, 'p> {
    pub fn new(plan: &'a Plan<'p>, units: &'a Units<'p>, stores: Stores) -> Self {
        let begun = vec![false; plan.tensors()];
        Self { plan, units, stores, begun, entries: Vec::new(), stretches: Vec::new() }
    }

    /// The whole schedule; `None` when a window fits in no ring.
    pub fn run(mut self, stretches: &[Stretch]) -> Result<Option<Planned>, PlanError> {
        for (at, stretch) in stretches.iter().enumerate() {
            if !self.stretch(at, stretch)? {
                return Ok(None);
            }
            self.stretches.resize(self.entries.len(), at as u32);
        }
        Ok(Some(self.place()?))
    }

    /// The entries of one stretch.
    fn stretch(&mut self, at: usize, stretch: &Stretch) -> Result<bool, PlanError> {
        let unit = &self.units.list[stretch.unit];
        let root = self.units.root(unit.tensor);
        self.begin(root);
        let store = &mut self.stores.list[root];
        if let Some((from, count)) = store.shift(at, stretch) {
            let slot = (from - store.base) as u16;
            store.base = from;
            if count > 0 {
                self.entries.push(Entry::Move {
                    tensor: root as u16,
                    from: slot,
                    to: 0,
                    count: count as u16,
                });
            }
        }
        let Range { start: mut first, end } = stretch.rows(unit);
        while first < end {
            let Some(count) = (1..=end - first).rev().find(|&count| self.fits(unit, first..first + count))
            else {
                return Ok(false);
            };
            self.piece(unit, first, count);
            if unit.tensor == root {
                let stored = self.stores.list[root].layout.halo.top + first;
                self.mirror(root, stored..stored + count);
            }
            first += count;
        }
        if stretch.first + stretch.count > unit.height {
            self.halo_below(root);
        }
        let store = &mut self.stores.list[root];
        store.written = store.written.max(store.stored(stretch.first, stretch.count).end);
        Ok(true)
    }

    /// Halo columns and the halo above the image, before anything else is written.
    fn begin(&mut self, root: usize) {
        if std::mem::replace(&mut self.begun[root], true) {
            return;
        }
        let halo = self.stores.list[root].layout.halo;
        let tensor = root as u16;
        if halo.left + halo.right > 0 {
            self.entries.push(Entry::Edges { tensor });
        }
        if halo.top > 0 {
            self.entries.push(Entry::Halo { tensor, slot: 0, count: halo.top as u16 });
        }
    }

    /// Whether rows written and read lie in one piece each.
    fn fits(&self, unit: &Unit, rows: Range<usize>) -> bool {
        let store = &self.stores.list[self.units.root(unit.tensor)];
        let top = store.layout.halo.top;
        if store.ring && store.slot(top + rows.start) + rows.len() > store.capacity {
            return false;
        }
        self.units.running(unit).all(|step| {
            unit.reads.iter().filter(|read| read.0 == step).all(|&(_, which, tensor)| {
                let store = &self.stores.list[tensor];
                let read = self.units.steps[step].op.input_rows(which, &store.layout, rows.clone());
                read.is_empty() || !store.ring || store.slot(read.start) + read.len() <= store.slots()
            })
        })
    }

    /// Loads or computes rows that lie in one piece.
    fn piece(&mut self, unit: &Unit, first: usize, count: usize) {
        let store = &self.stores.list[self.units.root(unit.tensor)];
        let slot = store.slot(store.layout.halo.top + first) as u16;
        let rows = first..first + count;
        let (first, count) = (first as u16, count as u16);
        if unit.steps.is_empty() {
            return self.entries.push(Entry::Load { input: unit.tensor as u16, first, count, slot });
        }
        let last = unit.steps.end - 1;
        let mut finished = false;
        for step in self.units.running(unit) {
            let at = |which: usize| {
                let tensor = self.units.steps[step].inputs[which];
                let store = &self.stores.list[tensor];
                let read = self.units.steps[step].op.input_rows(which, &store.layout, rows.clone());
                if read.is_empty() { 0 } else { store.slot(read.start) as u16 }
            };
            let (inputs, finishes) = ([at(0), at(1)], step == last);
            finished |= finishes;
            self.entries.push(Entry::Run { step: step as u16, first, count, slot, inputs, finishes });
        }
        if !finished {
            self.entries.push(Entry::Finish { step: last as u16, first, count, slot });
        }
    }

    /// The halo below the last row.
    fn halo_below(&mut self, root: usize) {
        let layout = self.stores.list[root].layout;
        for row in layout.halo.top + layout.height..layout.stored_rows() {
            let slot = self.stores.list[root].slot(row) as u16;
            self.entries.push(Entry::Halo { tensor: root as u16, slot, count: 1 });
            self.mirror(root, row..row + 1);
        }
    }

    /// Repeats those of the stored rows whose slots a window may read past the ring's end.
    fn mirror(&mut self, root: usize, rows: Range<usize>) {
        let store = &self.stores.list[root];
        let slot = store.slot(rows.start);
        if !store.ring || rows.start < store.capacity || slot >= store.mirrored {
            return;
        }
        let count = rows.len().min(store.mirrored - slot) as u16;
        let (from, to) = (slot as u16, (store.capacity + slot) as u16);
        self.entries.push(Entry::Move { tensor: root as u16, from, to, count });
    }

    /// Packs the stores into one arena.
    fn place(self) -> Result<Planned, PlanError> {
        let tensors = self.plan.tensors();
        let end = self.stretches.last().map_or(0, |&last| last as usize + 1);
        let used = |tensor: usize| self.units.root(tensor) == tensor;
        let mut lifetimes: Vec<Lifetime> = (0..tensors)
            .map(|tensor| match self.stores.list[tensor].life.filter(|_| used(tensor)) {
                Some((first, last)) => Lifetime { bytes: self.stores.list[tensor].bytes(), first, last },
                None => Lifetime { bytes: 0, first: 0, last: 0 },
            })
            .collect();
        let global = self.units.steps.iter().filter(|step| step.op.is_global());
        let mut scratch = 0;
        for step in global {
            scratch = scratch.max(Plan::scratch_bytes(self.plan.tensor(step.inputs[0])?.layout.channels));
        }
        lifetimes.push(Lifetime { bytes: scratch, first: 0, last: end });
        let packing = pack(&lifetimes);
        let mut places = Vec::with_capacity(tensors);
        for tensor in 0..tensors {
            let own = self.plan.tensor(tensor)?.layout;
            let root = self.units.root(tensor);
            let store = &self.stores.list[root];
            let (mut layout, mut offset) = (store.layout, packing.offsets[root]);
            layout.channels = own.channels;
            let mut inner = tensor;
            while let Some((copy, whole)) = self.units.parts[inner] {
                if let candor_core::ops::Op::CopyChannels(copy) = &self.units.steps[copy].op {
                    offset += copy.to / BLOCK * store.layout.block_stride();
                }
                inner = whole;
            }
            places.push(Place { offset, slots: store.slots(), layout });
        }
        lifetimes.truncate(tensors);
        Ok(Planned {
            places,
            entries: self.entries,
            stretches: self.stretches,
            lifetimes,
            arena_bytes: packing.bytes.next_multiple_of(candor_core::plan::ALIGNMENT),
            scratch: packing.offsets[tensors],
            ..Planned::default()
        })
    }
}
