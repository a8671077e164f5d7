//! Isotonic regression on a histogram: the best non-decreasing map, by pooling adjacent violators.
use super::histogram::{Histogram, LEVELS};
use super::{Fit, Parameters, Table};

/// A run of logit indices that share one probability, positives / (positives + negatives).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// First occupied index of the run.
    pub first: usize,
    /// Last occupied index of the run.
    pub last: usize,
    /// Positive pixels in the run.
    pub positives: u64,
    /// All pixels in the run, at least 1.
    pub count: u64,
}

impl Block {
    /// Share of positive pixels.
    pub fn mean(&self) -> f64 {
        self.positives as f64 / self.count as f64
    }

    /// Whether this block's mean is not below `other`'s, in exact integers.
    fn reaches(&self, other: &Self) -> bool {
        u128::from(self.positives) * u128::from(other.count)
            >= u128::from(other.positives) * u128::from(self.count)
    }
}

/// Pool-adjacent-violators (Ayer et al., 1955): blocks of strictly rising means, exact in integers, which
/// are both the least-squares and the maximum-likelihood non-decreasing fit. Indices without pixels belong
/// to none.
pub fn pool_adjacent_violators(histogram: &Histogram) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (index, _, positives, negatives) in histogram.occupied() {
        let mut block =
            Block { first: index, last: index, positives, count: positives.saturating_add(negatives) };
        while let Some(previous) = blocks.last().filter(|previous| previous.reaches(&block)).copied() {
            blocks.pop();
            block = Block {
                first: previous.first,
                last: block.last,
                positives: block.positives.saturating_add(previous.positives),
                count: block.count.saturating_add(previous.count),
            };
        }
        blocks.push(block);
    }
    blocks
}

/// Block probabilities, those of 0 and 1 replaced so that likelihoods are finite.
///
/// Means rise strictly, so only the first block can be 0 and only the last can be 1. Such a block takes
/// Laplace's rule of succession, (positives + 1)/(count + 2), but never passes its neighbour's mean.
fn proper(blocks: &[Block]) -> Vec<f64> {
    let mut values: Vec<f64> = blocks.iter().map(Block::mean).collect();
    let laplace = |block: &Block| (block.positives as f64 + 1.0) / (block.count as f64 + 2.0);
    if let ([first, rest @ ..], Some(block)) = (values.as_mut_slice(), blocks.first())
        && block.positives == 0
    {
        *first = rest.first().map_or(laplace(block), |next| laplace(block).min(*next));
    }
    if let ([rest @ .., last], Some(block)) = (values.as_mut_slice(), blocks.last())
        && block.positives == block.count
    {
        *last = rest.last().map_or(laplace(block), |previous| laplace(block).max(*previous));
    }
    values
}

/// Isotonic calibration (Zadrozny & Elkan, 2002).
///
/// Between blocks, indices that hold no pixel are interpolated linearly from the end of one block to the
/// start of the next (as scikit-learn's `IsotonicRegression` does); outside the observed range the end
/// values hold.
pub(super) fn fit(histogram: &Histogram) -> Fit {
    let blocks = pool_adjacent_violators(histogram);
    let values = proper(&blocks);
    let mut probabilities = vec![values.first().copied().unwrap_or(0.5); LEVELS];
    let mut previous: Option<(usize, f64)> = None;
    for (block, &value) in blocks.iter().zip(&values) {
        if let Some((end, from)) = previous {
            let gap = (block.first - end) as f64;
            for (offset, slot) in probabilities.iter_mut().skip(end).take(block.first - end).enumerate() {
                *slot = from + (value - from) * (offset as f64 / gap);
            }
        }
        for slot in probabilities.iter_mut().skip(block.first).take(block.last + 1 - block.first) {
            *slot = value;
        }
        previous = Some((block.last, value));
    }
    if let Some((end, value)) = previous {
        probabilities.iter_mut().skip(end).for_each(|slot| *slot = value);
    }
    Fit {
        parameters: Parameters::Isotonic { blocks: blocks.len() },
        table: Table::from_probabilities(|index| probabilities[index]),
    }
}
