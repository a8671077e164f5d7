//! From a quantized network to a plan: every operator becomes integer steps, or is refused by name.

mod builder;
mod convolution;
mod head;
mod join;
mod pointwise;
mod resample;

pub use builder::{Lowered, TensorId};
pub use head::HeadSpec;

use crate::network::{Network, Node, Op, ValueId};
use crate::onnx::Problem;
use crate::quantize::{Quantization, QuantizedNetwork};
use builder::PlanBuilder;
use std::collections::HashMap;

/// Why a node cannot be lowered: what is wrong, and what to change.
pub(crate) struct Refusal {
    what: String,
    fix: &'static str,
}

pub(crate) type Outcome = Result<(), Refusal>;

pub(crate) fn refuse<T>(what: impl Into<String>, fix: &'static str) -> Result<T, Refusal> {
    Err(Refusal { what: what.into(), fix })
}

/// The state of a lowering: which value lives in which tensor.
pub(crate) struct Lowering<'a> {
    pub(crate) source: &'a QuantizedNetwork,
    pub(crate) builder: PlanBuilder,
    tensors: HashMap<ValueId, TensorId>,
    consumers: Vec<usize>,
    fused: Vec<bool>,
    result_accumulators: Option<ValueId>,
}

/// What becomes of the network's last activation and its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// A final Sigmoid, Softmax or ArgMax is left to the calibration tables, and the last convolution's
    /// sums are kept as accumulators where no file asks for codes.
    #[default]
    Logits,
    /// The network as it is, ending in codes: for comparing single operators with another engine.
    Codes,
}

/// Lowers a network to integer steps.
///
/// # Errors
/// All nodes that cannot be lowered, at once.
pub fn lower(source: &QuantizedNetwork, ending: Ending) -> Result<Lowered, Vec<Problem>> {
    let network = &source.network;
    let head = head::strip(network, ending).map_err(|problem| vec![problem])?;
    let keeps = ending == Ending::Logits && head::keeps_accumulators(source, head.value);
    let mut lowering = Lowering {
        source,
        builder: PlanBuilder::default(),
        tensors: HashMap::new(),
        consumers: consumers(network, head.value),
        fused: vec![false; network.nodes.len()],
        result_accumulators: keeps.then_some(head.value),
    };
    let mut problems = Vec::new();
    for &input in &network.inputs {
        if let Err(refusal) = lowering.input(input) {
            let name = network.values[input].name.clone();
            problems.push(refusal.into_problem(name, "input"));
            lowering.poison(input);
        }
    }
    for index in 0..network.nodes.len() {
        let node = &network.nodes[index];
        if lowering.fused[index] || lowering.consumers[node.output] == 0 {
            continue;
        }
        if let Err(refusal) = lowering.node(index, node) {
            problems.push(refusal.into_problem(node.name.clone(), op_name(&node.op)));
            lowering.poison(node.output);
        }
    }
    if !problems.is_empty() {
        problems.retain(|problem| !problem.what.is_empty());
        return Err(problems);
    }
    let inputs: Vec<TensorId> = network.inputs.iter().map(|id| lowering.tensors[id]).collect();
    let computed = |tensor: &&TensorId| !inputs.contains(tensor);
    let Some(&output) = lowering.tensors.get(&head.value).filter(computed) else {
        let fix = "end the model in a convolution, resize or activation of the image";
        let refusal = Refusal { what: "the output is not computed by any node".into(), fix };
        return Err(vec![refusal.into_problem(network.values[head.value].name.clone(), "output")]);
    };
    Ok(lowering.builder.finish(inputs, output, head))
}

/// The operator's name for messages.
pub fn op_name(op: &Op) -> &'static str {
    match op {
        Op::Conv { .. } => "Conv",
        Op::ConvTranspose { .. } => "ConvTranspose",
        Op::BatchNorm { .. } => "BatchNormalization",
        Op::GroupNorm { .. } => "GroupNormalization",
        Op::Unary(_) => "elementwise function",
        Op::PRelu => "PRelu",
        Op::Binary(_) => "elementwise arithmetic",
        Op::Concat { .. } => "Concat",
        Op::MaxPool { .. } => "MaxPool",
        Op::AveragePool { .. } => "AveragePool",
        Op::Reduce { .. } => "Reduce",
        Op::Resize { .. } => "Resize",
        Op::Pad { .. } => "Pad",
        Op::Softmax { .. } => "Softmax",
        Op::ArgMax { .. } => "ArgMax",
        Op::Reshape => "Reshape",
        Op::Transpose { .. } => "Transpose",
        Op::Slice { .. } => "Slice",
        Op::Gather { .. } => "Gather",
        Op::Expand => "Expand",
        Op::MatMul => "MatMul",
        Op::Quantize { .. } => "QuantizeLinear",
        Op::Dequantize { .. } => "DequantizeLinear",
    }
}

fn consumers(network: &Network, output: ValueId) -> Vec<usize> {
    let mut counts = vec![0; network.values.len()];
    counts[output] += 1;
    for node in network.nodes.iter().rev() {
        if counts[node.output] > 0 {
            for &input in &node.inputs {
                counts[input] += 1;
            }
        }
    }
    counts
}

impl Refusal {
    fn into_problem(self, node: String, op: &str) -> Problem {
        Problem { node, op: op.into(), attribute: None, what: self.what, fix: self.fix.into() }
    }
}

