//! Subgraphs exporters write for one operator, recognised and replaced.

use super::{Allowance, Links, add_constant, constant_floats, is_about, per_channel, prune, shape};
use crate::network::{Binary, Network, Node, Op, PadMode, Unary, ValueId};

/// A Pad of height and width with zeros, read by one Conv only, becomes part of the Conv's own padding.
pub(super) fn padded_convolutions(network: &mut Network) {
    let links = Links::new(network);
    for index in 0..network.nodes.len() {
        let node = &network.nodes[index];
        let Op::Conv { window, .. } = &node.op else { continue };
        let Some(pad) = links.sole(network, node.inputs[0]) else { continue };
        let Op::Pad { pads, mode: PadMode::Constant(0.0) } = &pad.op else { continue };
        let &[0, 0, top, left, 0, 0, bottom, right] = pads.as_slice() else { continue };
        let mut window = *window;
        for (own, more) in window.pads.iter_mut().zip([top, left, bottom, right]) {
            *own += more;
        }
        let source = pad.inputs[0];
        let node = &mut network.nodes[index];
        node.inputs[0] = source;
        if let Op::Conv { window: own, .. } = &mut node.op {
            *own = window;
        }
    }
    prune(network);
}

/// Reshape to [N, G, L, 1], GroupNorm of G channels, Reshape back: PyTorch's export of GroupNorm(G).
pub(super) fn group_norms(network: &mut Network, allowance: &mut Allowance) {
    let links = Links::new(network);
    for index in 0..network.nodes.len() {
        let Some(found) = viewed_group_norm(network, &links, &network.nodes[index]) else { continue };
        if !allowance.take(2 * found.scale.len()) {
            break;
        }
        replace(network, index, found);
    }
    prune(network);
}

/// A GroupNorm to put in place of other nodes, with one scale and bias per channel.
struct Normalization {
    op: Op,
    source: ValueId,
    scale: Vec<f32>,
    bias: Vec<f32>,
}

/// Makes node `index` the normalization.
fn replace(network: &mut Network, index: usize, found: Normalization) {
    let channels = vec![found.scale.len()];
    let name = network.nodes[index].name.clone();
    let scale = add_constant(network, format!("{name}:scale"), channels.clone(), found.scale);
    let bias = add_constant(network, format!("{name}:bias"), channels, found.bias);
    let node = &mut network.nodes[index];
    node.op = found.op;
    node.inputs = vec![found.source, scale, bias];
}

fn viewed_group_norm(network: &Network, links: &Links, node: &Node) -> Option<Normalization> {
    if node.op != Op::Reshape {
        return None;
    }
    let norm = links.sole(network, node.inputs[0])?;
    let Op::GroupNorm { groups, .. } = norm.op else { return None };
    let view = links.sole(network, norm.inputs[0]).filter(|view| view.op == Op::Reshape)?;
    let source = view.inputs[0];
    let (original, viewed) = (shape(network, source), shape(network, view.output));
    let channels = *original.get(1)?;
    let fits = original.len() == 4
        && original == shape(network, node.output)
        && viewed.first() == original.first()
        && viewed.get(1) == Some(&groups)
        && channels.is_multiple_of(groups);
    if !fits {
        return None;
    }
    let each = |index: usize| -> Option<Vec<f32>> {
        let values = constant_floats(network, *norm.inputs.get(index)?)?;
        (0..channels).map(|channel| values.get(channel / (channels / groups)).copied()).collect()
    };
    Some(Normalization { op: norm.op.clone(), source, scale: each(1)?, bias: each(2)? })
}

/// A constant Mul or Add per channel after a GroupNorm joins its scale and bias.
pub(super) fn group_norm_affines(network: &mut Network, allowance: &mut Allowance) {
    let links = Links::new(network);
    for index in 0..network.nodes.len() {
        let Some(found) = group_norm_affine(network, &links, &network.nodes[index]) else { continue };
        if !allowance.take(2 * found.scale.len()) {
            break;
        }
        replace(network, index, found);
    }
    prune(network);
}

