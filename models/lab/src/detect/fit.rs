//! Fitting of the OOD detectors from training frames, with scores of frames that were held out of the fit.
//!
//! Frames of one exam resemble each other, so a frame is only ever held out together with its whole group.
//! The held-out scores, not the in-sample ones, set thresholds; see [`super::verdict`].
use super::DetectError;
use super::linear::cholesky;
use super::score::{
    IntensityProfile, LayerProfile, LengthMismatch, SpectrumProfile, chi_square, euclidean, mahalanobis_score,
};

/// Ridge added to the correlation matrix of standardised features (FRODO; Çallı et al., 2019).
pub const RIDGE: f64 = 0.01;
/// Folds of the Mahalanobis detector's held-out scores.
pub const FOLDS: usize = 10;
/// Most channels of a tapped layer.
pub const CHANNELS_MAX: usize = 4096;

/// A detector and the held-out score of every training frame, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted<D> {
    /// Fitted on all training frames.
    pub detector: D,
    /// Score of each frame under a fit that did not see its group.
    pub held_out: Vec<f64>,
}

/// The intensity-histogram detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Intensity {
    /// Bins per histogram.
    pub bins: usize,
    /// `[references][bins]`, rows summing to 1.
    pub references: Vec<f64>,
}

impl Intensity {
    /// The view the apply side takes.
    pub fn profile(&self) -> IntensityProfile<'_> {
        IntensityProfile { bins: self.bins, references: &self.references }
    }
}

/// The spectral detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Values per signature.
    pub channels: usize,
    /// `[references][channels]`.
    pub references: Vec<f64>,
}

impl Spectrum {
    /// The view the apply side takes.
    pub fn profile(&self) -> SpectrumProfile<'_> {
        SpectrumProfile { channels: self.channels, references: &self.references }
    }
}

/// One layer of the Mahalanobis detector; fields as in [`LayerProfile`].
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// `[channels]`
    pub mean: Vec<f64>,
    /// `[channels]`
    pub deviation: Vec<f64>,
    /// `[channels·(channels+1)/2]`
    pub factor: Vec<f64>,
}

impl Layer {
    fn profile(&self) -> LayerProfile<'_> {
        LayerProfile { mean: &self.mean, deviation: &self.deviation, factor: &self.factor }
    }
}

/// The multi-layer Mahalanobis detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Mahalanobis {
    /// Tapped layers in feature order.
    pub layers: Vec<Layer>,
}

impl Mahalanobis {
    /// The views the apply side takes.
    pub fn profiles(&self) -> Vec<LayerProfile<'_>> {
        self.layers.iter().map(Layer::profile).collect()
    }

    /// Channels of the widest layer: the scratch a score needs.
    pub fn scratch(&self) -> usize {
        self.layers.iter().map(|layer| layer.mean.len()).max().unwrap_or(0)
    }
}

/// Checks rows of features: `[groups.len()][width]`, finite, at least two groups.
fn check_rows(what: &'static str, rows: &[f64], width: usize, groups: &[u32]) -> Result<(), DetectError> {
    let expected = groups.len().saturating_mul(width);
    if width == 0 {
        return Err(DetectError::Range { what, range: "1 or more values per frame" });
    }
    if rows.len() != expected {
        return Err(DetectError::Length { what, expected, found: rows.len() });
    }
    if let Some(index) = rows.iter().position(|value| !value.is_finite()) {
        return Err(DetectError::NotFinite { what, index });
    }
    if groups.iter().all(|group| Some(group) == groups.first()) {
        return Err(DetectError::OneGroup);
    }
    Ok(())
}

/// At most `most` frames, evenly spaced in the order given: the references a nearest-neighbour detector
/// keeps.
fn spaced(frames: usize, most: usize) -> Vec<usize> {
    let kept = frames.min(most);
    (0..kept).map(|index| (index as u128 * frames as u128 / kept as u128) as usize).collect()
}

/// References of a nearest-neighbour detector and each frame's distance to the nearest one of another
/// group.
fn fit_nearest(
    rows: &[f64],
    width: usize,
    groups: &[u32],
    most: usize,
    distance: impl Fn(&[f64], &[f64]) -> f64,
) -> Result<(Vec<f64>, Vec<f64>), DetectError> {
    if most < 2 {
        return Err(DetectError::Range { what: "references", range: "2 or more" });
    }
    let frames: Vec<(&[f64], u32)> = rows.chunks_exact(width).zip(groups.iter().copied()).collect();
    let references: Vec<(&[f64], u32)> =
        spaced(frames.len(), most).into_iter().filter_map(|index| frames.get(index).copied()).collect();
    let nearest = |(row, group): &(&[f64], u32)| {
        let foreign = references.iter().filter(|(_, other)| other != group);
        foreign.map(|(reference, _)| distance(row, reference)).fold(f64::INFINITY, f64::min)
    };
    let held_out: Vec<f64> = frames.iter().map(nearest).collect();
    if held_out.contains(&f64::INFINITY) {
        return Err(DetectError::OneGroup);
    }
    Ok((references.iter().flat_map(|(row, _)| row.iter().copied()).collect(), held_out))
}

/// Fits the intensity-histogram detector.
///
/// `shares`: `[frames][bins]`, each row from [`super::score::normalise`]; `groups`: the exam of each frame;
/// `references`: most histograms to keep (evenly spaced in frame order), 2 or more. Held-out score:
/// distance to the nearest kept histogram of another group.
///
/// # Errors
/// Mismatched lengths, values that are not finite, or a single group.
pub fn fit_intensity(
    shares: &[f64],
    bins: usize,
    groups: &[u32],
    references: usize,
) -> Result<Fitted<Intensity>, DetectError> {
    check_rows("shares", shares, bins, groups)?;
    let (references, held_out) = fit_nearest(shares, bins, groups, references, chi_square)?;
    Ok(Fitted { detector: Intensity { bins, references }, held_out })
}

