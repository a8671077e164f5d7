//! Seeded bootstrap intervals over frames (or, better, over exams).
use super::error::MetricError;

/// SplitMix64 (Steele, Lea & Flood, 2014): a 64-bit generator that repeats exactly for a seed.
#[derive(Debug, Clone)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator; equal seeds give equal sequences.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in 0..1, a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A uniform index in 0..`bound` (0 for a `bound` of 0), without modulo bias (Lemire, 2019).
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if bound == 0 || product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as usize;
            }
        }
    }
}

/// How to resample: how often, for which two-sided confidence level, from which seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampling {
    /// Number of resamples, 1..=1,000,000; 2,000 or more for 95 % intervals.
    pub resamples: usize,
    /// Confidence level in (0, 1), for example 0.95.
    pub level: f64,
    /// Seed of the generator.
    pub seed: u64,
}

/// A statistic with its bootstrap percentile interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The statistic on the data itself.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Resamples on which the statistic was undefined (NaN) and which were left out.
    pub undefined: usize,
}

/// Percentile bootstrap (Efron & Tibshirani, 1993, §13.3) of any statistic over `units` frames.
///
/// `statistic` gets indices in 0..`units`, with repetition, and may return NaN where it is undefined (for
/// example AUROC on a resample of one group). A comparison is *paired* when the statistic looks up both
/// methods' figures at the same index. Frames of one exam are not independent: pass exams as units instead.
///
/// # Errors
/// No units, a plan out of range, or a statistic undefined on every resample.
pub fn bootstrap(
    units: usize,
    plan: Resampling,
    statistic: impl Fn(&[usize]) -> f64,
) -> Result<Interval, MetricError> {
    if units == 0 {
        return Err(MetricError::Empty { what: "units" });
    }
    if !(1..=1_000_000).contains(&plan.resamples) {
        return Err(MetricError::Range { what: "resamples", range: "1..=1000000" });
    }
    if !(plan.level > 0.0 && plan.level < 1.0) {
        return Err(MetricError::Range { what: "level", range: "(0, 1)" });
    }
    let mut random = SplitMix64::new(plan.seed);
    let mut indices: Vec<usize> = (0..units).collect();
    let estimate = statistic(&indices);
    let mut values = Vec::with_capacity(plan.resamples);
    for _ in 0..plan.resamples {
        indices.iter_mut().for_each(|index| *index = random.below(units));
        values.push(statistic(&indices));
    }
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    let undefined = plan.resamples - values.len();
    let tail = (1.0 - plan.level) / 2.0;
    match (percentile(&values, tail), percentile(&values, 1.0 - tail)) {
        (Some(low), Some(high)) => Ok(Interval { estimate, low, high, undefined }),
        _ => Err(MetricError::Undefined),
    }
}

/// Mean of `first − second` over paired frames with its bootstrap interval: is one method better than
/// another?
///
/// # Errors
/// Lists of different length, a value that is not finite, or those of [`bootstrap`].
pub fn paired_difference(first: &[f64], second: &[f64], plan: Resampling) -> Result<Interval, MetricError> {
    if first.len() != second.len() {
        return Err(MetricError::Unpaired { first: first.len(), second: second.len() });
    }
    for (what, values) in [("first", first), ("second", second)] {
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(MetricError::NotFinite { what, index });
        }
    }
    bootstrap(first.len(), plan, |indices| {
        indices.iter().map(|&index| first[index] - second[index]).sum::<f64>() / indices.len() as f64
    })
}

/// Linear interpolation between order statistics of an ascending list.
fn percentile(ascending: &[f64], fraction: f64) -> Option<f64> {
    let position = fraction * (ascending.len().checked_sub(1)? as f64);
    let below = *ascending.get(position.floor() as usize)?;
    let above = *ascending.get(position.ceil() as usize)?;
    Some(below + (above - below) * position.fract())
}
