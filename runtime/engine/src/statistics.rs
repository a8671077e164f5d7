//! What a stream was like so far, in a fixed number of bytes that merge exactly across devices.
//!
//! Every field is a count or an integer sum, so that the statistics of two streams merge to those of both
//! together, to the last bit and in any order. Only the sketches round, when they are read: see
//! [`Sketch`].

mod frame;
mod reliability;
mod series;
mod sketch;

pub use frame::FrameCounts;
pub use reliability::{Bin, RELIABILITY_BINS, Reliability, UNLABELLED};
pub use series::{SERIES, scores};
pub use sketch::{SKETCH_BINS, Sketch};

use candor_core::state::{DIGEST_BYTES, HEADER_BYTES, Reader, StateError, Writer};

/// Classes that are told apart; all further ones count as the last.
pub const CLASSES_MAX: usize = 16;
/// Equal-width confidence bins per class.
pub const CONFIDENCE_BINS: usize = 32;
/// Most score series.
pub const SERIES_MAX: usize = 6;

const KIND: [u8; 4] = *b"CSTA";
const VERSION: u16 = 1;
const CLASS_BYTES: usize = CONFIDENCE_BINS * 8 + 40;

/// Sums over the pixels that were given one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassVolume {
    /// Pixels.
    pub pixels: u64,
    /// Frames with at least one of them.
    pub frames: u64,
    /// Sum over the frames of the square of their pixels: with `pixels`, the variance between frames.
    pub squares: u128,
    /// Sum of their confidence, in 1/65535.
    pub mass: u64,
}

impl ClassVolume {
    /// Mean confidence in 0..=1; `None` without pixels.
    pub fn mean_confidence(&self) -> Option<f64> {
        (self.pixels > 0).then(|| self.mass as f64 / (65_535.0 * self.pixels as f64))
    }

    fn merge(&mut self, other: &Self) {
        self.pixels = self.pixels.saturating_add(other.pixels);
        self.frames = self.frames.saturating_add(other.frames);
        self.squares = self.squares.saturating_add(other.squares);
        self.mass = self.mass.saturating_add(other.mass);
    }
}

/// Statistics of a stream: confidence per class, volumes, score sketches and reliability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    frames: u64,
    volumes: [ClassVolume; CLASSES_MAX],
    confidence: Box<[[u64; CONFIDENCE_BINS]; CLASSES_MAX]>,
    sketches: Vec<Sketch>,
    reliability: Reliability,
    labelled: u64,
}

impl Statistics {
    /// Empty statistics with a sketch for each of `series` scores, at most [`SERIES_MAX`].
    pub fn new(series: usize) -> Self {
        Self {
            frames: 0,
            volumes: [ClassVolume::default(); CLASSES_MAX],
            confidence: Box::new([[0; CONFIDENCE_BINS]; CLASSES_MAX]),
            sketches: vec![Sketch::default(); series.min(SERIES_MAX)],
            reliability: Reliability::default(),
            labelled: 0,
        }
    }

    /// Adds a frame's mask and confidence (in 1/65535), both `[H·W]`, and returns its own counts.
    pub fn add_frame(&mut self, mask: &[u8], confidence: &[u16]) -> FrameCounts {
        let counts = FrameCounts::of(mask, confidence);
        self.frames = self.frames.saturating_add(1);
        for (class, volume) in self.volumes.iter_mut().enumerate() {
            let pixels = u64::from(counts.pixels[class]);
            let (frames, squares) = (u64::from(pixels > 0), u128::from(pixels).pow(2));
            volume.merge(&ClassVolume { pixels, frames, squares, mass: counts.mass[class] });
            for (total, &own) in self.confidence[class].iter_mut().zip(&counts.confidence[class]) {
                *total = total.saturating_add(u64::from(own));
            }
        }
        counts
    }

    /// Adds one value to each sketch, in order; values that are not numbers are counted apart.
    pub fn add_scores(&mut self, scores: &[f64]) {
        for (sketch, &score) in self.sketches.iter_mut().zip(scores) {
            sketch.add(score);
        }
    }

    /// Adds a frame whose true labels are known, each `[H·W]`; pixels labelled 255 are left out.
    pub fn add_labels(&mut self, mask: &[u8], confidence: &[u16], truth: &[u8]) {
        self.labelled = self.labelled.saturating_add(1);
        self.reliability.add(mask, confidence, truth);
    }

