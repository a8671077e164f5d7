//! How right stated confidence was, where labels came: counts per equal-width bin.

use candor_core::state::{Reader, StateError, Writer};

/// Equal-width bins over [0, 1], as the expected calibration error is usually stated.
pub const RELIABILITY_BINS: usize = 15;

/// Pixels whose confidence fell in one bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bin {
    /// Pixels.
    pub count: u64,
    /// Those among them whose label was right.
    pub hits: u64,
    /// Sum of their confidence, in 1/65535.
    pub mass: u64,
}

/// Reliability of the label that was given, over all labelled pixels and over those whose true label is
/// foreground (class 1 and above).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reliability {
    /// All labelled pixels.
    pub all: [Bin; RELIABILITY_BINS],
    /// Those whose true label is foreground.
    pub foreground: [Bin; RELIABILITY_BINS],
}

/// The label of pixels that have none.
pub const UNLABELLED: u8 = 255;

impl Reliability {
    /// Bytes in a state.
    pub const BYTES: usize = 2 * RELIABILITY_BINS * 24;

    /// Adds a frame's mask, confidence (in 1/65535) and true labels, each `[H·W]`.
    pub fn add(&mut self, mask: &[u8], confidence: &[u16], truth: &[u8]) {
        for ((&label, &value), &truth) in mask.iter().zip(confidence).zip(truth) {
            if truth == UNLABELLED {
                continue;
            }
            // Bins are (k/15, (k+1)/15]; confidence 0 goes to the first.
            let index = (usize::from(value) * RELIABILITY_BINS).div_ceil(65_535).saturating_sub(1);
            let one = Bin { count: 1, hits: u64::from(label == truth), mass: u64::from(value) };
            self.all[index].merge(&one);
            if truth > 0 {
                self.foreground[index].merge(&one);
            }
        }
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        let own = self.all.iter_mut().chain(&mut self.foreground);
        own.zip(other.all.iter().chain(&other.foreground)).for_each(|(own, theirs)| own.merge(theirs));
    }

    /// Expected calibration error Σ (n_b/N)·|confidence_b − accuracy_b| (Naeini et al., 2015) over all
    /// pixels, in 0..=1; `None` without any.
    pub fn error(&self) -> Option<f64> {
        expected_error(&self.all)
    }

    /// The same over pixels whose true label is foreground.
    pub fn foreground_error(&self) -> Option<f64> {
        expected_error(&self.foreground)
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        for bin in self.all.iter().chain(&self.foreground) {
            writer.u64(bin.count);
            writer.u64(bin.hits);
            writer.u64(bin.mass);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut reliability = Self::default();
        for bin in reliability.all.iter_mut().chain(&mut reliability.foreground) {
            *bin = Bin { count: reader.u64()?, hits: reader.u64()?, mass: reader.u64()? };
        }
        Ok(reliability)
    }
}

impl Bin {
    fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.hits = self.hits.saturating_add(other.hits);
        self.mass = self.mass.saturating_add(other.mass);
    }
}

fn expected_error(bins: &[Bin]) -> Option<f64> {
    let count: u64 = bins.iter().map(|bin| bin.count).sum();
    let gap: u128 =
        bins.iter().map(|bin| u128::from(bin.mass.abs_diff(bin.hits.saturating_mul(65_535)))).sum();
    (count > 0).then(|| gap as f64 / (65_535.0 * count as f64))
}
