//! Training and figures of small image classifiers, for the studies that classify.

use super::Figures;
use super::segmenter::{argmax, named, softmax};
use crate::calibrate::{LogitSample, fit_temperature};
use crate::losses::{Loss, contrastive, triplet};
use crate::metrics::{Accumulator, Frame, MetricError, SplitMix64};
use crate::nets::Model;
use crate::train::{Learner, Sample, TrainError, tensors};
use candle_core::{Device, Tensor};

/// Images per update.
const BATCH: usize = 16;
/// Adam's rate.
const RATE: f64 = 1e-3;

/// An image and its class.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// `[side, side]`, 0..1.
    pub image: Vec<f32>,
    /// Below the number of classes.
    pub class: u8,
}

/// What is lowered.
#[derive(Debug, Clone, PartialEq)]
pub enum Objective {
    /// A loss of the logits.
    Logits(Loss),
    /// Hadsell et al. 2006, on the embedding, with this margin.
    Contrastive(f64),
    /// Schroff et al. 2015, likewise.
    Triplet(f64),
}

/// Embedding and logits of every image, row by row.
pub struct Outputs {
    /// `[images][width]`
    pub embeddings: Vec<Vec<f32>>,
    /// `[images][classes]`
    pub logits: Vec<Vec<f32>>,
}

/// The images as a batch `[N,1,side,side]`.
fn images(samples: &[&Labelled], side: usize) -> Result<Tensor, TrainError> {
    let own = samples.iter().map(|own| Sample { image: own.image.clone(), labels: Vec::new() });
    let [images, _] = tensors(&own.collect::<Vec<_>>(), [1, side, side], 1)?;
    Ok(images)
}

/// The classes as one-hot `[N,K,1,1]`.
fn one_hot(samples: &[&Labelled], classes: usize) -> Result<Tensor, TrainError> {
    let mut values = vec![0f32; samples.len() * classes];
    for (row, own) in values.chunks_mut(classes).zip(samples) {
        row[usize::from(own.class)] = 1.0;
    }
    Ok(Tensor::from_vec(values, (samples.len(), classes, 1, 1), &Device::Cpu)?)
}

/// Trains the parameters of `model` whose name `trained` takes, on batches drawn from `seed`. Where not all
/// are trained, running statistics stay as they are too.
///
/// # Errors
/// A loss that is no longer a number.
pub fn train(
    model: Model,
    samples: &[Labelled],
    side: usize,
    objective: &Objective,
    [steps, seed]: [u64; 2],
    trained: impl Fn(&str) -> bool,
) -> Result<Model, TrainError> {
    let whole = model.parameters().keys().all(|name| trained(name));
    let classes = model.graph().outputs.last().map_or(2, |&head| model.graph().channels(head));
    let mut learner = Learner::new(model, 0.0);
    let mut random = SplitMix64::new(seed);
    for _ in 0..steps {
        let batch: Vec<&Labelled> =
            (0..BATCH.min(samples.len())).map(|_| &samples[random.below(samples.len())]).collect();
        let outputs = learner.model().forward(&images(&batch, side)?, whole)?;
        let [embedding, logits] = &outputs[..] else {
            return Err(TrainError::Invalid(vec!["the classifier has two outputs".into()]));
        };
        let labels: Vec<u8> = batch.iter().map(|own| own.class).collect();
        let loss = match objective {
            Objective::Logits(loss) => loss.of(logits, &one_hot(&batch, classes)?)?,
            Objective::Contrastive(margin) => contrastive(&embedding.flatten_from(1)?, &labels, *margin)?,
            Objective::Triplet(margin) => triplet(&embedding.flatten_from(1)?, &labels, *margin)?,
        };
        learner.update(&loss, RATE, &trained)?;
    }
    Ok(learner.into_model())
}

