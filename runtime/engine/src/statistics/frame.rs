//! The counts of one frame: pixels and confidence by class, in one pass.

use super::{CLASSES_MAX, CONFIDENCE_BINS};

/// Tables that take turns, so that neighbouring pixels of one class and confidence do not wait for each
/// other's sum.
const TURNS: usize = 4;
/// A cell of a table holds pixels above this bit and the sum of their confidence below it ...
const COUNT_BIT: u32 = 40;
/// ... which so many pixels cannot overflow.
const CHUNK: usize = 1 << 22;

/// Cells of a table: more than are used, lest tables lie a whole page apart, where processors take a cell of
/// one for the same cell of the next and wait.
const CELLS: usize = CLASSES_MAX * CONFIDENCE_BINS + 8;

type Table = [u64; CELLS];

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
        let mut counts = Self {
            pixels: [0; CLASSES_MAX],
            mass: [0; CLASSES_MAX],
            confidence: [[0; CONFIDENCE_BINS]; CLASSES_MAX],
        };
        let length = mask.len().min(confidence.len());
        let (mask, confidence) = (&mask[..length], &confidence[..length]);
        for (mask, confidence) in mask.chunks(CHUNK).zip(confidence.chunks(CHUNK)) {
            counts.add(mask, confidence);
        }
        counts
    }

    fn add(&mut self, mask: &[u8], confidence: &[u16]) {
        let mut tables: [Table; TURNS] = [[0; CELLS]; TURNS];
        let put = |table: &mut Table, label: u8, value: u16| {
            let class = usize::from(label).min(CLASSES_MAX - 1);
            let bin = (usize::from(value) * CONFIDENCE_BINS) >> 16;
            table[class * CONFIDENCE_BINS + bin] += (1 << COUNT_BIT) + u64::from(value);
        };
        let (masks, confidences) = (mask.as_chunks::<TURNS>(), confidence.as_chunks::<TURNS>());
        for (labels, values) in masks.0.iter().zip(confidences.0) {
            for turn in 0..TURNS {
                put(&mut tables[turn], labels[turn], values[turn]);
            }
        }
        for (&label, &value) in masks.1.iter().zip(confidences.1) {
            put(&mut tables[0], label, value);
        }
        for cell in 0..CLASSES_MAX * CONFIDENCE_BINS {
            let (class, bin) = (cell / CONFIDENCE_BINS, cell % CONFIDENCE_BINS);
            for table in &tables {
                let pixels = (table[cell] >> COUNT_BIT) as u32;
                self.confidence[class][bin] += pixels;
                self.pixels[class] += pixels;
                self.mass[class] += table[cell] & ((1 << COUNT_BIT) - 1);
            }
        }
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
