//! Confidence histograms in integers and the calibration errors read off them: ECE, ACE, MCE, AURC.
use serde::Serialize;

/// The `u16` that stands for probability 1.
pub const FULL: u16 = 65_535;
const LEVELS: usize = 65_536;

/// One reliability bin: pixels whose probability fell in it, how many were hits, and the sum of
/// probabilities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// Pixels in the bin.
    pub count: u64,
    /// Pixels among them that were right (top-label) or carried the class (class-wise).
    pub hits: u64,
    /// Sum of the probabilities in units of 1/65535.
    pub mass: u64,
}

impl Bin {
    /// Mean probability in the bin; `None` when empty.
    pub fn confidence(&self) -> Option<f64> {
        (self.count > 0).then(|| self.mass as f64 / (f64::from(FULL) * self.count as f64))
    }

    /// Share of hits in the bin; `None` when empty.
    pub fn accuracy(&self) -> Option<f64> {
        (self.count > 0).then(|| self.hits as f64 / self.count as f64)
    }

    /// |Σ probability − Σ hits| in units of 1/65535; exact.
    fn gap(&self) -> u64 {
        self.mass.abs_diff(self.hits.saturating_mul(u64::from(FULL)))
    }

    /// Mean |confidence − accuracy|; `None` when empty.
    fn error(&self) -> Option<f64> {
        (self.count > 0).then(|| self.gap() as f64 / (f64::from(FULL) * self.count as f64))
    }
}

/// A reliability diagram: bins over [0, 1] in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bins(Vec<Bin>);

impl Bins {
    /// `bins` empty bins (at least one).
    pub fn new(bins: usize) -> Self {
        Self(vec![Bin::default(); bins.clamp(1, LEVELS)])
    }

    /// The bins, lowest probability first.
    pub fn bins(&self) -> &[Bin] {
        &self.0
    }

    /// Adds one pixel to its equal-width bin `(k/n, (k+1)/n]`; probability 0 goes to the first bin.
    pub fn add(&mut self, probability: u16, hit: bool) {
        let index = equal_width(probability, self.0.len());
        if let Some(bin) = self.0.get_mut(index) {
            bin.count += 1;
            bin.hits += u64::from(hit);
            bin.mass += u64::from(probability);
        }
    }

    /// Pixels in all bins.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|bin| bin.count).sum()
    }

    /// Σ over bins of |Σ probability − Σ hits|, in units of 1/65535: the numerator of ECE, exact.
    pub(super) fn gap(&self) -> u128 {
        self.0.iter().map(|bin| u128::from(bin.gap())).sum()
    }

    /// Expected calibration error Σ_b (n_b/N)·|confidence_b − accuracy_b| (Naeini et al., 2015; Guo et al.,
    /// 2017), in 0..=1; `None` without pixels.
    pub fn expected_error(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.gap() as f64 / (f64::from(FULL) * count as f64))
    }

    /// Average calibration error: the unweighted mean of |confidence_b − accuracy_b| over non-empty bins
    /// (Neumann et al., 2018; as used for mL1-ACE, Barfoot et al., 2024); `None` without pixels.
    pub fn average_error(&self) -> Option<f64> {
        let errors: Vec<f64> = self.0.iter().filter_map(Bin::error).collect();
        (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
    }

    /// Maximum calibration error: the largest |confidence_b − accuracy_b| (Naeini et al., 2015); `None`
    /// without pixels.
    pub fn maximum_error(&self) -> Option<f64> {
        self.0.iter().filter_map(Bin::error).reduce(f64::max)
    }

    /// Overconfidence error Σ_b (n_b/N)·confidence_b·max(confidence_b − accuracy_b, 0) (Thulasidasan et
    /// al., *On Mixup Training*, 2019); `None` without pixels.
    pub fn overconfidence_error(&self) -> Option<f64> {
        let count = self.count();
        let sum: f64 = self
            .0
            .iter()
            .filter_map(|bin| Some((bin.count, bin.confidence()?, bin.accuracy()?)))
            .map(|(pixels, confidence, accuracy)| {
                pixels as f64 * confidence * (confidence - accuracy).max(0.0)
            })
            .sum();
        (count > 0).then(|| sum / count as f64)
    }
}

/// Index of the equal-width bin `(k/n, (k+1)/n]` a probability falls in, in exact integers.
fn equal_width(probability: u16, bins: usize) -> usize {
    (usize::from(probability) * bins).div_ceil(usize::from(FULL)).saturating_sub(1)
}