/// Fits the spectral detector.
///
/// `signatures`: `[frames][channels]`, each row from [`super::score::spectral_signature`]; other arguments
/// and errors as in [`fit_intensity`].
///
/// # Errors
/// As in [`fit_intensity`].
pub fn fit_spectrum(
    signatures: &[f64],
    channels: usize,
    groups: &[u32],
    references: usize,
) -> Result<Fitted<Spectrum>, DetectError> {
    check_rows("signatures", signatures, channels, groups)?;
    let (references, held_out) = fit_nearest(signatures, channels, groups, references, euclidean)?;
    Ok(Fitted { detector: Spectrum { channels, references }, held_out })
}

/// Fits the multi-layer Mahalanobis detector.
///
/// `features`: `[frames][Σ channels]`, globally average- or sum-pooled activations of the tapped layers one
/// after another; `channels`: channels per layer; `groups`: the exam of each frame. Held-out scores by
/// k-fold over groups, k = min(10, groups): groups in ascending order are dealt to the folds in turn.
///
/// # Errors
/// Mismatched lengths, values that are not finite, a single group, or a layer that cannot be factorized.
pub fn fit_mahalanobis(
    features: &[f64],
    channels: &[usize],
    groups: &[u32],
) -> Result<Fitted<Mahalanobis>, DetectError> {
    if channels.iter().any(|count| !(1..=CHANNELS_MAX).contains(count)) {
        return Err(DetectError::Range { what: "channels", range: "1..=4096 per layer" });
    }
    let width = channels.iter().sum();
    check_rows("features", features, width, groups)?;
    let rows: Vec<&[f64]> = features.chunks_exact(width).collect();
    let mut distinct = groups.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let folds = distinct.len().min(FOLDS);
    let fold_of = |group: &u32| distinct.partition_point(|other| other < group) % folds;
    let mut held_out = vec![0.0; rows.len()];
    for fold in 0..folds {
        let pairs = rows.iter().zip(groups);
        let training: Vec<&[f64]> =
            pairs.filter(|(_, group)| fold_of(group) != fold).map(|(row, _)| *row).collect();
        let detector = fit_layers(&training, channels)?;
        let (profiles, mut scratch) = (detector.profiles(), vec![0.0; detector.scratch()]);
        for ((score, row), group) in held_out.iter_mut().zip(&rows).zip(groups) {
            if fold_of(group) == fold {
                *score = mahalanobis_score(&profiles, row, &mut scratch)?;
            }
        }
    }
    Ok(Fitted { detector: fit_layers(&rows, channels)?, held_out })
}

impl From<LengthMismatch> for DetectError {
    fn from(mismatch: LengthMismatch) -> Self {
        let LengthMismatch { what, expected, found } = mismatch;
        Self::Length { what, expected, found }
    }
}

fn fit_layers(rows: &[&[f64]], channels: &[usize]) -> Result<Mahalanobis, DetectError> {
    let (mut layers, mut start) = (Vec::new(), 0);
    for (layer, &count) in channels.iter().enumerate() {
        let own: Vec<&[f64]> = rows.iter().filter_map(|row| row.get(start..start + count)).collect();
        layers.push(fit_layer(&own, count).ok_or(DetectError::Singular { layer })?);
        start += count;
    }
    Ok(Mahalanobis { layers })
}

/// Mean, deviation and factor of one layer; moments are of the population, as in FRODO's code.
///
/// Deviations are kept above 1 % of the layer's root mean square deviation: a channel that happened to be
/// silent in training must not turn its first activation into an alert (FRODO's code puts 1 for 0, which
/// depends on the unit). A layer without any variation gets deviations of 1.
fn fit_layer(rows: &[&[f64]], channels: usize) -> Option<Layer> {
    let frames = rows.len() as f64;
    let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
    for row in rows {
        mean.iter_mut().zip(*row).for_each(|(sum, value)| *sum += value / frames);
    }
    for row in rows {
        for ((sum, value), mean) in variance.iter_mut().zip(*row).zip(&mean) {
            *sum += (value - mean) * (value - mean) / frames;
        }
    }
    let typical = (variance.iter().sum::<f64>() / channels as f64).sqrt();
    let floor = if typical > 0.0 { 0.01 * typical } else { 1.0 };
    let deviation: Vec<f64> = variance.iter().map(|variance| variance.sqrt().max(floor)).collect();
    let mut correlation = vec![0.0; channels * channels];
    let mut standard = vec![0.0; channels];
    for row in rows {
        for (i, value) in standard.iter_mut().enumerate() {
            *value = (row[i] - mean[i]) / deviation[i];
        }
        for (i, line) in correlation.chunks_exact_mut(channels).enumerate() {
            for (sum, other) in line.iter_mut().zip(&standard).take(i + 1) {
                *sum += standard[i] * other / frames;
            }
        }
    }
    for i in 0..channels {
        correlation[i * channels + i] += RIDGE;
    }
    if !cholesky(&mut correlation, channels) {
        return None;
    }
    let lines = correlation.chunks_exact(channels).enumerate();
    let factor = lines.flat_map(|(i, line)| line.iter().copied().take(i + 1)).collect();
    Some(Layer { mean, deviation, factor })
}
