//! Decides in which order the rows of a plan are computed and where they lie, and packs buffers with known
//! lifetimes into one arena.

mod choose;
mod cost;
mod emit;
mod order;
mod rows;
mod units;

pub use choose::{Goal, plan, survey};

use candor_core::plan::ALIGNMENT;
use candor_core::schedule::{Entry, Place, Schedule};

/// A finished schedule and what is known of it.
#[derive(Debug, Clone, Default)]
pub struct Planned {
    places: Vec<Place>,
    entries: Vec<Entry>,
    /// For every entry the stretch of rows it belongs to: the clock of `lifetimes`.
    pub stretches: Vec<u32>,
    /// When each tensor holds anything, in stretches; no bytes for parts of wider tensors.
    pub lifetimes: Vec<Lifetime>,
    arena_bytes: usize,
    scratch: usize,
    peak: (Option<usize>, usize),
    /// Pixels that a unit computes at a time, and the input rows this may stand for.
    pub chunk: [usize; 2],
    /// Modelled cost of a frame in nanoseconds; only for comparing schedules of one plan.
    pub cost: f64,
    /// Modelled cost of what follows the last input row.
    pub tail: f64,
}

impl Planned {
    /// The schedule as core carries it out.
    pub fn schedule(&self) -> Schedule<'_> {
        Schedule {
            places: &self.places,
            entries: &self.entries,
            arena_bytes: self.arena_bytes,
            scratch: self.scratch,
        }
    }

    /// Bytes the arena needs.
    pub const fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Bytes of the schedule itself.
    pub fn schedule_bytes(&self) -> usize {
        size_of_val(&self.places[..]) + size_of_val(&self.entries[..])
    }

    /// The step during which most bytes are held (none while an input is loaded), and those bytes.
    pub const fn peak(&self) -> (Option<usize>, usize) {
        self.peak
    }

    fn find_peak(&mut self) {
        let mut last = None;
        for (entry, &stretch) in self.entries.iter().zip(&self.stretches) {
            let step = match *entry {
                Entry::Run { step, .. } | Entry::Finish { step, .. } => Some(usize::from(step)),
                Entry::Load { .. } => None,
                _ => continue,
            };
            if last == Some(stretch) {
                continue;
            }
            last = Some(stretch);
            let at = stretch as usize;
            let alive = self.lifetimes.iter().filter(|life| (life.first..=life.last).contains(&at));
            let bytes = alive.map(|life| life.bytes).sum();
            if bytes > self.peak.1 {
                self.peak = (step, bytes);
            }
        }
    }

    /// Drops what only drawing needs, for sessions.
    pub(crate) fn slim(&mut self) {
        (self.stretches, self.lifetimes) = (Vec::new(), Vec::new());
        self.entries.shrink_to_fit();
    }
}

/// A buffer that must keep its bytes from step `first` to step `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Size in bytes.
    pub bytes: usize,
    /// First step that writes or reads it.
    pub first: usize,
    /// Last step that reads it.
    pub last: usize,
}

/// Where each buffer lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    /// Byte offset of each buffer, aligned to [`ALIGNMENT`].
    pub offsets: Vec<usize>,
    /// Bytes the arena needs.
    pub bytes: usize,
}

/// Greedy by size (Pisarchyk & Lee 2020, "Efficient Memory Management for Deep Neural Net Inference"): the
/// largest buffer first, each at the lowest gap among the buffers alive at the same time.
pub fn pack(lifetimes: &[Lifetime]) -> Packing {
    let mut order: Vec<usize> = (0..lifetimes.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lifetimes[i].bytes), lifetimes[i].first, i));
    let mut offsets = vec![0; lifetimes.len()];
    let mut placed: Vec<usize> = Vec::new();
    for i in order {
        let own = lifetimes[i];
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&j| lifetimes[j].first <= own.last && own.first <= lifetimes[j].last)
            .map(|&j| (offsets[j], offsets[j] + lifetimes[j].bytes))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (start, end) in taken {
            if at + own.bytes <= start {
                break;
            }
            at = at.max(end.next_multiple_of(ALIGNMENT));
        }
        offsets[i] = at;
        placed.push(i);
    }
    let ends = placed.iter().map(|&i| offsets[i] + lifetimes[i].bytes);
    Packing { bytes: ends.max().unwrap_or(0), offsets }
}

#[cfg(test)]
mod tests;