fn group_norm_affine(network: &Network, links: &Links, node: &Node) -> Option<Normalization> {
    let multiply = node.op == Op::Binary(Binary::Mul);
    let binary = if multiply { Binary::Mul } else { Binary::Add };
    operands(node, binary)?.into_iter().find_map(|(value, constant)| {
        let norm = links.sole(network, value)?;
        let Op::GroupNorm { .. } = norm.op else { return None };
        let shape = shape(network, value);
        if shape != super::shape(network, node.output) {
            return None;
        }
        let factors = per_channel(network, constant, shape)?;
        let mut scale = constant_floats(network, norm.inputs[1])?.to_vec();
        let mut bias = constant_floats(network, norm.inputs[2])?.to_vec();
        for ((scale, bias), factor) in scale.iter_mut().zip(&mut bias).zip(factors) {
            if multiply {
                *scale *= factor;
                *bias *= factor;
            } else {
                *bias += factor;
            }
        }
        let finite = scale.iter().chain(&bias).all(|value| value.is_finite());
        finite.then(|| Normalization { op: norm.op.clone(), source: norm.inputs[0], scale, bias })
    })
}

/// The inputs of a commutative Binary, in both orders.
fn operands(node: &Node, binary: Binary) -> Option<[(ValueId, ValueId); 2]> {
    match (node.op == Op::Binary(binary), node.inputs.as_slice()) {
        (true, &[a, b]) => Some([(a, b), (b, a)]),
        _ => None,
    }
}

/// x · sigmoid(x), x · hardsigmoid(x), x · tanh(softplus(x)), and the forms with Clip(x + 3, 0, 6) / 6.
pub(super) fn activations(network: &mut Network) {
    let links = Links::new(network);
    for index in 0..network.nodes.len() {
        let node = &network.nodes[index];
        let found = hard_sigmoid(network, &links, node)
            .or_else(|| gated(network, &links, node))
            .or_else(|| hard_swish_divided(network, &links, node));
        if let Some((unary, source)) = found {
            let node = &mut network.nodes[index];
            node.op = Op::Unary(unary);
            node.inputs = vec![source];
        }
    }
    prune(network);
}

/// x times a function of x.
fn gated(network: &Network, links: &Links, node: &Node) -> Option<(Unary, ValueId)> {
    operands(node, Binary::Mul)?.into_iter().find_map(|(source, gate)| {
        let gate = links.sole(network, gate)?;
        let Op::Unary(unary) = gate.op else { return None };
        let direct = gate.inputs[0] == source;
        match unary {
            Unary::Sigmoid if direct => Some((Unary::Silu, source)),
            Unary::HardSigmoid { alpha, beta } if direct && near(alpha, 1.0 / 6.0) && beta == 0.5 => {
                Some((Unary::HardSwish, source))
            }
            Unary::Tanh => {
                let inner = links.sole(network, gate.inputs[0])?;
                (inner.op == Op::Unary(Unary::Softplus) && inner.inputs[0] == source)
                    .then_some((Unary::Mish, source))
            }
            _ => None,
        }
    })
}

fn near(value: f32, wanted: f32) -> bool {
    (value - wanted).abs() <= 1e-6
}

/// The value divided by 6 at this node, when it is one.
fn divided_by_six(network: &Network, node: &Node) -> Option<ValueId> {
    if let (Op::Binary(Binary::Div), &[value, divisor]) = (&node.op, node.inputs.as_slice()) {
        return is_about(network, divisor, 6.0).then_some(value);
    }
    operands(node, Binary::Mul)?
        .into_iter()
        .find_map(|(value, factor)| is_about(network, factor, 1.0 / 6.0).then_some(value))
}

/// The x of Clip(x + 3, 0, 6).
fn clipped_ramp(network: &Network, links: &Links, value: ValueId) -> Option<ValueId> {
    let clip = links.sole(network, value)?;
    if clip.op != Op::Unary(Unary::Clip { low: 0.0, high: 6.0 }) {
        return None;
    }
    let add = links.sole(network, clip.inputs[0])?;
    operands(add, Binary::Add)?
        .into_iter()
        .find_map(|(source, three)| is_about(network, three, 3.0).then_some(source))
        .filter(|&source| shape(network, source) == shape(network, value))
}

/// Clip(x + 3, 0, 6) / 6.
fn hard_sigmoid(network: &Network, links: &Links, node: &Node) -> Option<(Unary, ValueId)> {
    let source = clipped_ramp(network, links, divided_by_six(network, node)?)?;
    (shape(network, source) == shape(network, node.output))
        .then_some((Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }, source))
}

/// x · Clip(x + 3, 0, 6) / 6.
fn hard_swish_divided(network: &Network, links: &Links, node: &Node) -> Option<(Unary, ValueId)> {
    let product = links.sole(network, divided_by_six(network, node)?)?;
    operands(product, Binary::Mul)?
        .into_iter()
        .find_map(|(source, ramp)| (clipped_ramp(network, links, ramp)? == source).then_some(source))
        .filter(|&source| shape(network, source) == shape(network, node.output))
        .map(|source| (Unary::HardSwish, source))
}
