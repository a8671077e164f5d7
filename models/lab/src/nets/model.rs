//! A graph with its parameters: seeded start, forward pass, running statistics.

use super::graph::{Graph, Layer, Node};
use super::ops::{
    Groups, Statistics, convolve, convolve_depthwise, double, halve, normalize, rectify, rescale,
};
use crate::metrics::SplitMix64;
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use std::collections::BTreeMap;

/// Epsilon of every norm.
pub const EPSILON: f64 = 1e-5;

/// Share of a batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// A network with weights, f32 on the CPU.
pub struct Model {
    graph: Graph,
    parameters: BTreeMap<String, Var>,
}

impl Model {
    /// He-uniform weights (He et al. 2015): uniform in ±√(6 / fan-in), drawn from `seed` in the order of
    /// their names, the same on every machine. Biases and shifts are 0, scales and running variances 1.
    ///
    /// # Errors
    /// Candle's error; none is known.
    pub fn new(graph: Graph, seed: u64) -> Result<Self> {
        let mut parameters = BTreeMap::new();
        for (name, shape) in graph.parameters() {
            let ones = shape.len() == 1 && (name.ends_with("norm.weight") || name.ends_with("running_var"));
            let start = if ones {
                Tensor::ones(shape, DType::F32, &Device::Cpu)
            } else {
                Tensor::zeros(shape, DType::F32, &Device::Cpu)
            };
            parameters.insert(name, Var::from_tensor(&start?)?);
        }
        let mut random = SplitMix64::new(seed);
        for var in parameters.values().filter(|var| var.rank() == 4) {
            let (outputs, inputs, height, width) = var.dims4()?;
            let bound = (6.0 / (inputs * height * width) as f64).sqrt();
            let count = outputs * inputs * height * width;
            let values: Vec<f32> = (0..count).map(|_| ((2.0 * random.unit() - 1.0) * bound) as f32).collect();
            var.set(&Tensor::from_vec(values, (outputs, inputs, height, width), &Device::Cpu)?)?;
        }
        Ok(Self { graph, parameters })
    }

    /// What is computed.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Weights and running statistics by name.
    #[must_use]
    pub const fn parameters(&self) -> &BTreeMap<String, Var> {
        &self.parameters
    }

    /// The parameter `field` of `node`.
    ///
    /// # Errors
    /// None by that name.
    pub fn parameter(&self, node: &Node, field: &str) -> Result<&Var> {
        let name = format!("{}.{field}", node.name);
        match self.parameters.get(&name) {
            Some(var) => Ok(var),
            None => bail!("no parameter {name}"),
        }
    }

    /// Results of the outputs in order; `training` normalises by the batch and updates running statistics.
    ///
    /// # Errors
    /// An input whose shape does not fit.
    pub fn forward(&self, x: &Tensor, training: bool) -> Result<Vec<Tensor>> {
        let values = self.forward_all(x, training)?;
        Ok(self.graph.outputs.iter().map(|&at| values[at].clone()).collect())
    }

    /// Logits of the last output.
    ///
    /// # Errors
    /// As [`Model::forward`]; a graph without outputs.
    pub fn logits(&self, x: &Tensor, training: bool) -> Result<Tensor> {
        match self.forward(x, training)?.pop() {
            Some(logits) => Ok(logits),
            None => bail!("the graph has no output"),
        }
    }

    /// Results of every node in order.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_all(&self, x: &Tensor, training: bool) -> Result<Vec<Tensor>> {
        let mut values: Vec<Tensor> = Vec::with_capacity(self.graph.nodes.len());
        for node in &self.graph.nodes {
            let value = match node.layer {
                Layer::Input => x.clone(),
                _ => self.compute(node, &values, training)?,
            };
            values.push(value);
        }
        Ok(values)
    }

    pub(super) fn compute(&self, node: &Node, values: &[Tensor], training: bool) -> Result<Tensor> {
        let x = &values[node.inputs[0]];
        match node.layer {
            Layer::Input => Ok(x.clone()),
            Layer::Convolution { stride, bias, .. } => {
                let bias = if bias { Some(self.parameter(node, "bias")?.as_tensor()) } else { None };
                thin(&convolve(x, self.parameter(node, "weight")?, bias)?, stride)
            }
            Layer::Depthwise { stride } => {
                thin(&convolve_depthwise(x, self.parameter(node, "weight")?)?, stride)
            }
            Layer::Norm { groups, relu } => self.norm(node, x, groups, relu, training),
            Layer::Relu => rectify(x),
            Layer::Halve => halve(x),
            Layer::Double => double(x),
            Layer::Concat => {
                let inputs: Vec<&Tensor> = node.inputs.iter().map(|&at| &values[at]).collect();
                Tensor::cat(&inputs, 1)
            }
            Layer::Add => x + &values[node.inputs[1]],
            Layer::GlobalMean => x.mean_keepdim((2, 3)),
        }
    }

    fn norm(&self, node: &Node, x: &Tensor, groups: Groups, relu: bool, training: bool) -> Result<Tensor> {
        let [scale, shift] = [self.parameter(node, "weight")?, self.parameter(node, "bias")?];
        if groups == Groups::Image {
            return normalize(x, [scale, shift], groups, relu, EPSILON, &Statistics::default());
        }
        let [mean, variance] = [self.parameter(node, "running_mean")?, self.parameter(node, "running_var")?];
        if !training {
            let factor = (scale.as_tensor() / (variance.as_tensor() + EPSILON)?.sqrt()?)?;
            let summand = (shift.as_tensor() - (mean.as_tensor() * &factor)?)?;
            return rescale(x, &factor, &summand, relu);
        }
        let statistics = Statistics::default();
        let result = normalize(x, [scale, shift], groups, relu, EPSILON, &statistics)?;
        let found = statistics.lock().map(|found| found.clone()).unwrap_or_default();
        let count = (x.elem_count() / found.len().max(1)) as f64;
        for (own, which, correction) in [(mean, 0, 1.0), (variance, 1, count / (count - 1.0).max(1.0))] {
            let found: Vec<f32> = found.iter().map(|found| found[which]).collect();
            let found = Tensor::from_vec(found, own.shape(), &Device::Cpu)?;
            own.set(&((own.as_tensor() * (1.0 - MOMENTUM))? + (found * (MOMENTUM * correction))?)?)?;
        }
        Ok(result)
    }
}

/// Every second row and column when `stride` is 2.
pub(super) fn thin(x: &Tensor, stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(x.clone());
    }
    let (images, channels, height, width) = x.dims4()?;
    let pairs = x.reshape((images * channels, height / 2, 2, width / 2, 2))?;
    pairs.narrow(2, 0, 1)?.narrow(4, 0, 1)?.contiguous()?.reshape((images, channels, height / 2, width / 2))
}
