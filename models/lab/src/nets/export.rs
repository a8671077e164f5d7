//! A trained model as the typed network that quantization and packing take, like any import.

use super::graph::{Layer, Node as Own};
use super::model::{EPSILON, Model};
use super::ops::Groups;
use crate::network::{
    Binary, Coordinates, Interpolation, Nearest, Network, Node, Op, Reduction, Tensor, Unary, Value, ValueId,
    Window,
};
use crate::onnx::simplify;
use candle_core::{Result, Var};

/// The path to output `output` at a fixed extent (rows, columns), batch norms folded into the convolutions.
///
/// # Errors
/// Candle's error; none is known for a trained model.
pub fn export(model: &Model, output: usize, name: &str, extent: [usize; 2]) -> Result<Network> {
    let graph = model.graph();
    let mut target = Target(Network { name: name.to_string(), ..Default::default() });
    let last = graph.outputs[output];
    let mut needed = vec![false; last + 1];
    needed[last] = true;
    for at in (1..=last).rev() {
        if needed[at] {
            graph.nodes[at].inputs.iter().for_each(|&input| needed[input] = true);
        }
    }
    let mut ids = vec![0; graph.nodes.len()];
    for (at, node) in graph.nodes.iter().enumerate().take(last + 1) {
        if node.layer == Layer::Input {
            ids[at] = target.value("input", vec![1, node.channels, extent[0], extent[1]], None);
            target.0.inputs = vec![ids[at]];
        } else if needed[at] {
            let inputs: Vec<ValueId> = node.inputs.iter().map(|&input| ids[input]).collect();
            ids[at] = target.layer(model, node, &inputs)?;
        }
    }
    target.0.outputs = vec![ids[last]];
    simplify(&mut target.0);
    Ok(target.0)
}

fn window(kernel: usize, stride: usize, pad: usize) -> Window {
    Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pads: [pad; 4] }
}

/// A network under construction.
struct Target(Network);

impl Target {
    fn value(&mut self, name: &str, shape: Vec<usize>, constant: Option<Tensor>) -> ValueId {
        self.0.values.push(Value { name: name.to_string(), shape, constant });
        self.0.values.len() - 1
    }

    fn constant(&mut self, name: &str, var: &Var) -> Result<ValueId> {
        let shape = var.dims().to_vec();
        let data = var.flatten_all()?.to_vec1::<f32>()?;
        Ok(self.value(name, shape.clone(), Some(Tensor::f32(shape, data))))
    }

    fn node(&mut self, name: &str, op: Op, inputs: Vec<ValueId>, shape: [usize; 4]) -> ValueId {
        let output = self.value(name, shape.to_vec(), None);
        self.0.nodes.push(Node { name: name.to_string(), op, inputs, output });
        output
    }

    /// Extents of an image value, which every value but the weights is.
    fn shape(&self, id: ValueId) -> [usize; 4] {
        let mut shape = [1; 4];
        for (own, &extent) in shape.iter_mut().zip(&self.0.values[id].shape) {
            *own = extent;
        }
        shape
    }

    fn layer(&mut self, model: &Model, node: &Own, inputs: &[ValueId]) -> Result<ValueId> {
        let (name, channels) = (node.name.as_str(), node.channels);
        let [_, _, height, width] = self.shape(inputs[0]);
        let same = [1, channels, height, width];
        let mut inputs = inputs.to_vec();
        Ok(match node.layer {
            Layer::Input => inputs[0],
            Layer::Convolution { kernel, stride, bias } => {
                let fields: &[&str] = if bias { &["weight", "bias"] } else { &["weight"] };
                self.constants(model, node, fields, &mut inputs)?;
                let op = Op::Conv { window: window(kernel, stride, kernel / 2), groups: 1 };
                self.node(name, op, inputs, [1, channels, height / stride, width / stride])
            }
            Layer::Depthwise { stride } => {
                self.constants(model, node, &["weight"], &mut inputs)?;
                let op = Op::Conv { window: window(3, stride, 1), groups: channels };
                self.node(name, op, inputs, [1, channels, height / stride, width / stride])
            }
            Layer::Norm { groups, relu } => {
                let epsilon = EPSILON as f32;
                let (op, fields): (Op, &[&str]) = match groups {
                    Groups::Batch => {
                        (Op::BatchNorm { epsilon }, &["weight", "bias", "running_mean", "running_var"])
                    }
                    Groups::Image => (Op::GroupNorm { groups: channels, epsilon }, &["weight", "bias"]),
                };
                self.constants(model, node, fields, &mut inputs)?;
                let x = self.node(name, op, inputs, same);
                match relu {
                    true => self.node(&format!("{name}.relu"), Op::Unary(Unary::Relu), vec![x], same),
                    false => x,
                }
            }
            Layer::Relu => self.node(name, Op::Unary(Unary::Relu), inputs, same),
            Layer::Halve => {
                let op = Op::MaxPool { window: window(2, 2, 0), ceil: false };
                self.node(name, op, inputs, [1, channels, height / 2, width / 2])
            }
            Layer::Double => {
                let op = Op::Resize {
                    interpolation: Interpolation::Nearest(Nearest::Floor),
                    coordinates: Coordinates::Asymmetric,
                    scales: [2.0, 2.0],
                };
                self.node(name, op, inputs, [1, channels, 2 * height, 2 * width])
            }
            Layer::Concat => self.node(name, Op::Concat { axis: 1 }, inputs, same),
            Layer::Add => self.node(name, Op::Binary(Binary::Add), inputs, same),
            Layer::GlobalMean => {
                let op = Op::Reduce { reduction: Reduction::Mean, axes: vec![2, 3], keepdims: true };
                self.node(name, op, inputs, [1, channels, 1, 1])
            }
        })
    }

    fn constants(
        &mut self,
        model: &Model,
        node: &Own,
        fields: &[&str],
        inputs: &mut Vec<ValueId>,
    ) -> Result<()> {
        for field in fields {
            let id = self.constant(&format!("{}.{field}", node.name), model.parameter(node, field)?)?;
            inputs.push(id);
        }
        Ok(())
    }
}
