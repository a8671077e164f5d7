//! QDQ models: Quantize–Dequantize pairs become annotations on the float values they surround.

use super::{IntegerBias, IntegerWeights, Quantization, QuantizedNetwork};
use crate::network::{Data, Network, Node, Op, Tensor, Unary, Value, ValueId};
use crate::onnx::Problem;

/// True when the network holds quantization nodes.
pub fn is_quantized(network: &Network) -> bool {
    network.nodes.iter().any(|node| matches!(node.op, Op::Quantize { .. } | Op::Dequantize { .. }))
}

/// Removes every QDQ pair, keeping its scale and zero point as an annotation.
///
/// A second, different quantization of the same value becomes a rescaling node (`Clip` without bounds) with
/// its own annotation, which is what the pair computes.
///
/// # Errors
/// All [`Problem`]s: scales or zero points that are not constants, per-channel activations, asymmetric
/// weights.
pub fn annotate(network: &Network) -> Result<QuantizedNetwork, Vec<Problem>> {
    let mut pass = Annotate {
        source: network,
        result: QuantizedNetwork {
            activations: vec![None; network.values.len()],
            from_file: true,
            network: Network { nodes: Vec::new(), ..network.clone() },
            ..Default::default()
        },
        replacement: (0..network.values.len()).collect(),
        problems: Vec::new(),
    };
    for node in &network.nodes {
        pass.node(node);
    }
    let replaced = |id: &ValueId| pass.replacement[*id];
    pass.result.network.outputs = network.outputs.iter().map(replaced).collect();
    if pass.problems.is_empty() { Ok(pass.result) } else { Err(pass.problems) }
}

struct Annotate<'a> {
    source: &'a Network,
    result: QuantizedNetwork,
    replacement: Vec<ValueId>,
    problems: Vec<Problem>,
}

impl Annotate<'_> {
    fn node(&mut self, node: &Node) {
        let outcome = match node.op {
            Op::Quantize { .. } => self.quantize(node),
            Op::Dequantize { axis } => self.dequantize(node, axis),
            _ => {
                let inputs = node.inputs.iter().map(|&id| self.replacement[id]).collect();
                self.result.network.nodes.push(Node { inputs, ..node.clone() });
                Ok(())
            }
        };
        if let Err(what) = outcome {
            self.problems.push(Problem {
                node: node.name.clone(),
                op: if matches!(node.op, Op::Quantize { .. }) {
                    "QuantizeLinear"
                } else {
                    "DequantizeLinear"
                }
                .into(),
                attribute: None,
                what,
                fix:
                    "export with one constant scale and zero point per activation and symmetric int8 weights"
                        .into(),
            });
        }
    }

    fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.source.values[id].constant.as_ref()
    }

    /// Scale and zero point of an activation node; the zero point is shifted to unsigned codes.
    fn parameters(&self, node: &Node) -> Result<Quantization, String> {
        let scale = self.constant(node.inputs[1]).and_then(|t| match t.as_f32() {
            Some([scale]) => Some(*scale),
            _ => None,
        });
        let scale = scale.ok_or("the scale is not one constant")?;
        let zero_point = match node.inputs.get(2) {
            None => 0,
            Some(&id) => match self.constant(id).map(|t| &t.data) {
                Some(Data::U8(values)) if values.len() == 1 => values[0],
                Some(Data::I8(values)) if values.len() == 1 => (i16::from(values[0]) + 128) as u8,
                _ => return Err("the zero point is not one constant uint8 or int8".into()),
            },
        };
        Ok(Quantization { scale, zero_point })
    }

    fn quantize(&mut self, node: &Node) -> Result<(), String> {
        let quantization = self.parameters(node)?;
        let source = self.replacement[node.inputs[0]];
        let known = self.result.activations[source];
        let target = if known.is_none_or(|q| q == quantization) {
            source
        } else {
            let name = format!("{}#rescaled", self.result.network.values[source].name);
            let shape = self.result.network.values[source].shape.clone();
            let id = self.result.network.values.len();
            self.result.network.values.push(Value { name, shape, constant: None });
            self.result.activations.push(None);
            self.result.network.nodes.push(Node {
                name: node.name.clone(),
                op: Op::Unary(Unary::Clip { low: f32::NEG_INFINITY, high: f32::INFINITY }),
                inputs: vec![source],
                output: id,
            });
            id
        };
        self.result.activations[target] = Some(quantization);
        self.replacement[node.output] = target;
        Ok(())
    }

    fn dequantize(&mut self, node: &Node, axis: usize) -> Result<(), String> {
        let input = node.inputs[0];
        let Some(codes) = self.constant(input) else {
            let quantization = self.parameters(node)?;
            let source = self.replacement[input];
            if self.result.activations[source] != Some(quantization) {
                return Err("its scale or zero point differs from the QuantizeLinear before it".into());
            }
            self.replacement[node.output] = source;
            return Ok(());
        };
        let scales =
            self.constant(node.inputs[1]).and_then(Tensor::as_f32).ok_or("the scale is not constant")?;
        let zero = node.inputs.get(2).and_then(|&id| self.constant(id));
        let symmetric = zero.is_none_or(|t| match &t.data {
            Data::I8(v) => v.iter().all(|&z| z == 0),
            Data::I64(v) => v.iter().all(|&z| z == 0),
            _ => false,
        });
        if !symmetric {
            return Err("weights have a zero point other than 0".into());
        }
        let real = dequantized(codes, scales, axis).ok_or("weights are neither int8 nor int32")?;
        match &codes.data {
            Data::I8(values) => {
                let weights = IntegerWeights { codes: values.clone(), scales: scales.to_vec(), axis };
                self.result.weights.insert(node.output, weights);
            }
            Data::I64(values) => {
                let narrow = values.iter().map(|&v| i32::try_from(v)).collect::<Result<_, _>>();
                let codes = narrow.map_err(|_| "a bias is outside int32")?;
                self.result.biases.insert(node.output, IntegerBias { codes, scales: scales.to_vec() });
            }
            _ => {}
        }
        self.result.network.values[node.output].constant = Some(real);
        Ok(())
    }
}

fn dequantized(codes: &Tensor, scales: &[f32], axis: usize) -> Option<Tensor> {
    let inner: usize = codes.shape.iter().skip(axis + 1).product();
    let extent = codes.shape.get(axis).copied().unwrap_or(1).max(1);
    let scale = |i: usize| if scales.len() == 1 { scales[0] } else { scales[i / inner.max(1) % extent] };
    if scales.len() != 1 && scales.len() != extent {
        return None;
    }
    let data = match &codes.data {
        Data::I8(v) => v.iter().enumerate().map(|(i, &q)| f32::from(q) * scale(i)).collect(),
        Data::I64(v) => v.iter().enumerate().map(|(i, &q)| q as f32 * scale(i)).collect(),
        _ => return None,
    };
    Some(Tensor::f32(codes.shape.clone(), data))
}
