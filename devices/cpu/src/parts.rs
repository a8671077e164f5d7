//! Output rows cut into parts: each thread takes its own first, then what others have not begun.
//!
//! The same thread takes the same share of every operator, so that the rows it reads are mostly those it
//! wrote and lie in its own cache: data that another core wrote last costs several times as much to read.

use candor_core::tensor::{Layout, RowsMut};
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Greatest number of parts.
pub(crate) const PARTS_LIMIT: usize = u64::BITS as usize;

/// The covered rows of one tensor, to be handed out in disjoint parts.
pub(crate) struct Parts<'a> {
    layout: Layout,
    first: usize,
    count: usize,
    data: *mut u8,
    bytes: usize,
    parts: usize,
    /// Bit `i` is set once part `i` was handed out.
    taken: AtomicU64,
    borrowed: PhantomData<&'a mut [u8]>,
}

// SAFETY: a part is handed out once only, and parts do not overlap, so sharing this is sending the exclusive
// borrow of each part to one thread.
unsafe impl Sync for Parts<'_> {}

impl<'a> Parts<'a> {
    /// Cuts `rows` into at most `parts` (1..=[`PARTS_LIMIT`]) parts of nearly equal size.
    pub fn new(rows: RowsMut<'a>, parts: usize) -> Self {
        Self {
            layout: rows.layout,
            first: rows.first,
            count: rows.count,
            bytes: rows.data.len(),
            data: rows.data.as_mut_ptr(),
            parts: parts.clamp(1, PARTS_LIMIT),
            taken: AtomicU64::new(0),
            borrowed: PhantomData,
        }
    }

    /// Runs `body` on parts until none is left, beginning with those of `thread` of `threads`.
    pub fn take_all(&self, thread: usize, threads: usize, body: &(dyn Fn(RowsMut<'_>) + Sync)) {
        let own = self.parts * thread / threads.max(1);
        for step in 0..self.parts {
            if let Some(rows) = self.take((own + step) % self.parts) {
                body(rows);
            }
        }
    }

    /// Part `part`, unless it was taken or is empty.
    fn take(&self, part: usize) -> Option<RowsMut<'a>> {
        let bit = 1 << part;
        if self.taken.load(Relaxed) & bit != 0 || self.taken.fetch_or(bit, Relaxed) & bit != 0 {
            return None;
        }
        let (from, to) = (self.count * part / self.parts, self.count * (part + 1) / self.parts);
        if from == to {
            return None;
        }
        let offset = |row: usize| (row * self.layout.row_stride).min(self.bytes);
        let (start, end) = (offset(from), if to == self.count { self.bytes } else { offset(to) });
        // SAFETY: start..end lies within the borrowed bytes; it begins at row `from` and ends before row
        // `to`, so ranges of different parts do not overlap, and the bit above was set for this caller alone.
        let data = unsafe { core::slice::from_raw_parts_mut(self.data.add(start), end - start) };
        Some(RowsMut { layout: self.layout, first: self.first + from, count: to - from, data })
    }
}

#[cfg(test)]
mod tests;
