//! Splits one output buffer over the cores of the machine with scoped threads.

use std::ops::Range;
use std::sync::OnceLock;
use std::thread;

/// Below this many output elements starting a thread costs more than it saves.
const SERIAL_MAX: usize = 1 << 15;

/// Cores this process may use, asked once: the answer comes from the operating system's files.
pub(super) fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Calls `work(index, plane)` once for each consecutive `plane` elements of `out` (the last may be
/// shorter).
pub(super) fn planes<T: Send>(out: &mut [T], plane: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    if plane == 0 || out.is_empty() {
        return;
    }
    let count = out.len().div_ceil(plane);
    let share = count.div_ceil(threads());
    let run = |first: usize, part: &mut [T]| {
        for (index, plane) in part.chunks_mut(plane).enumerate() {
            work(first + index, plane);
        }
    };
    if out.len() < SERIAL_MAX || share == count {
        return run(0, out);
    }
    let run = &run;
    thread::scope(|scope| {
        for (index, part) in out.chunks_mut(share * plane).enumerate() {
            scope.spawn(move || run(index * share, part));
        }
    });
}

/// Cuts the columns `0..columns` of the row-major matrix `out` into one range per core, each a multiple of
/// `grain` wide, and calls `work(range, rows)` with every row's part of that range.
pub(super) fn columns(
    out: &mut [f32],
    columns: usize,
    grain: usize,
    work: impl Fn(Range<usize>, &mut [&mut [f32]]) + Sync,
) {
    if columns == 0 || out.is_empty() {
        return;
    }
    let share = columns.div_ceil(threads()).next_multiple_of(grain.max(1));
    let ranges: Vec<Range<usize>> =
        (0..columns).step_by(share).map(|start| start..(start + share).min(columns)).collect();
    let mut parts: Vec<Vec<&mut [f32]>> = ranges.iter().map(|_| Vec::new()).collect();
    for row in out.chunks_mut(columns) {
        for (part, piece) in parts.iter_mut().zip(row.chunks_mut(share)) {
            part.push(piece);
        }
    }
    let work = &work;
    thread::scope(|scope| {
        for (range, mut part) in ranges.into_iter().zip(parts) {
            if range.len() == columns {
                work(range, &mut part);
            } else {
                scope.spawn(move || work(range, &mut part));
            }
        }
    });
}
