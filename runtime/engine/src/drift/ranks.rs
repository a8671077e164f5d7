//! Ranks of new values among all earlier ones, in a fixed number of bytes, without approximation.
//!
//! # Why the ranks stay valid
//! Values are counted in bins, and a value's bin is what is ranked. The bins are fixed before any value is
//! ranked or counted, from the pilot, which is ranked neither. So bins of exchangeable values are
//! exchangeable, and the smoothed conformal p-values of a transductive conformal predictor whose
//! nonconformity measure is the bin (Vovk, Gammerman & Shafer, 2005, theorem 8.2),
//! `(#{earlier below} + θ·(#{earlier equal} + 1)) / (#earlier + 1)` with θ uniform, are independent and
//! uniform on (0, 1) *exactly*: counts lose the order of the past, which ranks do not need, and ties are
//! what smoothing is for. Coarse bins cost power, never validity.

use candor_core::state::{Reader, StateError, Writer};

/// Bins of a series.
pub const BINS: usize = 512;
/// Bins of the middle part, of 1/48 standard deviations each: 4 on either side.
const CORE: usize = 384;
const CORE_PER_DEVIATION: f64 = 48.0;
const CORE_DEVIATIONS: f64 = 4.0;
/// Bins of either tail: eight to an octave of distance.
const TAIL: usize = (BINS - CORE) / 2;

/// The reference of one series: how many values fell in each bin.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    counts: Box<[u32; BINS]>,
    total: u64,
    centre: f64,
    scale: f64,
}

impl Default for Ranks {
    fn default() -> Self {
        Self { counts: Box::new([0; BINS]), total: 0, centre: 0.0, scale: 1.0 }
    }
}

impl Ranks {
    /// Bytes in a state.
    pub(super) const BYTES: usize = BINS * 4 + 24;

    /// Fixes the bins around `centre`, for a spread of `deviation`; nothing may be counted yet.
    pub fn set_scale(&mut self, centre: f64, deviation: f64) {
        self.centre = centre;
        // A constant pilot says nothing about the spread: its own size does.
        let least = (centre.abs() / f64::from(1 << 20)).max(f64::MIN_POSITIVE);
        self.scale = deviation.max(least);
    }

    /// Forgets every value.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }

    /// Values counted.
    pub const fn total(&self) -> u64 {
        self.total
    }

    fn bin(&self, value: f64) -> usize {
        let distance = (value - self.centre) / self.scale;
        if distance.abs() < CORE_DEVIATIONS {
            let place = (distance + CORE_DEVIATIONS) * CORE_PER_DEVIATION;
            return TAIL + (place as usize).min(CORE - 1);
        }
        // Octave and its eighth are the bits of the number itself.
        let bits = (distance.abs() / CORE_DEVIATIONS).to_bits();
        let octave = (bits >> 52) as usize - 1023;
        let place = (octave * 8 + (bits >> 49) as usize % 8).min(TAIL - 1);
        if distance > 0.0 { TAIL + CORE + place } else { TAIL - 1 - place }
    }

    /// Counts a value; one that is not a number is left out.
    pub fn insert(&mut self, value: f64) {
        if !value.is_nan() {
            let slot = &mut self.counts[self.bin(value)];
            // A full bin no longer counts; at 30 frames a second that takes years.
            let room = u32::from(*slot < u32::MAX);
            *slot += room;
            self.total += u64::from(room);
        }
    }

    /// The rank in (0, 1) of a value that is a number among all counted: the share below it, ties and the
    /// value itself broken by `chance`, which is uniform on (0, 1). High values rank high.
    pub fn rank(&self, value: f64, chance: f64) -> f64 {
        let bin = self.bin(value);
        let below: u64 = self.counts[..bin].iter().map(|&count| u64::from(count)).sum();
        let equal = f64::from(self.counts[bin]) + 1.0;
        (below as f64 + chance * equal) / (self.total as f64 + 1.0)
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        self.counts.iter().for_each(|&count| writer.u32(count));
        writer.u64(self.total);
        writer.u64(self.centre.to_bits());
        writer.u64(self.scale.to_bits());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut ranks = Self::default();
        for count in ranks.counts.iter_mut() {
            *count = reader.u32()?;
        }
        ranks.total = reader.u64()?;
        ranks.centre = f64::from_bits(reader.u64()?);
        ranks.scale = f64::from_bits(reader.u64()?);
        Ok(ranks)
    }
}
