//! The out-of-distribution profile of a package, read in place.
//!
//! Section layout: 16 words (format 1, channels, intensity references, taps, most channels of a spectrum or 0
//! for all, spectrum references, least and greatest frame height, least and greatest width, alpha as f32
//! bits, zeros), then a word per tap padded to 16 words, its step index in the low 24 bits and in the high 8
//! how many rows are passed over from one that is looked at to the next, then f64: joint threshold; median,
//! spread and threshold of intensity, features and spectrum; intensity references `[n][64·channels]`; per
//! tap mean, deviation and packed Cholesky factor of its 2·C features; then per tap its spectrum references
//! `[n][S]`, S the lesser of C and the most channels.

use super::features::{BINS, TAP_LIMIT, TapPlace};
use super::score::{IntensityProfile, LayerProfile, ScoreScale, SpectrumProfile};
use crate::error::{Error, ErrorKind};
use candor_core::plan::Plan;

/// Words before the floats.
pub const HEADER_WORDS: usize = 32;
/// Bits of a tap's word that hold its step.
const STEP_BITS: u32 = 24;
/// Most rows from one that is looked at to the next.
pub const EVERY_LIMIT: usize = 256;
/// Detectors in score order.
pub const DETECTORS: [&str; 3] = ["intensity", "features", "spectrum"];

/// A checked view of the section.
#[derive(Debug, Clone)]
pub struct Profile<'p> {
    /// Input channels the intensities were counted over.
    pub channels: usize,
    /// Where features are taken.
    pub places: Vec<TapPlace>,
    /// Heights seen when fitting, least and greatest.
    pub heights: [usize; 2],
    /// Widths seen when fitting.
    pub widths: [usize; 2],
    /// Stated false-alarm rate per frame.
    pub alpha: f32,
    /// A frame alerts above this joint score.
    pub threshold: f64,
    /// Scales of the three detectors.
    pub scales: [ScoreScale; 3],
    /// Intensity references.
    pub intensity: IntensityProfile<'p>,
    /// One per tap.
    pub layers: Vec<LayerProfile<'p>>,
    /// Spectrum references, one per tap.
    pub spectra: Vec<SpectrumProfile<'p>>,
}

/// The word of a tap; what exceeds [`EVERY_LIMIT`] counts as that.
pub fn tap_word(place: TapPlace) -> u32 {
    place.step as u32 | (place.every.clamp(1, EVERY_LIMIT) as u32 - 1) << STEP_BITS
}

const fn place(word: u32, spectrum: u32) -> TapPlace {
    let every = (word >> STEP_BITS) as usize + 1;
    let spectrum = if spectrum == 0 { usize::MAX } else { spectrum as usize };
    TapPlace { step: (word & ((1 << STEP_BITS) - 1)) as usize, every, spectrum }
}

struct Floats<'p>(&'p [f64]);

impl<'p> Floats<'p> {
    fn take(&mut self, count: usize) -> Option<&'p [f64]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }
}

impl<'p> Profile<'p> {
    /// Reads the section against the plan it was fitted on.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] naming what does not fit.
    pub fn parse(section: &'p [u8], plan: &Plan<'_>) -> Result<Self, Error> {
        Self::read(section, plan)?.ok_or_else(|| {
            Error::new(ErrorKind::Package, "section 'ood' does not match its plan; fit it again")
        })
    }

    fn read(section: &'p [u8], plan: &Plan<'_>) -> Result<Option<Self>, Error> {
        let Some((header, body)) = section.split_at_checked(HEADER_WORDS * 4) else { return Ok(None) };
        let (Ok(words), Ok(floats)) =
            (bytemuck::try_cast_slice::<u8, u32>(header), bytemuck::try_cast_slice::<u8, f64>(body))
        else {
            return Ok(None);
        };
        let word = |index: usize| words[index] as usize;
        let (channels, taps) = (word(1), word(3));
        let limits = channels == 0 || channels > 3 || taps == 0 || taps > TAP_LIMIT;
        let many = word(2) > 4096 || word(5) > 4096;
        if word(0) != 1 || limits || many || floats.iter().any(|f| !f.is_finite()) {
            return Ok(None);
        }
        let places: Vec<TapPlace> = words[16..16 + taps].iter().map(|&word| place(word, words[4])).collect();
        if places.iter().any(|place| place.step >= plan.steps()) {
            return Ok(None);
        }
        let mut counts = Vec::new();
        for place in &places {
            counts.push(plan.tensor(plan.step(place.step)?.output)?.layout.channels);
        }
        let profile = Self::floats(&mut Floats(floats), words, &counts);
        Ok(profile.map(|profile| Self { places, ..profile }))
    }

    fn floats(floats: &mut Floats<'p>, words: &[u32], counts: &[usize]) -> Option<Self> {
        let word = |index: usize| words[index] as usize;
        let threshold = floats.take(1)?[0];
        let mut scales = [ScoreScale { median: 0.0, spread: 1.0, threshold: 0.0 }; 3];
        for scale in &mut scales {
            let values = floats.take(3)?;
            *scale = ScoreScale { median: values[0], spread: values[1], threshold: values[2] };
        }
        let bins = BINS * word(1);
        let references = floats.take(word(2) * bins)?;
        let mut layers = Vec::new();
        for count in counts.iter().map(|channels| 2 * channels) {
            layers.push(LayerProfile {
                mean: floats.take(count)?,
                deviation: floats.take(count)?,
                factor: floats.take(count * (count + 1) / 2)?,
            });
        }
        let mut spectra = Vec::new();
        let most = if word(4) == 0 { usize::MAX } else { word(4) };
        for channels in counts.iter().map(|&channels| channels.min(most)) {
            spectra.push(SpectrumProfile { channels, references: floats.take(word(5) * channels)? });
        }
        floats.0.is_empty().then_some(Self {
            channels: word(1),
            places: Vec::new(),
            heights: [word(6), word(7)],
            widths: [word(8), word(9)],
            alpha: f32::from_bits(words[10]),
            threshold,
            scales,
            intensity: IntensityProfile { bins, references },
            layers,
            spectra,
        })
    }
}

#[cfg(test)]
mod tests;