/// What `model` makes of `samples`.
///
/// # Errors
/// Candle's error; none is known.
pub fn outputs(model: &Model, samples: &[Labelled], side: usize) -> Result<Outputs, TrainError> {
    let mut found = Outputs { embeddings: Vec::new(), logits: Vec::new() };
    for batch in samples.chunks(BATCH) {
        let own = model.forward(&images(&batch.iter().collect::<Vec<_>>(), side)?, false)?;
        for (rows, tensor) in [&mut found.embeddings, &mut found.logits].into_iter().zip(&own) {
            rows.extend(tensor.flatten_from(1)?.to_vec2::<f32>()?);
        }
    }
    Ok(found)
}

/// Rows of `classes` values as planes.
fn planar(rows: &[Vec<f32>], classes: usize) -> Vec<f32> {
    (0..classes).flat_map(|class| rows.iter().map(move |row| row[class])).collect()
}

/// The temperature with the highest likelihood.
///
/// # Errors
/// Logits that are not finite.
pub fn temperature(logits: &[Vec<f32>], samples: &[Labelled], classes: usize) -> Result<f64, TrainError> {
    let labels: Vec<u8> = samples.iter().map(|own| own.class).collect();
    let drawn = LogitSample::draw(classes, &planar(logits, classes), &labels, labels.len(), 0);
    let drawn = drawn.map_err(|error| TrainError::Invalid(vec![error.to_string()]))?;
    Ok(fit_temperature(&[&drawn]))
}

/// Accuracy and calibration of logits divided by `temperature`.
///
/// # Errors
/// None is known.
pub fn figures(
    logits: &[Vec<f32>],
    samples: &[Labelled],
    classes: usize,
    temperature: f64,
) -> Result<Figures, TrainError> {
    of_probabilities(&softmax(&planar(logits, classes), classes, temperature), samples, classes)
}

/// Accuracy and calibration of planar probabilities: the images count as the pixels of one frame.
///
/// # Errors
/// None is known.
pub fn of_probabilities(
    probabilities: &[f32],
    samples: &[Labelled],
    classes: usize,
) -> Result<Figures, TrainError> {
    let refused = |error: MetricError| TrainError::Invalid(vec![error.to_string()]);
    let truth: Vec<u8> = samples.iter().map(|own| own.class).collect();
    let predicted = argmax(probabilities, classes);
    let levels: Vec<u16> = probabilities.iter().map(|p| (p * 65535.0).round() as u16).collect();
    let boundary = vec![false; truth.len()];
    let mut sum = Accumulator::new(classes).map_err(refused)?;
    let frame = Frame::new([classes, 1, truth.len()], &levels, &predicted, &truth, &boundary);
    sum.add(&frame.map_err(refused)?).map_err(refused)?;
    let mut found = named(&sum.summary());
    found.retain(|name, _| {
        ["ece", "ece_adaptive", "ece_classwise", "overconfidence", "nll", "brier"].contains(&name.as_str())
    });
    let right = predicted.iter().zip(&truth).filter(|(a, b)| a == b).count();
    found.insert("accuracy".into(), right as f64 / truth.len().max(1) as f64);
    Ok(found)
}

/// Planar probabilities of two classes by the `neighbours` nearest training embeddings, one vote of each
/// class added (Laplace).
#[must_use]
pub fn nearest(
    embeddings: &[Vec<f32>],
    reference: &[Vec<f32>],
    samples: &[Labelled],
    neighbours: usize,
) -> Vec<f32> {
    let one = |embedding: &Vec<f32>| {
        let distance =
            |other: &Vec<f32>| -> f32 { embedding.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum() };
        let mut ranked: Vec<(f32, u8)> =
            reference.iter().zip(samples).map(|(other, own)| (distance(other), own.class)).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        let votes = ranked.iter().take(neighbours).filter(|(_, class)| *class == 1).count();
        (votes as f32 + 1.0) / (neighbours.min(ranked.len()) as f32 + 2.0)
    };
    let positive: Vec<f32> = embeddings.iter().map(one).collect();
    positive.iter().map(|p| 1.0 - p).chain(positive.iter().copied()).collect()
}
