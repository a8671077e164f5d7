//! Whether a sensor's frames can be real: saturation, dead rows, constant and repeated frames, drift of the
//! histogram, contact. In integers, a row at a time, without keeping a frame, and without asking the box.

use crc::{CRC_32_ISCSI, Crc, Digest, Table};

static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// Bins of the histogram: the upper four bits of a sample.
const BINS: usize = 16;
/// Shares of a histogram are in 1/1024.
const WHOLE: u32 = 1024;
/// The reference follows each plausible frame by this power of two of the difference.
const FOLLOW: u32 = 5;

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SensorFault {
    /// Too many samples are 0 or 255.
    Saturated = 0,
    /// Too many rows hold one value only.
    DeadRows = 1,
    /// All samples are equal.
    Constant = 2,
    /// The very frame from before.
    Repeated = 3,
    /// The histogram is far from what it used to be.
    Drifted = 4,
    /// Neighbours hardly differ in the rows next to the probe: it does not touch anything.
    NoContact = 5,
}

/// What is still plausible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plausible {
    /// Most samples at either end of the range, in 1/1024.
    pub saturated_max: u32,
    /// Most rows of one value.
    pub dead_rows_max: u32,
    /// Same frames in a row that may follow the first.
    pub repeats_max: u32,
    /// Greatest sum of absolute differences of histogram shares, in 1/1024.
    pub drift_max: u32,
    /// Rows next to the probe, and least mean difference of neighbours in them, in 1/16; 0 for sensors that
    /// touch nothing.
    pub contact: (u32, u32),
}

impl Plausible {
    /// For frames of tissue: some saturation, no contact asked.
    pub const fn usual() -> Self {
        Self { saturated_max: 256, dead_rows_max: 2, repeats_max: 1, drift_max: 1024, contact: (0, 0) }
    }
}

/// Watches the frames of one sensor.
#[derive(Clone)]
pub struct Plausibility {
    limits: Plausible,
    digest: Option<Digest<'static, u32, Table<1>>>,
    histogram: [u32; BINS],
    reference: Option<[u16; BINS]>,
    rows: u32,
    dead: u32,
    ends: u32,
    contrast: u32,
    pairs: u32,
    /// Least and greatest sample.
    span: (u8, u8),
    last: Option<u32>,
    repeats: u32,
}

impl Plausibility {
    /// Has seen no frame.
    pub const fn new(limits: Plausible) -> Self {
        Self {
            limits,
            digest: None,
            histogram: [0; BINS],
            reference: None,
            rows: 0,
            dead: 0,
            ends: 0,
            contrast: 0,
            pairs: 0,
            span: (u8::MAX, 0),
            last: None,
            repeats: 0,
        }
    }

    /// Takes one row; a frame has at most 2^24 samples.
    pub fn row(&mut self, samples: &[u8]) {
        let mut span = (u8::MAX, 0);
        for &sample in samples {
            span = (span.0.min(sample), span.1.max(sample));
            self.ends += u32::from(sample == 0 || sample == u8::MAX);
            if let Some(bin) = self.histogram.get_mut(usize::from(sample >> 4)) {
                *bin += 1;
            }
        }
        self.digest.get_or_insert_with(|| CRC.digest()).update(samples);
        self.dead += u32::from(span.0 >= span.1);
        self.span = (self.span.0.min(span.0), self.span.1.max(span.1));
        if self.rows < self.limits.contact.0 {
            for (a, b) in samples.iter().zip(samples.iter().skip(1)) {
                self.contrast += u32::from(a.abs_diff(*b));
                self.pairs += 1;
            }
        }
        self.rows += 1;
    }

    /// Ends the frame.
    ///
    /// # Errors
    /// The first [`SensorFault`] of those in the order of their numbers.
    pub fn finish(&mut self) -> Result<(), SensorFault> {
        let fault = self.judge();
        self.histogram = [0; BINS];
        (self.rows, self.dead, self.ends, self.contrast, self.pairs) = (0, 0, 0, 0, 0);
        self.span = (u8::MAX, 0);
        fault.map_or(Ok(()), Err)
    }

    fn judge(&mut self) -> Option<SensorFault> {
        let samples: u32 = self.histogram.iter().sum();
        let digest = self.digest.take().map(|digest| digest.finalize());
        self.repeats = if digest == self.last { self.repeats + 1 } else { 0 };
        self.last = digest;
        let (rows, contrast) = self.limits.contact;
        if self.span.0 >= self.span.1 {
            return Some(SensorFault::Constant);
        }
        if u64::from(self.ends) * u64::from(WHOLE) > u64::from(samples) * u64::from(self.limits.saturated_max)
        {
            return Some(SensorFault::Saturated);
        }
        if self.dead > self.limits.dead_rows_max {
            return Some(SensorFault::DeadRows);
        }
        if self.repeats > self.limits.repeats_max {
            return Some(SensorFault::Repeated);
        }
        if self.has_drifted(samples) {
            return Some(SensorFault::Drifted);
        }
        (rows > 0 && self.contrast * 16 < self.pairs * contrast).then_some(SensorFault::NoContact)
    }

    /// Compares the histogram with the reference, which follows where they are close.
    fn has_drifted(&mut self, samples: u32) -> bool {
        // Shares are kept in 1/32768, so that a slow reference does not stand still for want of digits.
        let samples = samples.max(1);
        let mut shares = [0u16; BINS];
        for (share, &count) in shares.iter_mut().zip(&self.histogram) {
            *share = (u64::from(count) * 32_768 / u64::from(samples)).min(32_768) as u16;
        }
        let Some(reference) = &mut self.reference else {
            self.reference = Some(shares);
            return false;
        };
        let distance: u32 = shares.iter().zip(reference.iter()).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        if distance / 32 > self.limits.drift_max {
            return true;
        }
        for (own, share) in reference.iter_mut().zip(shares) {
            let step = (i32::from(share) - i32::from(*own)) >> FOLLOW;
            *own = (i32::from(*own) + step).clamp(0, 32_768) as u16;
        }
        false
    }
}

#[cfg(test)]
mod tests;
