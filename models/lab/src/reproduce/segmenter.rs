//! Training of one small U-Net with one loss, and its figures with and without a fitted temperature.

use super::material::Material;
use super::{Figures, Size};
use crate::calibrate::{LogitSample, fit_temperature};
use crate::losses::{Loss, active_margin_share};
use crate::metrics::{Accumulator, BOUNDARY_RADIUS, Frame, Summary, boundary_band};
use crate::nets::{Model, Norm, UnetShape, unet};
use crate::train::{Augmentation, Learner, ListSource, Sample, Schedule, Source, TrainError, draw, tensors};
use candle_core::Tensor;
use std::ops::Range;

/// Images per update.
const BATCH: u64 = 4;
/// Adam's rate, as in all five papers.
const RATE: f64 = 1e-3;
/// Pixels per validation image that a temperature is fitted on.
const PIXELS: usize = 512;
/// Lowest and highest threshold of the recall sweep.
const THRESHOLDS: [f32; 2] = [0.05, 0.95];

/// What is done beside lowering a loss.
#[derive(Debug, Clone)]
pub struct Regime {
    /// Share of the average of the weights that stays at each step; 0 for none.
    pub average: f64,
    /// How samples are varied.
    pub augmentation: Augmentation,
    /// How the rate falls.
    pub schedule: Schedule,
    /// Steps over which it first rises.
    pub warm_up: usize,
    /// Largest rate.
    pub rate: f64,
    /// Between the convolutions.
    pub norm: Norm,
}

impl Default for Regime {
    /// Nothing: samples as they are, the last weights, the papers' one rate, no norm as the MbLS paper has.
    fn default() -> Self {
        Self {
            average: 0.0,
            augmentation: Augmentation::default(),
            schedule: Schedule::Constant,
            warm_up: 0,
            rate: RATE,
            norm: Norm::None,
        }
    }
}

/// Logits `[K,H,W]` of one image and its labels `[H,W]`.
pub struct Prediction {
    /// Planar.
    pub logits: Vec<f32>,
    /// True classes.
    pub labels: Vec<u8>,
}

/// A U-Net of depth 3 and 8 channels.
///
/// # Errors
/// Candle's error; none is known.
pub fn network(inputs: usize, classes: usize, norm: Norm, seed: u64) -> Result<Model, TrainError> {
    Ok(Model::new(unet(UnetShape { inputs, classes, depth: 3, channels: 8, norm }), seed)?)
}

/// Trains `model` for `steps` on samples of `source`.
///
/// # Errors
/// A sample that cannot be made, a loss that is no longer a number.
pub fn train(
    model: Model,
    source: &dyn Source,
    classes: usize,
    loss: &Loss,
    regime: &Regime,
    steps: usize,
) -> Result<Model, TrainError> {
    let mut learner = Learner::new(model, regime.average);
    advance(&mut learner, source, classes, loss, regime, 0..steps, steps)?;
    learner.take_average()?;
    Ok(learner.into_model())
}

/// Does the steps in `range` of a training of `steps`; the mean of their losses.
///
/// # Errors
/// As [`train`].
pub fn advance(
    learner: &mut Learner,
    source: &dyn Source,
    classes: usize,
    loss: &Loss,
    regime: &Regime,
    range: Range<usize>,
    steps: usize,
) -> Result<f64, TrainError> {
    let count = range.len().max(1) as f64;
    let mut sum = 0.0;
    for step in range {
        let first = step as u64 * BATCH;
        let samples = draw(source, first..first + BATCH)?;
        let varied: Vec<Sample> = (first..)
            .zip(samples)
            .map(|(index, sample)| {
                regime.augmentation.apply(sample, source.shape(), index.wrapping_mul(0xD134_2543_DE82_EF95))
            })
            .collect();
        let [images, truth] = tensors(&varied, source.shape(), classes)?;
        let value = loss.of(&learner.model().logits(&images, true)?, &truth)?;
        let rate = regime.rate * regime.schedule.factor(step, steps, regime.warm_up);
        sum += f64::from(learner.update(&value, rate, |_| true)?);
    }
    Ok(sum / count)
}

/// Trains on `material` and measures: figures as trained, and with a temperature fitted on the validation
/// images.
///
/// # Errors
/// As [`train`].
pub fn experiment(
    material: &Material,
    loss: &Loss,
    regime: &Regime,
    size: &Size,
    seed: u64,
) -> Result<[Figures; 2], TrainError> {
    let source = ListSource::new(material.shape, material.training.clone(), seed)?;
    let model = network(material.shape[0], material.classes, regime.norm, seed)?;
    let model = train(model, &source, material.classes, loss, regime, size.steps)?;
    let validation = predict(&model, &material.validation, material.shape)?;
    let test = predict(&model, &material.test, material.shape)?;
    let temperature = temperature(&validation, material.classes)?;
    let margin = if let Loss::Mbls { margin, .. } = loss { *margin } else { 10.0 };
    let active = active_share(&test, material, margin)?;
    let mut found = [1.0, temperature].map(|temperature| figures(&test, material, temperature));
    if let [Ok(raw), Ok(fitted)] = &mut found {
        raw.insert("active_share".into(), active);
        fitted.insert("temperature".into(), temperature);
    }
    let [raw, fitted] = found;
    Ok([raw?, fitted?])
}