impl Lowering<'_> {
    fn input(&mut self, value: ValueId) -> Outcome {
        let extent = self.extent(value)?;
        let quantization = self.quantization(value)?;
        let tensor = self.builder.tensor(extent, quantization);
        self.tensors.insert(value, tensor);
        Ok(())
    }

    fn node(&mut self, index: usize, node: &Node) -> Outcome {
        match &node.op {
            Op::Conv { .. } => self.convolution(index, node),
            Op::ConvTranspose { .. } => self.transposed(index, node),
            Op::MatMul => self.matrix_product(index, node),
            Op::GroupNorm { groups, epsilon } => self.group_norm(index, node, *groups, *epsilon),
            Op::BatchNorm { .. } | Op::Unary(_) | Op::PRelu => self.pointwise(index, node),
            Op::Binary(_) if self.has_constant(node) => self.pointwise(index, node),
            Op::Binary(function) => self.binary(index, node, *function),
            Op::Concat { axis } => self.concat(node, *axis),
            Op::MaxPool { window, .. } => self.max_pool(node, window),
            Op::AveragePool { window, count_include_pad, .. } => {
                self.average_pool(index, node, window, *count_include_pad)
            }
            Op::Reduce { reduction, axes, .. } => self.reduce(index, node, *reduction, axes),
            Op::Resize { interpolation, coordinates, scales } => {
                self.resize(node, *interpolation, *coordinates, *scales)
            }
            Op::Pad { pads, mode } => self.pad(node, pads, *mode),
            Op::Slice { start, step } => self.slice(node, start, step),
            Op::Expand => self.expand(node),
            Op::Reshape => self.reshape(node),
            Op::Softmax { .. } | Op::ArgMax { .. } => refuse(
                "is supported at the model's end only",
                "remove it from inside the network, or end the export there",
            ),
            Op::Transpose { .. } | Op::Gather { .. } => refuse(
                "moves channels in a way the integer runtime does not support",
                "export the network without it (use Resize or ConvTranspose for upsampling)",
            ),
            Op::Quantize { .. } | Op::Dequantize { .. } => refuse(
                "stands where no quantized pair can be formed",
                "quantize every activation with one QuantizeLinear–DequantizeLinear pair",
            ),
        }
    }

    /// Marks a value whose node was refused, so that its consumers stay silent.
    fn poison(&mut self, value: ValueId) {
        self.tensors.insert(value, TensorId::POISONED);
    }

    /// The tensor of `value`.
    pub(crate) fn tensor(&self, value: ValueId) -> Result<TensorId, Refusal> {
        match self.tensors.get(&value) {
            Some(&TensorId::POISONED) => Err(Refusal { what: String::new(), fix: "" }),
            Some(&tensor) => Ok(tensor),
            None => refuse(
                format!(
                    "input '{}' is a constant or was not computed",
                    self.source.network.values[value].name
                ),
                "feed this operator from the image",
            ),
        }
    }

    /// Binds `value` to `tensor`.
    pub(crate) fn bind(&mut self, value: ValueId, tensor: TensorId) {
        self.tensors.insert(value, tensor);
    }

    /// Height, width and channels of a value of shape [1,C,H,W] or [1,C].
    pub(crate) fn extent(&self, value: ValueId) -> Result<[usize; 3], Refusal> {
        let extents = match self.source.network.values[value].shape[..] {
            [1, c, h, w] => [h, w, c],
            [1, c] => [1, 1, c],
            ref shape => {
                return refuse(
                    format!("shape {shape:?} is not one image [1, channels, height, width]"),
                    "export with batch 1 and two spatial axes",
                );
            }
        };
        let limit = candor_core::plan::EXTENT_LIMIT;
        if extents.iter().any(|&e| e == 0 || e > limit) {
            return refuse(
                format!("extents {extents:?} are outside 1..={limit}"),
                "use a smaller input size",
            );
        }
        Ok(extents)
    }

    /// Scale and zero point of a value that must have them.
    pub(crate) fn quantization(&self, value: ValueId) -> Result<Quantization, Refusal> {
        match self.source.activations[value] {
            Some(q) if q.scale.is_finite() && q.scale > 0.0 => Ok(q),
            Some(q) => refuse(format!("scale {} is not positive and finite", q.scale), "re-export the model"),
            None => refuse(
                format!("its output '{}' has no quantization", self.source.network.values[value].name),
                "quantize every activation, or pack the float model and let it be quantized here",
            ),
        }
    }

    pub(crate) fn has_constant(&self, node: &Node) -> bool {
        node.inputs.iter().any(|&id| self.source.network.values[id].constant.is_some())
    }

    /// The float constant behind input `position` of `node`.
    pub(crate) fn constant(&self, node: &Node, position: usize) -> Result<&[f32], Refusal> {
        let value = node.inputs.get(position).map(|&id| &self.source.network.values[id]);
        match value.and_then(|value| value.constant.as_ref()).and_then(|tensor| tensor.as_f32()) {
            Some(data) => Ok(data),
            None => refuse(
                format!("input {position} is not a constant"),
                "export with weights stored in the file",
            ),
        }
    }

    /// The only node that reads `value`, when the value is not the network's output.
    pub(crate) fn sole_consumer(&self, value: ValueId) -> Option<usize> {
        if self.consumers[value] != 1 {
            return None;
        }
        let nodes = &self.source.network.nodes;
        nodes.iter().position(|node| node.inputs.contains(&value) && self.consumers[node.output] > 0)
    }

    /// True when `value` may be folded into its consumer: it is read once, and no file said how to quantize
    /// it.
    pub(crate) fn foldable(&self, value: ValueId) -> Option<usize> {
        let given = self.source.from_file && self.source.activations[value].is_some();
        if given { None } else { self.sole_consumer(value) }
    }

    pub(crate) fn mark_fused(&mut self, node: usize) {
        self.fused[node] = true;
    }

    pub(crate) fn wants_accumulators(&self, value: ValueId) -> bool {
        self.result_accumulators == Some(value)
    }
}

#[cfg(test)]
mod tests;
