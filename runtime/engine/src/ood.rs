//! Out-of-distribution verdict of a frame: three detectors over taps, one joint decision, named reasons.

pub mod features;
pub mod profile;
pub mod score;

use crate::error::{Error, ErrorKind};
use features::Features;
use profile::Profile;
use score::{Combined, Distance, Normalisation};

/// Why a frame alerted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its intensity histogram is unlike any seen.
    Intensity,
    /// Pooled features of the named plan step are unlike those seen.
    Features {
        /// Plan step.
        step: usize,
    },
    /// The spectra of the tapped layers are unlike any seen.
    Spectrum,
    /// The frame's extent is outside half to twice the range seen.
    Geometry,
    /// The frame has a single value, or the output has.
    Collapse,
}

/// Most reasons one verdict can carry.
pub const REASON_LIMIT: usize = 5;

/// The verdict on one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Joint score: mean over the detectors of the log score in units of its own held-out spread.
    pub score: f64,
    /// Scores of intensity, features and spectrum.
    pub scores: [f64; 3],
    /// Whether the frame alerts.
    pub alert: bool,
    reasons: [Option<Reason>; REASON_LIMIT],
}

impl Verdict {
    /// Why, in a fixed order; empty without an alert.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> {
        self.reasons.into_iter().flatten()
    }

    fn add(&mut self, reason: Reason) {
        self.alert = true;
        if let Some(slot) = self.reasons.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(reason);
        }
    }
}

/// The detectors of a package with their scratch; nothing is allocated per frame.
#[derive(Debug)]
pub struct Detector<'p> {
    profile: Profile<'p>,
    shares: Vec<f64>,
    pooled: Vec<f64>,
    scratch: Vec<f64>,
    gram: Vec<i64>,
    matrix: Vec<f64>,
    signature: Vec<f64>,
}

impl<'p> Detector<'p> {
    /// Buffers for `profile`.
    pub fn new(profile: Profile<'p>) -> Self {
        let pooled: usize = profile.layers.iter().map(|layer| layer.mean.len()).sum();
        let widest = profile.layers.iter().map(|layer| layer.mean.len()).max().unwrap_or(0);
        let side = profile.spectra.iter().map(|spectrum| spectrum.channels).max().unwrap_or(0);
        Self {
            shares: vec![0.0; profile.intensity.bins],
            pooled: vec![0.0; pooled],
            scratch: vec![0.0; widest],
            gram: vec![0; side * side],
            matrix: vec![0.0; side * side],
            signature: vec![0.0; side],
            profile,
        }
    }

    /// The profile.
    pub const fn profile(&self) -> &Profile<'p> {
        &self.profile
    }

    /// Judges a frame of `extent` (rows, columns) by its features.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] when the features were not taken at the profile's taps.
    ///
    /// # Exactness
    /// Sums are integers; scores are f64 in a stated order, so that every IEEE machine gives the same
    /// verdict.
    pub fn judge(&mut self, features: &Features, extent: [usize; 2]) -> Result<Verdict, Error> {
        let mismatch =
            |error: score::LengthMismatch| Error::new(ErrorKind::Package, format!("section 'ood': {error}"));
        score::normalise(&features.intensities, &mut self.shares).map_err(mismatch)?;
        features.pooled(&mut self.pooled);
        let spectrum = self.spectrum(features).map_err(mismatch)?;
        let profile = &self.profile;
        let distance =
            score::mahalanobis(&profile.layers, &self.pooled, &mut self.scratch).map_err(mismatch)?;
        let Distance { mean, furthest } = distance;
        let intensity = score::intensity_score(&profile.intensity, &self.shares).map_err(mismatch)?;
        let scores = [intensity, mean, spectrum];
        let step = profile.places.get(furthest).map_or(0, |place| place.step);
        let Combined { value, leading } = score::combine(&profile.scales, &scores).map_err(mismatch)?;
        let mut verdict = Verdict { score: value, scores, alert: false, reasons: [None; REASON_LIMIT] };
        if value > profile.threshold || value.is_nan() {
            let own = |index: usize| index == leading || profile.scales[index].alerts(scores[index]);
            let named = [Reason::Intensity, Reason::Features { step }, Reason::Spectrum];
            for (index, reason) in named.into_iter().enumerate() {
                if own(index) {
                    verdict.add(reason);
                }
            }
        }
        if !within(extent[0], profile.heights) || !within(extent[1], profile.widths) {
            verdict.add(Reason::Geometry);
        }
        if features.intensities.iter().filter(|&&count| count > 0).count() <= profile.channels {
            verdict.add(Reason::Collapse);
        }
        Ok(verdict)
    }

    /// Mean over the taps of the distance to the nearest training signature.
    fn spectrum(&mut self, features: &Features) -> Result<f64, score::LengthMismatch> {
        let mut total = 0.0;
        for (index, profile) in self.profile.spectra.iter().enumerate() {
            let entries = profile.channels * profile.channels;
            let (gram, matrix) = (&mut self.gram[..entries], &mut self.matrix[..entries]);
            let signature = &mut self.signature[..profile.channels];
            features.gram(index, gram);
            score::spectral_signature(gram, Normalisation::MeanLog, matrix, signature)?;
            total += score::spectrum_score(profile, signature)?;
        }
        Ok(total / self.profile.spectra.len().max(1) as f64)
    }
}

fn within(extent: usize, seen: [usize; 2]) -> bool {
    extent * 2 >= seen[0] && extent <= seen[1] * 2
}
