//! Multi-class calibration: one temperature, or one table per class, chosen by held-out likelihood.
use super::histogram::{Histogram, logit_index};
use super::logistic::TEMPERATURE_MAX;
use super::table::{Calibrator, Kind, Table, relative_logit};
use super::{CalibrateError, Method, Parameters, fit};
use crate::metrics::SplitMix64;
use serde::Serialize;

/// A bounded sample of pixels with all their logits, from one image (better: one exam).
#[derive(Debug, Clone, PartialEq)]
pub struct LogitSample {
    classes: usize,
    /// Pixel-major `[pixels][classes]`.
    logits: Vec<f32>,
    labels: Vec<u8>,
}

impl LogitSample {
    /// Takes at most `most` pixels of a frame: one, drawn from `seed`, out of each of `most` equal runs in
    /// row-major order, so the sample is spread evenly and repeats exactly.
    ///
    /// `logits` is planar `[classes][pixels]`, `labels` the ground truth `[pixels]`.
    ///
    /// # Errors
    /// A class count outside 2..=256, mismatched lengths, a label not below it, or a logit that is not
    /// finite.
    pub fn draw(
        classes: usize,
        logits: &[f32],
        labels: &[u8],
        most: usize,
        seed: u64,
    ) -> Result<Self, CalibrateError> {
        if !(2..=256).contains(&classes) {
            return Err(CalibrateError::Classes { found: classes });
        }
        let pixels = labels.len();
        let expected = pixels.saturating_mul(classes);
        if logits.len() != expected {
            return Err(CalibrateError::Length { what: "logits", expected, found: logits.len() });
        }
        if let Some(pixel) = labels.iter().position(|label| usize::from(*label) >= classes) {
            return Err(CalibrateError::Label { pixel, label: labels[pixel] });
        }
        if let Some(index) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(CalibrateError::NotFinite { index });
        }
        let mut random = SplitMix64::new(seed);
        let runs = most.min(pixels);
        let mut sample = Self { classes, logits: Vec::with_capacity(runs * classes), labels: Vec::new() };
        for run in 0..runs {
            let start = (run as u128 * pixels as u128 / runs as u128) as usize;
            let end = ((run as u128 + 1) * pixels as u128 / runs as u128) as usize;
            let pixel = start + random.below(end - start);
            sample.logits.extend((0..classes).map(|class| logits[class * pixels + pixel]));
            sample.labels.push(labels[pixel]);
        }
        Ok(sample)
    }

    /// Adds the pixels of another sample, to bring the frames of one exam together.
    ///
    /// # Errors
    /// [`CalibrateError::Classes`] when the class counts differ.
    pub fn merge(&mut self, other: &Self) -> Result<(), CalibrateError> {
        if other.classes != self.classes {
            return Err(CalibrateError::Classes { found: other.classes });
        }
        self.logits.extend_from_slice(&other.logits);
        self.labels.extend_from_slice(&other.labels);
        Ok(())
    }

    /// Pixels held.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether no pixel is held.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn pixels(&self) -> impl Iterator<Item = (&[f32], u8)> {
        self.logits.chunks_exact(self.classes).zip(self.labels.iter().copied())
    }
}

/// First and second derivative, by the inverse temperature, of the summed softmax NLL.
fn derivatives(samples: &[&LogitSample], inverse: f64) -> (f64, f64) {
    let (mut first, mut second) = (0.0, 0.0);
    for (logits, label) in samples.iter().flat_map(|sample| sample.pixels()) {
        let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let (mut weight, mut linear, mut square) = (0.0, 0.0, 0.0);
        for logit in logits.iter().map(|logit| f64::from(*logit) - top) {
            let w = (inverse * logit).exp();
            (weight, linear, square) = (weight + w, linear + w * logit, square + w * logit * logit);
        }
        let mean = linear / weight;
        first += mean - (f64::from(logits[usize::from(label)]) - top);
        second += square / weight - mean * mean;
    }
    (first, second)
}

/// Temperature of softmax(z / T) with the highest likelihood (Guo et al., 2017), in 1/256..=256.
///
/// The loss is convex in 1/T: Newton on its derivative, kept inside a bracket that shrinks by at least half
/// whenever a Newton step leaves it. 1 without pixels or when all logits are equal.
pub fn fit_temperature(samples: &[&LogitSample]) -> f64 {
    let (mut low, mut high) = (1.0 / TEMPERATURE_MAX, TEMPERATURE_MAX);
    let mut inverse: f64 = 1.0;
    for _ in 0..200 {
        let (first, second) = derivatives(samples, inverse);
        if first == 0.0 {
            break;
        }
        if first > 0.0 {
            high = inverse;
        } else {
            low = inverse;
        }
        let newton = inverse - first / second;
        let next = if newton > low && newton < high { newton } else { (low + high) / 2.0 };
        if (next - inverse).abs() <= 1e-14 * inverse {
            break;
        }
        inverse = next;
    }
    1.0 / inverse
}

/// A multi-class candidate and how well it did on samples it was not fitted on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MulticlassCandidate {
    /// [`Kind::Softmax`] or [`Kind::OneVsRest`].
    pub kind: Kind,
    /// Identity or temperature for softmax, any but identity for one-vs-rest.
    pub method: Method,
    /// Mean held-out negative log-likelihood per pixel, nats, of the integer tables.
    pub held_out_nll: f64,
}

