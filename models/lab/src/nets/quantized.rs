//! Forward passes that see the rounding of int8 inference, for training that gets used to it.
//!
//! Weights are rounded per output channel, batch norms folded into them as packing folds them, and
//! activations to the codes of fixed ranges; gradients pass the rounding as if it were not there, and stop
//! where a value saturates (Jacob et al. 2018; the straight-through estimator of Bengio et al. 2013).

use super::graph::{Layer, Node};
use super::model::{EPSILON, Model, thin};
use super::ops::{Groups, convolve, convolve_depthwise, rectify};
use crate::quantize::Quantization;
use candle_core::{Result, Tensor};

/// Greatest code of a weight.
const WEIGHT_CODES: f64 = 127.0;

/// Least and greatest value of every node, over the images that were observed.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranges(Vec<[f32; 2]>);

impl Ranges {
    /// Over `batches` of images, by the model as it is applied.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn observe(model: &Model, batches: &[Tensor]) -> Result<Self> {
        let mut ranges = vec![[0f32; 2]; model.graph().nodes.len()];
        for batch in batches {
            for (range, value) in ranges.iter_mut().zip(model.forward_all(batch, false)?) {
                let value = value.flatten_all()?;
                let ends = [value.min(0)?.to_scalar::<f32>()?, value.max(0)?.to_scalar::<f32>()?];
                *range = [range[0].min(ends[0]), range[1].max(ends[1])];
            }
        }
        Ok(Self(ranges))
    }

    /// Ends of all ranges, `[nodes][2]`, for a checkpoint.
    #[must_use]
    pub fn values(&self) -> &[[f32; 2]] {
        &self.0
    }

    /// From [`Ranges::values`].
    #[must_use]
    pub const fn from_values(values: Vec<[f32; 2]>) -> Self {
        Self(values)
    }
}

impl Model {
    /// Results of the outputs in order, as int8 inference with activations in `ranges` gives them, but for
    /// the rounding of biases; running statistics are used and left alone.
    ///
    /// # Errors
    /// As [`Model::forward`]; ranges of another graph.
    pub fn forward_quantized(&self, x: &Tensor, ranges: &Ranges) -> Result<Vec<Tensor>> {
        let nodes = &self.graph().nodes;
        let mut values: Vec<Tensor> = Vec::with_capacity(nodes.len());
        let mut results: Vec<(usize, Tensor)> = Vec::with_capacity(self.graph().outputs.len());
        for (at, node) in nodes.iter().enumerate() {
            let value = match node.layer {
                Layer::Input => x.clone(),
                // Its rounding is that of the norm's or the ReLU's result.
                Layer::Convolution { .. } | Layer::Depthwise { .. } if self.is_fused(at) => {
                    values[node.inputs[0]].clone()
                }
                Layer::Convolution { .. } | Layer::Depthwise { .. } => {
                    self.convolve_rounded(node, &values, None)?
                }
                Layer::Norm { groups: Groups::Batch, relu } => self.folded(node, &values, relu)?,
                Layer::Relu if self.is_fused(node.inputs[0]) => {
                    rectify(&self.convolve_rounded(&nodes[node.inputs[0]], &values, None)?)?
                }
                _ => self.compute(node, &values, false)?,
            };
            // Logits are kept as they are, but rounded where another layer reads them.
            if self.graph().outputs.contains(&at) {
                results.push((at, value.clone()));
            }
            // A maximum or a copy of codes is a code.
            let keeps_codes = matches!(node.layer, Layer::Halve | Layer::Double) || self.is_fused(at);
            values.push(match ranges.0.get(at) {
                Some(&range) if !keeps_codes => rounded(&value, range)?,
                _ => value,
            });
        }
        let own = |at: &usize| results.iter().find(|(other, _)| other == at).map(|(_, value)| value.clone());
        Ok(self.graph().outputs.iter().filter_map(own).collect())
    }

    /// Whether node `at` is a convolution that becomes one integer operator with the batch norm or the ReLU
    /// that alone reads it.
    fn is_fused(&self, at: usize) -> bool {
        let nodes = &self.graph().nodes;
        if !matches!(nodes[at].layer, Layer::Convolution { .. } | Layer::Depthwise { .. }) {
            return false;
        }
        let mut readers = nodes.iter().filter(|node| node.inputs.contains(&at));
        let first = readers.next().map(|node| node.layer);
        let folds = matches!(first, Some(Layer::Norm { groups: Groups::Batch, .. } | Layer::Relu));
        folds && readers.next().is_none()
    }

    /// A batch norm folded into the convolution before it.
    fn folded(&self, node: &Node, values: &[Tensor], relu: bool) -> Result<Tensor> {
        let [scale, shift] = [self.parameter(node, "weight")?, self.parameter(node, "bias")?];
        let [mean, variance] = [self.parameter(node, "running_mean")?, self.parameter(node, "running_var")?];
        let factor = (scale.as_tensor() / (variance.as_tensor() + EPSILON)?.sqrt()?)?;
        let summand = (shift.as_tensor() - (mean.as_tensor() * &factor)?)?;
        let convolution = &self.graph().nodes[node.inputs[0]];
        let value = self.convolve_rounded(convolution, values, Some(&factor))?;
        let value = value.broadcast_add(&summand.reshape((1, node.channels, 1, 1))?)?;
        if relu { rectify(&value) } else { Ok(value) }
    }

    /// A convolution with rounded weights, each output channel's multiplied by its `factor` before.
    fn convolve_rounded(&self, node: &Node, values: &[Tensor], factor: Option<&Tensor>) -> Result<Tensor> {
        let mut weight = self.parameter(node, "weight")?.as_tensor().clone();
        if let Some(factor) = factor {
            weight = weight.broadcast_mul(&factor.reshape((node.channels, 1, 1, 1))?)?;
        }
        let weight = rounded_weights(&weight)?;
        let x = &values[node.inputs[0]];
        match node.layer {
            Layer::Depthwise { stride } => thin(&convolve_depthwise(x, &weight)?, stride),
            Layer::Convolution { stride, bias, .. } => {
                let bias = if bias { Some(self.parameter(node, "bias")?.as_tensor()) } else { None };
                thin(&convolve(x, &weight, bias)?, stride)
            }
            _ => Ok(x.clone()),
        }
    }
}

/// `[O,…]` weights at the codes −127..=127 of their output channel's scale.
fn rounded_weights(weight: &Tensor) -> Result<Tensor> {
    let own = weight.detach();
    let greatest = own.abs()?.flatten_from(1)?.max_keepdim(1)?;
    let scale = (greatest / WEIGHT_CODES)?.maximum(1e-30)?.reshape((own.dim(0)?, 1, 1, 1))?;
    let codes = own.broadcast_div(&scale)?.round()?;
    let error = (codes.broadcast_mul(&scale)? - &own)?;
    weight + error.detach()
}

/// Values at the codes of a range; the gradient is zero beyond its ends.
fn rounded(value: &Tensor, [low, high]: [f32; 2]) -> Result<Tensor> {
    let quantization = Quantization::covering(low, high);
    let (step, zero) = (f64::from(quantization.scale), f64::from(quantization.zero_point));
    let inside = value.clamp((-zero * step) as f32, ((255.0 - zero) * step) as f32)?;
    let own = inside.detach();
    let error = (((&own / step)?.round()? * step)? - &own)?;
    inside + error.detach()
}
