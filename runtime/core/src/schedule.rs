//! A schedule runs a plan a few rows at a time, so that tensors need only be held where they are still read.
//!
//! A planner decides beforehand which rows of which step run when and in which slots of the arena they lie;
//! here the entries are only carried out. A tensor's rows are stored rows, halo included; slot `s` of a
//! tensor is `s` row strides after its place. Whatever the schedule, the bytes of every image position are
//! those of [`interpreter::run`].

use crate::interpreter::{self, Observer, RunError, View};
use crate::kernels::Kernels;
use crate::plan::{ALIGNMENT, Plan};
use crate::tensor::{BLOCK, Element, Layout, Rows, RowsMut};
use core::convert::Infallible;
use core::ops::Range;

/// Where a tensor lies while a schedule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Byte offset of slot 0 in the arena.
    pub offset: usize,
    /// Stored rows there is room for.
    pub slots: usize,
    /// The tensor's layout there: halo and row stride may be those of a wider tensor it is a part of.
    pub layout: Layout,
}

impl Place {
    /// Arena bytes of `count` slots from `slot`; empty for no slots.
    fn range(&self, slot: usize, count: usize) -> Range<usize> {
        let start = self.offset + slot * self.layout.row_stride;
        match count.checked_sub(1) {
            Some(steps) => start..start + steps * self.layout.row_stride + self.layout.row_bytes(),
            None => start..start,
        }
    }

    /// Arena bytes of all slots.
    pub fn bytes(&self) -> Range<usize> {
        self.range(0, self.slots)
    }
}

/// One thing to do. Rows are image rows, slots those of the tensor's place. Where all numbers are below 256,
/// entries of bytes take half the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<I = u16> {
    /// Fills the halo columns of all slots of a tensor.
    Edges {
        /// Tensor index.
        tensor: I,
    },
    /// Fills whole halo rows.
    Halo {
        /// Tensor index.
        tensor: I,
        /// First slot.
        slot: I,
        /// Slots.
        count: I,
    },
    /// Takes rows of a model input from the source.
    Load {
        /// Input, which is also the tensor's index.
        input: I,
        /// First row.
        first: I,
        /// Rows.
        count: I,
        /// Slot of the first row.
        slot: I,
    },
    /// Runs rows of a step.
    Run {
        /// Step index.
        step: I,
        /// First output row.
        first: I,
        /// Output rows.
        count: I,
        /// Slot of the first output row.
        slot: I,
        /// Slots of the first stored row that is read of each input.
        inputs: [I; 2],
        /// Whether the rows are finished with it: no other step writes them.
        finishes: bool,
    },
    /// Tells the observer of rows that their producers wrote where this step would have copied them.
    Finish {
        /// Step index.
        step: I,
        /// First row.
        first: I,
        /// Rows.
        count: I,
        /// Slot of the first row.
        slot: I,
    },
    /// Copies slots of a tensor to other slots of it.
    Move {
        /// Tensor index.
        tensor: I,
        /// First slot read.
        from: I,
        /// First slot written.
        to: I,
        /// Slots.
        count: I,
    },
}

impl<I: Copy> Entry<I> {
    /// The same entry with its numbers as `number` gives them.
    ///
    /// # Errors
    /// Those of `number`.
    pub fn map<J, E>(self, number: impl Fn(I) -> Result<J, E>) -> Result<Entry<J>, E> {
        Ok(match self {
            Self::Edges { tensor } => Entry::Edges { tensor: number(tensor)? },
            Self::Halo { tensor, slot, count } => {
                Entry::Halo { tensor: number(tensor)?, slot: number(slot)?, count: number(count)? }
            }
            Self::Load { input, first, count, slot } => Entry::Load {
                input: number(input)?,
                first: number(first)?,
                count: number(count)?,
                slot: number(slot)?,
            },
            Self::Run { step, first, count, slot, inputs: [a, b], finishes } => Entry::Run {
                step: number(step)?,
                first: number(first)?,
                count: number(count)?,
                slot: number(slot)?,
                inputs: [number(a)?, number(b)?],
                finishes,
            },
            Self::Finish { step, first, count, slot } => Entry::Finish {
                step: number(step)?,
                first: number(first)?,
                count: number(count)?,
                slot: number(slot)?,
            },
            Self::Move { tensor, from, to, count } => Entry::Move {
                tensor: number(tensor)?,
                from: number(from)?,
                to: number(to)?,
                count: number(count)?,
            },
        })
    }
}

