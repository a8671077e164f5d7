//! Rewrites on the typed network that keep its function: fused patterns, folded batch norms, no dead nodes.

mod batch_norm;
mod patterns;
mod stacks;

#[cfg(test)]
mod tests;

use crate::network::{Binary, Data, Network, Node, Op, Tensor, Value, ValueId};

/// Drops operators that do nothing, lets convolutions do the zero padding before them, recognises
/// GroupNorm, SiLU, HardSwish, Mish and sums over a stack, folds batch norms into convolutions (elsewhere
/// into Mul and Add per channel) and removes what no output needs.
///
/// Float results change by rounding only. Graph input and output names are kept. Beside the network, only
/// one layer's weights are held at a time.
pub fn simplify(network: &mut Network) {
    drop_idle(network);
    merge_reshapes(network);
    drop_idle(network);
    stacks::stacked_sums(network);
    patterns::padded_convolutions(network);
    let mut allowance = Allowance::new(network);
    patterns::group_norms(network, &mut allowance);
    patterns::group_norm_affines(network, &mut allowance);
    patterns::activations(network);
    batch_norm::fold(network, &mut allowance);
    prune(network);
}

/// Elements that new constants may hold: a shared weight folded at every use could otherwise fill memory.
struct Allowance(usize);

impl Allowance {
    fn new(network: &Network) -> Self {
        let held = network.values.iter().filter_map(|value| value.constant.as_ref()).map(Tensor::len);
        Self(held.fold(1 << 22, |sum, count| sum.saturating_add(count.saturating_mul(2))))
    }

    /// Takes `count` elements; false, taking nothing, when they are not left.
    fn take(&mut self, count: usize) -> bool {
        let left = self.0.checked_sub(count);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// Who makes and who reads each value.
struct Links {
    /// Index of the node that makes a value.
    producer: Vec<Option<usize>>,
    /// Number of reads of a value, graph outputs included.
    reads: Vec<usize>,
}

impl Links {
    fn new(network: &Network) -> Self {
        let mut links =
            Self { producer: vec![None; network.values.len()], reads: vec![0; network.values.len()] };
        for (index, node) in network.nodes.iter().enumerate() {
            links.producer[node.output] = Some(index);
            for &input in &node.inputs {
                links.reads[input] += 1;
            }
        }
        for &output in &network.outputs {
            links.reads[output] += 1;
        }
        links
    }

    /// The node that makes `value`.
    fn node<'n>(&self, network: &'n Network, value: ValueId) -> Option<&'n Node> {
        network.nodes.get((*self.producer.get(value)?)?)
    }

    /// As [`Self::node`], when `value` is read once.
    fn sole<'n>(&self, network: &'n Network, value: ValueId) -> Option<&'n Node> {
        self.node(network, value).filter(|_| self.reads.get(value) == Some(&1))
    }
}

fn shape(network: &Network, value: ValueId) -> &[usize] {
    network.values.get(value).map_or(&[], |value| &value.shape)
}

fn constant_floats(network: &Network, value: ValueId) -> Option<&[f32]> {
    network.values.get(value)?.constant.as_ref()?.as_f32()
}

/// Adds a float constant.
fn add_constant(network: &mut Network, name: String, shape: Vec<usize>, data: Vec<f32>) -> ValueId {
    let constant = Some(Tensor::f32(shape.clone(), data));
    network.values.push(Value { name, shape, constant });
    network.values.len() - 1
}