/// The ranking and the winner, refitted on everything.
#[derive(Debug, Clone, PartialEq)]
pub struct MulticlassChoice {
    /// Candidates that could be fitted on every fold, best first.
    pub ranking: Vec<MulticlassCandidate>,
    /// The best candidate, fitted on all samples.
    pub calibrator: Calibrator,
}

const CANDIDATES: [(Kind, Method); 6] = [
    (Kind::Softmax, Method::Identity),
    (Kind::Softmax, Method::Temperature),
    (Kind::OneVsRest, Method::Temperature),
    (Kind::OneVsRest, Method::Platt),
    (Kind::OneVsRest, Method::Beta),
    (Kind::OneVsRest, Method::Isotonic),
];

/// Chooses between softmax temperature and one-vs-rest tables (Zadrozny & Elkan, 2002: one binary map per
/// class, renormalised) by k-fold cross-validation over `images`; folds, ties and refit as in
/// [`super::choose`].
///
/// One-vs-rest maps are fitted on the margin to the largest other logit in steps of `step`, see [`Kind`].
///
/// # Errors
/// Fewer than 2 images or folds, no pixels, differing class counts, or a bad step.
pub fn choose_multiclass(
    images: &[LogitSample],
    folds: usize,
    step: f64,
) -> Result<MulticlassChoice, CalibrateError> {
    Histogram::new(step)?;
    let folds = folds.min(images.len());
    let first = images.first().filter(|_| folds >= 2);
    let classes = first.ok_or(CalibrateError::TooFewFolds { found: folds })?.classes;
    if let Some(other) = images.iter().find(|image| image.classes != classes) {
        return Err(CalibrateError::Classes { found: other.classes });
    }
    let all: Vec<&LogitSample> = images.iter().collect();
    let total: usize = images.iter().map(LogitSample::len).sum();
    if total == 0 {
        return Err(CalibrateError::Empty);
    }
    let mut ranking = Vec::new();
    for (kind, method) in CANDIDATES {
        let surprise = held_out_surprise(images, folds, (kind, method), step)?;
        if let (Some(surprise), Some(_)) = (surprise, fit_candidate(&all, (kind, method), step)?) {
            ranking.push(MulticlassCandidate { kind, method, held_out_nll: surprise / total as f64 });
        }
    }
    ranking.sort_by(|a, b| a.held_out_nll.total_cmp(&b.held_out_nll));
    let best = ranking.first().ok_or(CalibrateError::Empty)?;
    let calibrator = fit_candidate(&all, (best.kind, best.method), step)?.ok_or(CalibrateError::Empty)?;
    Ok(MulticlassChoice { ranking, calibrator })
}

/// A candidate fitted to samples; `None` when some class never or always occurs.
fn fit_candidate(
    samples: &[&LogitSample],
    (kind, method): (Kind, Method),
    step: f64,
) -> Result<Option<Calibrator>, CalibrateError> {
    if kind == Kind::Softmax {
        let temperature = if method == Method::Identity { 1.0 } else { fit_temperature(samples) };
        let parameters = match method {
            Method::Identity => Parameters::Identity,
            _ => Parameters::Temperature { temperature },
        };
        let tables = vec![Table::from_weights(step, temperature)];
        return Ok(Some(Calibrator { kind, step, parameters: vec![parameters], tables }));
    }
    let classes = samples.first().map_or(0, |sample| sample.classes);
    let (mut parameters, mut tables) = (Vec::new(), Vec::new());
    for class in 0..classes {
        let mut histogram = Histogram::new(step)?;
        for (logits, label) in samples.iter().flat_map(|sample| sample.pixels()) {
            let index = logit_index(relative_logit(logits, class, kind), step);
            histogram.add(index, usize::from(label) == class);
        }
        match fit(method, &histogram) {
            Ok(fit) => {
                parameters.push(fit.parameters);
                tables.push(fit.table);
            }
            Err(CalibrateError::Empty | CalibrateError::SingleClass { .. }) => return Ok(None),
            Err(other) => return Err(other),
        }
    }
    Ok(Some(Calibrator { kind, step, parameters, tables }))
}

/// Summed surprise of every fold under the fit to the others; `None` when some fit is impossible.
fn held_out_surprise(
    images: &[LogitSample],
    folds: usize,
    candidate: (Kind, Method),
    step: f64,
) -> Result<Option<f64>, CalibrateError> {
    let mut surprise = 0.0;
    for fold in 0..folds {
        let part = |held: bool| {
            let chosen = images.iter().enumerate().filter(move |(image, _)| (image % folds == fold) == held);
            chosen.map(|(_, sample)| sample).collect::<Vec<_>>()
        };
        let Some(calibrator) = fit_candidate(&part(false), candidate, step)? else { return Ok(None) };
        for (logits, label) in part(true).into_iter().flat_map(LogitSample::pixels) {
            let mut probabilities = vec![0; logits.len()];
            calibrator.multiclass(logits, &mut probabilities);
            surprise -= (f64::from(probabilities[usize::from(label)]) / 65_535.0).ln();
        }
    }
    Ok(Some(surprise))
}
