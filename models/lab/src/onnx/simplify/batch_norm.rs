//! Folds inference batch norms into the convolution before them (Jacob et al. 2018, section 3.2), in f64.

use super::{Allowance, Links, add_constant, constant_floats, prune, shape};
use crate::network::{Binary, Network, Node, Op, ValueId};

/// A batch norm as y = x · factor + offset, one pair per channel.
struct Affine {
    factor: Vec<f64>,
    offset: Vec<f64>,
}

/// Folds every batch norm with constant parameters: into the convolution whose only reader it is, else into
/// a per-channel Mul and Add.
pub(super) fn fold(network: &mut Network, allowance: &mut Allowance) {
    let reads = Links::new(network).reads;
    let mut maker: Vec<Option<usize>> = vec![None; network.values.len()];
    let nodes = std::mem::take(&mut network.nodes);
    let mut done: Vec<Node> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let affine = match node.op {
            Op::BatchNorm { epsilon }
                if allowance.take(2 * shape(network, node.inputs[1]).iter().product::<usize>()) =>
            {
                affine(network, &node, epsilon)
            }
            _ => None,
        };
        let output = node.output;
        let source = node.inputs.first().copied().unwrap_or(output);
        let before = maker.get(source).copied().flatten().filter(|_| reads.get(source) == Some(&1));
        match (affine, before) {
            (None, _) => done.push(node),
            (Some(affine), Some(before))
                if fold_into(network, &mut done[before], &affine, &reads, allowance) =>
            {
                done[before].output = output;
                maker[output] = Some(before);
                continue;
            }
            (Some(affine), _) => done.extend(mul_add(network, &node, &affine)),
        }
        maker[output] = Some(done.len() - 1);
    }
    network.nodes = done;
    prune(network);
}

fn affine(network: &Network, node: &Node, epsilon: f32) -> Option<Affine> {
    let parameter = |index: usize| constant_floats(network, *node.inputs.get(index)?);
    let (scale, bias, mean, variance) = (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
    let factor: Vec<f64> = scale
        .iter()
        .zip(variance)
        .map(|(&scale, &variance)| f64::from(scale) / (f64::from(variance) + f64::from(epsilon)).sqrt())
        .collect();
    let offset = bias
        .iter()
        .zip(mean)
        .zip(&factor)
        .map(|((&bias, &mean), factor)| f64::from(bias) - f64::from(mean) * factor)
        .collect();
    let affine = Affine { factor, offset };
    let finite = affine.factor.iter().chain(&affine.offset).all(|value| value.is_finite());
    finite.then_some(affine)
}

#[allow(clippy::cast_possible_truncation)] // Rounds to the weights' own type.
fn round(value: f64) -> f32 {
    value as f32
}

/// Folds a batch norm into convolution `node`; false when it is none, or its weights are not constant.
fn fold_into(
    network: &mut Network,
    node: &mut Node,
    affine: &Affine,
    reads: &[usize],
    allowance: &mut Allowance,
) -> bool {
    let transposed_groups = match node.op {
        Op::Conv { .. } => None,
        Op::ConvTranspose { groups, .. } => Some(groups),
        _ => return false,
    };
    let unfolded = node.inputs[1];
    // Weights made by an earlier fold are newer than `reads` and belong to this convolution.
    let owned = reads.get(unfolded).is_none_or(|&reads| reads == 1);
    if !owned && !allowance.take(shape(network, unfolded).iter().product()) {
        return false;
    }
    let Some((weight, bias)) = folded(network, node, transposed_groups, affine) else { return false };
    let weight_shape = shape(network, unfolded).to_vec();
    if owned {
        // Freed now rather than by pruning, so that no second copy of all weights is ever held.
        network.values[unfolded].constant = None;
    }
    let weight = add_constant(network, format!("{}:weight", node.name), weight_shape, weight);
    let bias = add_constant(network, format!("{}:bias", node.name), vec![bias.len()], bias);
    node.inputs.truncate(1);
    node.inputs.extend([weight, bias]);
    true
}

/// The weight and bias with the batch norm in them; `None` when they are not constant or no longer finite.
fn folded(
    network: &Network,
    node: &Node,
    transposed_groups: Option<usize>,
    affine: &Affine,
) -> Option<(Vec<f32>, Vec<f32>)> {
    let &[rows, columns, height, width] = shape(network, node.inputs[1]) else { return None };
    let kernel = height * width;
    let channel_of = |position: usize| match transposed_groups {
        None => position / (columns * kernel),
        // Weight [C, O/groups, kh, kw]: row c belongs to group c / (C / groups).
        Some(groups) => {
            let row = position / (columns * kernel);
            row / (rows / groups) * columns + position / kernel % columns
        }
    };
    let unfolded = constant_floats(network, node.inputs[1])?;
    let mut weight = Vec::with_capacity(unfolded.len());
    for (position, &value) in unfolded.iter().enumerate() {
        weight.push(round(f64::from(value) * affine.factor.get(channel_of(position))?));
    }
    let old = match node.inputs.get(2) {
        None => vec![0.0; affine.factor.len()],
        Some(&id) => constant_floats(network, id)?.to_vec(),
    };
    let bias: Vec<f32> = old
        .iter()
        .zip(&affine.factor)
        .zip(&affine.offset)
        .map(|((&old, factor), offset)| round(f64::from(old) * factor + offset))
        .collect();
    let usable =
        bias.len() == affine.factor.len() && weight.iter().chain(&bias).all(|value| value.is_finite());
    usable.then_some((weight, bias))
}

/// The batch norm as a Mul and an Add of constants of shape [C, 1, …].
fn mul_add(network: &mut Network, node: &Node, affine: &Affine) -> [Node; 2] {
    let source: ValueId = node.inputs[0];
    let rank = shape(network, source).len();
    let mut along = vec![1; rank.saturating_sub(1)];
    if let Some(first) = along.first_mut() {
        *first = affine.factor.len();
    }
    let name = &node.name;
    let factor = affine.factor.iter().map(|&value| round(value)).collect();
    let offset = affine.offset.iter().map(|&value| round(value)).collect();
    let factor = add_constant(network, format!("{name}:factor"), along.clone(), factor);
    let offset = add_constant(network, format!("{name}:offset"), along, offset);
    let mut scaled = network.values[node.output].clone();
    scaled.name.push_str(":scaled");
    network.values.push(scaled);
    let scaled = network.values.len() - 1;
    let part = |name: String, binary: Binary, inputs: [ValueId; 2], output: ValueId| Node {
        name,
        op: Op::Binary(binary),
        inputs: inputs.to_vec(),
        output,
    };
    [
        part(format!("{name}:scale"), Binary::Mul, [source, factor], scaled),
        part(name.clone(), Binary::Add, [scaled, offset], node.output),
    ]
}