/// True for a node whose output equals its first input in shape and every element.
fn is_idle(network: &Network, node: &Node) -> bool {
    let Some(&input) = node.inputs.first() else { return false };
    let same = shape(network, input) == shape(network, node.output);
    let all = |index: usize, wanted: f32| {
        node.inputs
            .get(index)
            .and_then(|&id| constant_floats(network, id))
            .is_some_and(|values| values.iter().all(|&value| value == wanted))
    };
    same && match &node.op {
        Op::Reshape | Op::Expand => true,
        Op::Transpose { permutation } => permutation.iter().enumerate().all(|(axis, &from)| axis == from),
        Op::Slice { start, step } => {
            start.iter().all(|&start| start == 0) && step.iter().all(|&step| step == 1)
        }
        Op::Pad { pads, .. } => pads.iter().all(|&pad| pad == 0),
        Op::Concat { .. } => node.inputs.len() == 1,
        Op::Resize { scales, .. } => *scales == [1.0, 1.0],
        Op::Binary(Binary::Mul | Binary::Div) => all(1, 1.0),
        Op::Binary(Binary::Add | Binary::Sub) => all(1, 0.0),
        _ => false,
    }
}

/// Makes readers of an idle node read its input instead.
fn drop_idle(network: &mut Network) {
    let mut forward: Vec<ValueId> = (0..network.values.len()).collect();
    for index in 0..network.nodes.len() {
        for slot in 0..network.nodes[index].inputs.len() {
            let input = network.nodes[index].inputs[slot];
            network.nodes[index].inputs[slot] = forward[input];
        }
        let node = &network.nodes[index];
        if is_idle(network, node) && !network.outputs.contains(&node.output) {
            forward[node.output] = forward[node.inputs[0]];
        }
    }
    prune(network);
}

/// A Reshape of a Reshape reads the first one's input.
fn merge_reshapes(network: &mut Network) {
    let links = Links::new(network);
    for index in 0..network.nodes.len() {
        if network.nodes[index].op != Op::Reshape {
            continue;
        }
        let inner = links.node(network, network.nodes[index].inputs[0]);
        if let Some(source) = inner.filter(|inner| inner.op == Op::Reshape).map(|inner| inner.inputs[0]) {
            network.nodes[index].inputs[0] = source;
        }
    }
    prune(network);
}

/// Removes nodes no graph output depends on, and values nothing reads; graph inputs stay.
pub(super) fn prune(network: &mut Network) {
    let mut needed = vec![false; network.values.len()];
    for &id in &network.outputs {
        needed[id] = true;
    }
    for node in network.nodes.iter().rev() {
        if needed[node.output] {
            for &input in &node.inputs {
                needed[input] = true;
            }
        }
    }
    network.nodes.retain(|node| needed[node.output]);
    for &id in &network.inputs {
        needed[id] = true;
    }
    let mut renumbered = Vec::with_capacity(needed.len());
    let mut kept = 0;
    for &needed in &needed {
        renumbered.push(kept);
        kept += usize::from(needed);
    }
    let mut needed = needed.into_iter();
    network.values.retain(|_| needed.next().unwrap_or(false));
    let ids = network.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().chain([&mut node.output]));
    for id in ids.chain(&mut network.inputs).chain(&mut network.outputs) {
        *id = renumbered[*id];
    }
}

/// True when a constant's elements are all `wanted`, to f32 rounding.
fn is_about(network: &Network, value: ValueId, wanted: f32) -> bool {
    constant_floats(network, value).is_some_and(|values| {
        !values.is_empty()
            && values.iter().all(|value| (value - wanted).abs() <= 4.0 * f32::EPSILON * wanted.abs())
    })
}

/// A constant as one value per channel, when it broadcasts along the channel axis of `shape` only.
fn per_channel(network: &Network, value: ValueId, shape: &[usize]) -> Option<Vec<f32>> {
    let tensor = network.values.get(value)?.constant.as_ref()?;
    let Data::F32(values) = &tensor.data else { return None };
    let channels = *shape.get(1)?;
    if values.len() == 1 && tensor.shape.len() <= shape.len() {
        return Some(vec![values[0]; channels]);
    }
    let lead = shape.len().checked_sub(tensor.shape.len())?;
    let elsewhere_one =
        tensor.shape.iter().enumerate().all(|(axis, &extent)| axis + lead == 1 || extent == 1);
    (elsewhere_one && values.len() == channels && lead <= 1).then(|| values.clone())
}
