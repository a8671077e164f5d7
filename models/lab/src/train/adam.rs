//! Adam (Kingma & Ba 2015) whose moments can be saved, so that a resumed run repeats an unbroken one.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use std::collections::{BTreeMap, HashMap};

const DECAY: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// First and second moments of every parameter that had a gradient.
#[derive(Default)]
pub(super) struct Adam {
    moments: BTreeMap<String, [Tensor; 2]>,
}

impl Adam {
    /// Update number `step` (from 1) of the `parameters` whose name `trained` takes.
    pub(super) fn update(
        &mut self,
        parameters: &BTreeMap<String, Var>,
        gradients: &GradStore,
        learning_rate: f64,
        step: usize,
        trained: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let correction = DECAY.map(|decay| 1.0 - decay.powi(step.min(1 << 20) as i32));
        for (name, var) in parameters.iter().filter(|(name, _)| trained(name)) {
            let Some(gradient) = gradients.get(var) else { continue };
            let gradient = gradient.detach();
            let [mean, square] = match self.moments.remove(name) {
                Some(moments) => moments,
                None => [gradient.zeros_like()?, gradient.zeros_like()?],
            };
            let mean = ((mean * DECAY[0])? + (&gradient * (1.0 - DECAY[0]))?)?;
            let square = ((square * DECAY[1])? + (gradient.sqr()? * (1.0 - DECAY[1]))?)?;
            let root = ((&square / correction[1])?.sqrt()? + EPSILON)?;
            let change = ((&mean * (learning_rate / correction[0]))? / root)?;
            var.set(&(var.as_tensor() - change)?)?;
            self.moments.insert(name.clone(), [mean.detach(), square.detach()]);
        }
        Ok(())
    }

    /// Adds the moments to a checkpoint.
    pub(super) fn save(&self, tensors: &mut HashMap<String, Tensor>) {
        for (name, [mean, square]) in &self.moments {
            tensors.insert(format!("adam.mean.{name}"), mean.clone());
            tensors.insert(format!("adam.square.{name}"), square.clone());
        }
    }

    /// Takes the moments out of a checkpoint.
    pub(super) fn load(tensors: &HashMap<String, Tensor>, parameters: &BTreeMap<String, Var>) -> Self {
        let moments = parameters.iter().filter_map(|(name, var)| {
            let of = |kind: &str| {
                let tensor = tensors.get(&format!("adam.{kind}.{name}"))?;
                (tensor.shape() == var.shape()).then(|| tensor.clone())
            };
            Some((name.clone(), [of("mean")?, of("square")?]))
        });
        Self { moments: moments.collect() }
    }
}