/// Logits of every sample.
///
/// # Errors
/// Candle's error; none is known.
pub fn predict(model: &Model, samples: &[Sample], shape: [usize; 3]) -> Result<Vec<Prediction>, TrainError> {
    let mut predictions = Vec::with_capacity(samples.len());
    for sample in samples {
        let [image, _] = tensors(std::slice::from_ref(sample), shape, 1)?;
        let logits = model.logits(&image, false)?.flatten_all()?.to_vec1::<f32>()?;
        predictions.push(Prediction { logits, labels: sample.labels.clone() });
    }
    Ok(predictions)
}

/// The temperature with the highest likelihood on `predictions`.
///
/// # Errors
/// Logits that are not finite.
pub fn temperature(predictions: &[Prediction], classes: usize) -> Result<f64, TrainError> {
    let samples: Result<Vec<LogitSample>, _> = (0u64..)
        .zip(predictions)
        .map(|(seed, own)| LogitSample::draw(classes, &own.logits, &own.labels, PIXELS, seed))
        .collect();
    let samples = samples.map_err(|error| TrainError::Invalid(vec![error.to_string()]))?;
    Ok(fit_temperature(&samples.iter().collect::<Vec<_>>()))
}

fn active_share(test: &[Prediction], material: &Material, margin: f64) -> Result<f64, TrainError> {
    let [_, height, width] = material.shape;
    let mut sum = 0.0;
    for own in test {
        let shape = (1, material.classes, height, width);
        let logits = Tensor::from_slice(&own.logits, shape, &candle_core::Device::Cpu)?;
        sum += active_margin_share(&logits, margin)?;
    }
    Ok(sum / test.len().max(1) as f64)
}

/// Figures of logits divided by `temperature`.
///
/// # Errors
/// None is known.
pub fn figures(test: &[Prediction], material: &Material, temperature: f64) -> Result<Figures, TrainError> {
    let refused = |error: crate::metrics::MetricError| TrainError::Invalid(vec![error.to_string()]);
    let [_, height, width] = material.shape;
    let (classes, pixels) = (material.classes, height * width);
    let mut sum = Accumulator::new(classes).map_err(refused)?;
    // Of the true foreground: pixels, and those whose probability of any foreground reaches a threshold.
    let mut recalled = [0u64; 3];
    for own in test {
        let probabilities = softmax(&own.logits, classes, temperature);
        let predicted = argmax(&probabilities, classes);
        let boundary = boundary_band(&own.labels, width, BOUNDARY_RADIUS);
        let levels: Vec<u16> = probabilities.iter().map(|p| (p * 65535.0).round() as u16).collect();
        let shape = [classes, height, width];
        let frame = Frame::new(shape, &levels, &predicted, &own.labels, &boundary).map_err(refused)?;
        sum.add(&frame).map_err(refused)?;
        for (pixel, _) in own.labels.iter().enumerate().filter(|(_, label)| **label > 0) {
            let foreground = 1.0 - probabilities[pixel % pixels];
            recalled[0] += 1;
            for (count, threshold) in recalled[1..].iter_mut().zip(THRESHOLDS) {
                *count += u64::from(foreground >= threshold);
            }
        }
    }
    let mut figures = named(&sum.summary());
    let [all, low, high] = recalled.map(|count| count as f64);
    figures.insert("recall_range".into(), (low - high) / all.max(1.0));
    Ok(figures)
}

/// The figures of a summary that are defined, by name.
#[must_use]
pub fn named(summary: &Summary) -> Figures {
    let all = [
        ("dice", summary.dice.mean),
        ("ece", summary.ece),
        ("ece_foreground", summary.ece_foreground),
        ("ece_boundary", summary.ece_boundary),
        ("ece_adaptive", summary.ece_adaptive),
        ("ece_classwise", summary.ece_classwise),
        ("overconfidence", summary.overconfidence),
        ("nll", summary.nll),
        ("nll_foreground_term", summary.nll_foreground_term),
        ("brier", summary.brier),
        ("aurc", summary.aurc),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect()
}

/// Planar softmax of planar logits divided by `temperature`.
#[must_use]
pub fn softmax(logits: &[f32], classes: usize, temperature: f64) -> Vec<f32> {
    let pixels = logits.len() / classes;
    let mut probabilities = vec![0f32; logits.len()];
    for pixel in 0..pixels {
        let at = |class: usize| f64::from(logits[class * pixels + pixel]) / temperature;
        let top = (0..classes).map(at).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = (0..classes).map(|class| (at(class) - top).exp()).sum();
        for class in 0..classes {
            probabilities[class * pixels + pixel] = ((at(class) - top).exp() / sum) as f32;
        }
    }
    probabilities
}

/// The most probable class of every pixel, the first of equals.
#[must_use]
pub fn argmax(probabilities: &[f32], classes: usize) -> Vec<u8> {
    let pixels = probabilities.len() / classes;
    let best = |pixel: usize| {
        let at = |class: usize| probabilities[class * pixels + pixel];
        (1..classes).fold(0, |best, class| if at(class) > at(best) { class } else { best }) as u8
    };
    (0..pixels).map(best).collect()
}
