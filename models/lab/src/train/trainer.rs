//! The training loop: augmented batches of a source, a loss, a schedule, early stopping, checkpoints.

use super::TrainError;
use super::config::{NetworkConfig, NetworkKind, TrainConfig};
use super::learner::{Learner, write};
use super::source::{Source, draw, tensors};
use crate::nets::{Graph, MobileShape, Model, Ranges, UnetShape, mobile_unet, unet, wnet};
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Key of the early-stopping state in a checkpoint: the best loss and the checks since.
const BEST: &str = "training.best";
/// What the names of the best weights start with in a checkpoint.
const BEST_WEIGHTS: &str = "best.";
/// Key of the ranges of activations in a checkpoint.
const RANGES: &str = "training.ranges";
/// Batches over which they are found.
const RANGE_BATCHES: u64 = 16;

/// A network in training.
pub struct Trainer {
    config: TrainConfig,
    classes: usize,
    learner: Learner,
    /// Lowest validation loss, its weights, checks since.
    best: Option<(f32, BTreeMap<String, Tensor>, usize)>,
    /// Ranges of activations, once the rounding of int8 inference is simulated.
    ranges: Option<Ranges>,
}

/// The graph of `network` for images of `inputs` channels.
#[must_use]
pub fn graph(network: &NetworkConfig, inputs: usize, classes: usize) -> Graph {
    let &NetworkConfig { kind, depth, channels, norm } = network;
    match kind {
        NetworkKind::Unet => unet(UnetShape { inputs, classes, depth, channels, norm }),
        NetworkKind::Wnet => wnet(UnetShape { inputs, classes, depth, channels, norm }),
        NetworkKind::Mobile => mobile_unet(MobileShape { inputs, classes, depth, channels }),
    }
}

