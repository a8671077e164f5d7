//! What survives a reset: why it happened, and the last stops, in memory that nothing clears, under a
//! checksum.

use crc::{CRC_32_ISCSI, Crc, Table};

static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// Stops that are kept.
pub const STOPS: usize = 8;
/// Words of a record: resets, stops so far, the last stops by time and cause, checksum.
pub const WORDS: usize = 2 + 2 * STOPS + 1;

/// The record. Its memory may hold anything at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct BlackBox([u32; WORDS]);

/// One stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Milliseconds since the start that it followed; wraps after 49 days.
    pub time_ms: u32,
    /// Number of its cause.
    pub cause: u8,
}

impl BlackBox {
    /// An empty record.
    pub const fn new() -> Self {
        Self([0; WORDS])
    }

    /// Reads what the memory holds, or begins anew where its checksum does not match, and counts one more
    /// reset. Returns whether the record went on.
    pub fn open(&mut self) -> bool {
        let sound = self.checksum() == self.word(WORDS - 1) && self.word(0) > 0;
        if !sound {
            *self = Self::new();
        }
        self.set(0, self.word(0).wrapping_add(1).max(1));
        self.seal();
        sound
    }

    /// Resets so far, the first start included.
    pub fn resets(&self) -> u32 {
        self.word(0)
    }

    /// Stops so far.
    pub fn stops(&self) -> u32 {
        self.word(1)
    }

    /// Adds a stop; the oldest gives way.
    pub fn record(&mut self, stop: Stop) {
        let place = 2 + 2 * (self.stops() as usize % STOPS);
        self.set(place, stop.time_ms);
        self.set(place + 1, stop.cause.into());
        self.set(1, self.stops().wrapping_add(1));
        self.seal();
    }

    /// The stop that came `ago` stops before the last one.
    pub fn stop(&self, ago: u32) -> Option<Stop> {
        let known = self.stops().min(STOPS as u32);
        if ago >= known {
            return None;
        }
        let place = 2 + 2 * ((self.stops() - 1 - ago) as usize % STOPS);
        Some(Stop { time_ms: self.word(place), cause: self.word(place + 1) as u8 })
    }

    fn word(&self, index: usize) -> u32 {
        self.0.get(index).copied().unwrap_or(0)
    }

    fn set(&mut self, index: usize, value: u32) {
        if let Some(word) = self.0.get_mut(index) {
            *word = value;
        }
    }

    fn seal(&mut self) {
        self.set(WORDS - 1, self.checksum());
    }

    fn checksum(&self) -> u32 {
        let mut digest = CRC.digest();
        self.0.iter().take(WORDS - 1).for_each(|word| digest.update(&word.to_le_bytes()));
        digest.finalize()
    }
}

impl Default for BlackBox {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
