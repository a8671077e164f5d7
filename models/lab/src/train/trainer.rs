//! The training loop: phantom batches, one Adam update per step, checkpoints that resume bit for bit.

use super::TrainError;
use super::adam::Adam;
use super::config::TrainConfig;
use super::unet::{UNet, loss};
use candle_core::{DType, Device, Tensor};
use candor_imaging::frame::{Frame, Samples};
use candor_imaging::labels::Labels;
use candor_imaging::phantom::Phantom;
use std::collections::HashMap;
use std::path::Path;

/// Classes of the phantom: background, lung, nodule.
pub const CLASSES: usize = 3;

/// Key of the step counter in a checkpoint.
const STEP: &str = "training.step";

/// A network in training.
pub struct Trainer {
    config: TrainConfig,
    phantom: Phantom,
    network: UNet,
    adam: Adam,
    step: usize,
}

impl Trainer {
    /// A network at step 0.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] for a configuration with problems.
    pub fn new(config: &TrainConfig) -> Result<Self, TrainError> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(TrainError::Invalid(problems));
        }
        let phantom = phantom(config, 0)?;
        let network = UNet::new(&config.network, CLASSES, config.training.seed)?;
        Ok(Self { config: config.clone(), phantom, network, adam: Adam::default(), step: 0 })
    }

    /// Continues from the checkpoint at `path`.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] naming the file when it is unreadable or of another network.
    pub fn resume(config: &TrainConfig, path: &Path) -> Result<Self, TrainError> {
        let refused = |what: String| TrainError::Invalid(vec![format!("{}: {what}", path.display())]);
        let mut trainer = Self::new(config)?;
        let tensors =
            candle_core::safetensors::load(path, &Device::Cpu).map_err(|e| refused(e.to_string()))?;
        for (name, var) in trainer.network.parameters() {
            match tensors.get(name).filter(|own| own.shape() == var.shape()) {
                Some(own) => var.set(own)?,
                None => {
                    let what = format!(
                        "no tensor '{name}' of shape {:?}: the checkpoint is of another network",
                        var.shape()
                    );
                    return Err(refused(format!("{what}; remove it to start anew")));
                }
            }
        }
        let step = tensors.get(STEP).map(|t| t.to_vec1::<u32>()).transpose()?.unwrap_or_default();
        trainer.step = step.first().copied().unwrap_or(0) as usize;
        trainer.adam = Adam::load(&tensors, trainer.network.parameters());
        Ok(trainer)
    }

    /// Writes weights, moments and step, replacing the file at `path` whole.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] naming the file.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let refused = |what: String| TrainError::Invalid(vec![format!("{}: {what}", path.display())]);
        let own = self.network.parameters().iter();
        let mut tensors: HashMap<String, Tensor> =
            own.map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        self.adam.save(&mut tensors);
        tensors.insert(STEP.to_string(), Tensor::new(&[self.step as u32], &Device::Cpu)?);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| refused(error.to_string()))?;
        }
        let partial = path.with_extension("partial");
        candle_core::safetensors::save(&tensors, &partial).map_err(|error| refused(error.to_string()))?;
        std::fs::rename(&partial, path).map_err(|error| refused(error.to_string()))
    }

    /// Updates done.
    pub const fn steps_done(&self) -> usize {
        self.step
    }

    /// The network.
    pub const fn network(&self) -> &UNet {
        &self.network
    }

    /// One update on the next batch; returns its loss.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] when the loss is no longer a number.
    pub fn step(&mut self) -> Result<f32, TrainError> {
        let batch = self.config.training.batch as u64;
        let first = self.step as u64 * batch;
        let frames = render(&self.phantom, first..first + batch);
        let images: Vec<Tensor> = frames.iter().map(|(frame, _)| image(frame)).collect::<Result<_, _>>()?;
        let truths: Vec<Tensor> =
            frames.iter().map(|(_, labels)| one_hot(labels)).collect::<candle_core::Result<_>>()?;
        let logits = self.network.forward(&Tensor::cat(&images, 0)?, true)?;
        let loss = loss(&logits, &Tensor::cat(&truths, 0)?)?;
        let value = loss.to_dtype(DType::F32)?.to_scalar::<f32>()?;
        if !value.is_finite() {
            let what = format!("the loss at step {} is {value}: lower training.learning_rate", self.step);
            return Err(TrainError::Invalid(vec![what]));
        }
        let progress = self.step as f64 / self.config.training.steps as f64;
        let rate = self.config.training.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        self.step += 1;
        self.adam.update(self.network.parameters(), &loss.backward()?, rate, self.step)?;
        Ok(value)
    }
}

/// The phantom of stream `stream`: 0 training, 1 calibration, 2 held out.
pub(super) fn phantom(config: &TrainConfig, stream: u64) -> Result<Phantom, TrainError> {
    Phantom::new(config.phantom(), config.frames.seed.wrapping_add(stream))
        .map_err(|error| TrainError::Invalid(error.problems().to_vec()))
}

/// Frames and truths of `indices`, rendered on one thread each.
pub(super) fn render(phantom: &Phantom, indices: std::ops::Range<u64>) -> Vec<(Frame, Labels)> {
    let draw = |index| {
        let (frame, labels, _) = phantom.frame(index);
        (frame, labels)
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = indices.map(|index| (index, scope.spawn(move || draw(index)))).collect();
        handles.into_iter().map(|(index, handle)| handle.join().unwrap_or_else(|_| draw(index))).collect()
    })
}

/// A frame as the network's input `[1,1,H,W]`: 0..1 of full scale, as the package's preprocessing gives it.
///
/// # Errors
/// [`TrainError::Invalid`] for a frame that is not gray of 8 bits.
pub fn image(frame: &Frame) -> Result<Tensor, TrainError> {
    let Samples::U8(samples) = frame.samples() else {
        return Err(TrainError::Invalid(vec![format!("{}: not of 8 bits", frame.source().name)]));
    };
    let values: Vec<f32> = samples.iter().map(|&sample| f32::from(sample) / 255.0).collect();
    Ok(Tensor::from_vec(values, (1, 1, frame.height(), frame.width()), &Device::Cpu)?)
}

fn one_hot(labels: &Labels) -> candle_core::Result<Tensor> {
    let pixels = labels.values().len();
    let mut planes = vec![0.0f32; CLASSES * pixels];
    for (at, &class) in labels.values().iter().enumerate() {
        planes[usize::from(class).min(CLASSES - 1) * pixels + at] = 1.0;
    }
    Tensor::from_vec(planes, (1, CLASSES, labels.height(), labels.width()), &Device::Cpu)
}