/// What to do in which order, and where everything lies.
#[derive(Debug, Clone, Copy)]
pub struct Schedule<'s, I = u16> {
    /// Place of every tensor of the plan.
    pub places: &'s [Place],
    /// What to do.
    pub entries: &'s [Entry<I>],
    /// Bytes the arena must have, aligned to [`ALIGNMENT`].
    pub arena_bytes: usize,
    /// Arena offset of the scratch of global operators.
    pub scratch: usize,
}

/// Where input rows come from.
pub trait Source {
    /// Writes the image rows that `rows` covers of model input `input`; false when they are not there yet.
    fn load(&mut self, input: usize, rows: RowsMut<'_>) -> bool;
}

/// Planar codes `[C,H,W]` of every input.
impl Source for &[&[u8]] {
    fn load(&mut self, input: usize, mut rows: RowsMut<'_>) -> bool {
        let layout = rows.layout;
        let Some(codes) = self.get(input) else { return false };
        for y in rows.first..rows.first + rows.count {
            let row = rows.row_mut(y);
            for c in 0..layout.channels {
                let start = (c * layout.height + y) * layout.width;
                let Some(source) = codes.get(start..start + layout.width) else { return false };
                load_channel(&layout, row, c, source);
            }
        }
        true
    }
}

/// Writes the codes of one channel to a stored row.
#[inline]
pub fn load_channel(layout: &Layout, row: &mut [u8], channel: usize, codes: &[u8]) {
    let target = &mut row[layout.offset_in_row(channel / BLOCK, 0)..][..layout.width * BLOCK];
    for (pixel, &code) in target.as_chunks_mut::<BLOCK>().0.iter_mut().zip(codes) {
        pixel[channel % BLOCK] = code;
    }
}

/// Carries out entries from `position` on until all are done or the source has no rows, and leaves
/// `position` at the first that was not carried out.
///
/// # Errors
/// [`RunError::Arena`] when the arena is too short or misaligned or the schedule belongs to another plan.
pub fn run<I: Copy + Into<u16>>(
    plan: &Plan<'_>,
    schedule: &Schedule<'_, I>,
    kernels: &impl Kernels,
    arena: &mut [u8],
    source: &mut impl Source,
    observer: &mut impl Observer,
    position: &mut usize,
) -> Result<(), RunError> {
    if arena.len() < schedule.arena_bytes || !arena.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        return Err(RunError::Arena);
    }
    let arena = &mut arena[..schedule.arena_bytes];
    while let Some(&entry) = schedule.entries.get(*position) {
        let Ok(entry) = entry.map(|number| Ok::<u16, Infallible>(number.into()));
        let mut execution = Execution { plan, places: schedule.places, scratch: schedule.scratch, arena };
        match entry {
            Entry::Load { input, first, count, slot } => {
                let rows = execution.rows(input, first, count, slot)?;
                if !source.load(usize::from(input), rows) {
                    return Ok(());
                }
            }
            Entry::Run { .. } | Entry::Finish { .. } => execution.run(entry, kernels, observer)?,
            _ => execution.arrange(entry)?,
        }
        *position += 1;
    }
    Ok(())
}

/// What an entry works on.
struct Execution<'a, 'p> {
    plan: &'a Plan<'p>,
    places: &'a [Place],
    scratch: usize,
    arena: &'a mut [u8],
}

impl Execution<'_, '_> {
    fn place(&self, tensor: usize) -> Result<Place, RunError> {
        self.places.get(tensor).copied().ok_or(RunError::Arena)
    }

