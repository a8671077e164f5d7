//! The network's end: which activation it applies, and what its output values mean.

use super::{Ending, op_name};
use crate::network::{Network, Op, Unary, ValueId};
use crate::onnx::Problem;
use crate::quantize::QuantizedNetwork;
use candor_core::package::Activation;

/// What the plan's output means.
#[derive(Debug, Clone)]
pub struct HeadSpec {
    /// Value the plan ends with.
    pub value: ValueId,
    /// Activation of the source model (or implied by its channels).
    pub activation: Activation,
    /// True when the source applies the activation and the plan ends before it.
    pub stripped: bool,
    /// Output channels.
    pub channels: usize,
    /// Size of one output unit per channel, when the output holds accumulators.
    pub accumulator_scales: Option<Vec<f32>>,
    /// Scale and zero point of the output, when it holds codes.
    pub codes: Option<(f32, u8)>,
}

/// Finds the value before the final Sigmoid, Softmax or ArgMax.
pub(super) fn strip(network: &Network, ending: Ending) -> Result<HeadSpec, Problem> {
    let problem = |what: String, fix: &str| Problem {
        node: network.outputs.first().map(|&id| network.values[id].name.clone()).unwrap_or_default(),
        op: "output".into(),
        attribute: None,
        what,
        fix: fix.into(),
    };
    let &[output] = &network.outputs[..] else {
        let what = format!("the model has {} outputs", network.outputs.len());
        return Err(problem(what, "choose one with --output NAME"));
    };
    let producer = network.nodes.iter().find(|node| node.output == output);
    let producer = producer.filter(|_| ending == Ending::Logits);
    let (value, activation, stripped) = match producer.map(|node| (&node.op, node)) {
        Some((Op::Unary(Unary::Sigmoid), node)) => (node.inputs[0], Some(Activation::Sigmoid), true),
        Some((Op::Softmax { axis: 1, log: false }, node)) => {
            (node.inputs[0], Some(Activation::Softmax), true)
        }
        Some((Op::ArgMax { axis: 1, .. }, node)) => (node.inputs[0], Some(Activation::Softmax), false),
        Some((op @ (Op::Softmax { .. } | Op::ArgMax { .. }), _)) => {
            let what = format!("the final {} does not run over the channels", op_name(op));
            return Err(problem(what, "use axis 1"));
        }
        _ => (output, None, false),
    };
    let channels = network.values[value].shape.get(1).copied().unwrap_or(0);
    let implied = if channels == 1 { Activation::Sigmoid } else { Activation::Softmax };
    let activation = activation.unwrap_or(implied);
    if activation == Activation::Sigmoid && channels != 1 {
        return Err(problem(
            format!("a sigmoid over {channels} channels: overlapping labels are not supported"),
            "export one foreground channel, or mutually exclusive classes with softmax",
        ));
    }
    Ok(HeadSpec { value, activation, stripped, channels, accumulator_scales: None, codes: None })
}

/// True when the last operator is a convolution whose sums can be kept, because no file asks for codes.
pub(super) fn keeps_accumulators(source: &QuantizedNetwork, value: ValueId) -> bool {
    let network = &source.network;
    let producer = network.nodes.iter().find(|node| node.output == value);
    let convolution =
        producer.is_some_and(|node| matches!(node.op, Op::Conv { .. } | Op::ConvTranspose { .. }));
    let readers = network.nodes.iter().filter(|node| node.inputs.contains(&value)).count();
    let given = source.from_file && source.activations[value].is_some();
    convolution && readers <= 1 && !given
}
