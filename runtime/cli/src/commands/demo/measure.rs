//! Figures of the demo: Dice, expected calibration error, means and medians.

use candor_imaging::report::ReliabilityBin;

/// Equal-width bins of the reliability diagram and the ECE (Guo et al. 2017).
const BINS: usize = 15;

/// Dice similarity 2·TP / (2·TP + FP + FN) of one class; `None` when it is in neither mask.
pub fn dice(predicted: &[u8], truth: &[u8], class: u8) -> Option<f64> {
    let count = |mask: &[u8]| mask.iter().filter(|&&own| own == class).count();
    let both = predicted.iter().zip(truth).filter(|&(&p, &t)| p == class && t == class).count();
    let total = count(predicted) + count(truth);
    (total > 0).then(|| 2.0 * both as f64 / total as f64)
}

/// Mean confidence (0..1) over the pixels of a mask for which `taken` holds; `None` without any.
pub fn confidence(mask: &[u8], confidence: &[u16], taken: impl Fn(u8) -> bool) -> Option<f64> {
    let (mut sum, mut count) = (0u64, 0u64);
    for (_, &level) in mask.iter().zip(confidence).filter(|&(&class, _)| taken(class)) {
        sum += u64::from(level);
        count += 1;
    }
    (count > 0).then(|| sum as f64 / count as f64 / 65535.0)
}

/// Pixels, right ones and summed confidence (1/65535) per bin of confidence.
#[derive(Default)]
pub struct Reliability([[u64; 3]; BINS]);

impl Reliability {
    /// Adds one pixel.
    pub fn add(&mut self, confidence: u16, right: bool) {
        let bin = &mut self.0[(usize::from(confidence) * BINS / 65536).min(BINS - 1)];
        bin[0] += 1;
        bin[1] += u64::from(right);
        bin[2] += u64::from(confidence);
    }

    /// Σ over bins of share · |accuracy − mean confidence|; `None` without pixels.
    pub fn expected_error(&self) -> Option<f64> {
        let total: u64 = self.0.iter().map(|bin| bin[0]).sum();
        let gaps: u64 = self.0.iter().map(|bin| bin[2].abs_diff(bin[1] * 65535)).sum();
        (total > 0).then(|| gaps as f64 / 65535.0 / total as f64)
    }

    /// The bins as a report draws them.
    pub fn bins(&self) -> Vec<ReliabilityBin> {
        let edge = |index: usize| index as f64 / BINS as f64;
        let bin = |(index, &[count, right, mass]): (usize, &[u64; 3])| {
            let mean = |sum: f64| sum / count.max(1) as f64;
            ReliabilityBin {
                low: edge(index),
                high: edge(index + 1),
                confidence: mean(mass as f64 / 65535.0),
                accuracy: mean(right as f64),
                count,
            }
        };
        self.0.iter().enumerate().map(bin).collect()
    }
}

/// Mean; `None` without values.
pub fn mean(values: Vec<f64>) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Median, the greater of the two middle ones; `None` without values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