    /// Writable image rows of a tensor.
    fn rows(&mut self, tensor: u16, first: u16, count: u16, slot: u16) -> Result<RowsMut<'_>, RunError> {
        let place = self.place(usize::from(tensor))?;
        let range = place.range(usize::from(slot), usize::from(count));
        let data = self.arena.get_mut(range).ok_or(RunError::Arena)?;
        Ok(RowsMut { layout: place.layout, first: usize::from(first), count: usize::from(count), data })
    }

    /// Halo columns, halo rows and moves.
    fn arrange(&mut self, entry: Entry) -> Result<(), RunError> {
        match entry {
            Entry::Edges { tensor } => {
                let place = self.place(usize::from(tensor))?;
                let zero_point = self.plan.tensor(usize::from(tensor))?.zero_point;
                let data = self.arena.get_mut(place.bytes()).ok_or(RunError::Arena)?;
                fill_edges(&place.layout, data, zero_point);
            }
            Entry::Halo { tensor, slot, count } => {
                let place = self.place(usize::from(tensor))?;
                let zero_point = self.plan.tensor(usize::from(tensor))?.zero_point;
                for slot in usize::from(slot)..usize::from(slot) + usize::from(count) {
                    self.arena.get_mut(place.range(slot, 1)).ok_or(RunError::Arena)?.fill(zero_point);
                }
            }
            Entry::Move { tensor, from, to, count } => {
                let place = self.place(usize::from(tensor))?;
                let source = place.range(usize::from(from), usize::from(count));
                let target = place.range(usize::from(to), usize::from(count));
                if source.end.max(target.end) > self.arena.len() {
                    return Err(RunError::Arena);
                }
                self.arena.copy_within(source, target.start);
            }
            _ => {}
        }
        Ok(())
    }

    /// Rows of a step, then the observer.
    fn run(
        &mut self,
        entry: Entry,
        kernels: &impl Kernels,
        observer: &mut impl Observer,
    ) -> Result<(), RunError> {
        let (index, first, count, slot) = match entry {
            Entry::Run { step, first, count, slot, .. } | Entry::Finish { step, first, count, slot } => {
                (step, first, count, slot)
            }
            _ => return Ok(()),
        };
        let step = self.plan.step(usize::from(index))?;
        let place = self.place(step.output)?;
        let layout = place.layout;
        let rows = usize::from(first)..usize::from(first) + usize::from(count);
        let range = place.range(usize::from(slot), rows.len());
        if let Entry::Run { inputs, finishes, .. } = entry {
            let view = |which: usize| {
                let place = self.place(step.inputs[which])?;
                let read = step.op.input_rows(which, &place.layout, rows.clone());
                let range = place.range(usize::from(inputs[which]), read.len());
                Ok::<_, RunError>(View { layout: place.layout, origin: read.start, range })
            };
            let views = [view(0)?, view(1)?];
            let scratch = self.scratch..self.arena.len();
            let output = (layout, range.clone());
            interpreter::run_rows(&step.op, kernels, self.arena, views, output, rows.clone(), scratch)?;
            if !finishes {
                return Ok(());
            }
        }
        let data = self.arena.get(range).ok_or(RunError::Arena)?;
        let origin = layout.halo.top + rows.start;
        observer.after_rows(usize::from(index), step.output, Rows { layout, origin, data });
        Ok(())
    }
}

/// Fills the halo columns of every stored row in `data`.
fn fill_edges(layout: &Layout, data: &mut [u8], zero_point: u8) {
    let halo = layout.halo;
    if layout.element != Element::Code || halo.left + halo.right == 0 {
        return;
    }
    for row in data.chunks_mut(layout.row_stride) {
        let bytes = layout.row_bytes().min(row.len());
        for block in row[..bytes].chunks_exact_mut(layout.block_stride()) {
            let pixels = block.as_chunks_mut::<BLOCK>().0;
            let (left, rest) = pixels.split_at_mut(halo.left);
            // A pixel or two on either side: a call for each would cost more than the bytes.
            for pixel in left.iter_mut().chain(&mut rest[layout.width..]) {
                *pixel = [zero_point; BLOCK];
            }
        }
    }
}

#[cfg(test)]
mod tests;
