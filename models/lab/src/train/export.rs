//! The trained U-Net as the typed network that quantization and packing take.

use super::unet::{Block, EPSILON, UNet};
use crate::network::{
    Coordinates, Interpolation, Nearest, Network, Node, Op, Tensor, Unary, Value, ValueId, Window,
};
use crate::onnx::simplify;
use candle_core::Result;

/// The network at a fixed extent (rows, columns), batch norms folded into the convolutions.
///
/// # Errors
/// Candle's error; none is known for a trained network.
pub fn export(network: &UNet, name: &str, extent: [usize; 2]) -> Result<Network> {
    let mut graph = Graph(Network { name: name.to_string(), ..Default::default() });
    let mut x = graph.value("input", vec![1, 1, extent[0], extent[1]], None);
    graph.0.inputs = vec![x];
    let mut skips = Vec::new();
    for (level, block) in network.down.iter().enumerate() {
        x = graph.block(&format!("down{level}"), block, x)?;
        skips.push(x);
        let [_, channels, height, width] = graph.shape(x);
        let pool = Op::MaxPool { window: window(2, 2, 0), ceil: false };
        x = graph.node(format!("pool{level}"), pool, vec![x], [1, channels, height / 2, width / 2]);
    }
    x = graph.block("bottom", &network.bottom, x)?;
    for (index, (block, skip)) in network.up.iter().zip(skips.iter().rev()).enumerate() {
        let level = network.up.len() - 1 - index;
        let [_, channels, height, width] = graph.shape(x);
        let double = Op::Resize {
            interpolation: Interpolation::Nearest(Nearest::Floor),
            coordinates: Coordinates::Asymmetric,
            scales: [2.0, 2.0],
        };
        x = graph.node(format!("double{level}"), double, vec![x], [1, channels, 2 * height, 2 * width]);
        let joined = [1, channels + graph.shape(*skip)[1], 2 * height, 2 * width];
        x = graph.node(format!("join{level}"), Op::Concat { axis: 1 }, vec![x, *skip], joined);
        x = graph.block(&format!("up{level}"), block, x)?;
    }
    let weight = graph.constant("head.weight", &network.head_weight)?;
    let bias = graph.constant("head.bias", &network.head_bias)?;
    let classes = network.head_bias.dim(0)?;
    let head = Op::Conv { window: window(1, 1, 0), groups: 1 };
    x = graph.node("head".into(), head, vec![x, weight, bias], [1, classes, extent[0], extent[1]]);
    graph.0.outputs = vec![x];
    simplify(&mut graph.0);
    Ok(graph.0)
}

fn window(kernel: usize, stride: usize, pad: usize) -> Window {
    Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pads: [pad; 4] }
}

/// A network under construction.
struct Graph(Network);

impl Graph {
    fn value(&mut self, name: &str, shape: Vec<usize>, constant: Option<Tensor>) -> ValueId {
        self.0.values.push(Value { name: name.to_string(), shape, constant });
        self.0.values.len() - 1
    }

    fn constant(&mut self, name: &str, tensor: &candle_core::Tensor) -> Result<ValueId> {
        let shape = tensor.dims().to_vec();
        let data = tensor.flatten_all()?.to_vec1::<f32>()?;
        Ok(self.value(name, shape.clone(), Some(Tensor::f32(shape, data))))
    }

    fn node(&mut self, name: String, op: Op, inputs: Vec<ValueId>, shape: [usize; 4]) -> ValueId {
        let output = self.value(&name, shape.to_vec(), None);
        self.0.nodes.push(Node { name, op, inputs, output });
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

    fn block(&mut self, name: &str, block: &Block, mut x: ValueId) -> Result<ValueId> {
        for (layer, own) in block.iter().zip(["first", "second"]) {
            let name = format!("{name}.{own}");
            let [_, _, height, width] = self.shape(x);
            let shape = [1, layer.weight.dim(0)?, height, width];
            let weight = self.constant(&format!("{name}.weight"), &layer.weight)?;
            let convolution = Op::Conv { window: window(3, 1, 1), groups: 1 };
            x = self.node(format!("{name}.convolution"), convolution, vec![x, weight], shape);
            let mut inputs = vec![x];
            for (name, tensor) in [
                (format!("{name}.scale"), &layer.scale),
                (format!("{name}.bias"), &layer.shift),
                (format!("{name}.mean"), layer.mean.as_tensor()),
                (format!("{name}.variance"), layer.variance.as_tensor()),
            ] {
                inputs.push(self.constant(&name, tensor)?);
            }
            let norm = Op::BatchNorm { epsilon: EPSILON as f32 };
            x = self.node(format!("{name}.norm"), norm, inputs, shape);
            x = self.node(format!("{name}.relu"), Op::Unary(Unary::Relu), vec![x], shape);
        }
        Ok(x)
    }
}
