//! Sums over a stack of equal values, as `torch.stack(values).sum(0)` is exported, become a chain of
//! additions.

use super::{Links, prune, shape};
use crate::network::{Binary, Network, Node, Op, Reduction, Value, ValueId};

/// Unsqueeze of every value to a new leading axis, Concat along it, ReduceSum over it: the pyramid merge of
/// FPN.
pub(super) fn stacked_sums(network: &mut Network) {
    let links = Links::new(network);
    let mut rewritten = Vec::with_capacity(network.nodes.len());
    for node in network.nodes.clone() {
        match summands(network, &links, &node) {
            Some(values) => chain(network, &mut rewritten, &node, &values),
            None => rewritten.push(node),
        }
    }
    network.nodes = rewritten;
    prune(network);
}

/// The values that `node` adds up, when it is the sum over such a stack; at least two.
fn summands(network: &Network, links: &Links, node: &Node) -> Option<Vec<ValueId>> {
    let Op::Reduce { reduction: Reduction::Sum, axes, keepdims: false } = &node.op else { return None };
    let stack = links.sole(network, node.inputs[0]).filter(|stack| stack.op == Op::Concat { axis: 0 })?;
    if axes[..] != [0] || stack.inputs.len() < 2 {
        return None;
    }
    let target = shape(network, node.output);
    let unsqueezed = |&value: &ValueId| -> Option<ValueId> {
        let view = links.sole(network, value).filter(|view| view.op == Op::Reshape)?;
        let source = view.inputs[0];
        let leading = shape(network, value);
        let fits = shape(network, source) == target && leading.first() == Some(&1) && leading[1..] == *target;
        fits.then_some(source)
    };
    stack.inputs.iter().map(unsqueezed).collect()
}

/// Appends the additions; the last one makes the node's own output.
fn chain(network: &mut Network, nodes: &mut Vec<Node>, node: &Node, values: &[ValueId]) {
    let mut total = values[0];
    for (index, &value) in values.iter().enumerate().skip(1) {
        let last = index + 1 == values.len();
        let output = if last {
            node.output
        } else {
            let shape = shape(network, node.output).to_vec();
            network.values.push(Value { name: format!("{}:{index}", node.name), shape, constant: None });
            network.values.len() - 1
        };
        let name = if last { node.name.clone() } else { format!("{}:{index}", node.name) };
        nodes.push(Node { name, op: Op::Binary(Binary::Add), inputs: vec![total, value], output });
        total = output;
    }
}