/// Pixels and correct pixels per confidence value: exact source of every top-label figure, 1 MiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfidenceHistogram {
    counts: Vec<u64>,
    correct: Vec<u64>,
}

impl Default for ConfidenceHistogram {
    fn default() -> Self {
        Self { counts: vec![0; LEVELS], correct: vec![0; LEVELS] }
    }
}

impl ConfidenceHistogram {
    /// Adds one pixel of the given top-label confidence (value / 65535).
    pub fn add(&mut self, confidence: u16, correct: bool) {
        let level = usize::from(confidence);
        self.counts[level] += 1;
        self.correct[level] += u64::from(correct);
    }

    /// Pixels added.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn levels(&self) -> impl DoubleEndedIterator<Item = (u16, u64, u64)> {
        (0..=FULL)
            .zip(&self.counts)
            .zip(&self.correct)
            .map(|((level, &count), &correct)| (level, count, correct))
    }

    fn binned(&self, bins: usize, index_of: impl Fn(u16) -> usize) -> Bins {
        let mut result = Bins::new(bins);
        for (level, count, correct) in self.levels().filter(|(_, count, _)| *count > 0) {
            if let Some(bin) = result.0.get_mut(index_of(level)) {
                bin.count += count;
                bin.hits += correct;
                bin.mass += u64::from(level) * count;
            }
        }
        result
    }

    /// Equal-width bins `(k/n, (k+1)/n]` (Guo et al., 2017); confidence 0 goes to the first.
    pub fn equal_width(&self, bins: usize) -> Bins {
        self.binned(bins, |level| equal_width(level, bins))
    }

    /// Equal-mass bins (adaptive ECE; Nixon et al., 2019; Mukhoti et al., 2020), exact.
    ///
    /// Bin `k` of `n` ends at the confidence of the pixel of ascending rank ⌈k·N/n⌉ and holds the pixels
    /// above the previous end up to its own. Pixels of equal confidence are never split, so bins can be of
    /// unequal mass, or empty, where many pixels share one value.
    pub fn equal_mass(&self, bins: usize) -> Bins {
        let bins = bins.clamp(1, LEVELS);
        let total = u128::from(self.count());
        let (mut ends, mut seen, mut bin) = (vec![0_usize; LEVELS], 0_u128, 1_u128);
        for (level, count, _) in self.levels() {
            let first = bin;
            seen += u128::from(count);
            while bin < bins as u128 && seen >= (bin * total).div_ceil(bins as u128) {
                bin += 1;
            }
            ends[usize::from(level)] = (first - 1) as usize;
        }
        self.binned(bins, |level| ends[usize::from(level)])
    }

    /// Area under the risk–coverage curve (Geifman & El-Yaniv, 2017), in 0..=1; lower is better.
    ///
    /// Pixels are taken in order of falling confidence; risk at coverage k/N is the share of wrong pixels
    /// among the first k; AURC is the mean risk over k = 1..=N. Pixels of equal confidence are taken in
    /// random order and the expectation over that order is returned (their errors spread evenly over the
    /// tie). `None` without pixels.
    pub fn area_under_risk_coverage(&self) -> Option<f64> {
        let total = self.count();
        let (mut covered, mut errors, mut area) = (0_u64, 0_u64, 0.0);
        for (_, count, correct) in self.levels().rev().filter(|(_, count, _)| *count > 0) {
            let wrong = count - correct;
            // Σ_{j=1..n} (E + w·j/n)/(c + j) = w + (E − w·c/n)·(H(c+n) − H(c))
            let excess = errors as f64 - wrong as f64 * covered as f64 / count as f64;
            area += wrong as f64 + excess * harmonic_difference(covered, covered + count);
            covered += count;
            errors += wrong;
        }
        (total > 0).then(|| area / total as f64)
    }
}

/// H(to) − H(from) = Σ 1/k over from < k ≤ to; the tail past 256 by the Euler–Maclaurin expansion of H.
fn harmonic_difference(from: u64, to: u64) -> f64 {
    const EXACT: u64 = 256;
    let split = to.min(from.max(EXACT));
    let direct: f64 = (from..split).map(|k| 1.0 / (k + 1) as f64).sum();
    if split == to {
        return direct;
    }
    let (start, end) = (split as f64, to as f64);
    let tail = |k: f64| 1.0 / (2.0 * k) - 1.0 / (12.0 * k * k) + 1.0 / (120.0 * k.powi(4));
    direct + ((end - start) / start).ln_1p() + tail(end) - tail(start)
}
