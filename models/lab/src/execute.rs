//! Runs a typed network in f32: the range collector, the float baseline and the subject of ONNX
//! conformance.
//!
//! Semantics are those of the ONNX operator specification for the operators of [`crate::network::Op`].
//! Convolutions and matrix products sum in an order that depends on the processor, so floats may differ in
//! the last bits between machines; nothing a device runs goes through here.

mod convolution;
mod elementwise;
mod layout;
mod matrix;
mod normalize;
mod parallel;
mod pooling;
mod quantize;
mod reduce;
mod resize;
mod shape;
#[cfg(test)]
mod tests;
mod transpose_convolution;
mod window;

use std::borrow::Cow;
use std::fmt;

pub use elementwise::unary_value;

use crate::network::{Network, Node, Op, Tensor, ValueId};

/// Why a network could not be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecuteError {
    /// The network contradicts itself, or the tensors handed in do not fit it: every disagreement found.
    Inconsistent(Vec<String>),
    /// One operator cannot be computed.
    Node {
        /// Name of the node.
        node: String,
        /// The operator with its attributes.
        operator: String,
        /// Shapes of the operands, in order.
        shapes: Vec<Vec<usize>>,
        /// What is wrong.
        problem: String,
    },
}

impl fmt::Display for ExecuteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inconsistent(problems) => write!(f, "the network cannot be run: {}", problems.join("; ")),
            Self::Node { node, operator, shapes, problem } => {
                write!(f, "node \"{node}\" ({operator}) on {shapes:?}: {problem}")
            }
        }
    }
}

impl std::error::Error for ExecuteError {}

/// Runs `network` on `inputs` (one per graph input, in order) and returns the graph outputs in order.
///
/// `observer` sees every graph input and then every node output, in execution order. A value is freed after
/// its last consumer.
///
/// # Errors
/// [`ExecuteError::Inconsistent`] lists everything wrong with the inputs and with the network as a graph;
/// [`ExecuteError::Node`] names the first operator that does not fit its operands.
pub fn run(
    network: &Network,
    inputs: &[Tensor],
    observer: &mut dyn FnMut(ValueId, &Tensor),
) -> Result<Vec<Tensor>, ExecuteError> {
    let problems = problems(network, inputs);
    if !problems.is_empty() {
        return Err(ExecuteError::Inconsistent(problems));
    }
    let mut store: Vec<Option<Cow<'_, Tensor>>> =
        network.values.iter().map(|value| value.constant.as_ref().map(Cow::Borrowed)).collect();
    for (&id, tensor) in network.inputs.iter().zip(inputs) {
        observer(id, tensor);
        store[id] = Some(Cow::Borrowed(tensor));
    }
    let last_use = last_use(network);
    for (index, node) in network.nodes.iter().enumerate() {
        let output = apply(network, node, &mut store, |id| last_use[id] == index)?;
        for &id in &node.inputs {
            if last_use[id] == index {
                store[id] = None;
            }
        }
        observer(node.output, &output);
        // An output nobody reads is not kept.
        store[node.output] = (last_use[node.output] > index).then_some(Cow::Owned(output));
    }
    let outputs = network.outputs.iter().map(|&id| match &store[id] {
        Some(tensor) => Ok(tensor.clone().into_owned()),
        None => Err(ExecuteError::Inconsistent(vec![format!("output {id} was never computed")])),
    });
    outputs.collect()
}

/// For every value the index of the last node that reads it; graph outputs are read after all nodes.
fn last_use(network: &Network) -> Vec<usize> {
    let mut last = vec![0; network.values.len()];
    for (index, node) in network.nodes.iter().enumerate() {
        for &id in &node.inputs {
            last[id] = index;
        }
    }
    for &id in &network.outputs {
        last[id] = usize::MAX;
    }
    last
}

/// Everything that makes the network unfit to run before any arithmetic: after this, every id is in range,
/// every operand is computed before it is read, and every shape's volume is bounded.
fn problems(network: &Network, inputs: &[Tensor]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut known = vec![false; network.values.len()];
    for (id, value) in network.values.iter().enumerate() {
        let name = &value.name;
        if let Err(problem) = layout::volume(&value.shape) {
            problems.push(format!("value \"{name}\": {problem}"));
        }
        if let Some(constant) = &value.constant {
            known[id] = true;
            problems.extend(unlike(&value.shape, constant).map(|p| format!("constant \"{name}\": {p}")));
        }
    }
    if inputs.len() != network.inputs.len() {
        problems.push(format!("{} inputs given, the network has {}", inputs.len(), network.inputs.len()));
    }
    for (&id, tensor) in network.inputs.iter().zip(inputs) {
        match network.values.get(id) {
            None => problems.push(format!("input {id} is not a value of the network")),
            Some(value) => {
                known[id] = true;
                problems
                    .extend(unlike(&value.shape, tensor).map(|p| format!("input \"{}\": {p}", value.name)));
            }
        }
    }
    for node in &network.nodes {
        let missing = node.inputs.iter().filter(|&&id| known.get(id) != Some(&true));
        problems
            .extend(missing.map(|id| format!("node \"{}\" reads value {id}, not computed yet", node.name)));
        match known.get_mut(node.output) {
            Some(known) => *known = true,
            None => {
                problems.push(format!("node \"{}\" writes value {}, which is absent", node.name, node.output))
            }
        }
    }
    let missing = network.outputs.iter().filter(|&&id| known.get(id) != Some(&true));
    problems.extend(missing.map(|id| format!("output {id} is never computed")));
    problems
}

