//! How many rows of each tensor are held, and in which slots: everything while it fits, else a window that
//! is shifted, or a ring.

use super::order::Stretch;
use super::units::Units;
use candor_core::plan::{Plan, PlanError};
use candor_core::tensor::Layout;
use std::ops::Range;

/// Most moves of each row of a shifted window; others become rings.
const MOVES: usize = 3;

/// The rows that one root tensor holds over time. Stored rows count from the top of the halo.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub layout: Layout,
    /// Stored rows held at once, without repeated ones.
    pub capacity: usize,
    /// Slots after these that repeat the first ones, so that no window is cut by the ring's end.
    pub mirrored: usize,
    /// Whether slots are reused in turn instead of shifted.
    pub ring: bool,
    /// Stretches between which the tensor holds anything.
    pub life: Option<(usize, usize)>,
    /// Stored row in slot 0 of a shifted window.
    pub base: usize,
    /// One past the last stored row written so far.
    pub written: usize,
    touches: Vec<(usize, usize)>,
    keep: bool,
    window: usize,
}

impl Store {
    /// Slots there must be room for.
    pub const fn slots(&self) -> usize {
        self.capacity + self.mirrored
    }

    /// Bytes of all slots.
    pub const fn bytes(&self) -> usize {
        (self.slots() - 1) * self.layout.row_stride + self.layout.row_bytes()
    }

    /// The slot of stored row `row`, which is held.
    pub const fn slot(&self, row: usize) -> usize {
        if self.ring { row % self.capacity } else { row - self.base }
    }

    /// The least stored row that stretch `at` or a later one reads or writes; `fallback` when none does.
    pub fn needed(&self, at: usize, fallback: usize) -> usize {
        if self.keep {
            return 0;
        }
        let next = self.touches.partition_point(|&(stretch, _)| stretch < at);
        self.touches.get(next).map_or(fallback, |&(_, row)| row.min(fallback))
    }

    /// Stored rows that rows `first..first + count` become: the first with the halo above it, the row after
    /// the last is the halo below.
    pub const fn stored(&self, first: usize, count: usize) -> Range<usize> {
        let top = self.layout.halo.top;
        let end = first + count;
        let stored = if end > self.layout.height { self.layout.stored_rows() } else { top + end };
        (if first == 0 { 0 } else { top + first })..stored
    }
}

/// The stores of all tensors of a plan; parts of wider tensors share theirs.
#[derive(Debug)]
pub(super) struct Stores {
    pub list: Vec<Store>,
}

impl Stores {
    /// Decides what each tensor holds while `stretches` run; the output is kept whole if `keep_output`.
    pub fn new(
        plan: &Plan<'_>,
        units: &Units<'_>,
        stretches: &[Stretch],
        keep_output: bool,
    ) -> Result<Self, PlanError> {
        let mut list = Vec::with_capacity(plan.tensors());
        let parted = units.parts.iter().flatten().any(|&(_, whole)| whole == plan.output());
        for tensor in 0..plan.tensors() {
            let layout = plan.tensor(tensor)?.layout;
            let keep = tensor == plan.output() && (keep_output || parted);
            list.push(Store {
                layout,
                capacity: 1,
                mirrored: 0,
                ring: false,
                life: None,
                base: 0,
                written: 0,
                touches: Vec::new(),
                keep,
                window: 1,
            });
        }
        let mut stores = Self { list };
        stores.collect_touches(units, stretches);
        stores.measure(units, stretches);
        for store in &mut stores.list {
            store.touches.shrink_to_fit();
            if store.keep
                && let Some(life) = &mut store.life
            {
                life.1 = stretches.len();
            }
        }
        stores.choose(units, stretches);
        Ok(stores)
    }

    /// Notes for each tensor when which row is the first still needed: a row read, or one that is yet to be
    /// written where another part of the tensor is ahead.
    fn collect_touches(&mut self, units: &Units<'_>, stretches: &[Stretch]) {
        for (at, stretch) in stretches.iter().enumerate() {
            let unit = &units.list[stretch.unit];
            let rows = stretch.rows(unit);
            let own = &mut self.list[units.root(unit.tensor)];
            own.touches.push((at, own.stored(stretch.first, stretch.count).start));
            if rows.is_empty() {
                continue;
            }
            for step in units.running(unit) {
                for &(_, which, tensor) in unit.reads.iter().filter(|read| read.0 == step) {
                    let store = &mut self.list[tensor];
                    let op = &units.steps[step].op;

                    let read = op.input_rows(which, &store.layout, rows.clone());
                    if !read.is_empty() {
                        store.touches.push((at, read.start));
                        let single = |row| op.input_rows(which, &store.layout, row..row + 1).len();
                        let window = rows.clone().map(single).max().unwrap_or(1);
                        store.window = store.window.max(window);
                    }
                    store.life = store.life.map_or(Some((at, at)), |(first, _)| Some((first, at)));
                }
            }
        }
        for store in &mut self.list {
            let mut least = usize::MAX;
            for (_, row) in store.touches.iter_mut().rev() {
                least = least.min(*row);
                *row = least;
            }
        }
    }

    /// The most rows that are held at once, and the stretches from the first write to the last access.
    fn measure(&mut self, units: &Units<'_>, stretches: &[Stretch]) {
        for (at, stretch) in stretches.iter().enumerate() {
            let store = &mut self.list[units.root(units.list[stretch.unit].tensor)];
            let rows = store.stored(stretch.first, stretch.count);
            store.written = store.written.max(rows.end);
            let held = store.written - store.needed(at, rows.start);
            store.capacity = store.capacity.max(held);
            let (first, last) = store.life.unwrap_or((at, at));
            store.life = Some((first.min(at), last.max(at)));
        }
    }

    /// Shifts windows that seldom move much; the others become rings.
    fn choose(&mut self, units: &Units<'_>, stretches: &[Stretch]) {
        let mut moved = vec![0; self.list.len()];
        for store in &mut self.list {
            (store.base, store.written) = (0, 0);
        }
        for (at, stretch) in stretches.iter().enumerate() {
            let root = units.root(units.list[stretch.unit].tensor);
            let store = &mut self.list[root];
            if let Some((from, count)) = store.shift(at, stretch) {
                moved[root] += count;
                store.base = from;
            }
            store.written = store.written.max(store.stored(stretch.first, stretch.count).end);
        }
        for (store, moved) in self.list.iter_mut().zip(moved) {
            (store.base, store.written) = (0, 0);
            let stored = store.layout.stored_rows();
            if moved > MOVES * stored {
                store.ring = true;
                store.mirrored = store.window - 1;
            }
            if store.slots() >= stored {
                (store.ring, store.capacity, store.mirrored) = (false, stored, 0);
            }
        }
    }
}

impl Store {
    /// The stored row that must come to slot 0 before `stretch` writes, and how many rows move with it;
    /// `None` when the rows fit as they are.
    pub fn shift(&self, at: usize, stretch: &Stretch) -> Option<(usize, usize)> {
        let rows = self.stored(stretch.first, stretch.count);
        if self.ring || rows.end - self.base <= self.capacity {
            return None;
        }
        let needed = self.needed(at, rows.start.min(self.written));
        Some((needed, self.written - needed))
    }
}
