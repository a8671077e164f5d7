//! A model in training: Adam updates, an average of its weights, checkpoints that resume bit for bit.

use super::TrainError;
use super::adam::Adam;
use crate::nets::Model;
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Key of the step counter in a checkpoint.
const STEP: &str = "training.step";
/// What the names of averaged weights start with in a checkpoint.
const AVERAGE: &str = "average.";

/// A model, the state of its optimiser, and the moving average of its weights if one is kept.
pub struct Learner {
    model: Model,
    adam: Adam,
    /// Share that stays of the average at each step; 0 keeps none.
    decay: f64,
    average: BTreeMap<String, Tensor>,
    step: usize,
}

impl Learner {
    /// A model at step 0; `decay` 0..1 of the exponential moving average of its weights, 0 for none.
    #[must_use]
    pub fn new(model: Model, decay: f64) -> Self {
        Self { model, adam: Adam::default(), decay, average: BTreeMap::new(), step: 0 }
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The model, its training over.
    #[must_use]
    pub fn into_model(self) -> Model {
        self.model
    }

    /// Updates done.
    #[must_use]
    pub const fn steps_done(&self) -> usize {
        self.step
    }

    /// One update that lowers `loss`, of all weights or of those whose name `trained` takes; returns its
    /// value.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] when the loss is no longer a number.
    pub fn update(
        &mut self,
        loss: &Tensor,
        rate: f64,
        trained: impl Fn(&str) -> bool,
    ) -> Result<f32, TrainError> {
        let value = loss.to_dtype(DType::F32)?.to_scalar::<f32>()?;
        if !value.is_finite() {
            let what = format!("the loss at step {} is {value}: lower training.learning_rate", self.step);
            return Err(TrainError::Invalid(vec![what]));
        }
        self.step += 1;
        self.adam.update(self.model.parameters(), &loss.backward()?, rate, self.step, trained)?;
        if self.decay > 0.0 {
            for (name, var) in self.model.parameters() {
                let own = var.as_tensor();
                let averaged = match self.average.get(name) {
                    Some(average) => ((average * self.decay)? + (own * (1.0 - self.decay))?)?.detach(),
                    None => own.copy()?,
                };
                self.average.insert(name.clone(), averaged);
            }
        }
        Ok(value)
    }

    /// Puts the averaged weights in place of the last ones, where an average is kept.
    ///
    /// # Errors
    /// Candle's error; none is known.
    pub fn take_average(&self) -> Result<(), TrainError> {
        for (name, average) in &self.average {
            if let Some(var) = self.model.parameters().get(name) {
                var.set(average)?;
            }
        }
        Ok(())
    }

    /// A copy of all weights, for [`Learner::restore`].
    ///
    /// # Errors
    /// Candle's error; none is known.
    pub fn weights(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        let copies =
            self.model.parameters().iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().copy()?)));
        copies.collect()
    }

    /// Weights copied before.
    ///
    /// # Errors
    /// Weights of another model.
    pub fn restore(&self, weights: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        for (name, var) in self.model.parameters() {
            if let Some(own) = weights.get(name) {
                var.set(own)?;
            }
        }
        Ok(())
    }

    /// Weights, moments, average and step as named tensors.
    #[must_use]
    pub fn tensors(&self) -> HashMap<String, Tensor> {
        let own = self.model.parameters().iter();
        let mut tensors: HashMap<String, Tensor> =
            own.map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        self.adam.save(&mut tensors);
        tensors.extend(self.average.iter().map(|(name, own)| (format!("{AVERAGE}{name}"), own.clone())));
        if let Ok(step) = Tensor::new(&[self.step as u32], &Device::Cpu) {
            tensors.insert(STEP.to_string(), step);
        }
        tensors
    }

    /// Continues from tensors of [`Learner::tensors`].
    ///
    /// # Errors
    /// A line naming a tensor that is missing or of another shape.
    pub fn resume(&mut self, tensors: &HashMap<String, Tensor>) -> Result<(), TrainError> {
        for (name, var) in self.model.parameters() {
            match tensors.get(name).filter(|own| own.shape() == var.shape()) {
                Some(own) => var.set(own)?,
                None => {
                    let what = format!(
                        "no tensor '{name}' of shape {:?}: the checkpoint is of another network",
                        var.shape()
                    );
                    return Err(TrainError::Invalid(vec![format!("{what}; remove it to start anew")]));
                }
            }
        }
        let step = tensors.get(STEP).map(|t| t.to_vec1::<u32>()).transpose()?.unwrap_or_default();
        self.step = step.first().copied().unwrap_or(0) as usize;
        self.adam = Adam::load(tensors, self.model.parameters());
        let own = tensors
            .iter()
            .filter_map(|(name, own)| Some((name.strip_prefix(AVERAGE)?.to_string(), own.clone())));
        self.average = own.collect();
        Ok(())
    }
}

/// Writes tensors, replacing the file at `path` whole.
///
/// # Errors
/// [`TrainError::Invalid`] naming the file.
pub fn write(tensors: &HashMap<String, Tensor>, path: &Path) -> Result<(), TrainError> {
    let refused = |what: String| TrainError::Invalid(vec![format!("{}: {what}", path.display())]);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| refused(error.to_string()))?;
    }
    let partial = path.with_extension("partial");
    candle_core::safetensors::save(tensors, &partial).map_err(|error| refused(error.to_string()))?;
    std::fs::rename(&partial, path).map_err(|error| refused(error.to_string()))
}