/// How `tensor` contradicts the shape declared for it.
fn unlike(declared: &[usize], tensor: &Tensor) -> Option<String> {
    if tensor.shape != declared {
        return Some(format!("has shape {:?}, declared as {declared:?}", tensor.shape));
    }
    let elements = layout::data_len(&tensor.data);
    (layout::volume(declared) != Ok(elements))
        .then(|| format!("has {elements} elements in shape {declared:?}"))
}

/// Computes one node. The first operand is moved out of the store when this is its last use, so that
/// elementwise operators can work in place.
fn apply(
    network: &Network,
    node: &Node,
    store: &mut [Option<Cow<'_, Tensor>>],
    is_last_use: impl Fn(ValueId) -> bool,
) -> Result<Tensor, ExecuteError> {
    let fail = |shapes: Vec<Vec<usize>>, problem: String| ExecuteError::Node {
        node: node.name.clone(),
        operator: format!("{:?}", node.op),
        shapes,
        problem,
    };
    let Some((&id, others)) = node.inputs.split_first() else {
        return Err(fail(vec![], "has no operand".into()));
    };
    let moved = if is_last_use(id) && !others.contains(&id) { store[id].take() } else { None };
    let rest: Option<Vec<&Tensor>> = others.iter().map(|&id| store[id].as_deref()).collect();
    let (Some(first), Some(rest)) = (moved.or_else(|| store[id].as_deref().map(Cow::Borrowed)), rest) else {
        return Err(fail(vec![], "an operand was freed before its last use".into()));
    };
    let shapes = || std::iter::once(&*first).chain(rest.iter().copied()).map(|t| t.shape.clone()).collect();
    let shapes: Vec<Vec<usize>> = shapes();
    let declared = &network.values[node.output].shape;
    dispatch(&node.op, first, &rest, declared).map_err(|problem| fail(shapes, problem))
}

/// Calls the kernel of `op`; the result has the shape `declared` or the kernel refuses.
fn dispatch(op: &Op, x: Cow<'_, Tensor>, rest: &[&Tensor], declared: &[usize]) -> Result<Tensor, String> {
    let operand = |index: usize, role: &str| {
        rest.get(index - 1).copied().ok_or_else(|| format!("operand {index} ({role}) is missing"))
    };
    match op {
        Op::Conv { window, groups } => {
            convolution::conv(&x, operand(1, "weight")?, rest.get(1).copied(), window, *groups, declared)
        }
        Op::ConvTranspose { window, output_padding, groups } => {
            let weight = operand(1, "weight")?;
            let bias = rest.get(1).copied();
            transpose_convolution::conv_transpose(
                &x,
                weight,
                bias,
                window,
                *output_padding,
                *groups,
                declared,
            )
        }
        Op::BatchNorm { epsilon } => {
            let [scale, bias] = [operand(1, "scale")?, operand(2, "bias")?];
            let [mean, variance] = [operand(3, "mean")?, operand(4, "variance")?];
            normalize::batch_norm(x, [scale, bias, mean, variance], *epsilon, declared)
        }
        Op::GroupNorm { groups, epsilon } => {
            normalize::group_norm(x, operand(1, "scale")?, operand(2, "bias")?, *groups, *epsilon, declared)
        }
        Op::Unary(function) => elementwise::unary(*function, x, declared),
        Op::PRelu => elementwise::prelu(x, operand(1, "slope")?, declared),
        Op::Binary(function) => elementwise::binary(*function, x, operand(1, "b")?, declared),
        Op::Concat { axis } => {
            let parts: Vec<&Tensor> = std::iter::once(&*x).chain(rest.iter().copied()).collect();
            shape::concat(&parts, *axis, declared)
        }
        Op::MaxPool { window, ceil } => pooling::max_pool(&x, window, *ceil, declared),
        Op::AveragePool { window, ceil, count_include_pad } => {
            pooling::average_pool(&x, window, *ceil, *count_include_pad, declared)
        }
        Op::Reduce { reduction, axes, keepdims } => reduce::reduce(&x, *reduction, axes, *keepdims, declared),
        Op::Resize { interpolation, coordinates, scales } => {
            resize::resize(&x, *interpolation, *coordinates, *scales, declared)
        }
        Op::Pad { pads, mode } => shape::pad(&x, pads, *mode, declared),
        Op::Softmax { axis, log } => reduce::softmax(x, *axis, *log, declared),
        Op::ArgMax { axis, keepdims, last } => reduce::argmax(&x, *axis, *keepdims, *last, declared),
        Op::Reshape => shape::reshape(x, declared),
        Op::Transpose { permutation } => shape::transpose(&x, permutation, declared),
        Op::Slice { start, step } => shape::slice(&x, start, step, declared),
        Op::Gather { axis } => shape::gather(&x, operand(1, "indices")?, *axis, declared),
        Op::Expand => shape::expand(&x, declared),
        Op::MatMul => matrix::matmul(&x, operand(1, "b")?, declared),
        Op::Quantize { axis } => {
            quantize::quantize(&x, operand(1, "scale")?, operand(2, "zero point")?, *axis, declared)
        }
        Op::Dequantize { axis } => {
            quantize::dequantize(&x, operand(1, "scale")?, operand(2, "zero point")?, *axis, declared)
        }
    }
}
