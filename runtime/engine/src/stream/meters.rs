//! What a stream counts for whoever looks at it: latencies, ages and scores in fixed bins.

use candor_core::alert::Severity;

/// Upper edges of the latency bins in microseconds; a last bin takes the rest.
pub const LATENCY_EDGES_US: [u64; 14] =
    [500, 1000, 2000, 4000, 6000, 8000, 12_000, 16_000, 25_000, 40_000, 66_000, 100_000, 250_000, 1_000_000];
/// Upper edges of the bins of out-of-distribution scores; a last bin takes the rest.
pub const OOD_EDGES: [f64; 10] = [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];
/// Bins of mean confidence, equal in width over 0..1.
pub const CONFIDENCE_BINS: usize = 20;

/// Counts by bin, with sum and number of the values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Histogram<const BINS: usize> {
    /// Values per bin.
    pub bins: [u64; BINS],
    /// Their sum.
    pub sum: f64,
}

impl<const BINS: usize> Default for Histogram<BINS> {
    fn default() -> Self {
        Self { bins: [0; BINS], sum: 0.0 }
    }
}

impl<const BINS: usize> Histogram<BINS> {
    fn add(&mut self, bin: usize, value: f64) {
        self.bins[bin.min(BINS - 1)] += 1;
        self.sum += value;
    }

    /// Values added.
    pub fn count(&self) -> u64 {
        self.bins.iter().sum()
    }
}

/// The meters.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Meters {
    /// Microseconds of the engine's work per frame.
    pub engine_us: Histogram<{ LATENCY_EDGES_US.len() + 1 }>,
    /// Microseconds from arrival to finding.
    pub age_us: Histogram<{ LATENCY_EDGES_US.len() + 1 }>,
    /// Greatest age of a finding.
    pub age_us_max: u64,
    /// Joint out-of-distribution scores.
    pub ood_score: Histogram<{ OOD_EDGES.len() + 1 }>,
    /// Frames whose own verdict was foreign.
    pub ood_alerts: u64,
    /// Mean confidence of frames.
    pub confidence: Histogram<CONFIDENCE_BINS>,
    /// Worst severity of all alerts that stand.
    pub worst: Option<Severity>,
}

impl Meters {
    pub(super) fn time(&mut self, engine_us: u64, age_us: u64) {
        let bin = |value: u64| LATENCY_EDGES_US.partition_point(|edge| *edge < value);
        self.engine_us.add(bin(engine_us), engine_us as f64);
        self.age_us.add(bin(age_us), age_us as f64);
        self.age_us_max = self.age_us_max.max(age_us);
    }

    pub(super) fn scores(&mut self, ood: Option<(f64, bool)>, confidence: Option<f64>) {
        if let Some((score, alert)) = ood {
            self.ood_score.add(OOD_EDGES.partition_point(|edge| *edge < score), score);
            self.ood_alerts += u64::from(alert);
        }
        if let Some(mean) = confidence {
            self.confidence.add((mean * CONFIDENCE_BINS as f64) as usize, mean);
        }
    }
}
