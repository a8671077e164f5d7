//! Functions of one value: chains of them become one 256-entry table, shared or per channel.

use super::builder::TensorId;
use super::{Lowering, Outcome, Refusal, refuse};
use crate::execute::unary_value;
use crate::network::{Binary, Node, Op, Unary, ValueId};
use candor_core::ops::Lookup;

/// One link of a chain: real value and channel to real value.
#[derive(Debug, Clone)]
enum Link {
    Unary(Unary),
    /// The function with its constant operand (one value or one per channel) and whether that comes first.
    Binary(Binary, Vec<f32>, bool),
    /// Slope per channel of the negative half.
    PRelu(Vec<f32>),
    /// Slope and offset per channel.
    Affine(Vec<f32>, Vec<f32>),
}

impl Link {
    fn per_channel(&self) -> bool {
        match self {
            Self::Unary(_) => false,
            Self::Binary(_, constant, _) | Self::PRelu(constant) => constant.len() > 1,
            Self::Affine(..) => true,
        }
    }

    fn apply(&self, x: f32, channel: usize) -> f32 {
        let pick = |values: &[f32]| values[if values.len() == 1 { 0 } else { channel }];
        match self {
            Self::Unary(function) => unary_value(*function, x),
            Self::Binary(function, constant, true) => arithmetic(*function, pick(constant), x),
            Self::Binary(function, constant, false) => arithmetic(*function, x, pick(constant)),
            Self::PRelu(slope) => {
                if x < 0.0 {
                    x * pick(slope)
                } else {
                    x
                }
            }
            Self::Affine(slope, offset) => x * slope[channel] + offset[channel],
        }
    }
}

impl Lowering<'_> {
    pub(super) fn pointwise(&mut self, _: usize, node: &Node) -> Outcome {
        let network = &self.source.network;
        let input =
            *node.inputs.iter().find(|id| network.values[**id].constant.is_none()).ok_or_else(|| {
                Refusal { what: "has no input from the image".into(), fix: "fold it on export" }
            })?;
        let tensor = self.tensor(input)?;
        let mut chain = vec![self.link(node)?];
        let mut value = node.output;
        while let Some(consumer) = self.foldable(value) {
            let next = &network.nodes[consumer];
            let unary = matches!(next.op, Op::Unary(_) | Op::PRelu | Op::BatchNorm { .. })
                || matches!(next.op, Op::Binary(_)) && self.has_constant(next);
            if !unary {
                break;
            }
            chain.push(self.link(next)?);
            value = next.output;
            self.mark_fused(consumer);
        }
        self.table(&node.name, tensor, value, &chain)
    }

    fn table(&mut self, name: &str, input: TensorId, value: ValueId, chain: &[Link]) -> Outcome {
        let source = self.builder.quantization(input);
        let target = self.quantization(value)?;
        let extent = self.builder.extent(input);
        if self.extent(value)? != extent {
            return refuse("a constant operand widens the image", "export constants of shape [1, C, 1, 1]");
        }
        let per_channel = chain.iter().any(Link::per_channel);
        let tables = if per_channel { extent[2] } else { 1 };
        let mut entries = Vec::with_capacity(tables * 256);
        for channel in 0..tables {
            for code in 0..=255 {
                let real = chain.iter().fold(source.real(code), |x, link| link.apply(x, channel));
                if real.is_nan() {
                    return refuse(
                        "the function is undefined for a value its input can take",
                        "clip the input to the function's domain before it",
                    );
                }
                entries.push(target.code(real));
            }
        }
        let output = self.builder.tensor(extent, target);
        let words = vec![self.builder.constant(&entries), u32::from(per_channel)];
        self.builder.step(name, Lookup::OPCODE, [input; 2], output, words);
        self.bind(value, output);
        Ok(())
    }

    fn link(&self, node: &Node) -> Result<Link, Refusal> {
        let channels = |data: &[f32], count: usize| {
            if data.len() == 1 || data.len() == count {
                Ok(data.to_vec())
            } else {
                refuse(
                    format!("a constant operand of {} values is neither one nor one per channel", data.len()),
                    "export constants of shape [1, C, 1, 1]",
                )
            }
        };
        let values = &self.source.network.values;
        let count = self.extent(node.output)?[2];
        let along_channels = |position: usize| {
            let shape = &values[node.inputs[position]].shape;
            let rank = values[node.output].shape.len();
            let axis = (shape.len() + 1).checked_sub(rank);
            shape.iter().product::<usize>() == 1
                || axis.is_some_and(|axis| shape.get(axis).is_some_and(|&e| e == count))
        };
        Ok(match node.op {
            Op::Unary(function) => Link::Unary(function),
            Op::PRelu if along_channels(1) => Link::PRelu(channels(self.constant(node, 1)?, count)?),
            Op::Binary(function) => {
                let first = values[node.inputs[0]].constant.is_some();
                let position = usize::from(!first);
                if !along_channels(position) {
                    return refuse(
                        "a constant operand does not run along the channels",
                        "export constants of shape [1, C, 1, 1]",
                    );
                }
                Link::Binary(function, channels(self.constant(node, position)?, count)?, first)
            }
            Op::BatchNorm { epsilon } => {
                let [scale, bias, mean, variance] =
                    [1, 2, 3, 4].map(|i| self.constant(node, i).map(<[f32]>::to_vec));
                let (scale, bias, mean, variance) = (scale?, bias?, mean?, variance?);
                if [&scale, &bias, &mean, &variance].iter().any(|v| v.len() != count) {
                    return refuse("its constants do not match the channels", "re-export the model");
                }
                let slope: Vec<f32> =
                    scale.iter().zip(&variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
                let offset = (0..count).map(|c| bias[c] - mean[c] * slope[c]).collect();
                Link::Affine(slope, offset)
            }
            _ => return refuse("its constant does not run along the channels", "re-export the model"),
        })
    }
}

fn arithmetic(function: Binary, a: f32, b: f32) -> f32 {
    match function {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => a.powf(b),
        Binary::Max => a.max(b),
        Binary::Min => a.min(b),
    }
}
