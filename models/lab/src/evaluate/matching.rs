//! Histogram matching: out-of-distribution frames with the intensities of in-distribution ones, so that a
//! detector cannot win by brightness alone.

use crate::dataset::Entry;
use candor_imaging::frame::{Frame, Samples, Source};

/// Cumulative gray histograms of in-distribution frames.
pub(super) struct References(Vec<[f64; 256]>);

impl References {
    /// Histograms of all frames.
    pub(super) fn new(entries: &[Entry]) -> Result<Self, Vec<String>> {
        let mut references = Vec::new();
        for entry in entries {
            let frame = entry.frame().map_err(|line| vec![line])?;
            references.extend(gray(&frame).map(|samples| cumulative(&samples)));
        }
        Ok(Self(references))
    }

    /// The gray version of `frame` with the histogram of reference `index` modulo their number: each gray
    /// level goes to the least reference level whose cumulative share reaches its own (Gonzalez &
    /// Woods, histogram specification). `None` for float arrays.
    pub(super) fn apply(&self, frame: &Frame, index: usize) -> Option<Frame> {
        let reference = self.0.get(index % self.0.len().max(1))?;
        let samples = gray(frame)?;
        let own = cumulative(&samples);
        let level = |share: f64| reference.partition_point(|&c| c < share - 1e-12).min(255) as u8;
        let table: Vec<u8> = own.iter().map(|&share| level(share)).collect();
        let matched = samples.iter().map(|&s| table[usize::from(s)]).collect();
        let source = Source::new(format!("{} (histogram matched)", frame.source().name), 8);
        Frame::new(frame.width(), frame.height(), 1, Samples::U8(matched), source).ok()
    }
}

/// Eight-bit gray samples.
fn gray(frame: &Frame) -> Option<Vec<u8>> {
    match frame.to_gray()?.into_samples() {
        Samples::U8(samples) => Some(samples),
        Samples::U16(samples) => Some(samples.into_iter().map(|s| (s >> 8) as u8).collect()),
        Samples::F32(_) => None,
    }
}

fn cumulative(samples: &[u8]) -> [f64; 256] {
    let mut counts = [0u64; 256];
    for &sample in samples {
        counts[usize::from(sample)] += 1;
    }
    let mut total = 0;
    counts.map(|count| {
        total += count;
        total as f64 / samples.len().max(1) as f64
    })
}
