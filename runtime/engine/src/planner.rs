//! Packs buffers with known lifetimes into one arena.

use candor_core::plan::ALIGNMENT;

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