impl Trainer {
    /// A network at step 0 for images of `inputs` channels.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] for a configuration with problems.
    pub fn new(config: &TrainConfig, inputs: usize) -> Result<Self, TrainError> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(TrainError::Invalid(problems));
        }
        let classes = config.classes().len();
        let model = Model::new(graph(&config.network, inputs, classes), config.training.seed)?;
        let learner = Learner::new(model, config.training.average);
        Ok(Self { config: config.clone(), classes, learner, best: None, ranges: None })
    }

    /// Continues from the checkpoint at `path`.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] naming the file when it is unreadable or of another network.
    pub fn resume(config: &TrainConfig, inputs: usize, path: &Path) -> Result<Self, TrainError> {
        let refused = |what: String| TrainError::Invalid(vec![format!("{}: {what}", path.display())]);
        let mut trainer = Self::new(config, inputs)?;
        let tensors =
            candle_core::safetensors::load(path, &Device::Cpu).map_err(|e| refused(e.to_string()))?;
        trainer.learner.resume(&tensors).map_err(|error| refused(error.to_string()))?;
        if let Some(best) = tensors.get(BEST).map(|own| own.to_vec1::<f32>()).transpose()? {
            let own = tensors.iter();
            let weights = own
                .filter_map(|(name, own)| Some((name.strip_prefix(BEST_WEIGHTS)?.to_string(), own.clone())));
            if let [loss, checks] = best[..] {
                trainer.best = Some((loss, weights.collect(), checks as usize));
            }
        }
        if let Some(ranges) = tensors.get(RANGES) {
            let values = ranges.to_vec2::<f32>()?;
            let ends = values.iter().map(|ends| [ends[0], ends[1]]).collect();
            trainer.ranges = Some(Ranges::from_values(ends));
        }
        Ok(trainer)
    }

    /// Writes everything that training needs to go on, replacing the file at `path` whole.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] naming the file.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let mut tensors = self.learner.tensors();
        if let Some((loss, weights, checks)) = &self.best {
            tensors.insert(BEST.to_string(), Tensor::new(&[*loss, *checks as f32], &Device::Cpu)?);
            tensors.extend(weights.iter().map(|(name, own)| (format!("{BEST_WEIGHTS}{name}"), own.clone())));
        }
        if let Some(ranges) = &self.ranges {
            let values = ranges.values();
            let flat = values.as_flattened().to_vec();
            tensors.insert(RANGES.to_string(), Tensor::from_vec(flat, (values.len(), 2), &Device::Cpu)?);
        }
        write(&tensors, path)
    }

    /// Updates done.
    #[must_use]
    pub const fn steps_done(&self) -> usize {
        self.learner.steps_done()
    }

    /// Whether all steps are done or the validation loss has stopped falling.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let patience = self.config.training.patience;
        let stale = self.best.as_ref().is_some_and(|(_, _, checks)| patience > 0 && *checks >= patience);
        self.steps_done() >= self.config.training.steps || stale
    }

    /// The network.
    #[must_use]
    pub const fn model(&self) -> &Model {
        self.learner.model()
    }

    /// One update on the next batch of `source`; returns its loss.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] when the loss is no longer a number or a sample cannot be made.
    pub fn step(&mut self, source: &dyn Source) -> Result<f32, TrainError> {
        let training = &self.config.training;
        let (batch, step) = (training.batch as u64, self.steps_done());
        let first = step as u64 * batch;
        let (shape, augmentation) = (source.shape(), self.config.augmentation);
        let samples = draw(source, first..first + batch)?;
        let seeds = (first..).map(|index| training.seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ index);
        let pairs: Vec<_> = samples.into_iter().zip(seeds).collect();
        let samples: Vec<_> =
            pairs.into_par_iter().map(|(sample, seed)| augmentation.apply(sample, shape, seed)).collect();
        if step + training.quantized_steps >= training.steps && self.ranges.is_none() {
            self.ranges = Some(self.observe(source)?);
            // What was best without rounding is not with it.
            self.best = None;
        }
        let training = &self.config.training;
        let loss = self.loss(&samples, shape, true)?;
        let rate = training.learning_rate * training.schedule.factor(step, training.steps, training.warm_up);
        self.learner.update(&loss, rate, |_| true)
    }

    /// Ranges of all activations over the first batches of `source`, without augmentation.
    fn observe(&self, source: &dyn Source) -> Result<Ranges, TrainError> {
        let batch = self.config.training.batch as u64;
        let mut batches = Vec::new();
        for first in (0..RANGE_BATCHES).map(|index| index * batch) {
            let samples = draw(source, first..first + batch)?;
            let [images, _] = tensors(&samples, source.shape(), self.classes)?;
            batches.push(images);
        }
        Ok(Ranges::observe(self.learner.model(), &batches)?)
    }

    /// The mean of the losses of all outputs on `samples`.
    fn loss(
        &self,
        samples: &[super::Sample],
        shape: [usize; 3],
        training: bool,
    ) -> Result<Tensor, TrainError> {
        let [images, truth] = tensors(samples, shape, self.classes)?;
        let model = self.learner.model();
        let outputs = match &self.ranges {
            Some(ranges) => model.forward_quantized(&images, ranges)?,
            None => model.forward(&images, training)?,
        };
        let count = outputs.len() as f64;
        let mut sum = Tensor::new(0f32, &Device::Cpu)?;
        for output in outputs {
            sum = (sum + (self.config.loss.of(&output, &truth)? / count)?)?;
        }
        Ok(sum)
    }

    /// Measures the loss on `samples` of `shape` when a check is due, and remembers the best weights.
    ///
    /// # Errors
    /// Candle's error; none is known.
    pub fn check(&mut self, samples: &[super::Sample], shape: [usize; 3]) -> Result<Option<f32>, TrainError> {
        let training = &self.config.training;
        if training.patience == 0 || !self.steps_done().is_multiple_of(training.check_every) {
            return Ok(None);
        }
        let mut sum = 0.0;
        for samples in samples.chunks(training.batch) {
            let loss = self.loss(samples, shape, false)?.to_dtype(DType::F32)?.to_scalar::<f32>()?;
            sum += loss * samples.len() as f32;
        }
        let loss = sum / samples.len().max(1) as f32;
        match &mut self.best {
            Some((best, _, checks)) if loss >= *best => *checks += 1,
            _ => self.best = Some((loss, self.learner.weights()?, 0)),
        }
        Ok(Some(loss))
    }

    /// Takes the averaged or the best weights where the configuration keeps them.
    ///
    /// # Errors
    /// Candle's error; none is known.
    pub fn finish(&self) -> Result<(), TrainError> {
        match &self.best {
            Some((_, weights, _)) => self.learner.restore(weights),
            None => self.learner.take_average(),
        }
    }
}
