//! The counts of one frame: pixels and confidence by class, in one pass.

use super::{CLASSES_MAX, CONFIDENCE_BINS};

/// Tables that take turns, so that neighbouring pixels of one class and confidence do not wait for each
/// other's increment.
const TURNS: usize = 4;

/// Pixels of one frame by class and confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameCounts {
    /// Pixels by class.
    pub pixels: [u32; CLASSES_MAX],
    /// Sum of confidence by class, in 1/65535.
    pub mass: [u64; CLASSES_MAX],
    /// Pixels by class and confidence bin.
    pub confidence: [[u32; CONFIDENCE_BINS]; CLASSES_MAX],
}

impl FrameCounts {
    /// Counts a mask and its confidence, both `[H·W]`.
    pub fn of(mask: &[u8], confidence: &[u16]) -> Self {
        let mut tables = [[[0_u32; CONFIDENCE_BINS]; CLASSES_MAX]; TURNS];
        let mut masses = [[0_u64; CLASSES_MAX]; TURNS];
        let length = mask.len().min(confidence.len());
        let (mask, confidence) = (&mask[..length], &confidence[..length]);
        for (labels, values) in mask.chunks(TURNS).zip(confidence.chunks(TURNS)) {
            let pixels = labels.iter().zip(values);
            for ((&label, &value), (table, mass)) in pixels.zip(tables.iter_mut().zip(&mut masses)) {
                let class = usize::from(label).min(CLASSES_MAX - 1);
                table[class][(usize::from(value) * CONFIDENCE_BINS) >> 16] += 1;
                mass[class] += u64::from(value);
            }
        }
        let mut counts = Self {
            pixels: [0; CLASSES_MAX],
            mass: [0; CLASSES_MAX],
            confidence: [[0; CONFIDENCE_BINS]; CLASSES_MAX],
        };
        for (table, mass) in tables.iter().zip(&masses) {
            for class in 0..CLASSES_MAX {
                counts.mass[class] += mass[class];
                for (total, own) in counts.confidence[class].iter_mut().zip(&table[class]) {
                    *total += own;
                    counts.pixels[class] += own;
                }
            }
        }
        counts
    }

    /// Mean confidence of the pixels of classes `from` and above, in 0..=1; `None` without such pixels.
    /// `from` 1 is the foreground, 0 the frame.
    pub fn mean_confidence(&self, from: usize) -> Option<f64> {
        let pixels: u64 = self.pixels.iter().skip(from).map(|&count| u64::from(count)).sum();
        let mass: u64 = self.mass.iter().skip(from).sum();
        (pixels > 0).then(|| mass as f64 / (65_535.0 * pixels as f64))
    }

    /// Share of the pixels that are of class 1 and above, in 0..=1.
    pub fn foreground_share(&self) -> f64 {
        let pixels: u64 = self.pixels.iter().map(|&count| u64::from(count)).sum();
        let background = u64::from(self.pixels[0]);
        if pixels == 0 { 0.0 } else { (pixels - background) as f64 / pixels as f64 }
    }
}