    /// Frames added.
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// Labelled frames added.
    pub const fn labelled(&self) -> u64 {
        self.labelled
    }

    /// Volumes by class.
    pub const fn volumes(&self) -> &[ClassVolume; CLASSES_MAX] {
        &self.volumes
    }

    /// Pixels by class and confidence: bin `k` holds confidences of `2048·k` to `2048·k + 2047`.
    pub const fn confidence(&self) -> &[[u64; CONFIDENCE_BINS]; CLASSES_MAX] {
        &self.confidence
    }

    /// The score sketches.
    pub fn sketches(&self) -> &[Sketch] {
        &self.sketches
    }

    /// Reliability of the labelled frames.
    pub const fn reliability(&self) -> &Reliability {
        &self.reliability
    }

    /// Adds what another device saw.
    ///
    /// # Errors
    /// [`StateError::Settings`] when it keeps another number of series.
    ///
    /// # Exactness
    /// The result equals, bit for bit, the statistics of all frames in one stream.
    pub fn merge(&mut self, other: &Self) -> Result<(), StateError> {
        if self.sketches.len() != other.sketches.len() {
            return Err(StateError::Settings);
        }
        self.frames = self.frames.saturating_add(other.frames);
        self.labelled = self.labelled.saturating_add(other.labelled);
        for (own, theirs) in self.volumes.iter_mut().zip(&other.volumes) {
            own.merge(theirs);
        }
        for (own, theirs) in self.confidence.iter_mut().zip(other.confidence.iter()) {
            for (own, theirs) in own.iter_mut().zip(theirs) {
                *own = own.saturating_add(*theirs);
            }
        }
        for (own, theirs) in self.sketches.iter_mut().zip(&other.sketches) {
            own.merge(theirs);
        }
        self.reliability.merge(&other.reliability);
        Ok(())
    }

    /// Bytes of the state with `series` sketches.
    pub const fn bytes(series: usize) -> usize {
        let fixed = HEADER_BYTES + 20 + CLASSES_MAX * CLASS_BYTES + Reliability::BYTES + DIGEST_BYTES;
        fixed + series * Sketch::BYTES
    }

    /// Writes the state into `bytes`, which are [`Statistics::bytes`] long.
    ///
    /// # Errors
    /// [`StateError::Length`].
    pub fn write(&self, bytes: &mut [u8]) -> Result<(), StateError> {
        let mut writer = Writer::new(bytes, KIND, VERSION);
        writer.u32(self.sketches.len() as u32);
        writer.u64(self.frames);
        writer.u64(self.labelled);
        for (volume, bins) in self.volumes.iter().zip(self.confidence.iter()) {
            writer.u64(volume.pixels);
            writer.u64(volume.frames);
            writer.raw(&volume.squares.to_le_bytes());
            writer.u64(volume.mass);
            bins.iter().for_each(|&count| writer.u64(count));
        }
        self.reliability.write(&mut writer);
        self.sketches.iter().for_each(|sketch| sketch.write(&mut writer));
        writer.finish()
    }

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; Self::bytes(self.sketches.len())];
        // The length is right by construction.
        let _ = self.write(&mut bytes);
        bytes
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// [`StateError`] when the bytes are not such a state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let series = reader.u32()? as usize;
        if series > SERIES_MAX {
            return Err(reader.fault(4));
        }
        let mut statistics = Self::new(series);
        statistics.frames = reader.u64()?;
        statistics.labelled = reader.u64()?;
        for (volume, bins) in statistics.volumes.iter_mut().zip(statistics.confidence.iter_mut()) {
            volume.pixels = reader.u64()?;
            volume.frames = reader.u64()?;
            volume.squares = u128::from_le_bytes(reader.raw()?);
            volume.mass = reader.u64()?;
            for count in bins {
                *count = reader.u64()?;
            }
        }
        statistics.reliability = Reliability::read(&mut reader)?;
        for sketch in &mut statistics.sketches {
            *sketch = Sketch::read(&mut reader)?;
        }
        reader.finish()?;
        Ok(statistics)
    }
}

#[cfg(test)]
mod tests;
