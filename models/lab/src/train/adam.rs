//! Adam (Kingma & Ba 2015) whose moments can be saved, so that a resumed run repeats an unbroken one.

use crate::nets::ops::reading;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use std::collections::{BTreeMap, HashMap};

const DECAY: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// Updates a weight and its moments; `factors` are the rate and the second moment's, both corrected for the
/// step.
#[inline(always)]
fn update([weight, mean, square]: [&mut f32; 3], gradient: f32, factors: [f32; 2]) {
    let [kept, added] = [DECAY, DECAY.map(|decay| 1.0 - decay)].map(|factors| factors.map(|own| own as f32));
    *mean = *mean * kept[0] + gradient * added[0];
    *square = *square * kept[1] + gradient * gradient * added[1];
    *weight -= *mean * factors[0] / ((*square * factors[1]).sqrt() + EPSILON as f32);
}

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
            let tensors = [var.as_tensor(), &gradient.contiguous()?, &mean, &square];
            let [weights, mean, square] = reading(tensors, |[weights, gradient, mean, square]| {
                let factors =
                    [learning_rate / correction[0], 1.0 / correction[1]].map(|factor| factor as f32);
                let mut updated = [weights, mean, square].map(<[f32]>::to_vec);
                let [weights, means, squares] = &mut updated;
                let own = weights.iter_mut().zip(means).zip(squares);
                for (((weight, mean), square), &gradient) in own.zip(gradient) {
                    update([weight, mean, square], gradient, factors);
                }
                updated
            })?;
            let tensor = |values| Tensor::from_vec(values, var.shape(), var.device());
            var.set(&tensor(weights)?)?;
            self.moments.insert(name.clone(), [tensor(mean)?, tensor(square)?]);
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
