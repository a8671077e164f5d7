//! A quantile sketch with a stated relative error, whose merge is exact.

use candor_core::state::{Reader, StateError, Writer};

/// Bins per octave.
const PARTS: usize = 16;
/// Least magnitude that is told from zero: 2^−8.
const LEAST_EXPONENT: i32 = -8;
/// Octaves from there on: magnitudes of 128 and above fall in the last bin.
const OCTAVES: usize = 15;
const SIDE: usize = OCTAVES * PARTS;
/// Bins of either sign and one for zero.
pub const SKETCH_BINS: usize = 2 * SIDE + 1;

/// Counts of values in logarithmic bins, as in DDSketch (Masson, Rim & Lee, 2019), but with bins that are
/// linear within an octave, so that a bin is read off the bits of the number on every machine alike.
///
/// # Exactness
/// Counts are exact and merge exactly. A quantile is off by at most 1/33 of the value for magnitudes within
/// 2⁻⁸..128, by at most 2⁻⁸ below; the extremes are exact. The mean is that of the values rounded to 2⁻²⁰.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    bins: Box<[u64; SKETCH_BINS]>,
    least: i64,
    most: i64,
    /// Sum of the values in units of 2⁻²⁰.
    sum: i128,
    count: u64,
    /// Values that were not numbers.
    missing: u64,
}

impl Default for Sketch {
    fn default() -> Self {
        let bins = Box::new([0; SKETCH_BINS]);
        Self { bins, least: i64::MAX, most: i64::MIN, sum: 0, count: 0, missing: 0 }
    }
}

/// Total order of finite numbers as integers, and back: the extremes then merge exactly.
fn order(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn number(order: i64) -> f64 {
    f64::from_bits((order ^ (((order >> 63) as u64) >> 1) as i64) as u64)
}

/// Bin of a value, ascending.
fn bin(value: f64) -> usize {
    let bits = value.abs().to_bits();
    let octave = (bits >> 52) as i64 - 1023 - i64::from(LEAST_EXPONENT);
    if octave < 0 {
        return SIDE;
    }
    let part = (bits >> 48) as usize % PARTS;
    let place = (octave as usize * PARTS + part).min(SIDE - 1);
    if value > 0.0 { SIDE + 1 + place } else { SIDE - 1 - place }
}

/// The middle of a bin.
fn middle(bin: usize) -> f64 {
    let place = match bin {
        SIDE => return 0.0,
        above if above > SIDE => above - SIDE - 1,
        below => SIDE - 1 - below,
    };
    let power =
        f64::from_bits(((place / PARTS) as i64 + i64::from(LEAST_EXPONENT) + 1023).cast_unsigned() << 52);
    let magnitude = power * (1.0 + ((place % PARTS) as f64 + 0.5) / PARTS as f64);
    if bin > SIDE { magnitude } else { -magnitude }
}

impl Sketch {
    /// Bytes in a state.
    pub const BYTES: usize = SKETCH_BINS * 8 + 48;

    /// Adds a value; one that is not finite is counted as missing.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.missing = self.missing.saturating_add(1);
            return;
        }
        let slot = &mut self.bins[bin(value)];
        *slot = slot.saturating_add(1);
        self.count = self.count.saturating_add(1);
        self.least = self.least.min(order(value));
        self.most = self.most.max(order(value));
        self.sum = self.sum.saturating_add((value * 1_048_576.0).round_ties_even() as i128);
    }

    /// Values added.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Values that were not numbers.
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// Least and greatest value; `None` without any.
    pub fn extremes(&self) -> Option<(f64, f64)> {
        (self.count > 0).then(|| (number(self.least), number(self.most)))
    }

    /// Mean of the values; `None` without any.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / 1_048_576.0 / self.count as f64)
    }

    /// The value that a share `share` (0..=1) of the values do not exceed; `None` without any.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let (least, most) = self.extremes()?;
        let rank = (share.clamp(0.0, 1.0) * (self.count - 1) as f64) as u64;
        let mut below = 0_u64;
        for (index, &count) in self.bins.iter().enumerate() {
            below = below.saturating_add(count);
            if below > rank {
                return Some(middle(index).clamp(least, most));
            }
        }
        Some(most)
    }

    /// The counts by bin, ascending, with the middle of each bin.
    pub fn bins(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bins.iter().enumerate().map(|(index, &count)| (middle(index), count))
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        for (own, theirs) in self.bins.iter_mut().zip(other.bins.iter()) {
            *own = own.saturating_add(*theirs);
        }
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        self.sum = self.sum.saturating_add(other.sum);
        self.count = self.count.saturating_add(other.count);
        self.missing = self.missing.saturating_add(other.missing);
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        self.bins.iter().for_each(|&count| writer.u64(count));
        writer.i64(self.least);
        writer.i64(self.most);
        writer.raw(&self.sum.to_le_bytes());
        writer.u64(self.count);
        writer.u64(self.missing);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut sketch = Self::default();
        for count in sketch.bins.iter_mut() {
            *count = reader.u64()?;
        }
        sketch.least = reader.i64()?;
        sketch.most = reader.i64()?;
        sketch.sum = i128::from_le_bytes(reader.raw()?);
        sketch.count = reader.u64()?;
        sketch.missing = reader.u64()?;
        Ok(sketch)
    }
}
