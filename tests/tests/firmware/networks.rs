//! A U-Net with weights from a generator, small enough for a microcontroller.

use candor_core::package::{ChannelOrder, Geometry, Preprocess};
use candor_lab::build;
use candor_lab::lower::{self, Ending};
use candor_lab::metrics::SplitMix64;
use candor_lab::onnx::{self, ImportOptions};
use candor_lab::pack::{self, Description};
use candor_lab::quantize::{Quantization, QuantizedNetwork};
use candor_tests::onnx::{Model, Proto, floats, int, ints, node};

/// The ONNX file under construction.
struct Draft {
    model: Model,
    random: SplitMix64,
}

impl Draft {
    fn weights(&mut self, name: &str, shape: [usize; 4], fan_in: usize) {
        let bound = (3.0 / fan_in as f32).sqrt();
        let mut unit = || (self.random.next_u64() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| unit() * bound).collect();
        self.initialize(floats(name, &shape.map(|extent| extent as i64), &values));
    }

    fn initialize(&mut self, tensor: Proto) {
        self.model = std::mem::take(&mut self.model).initializer(tensor);
    }

    fn append(&mut self, node: Proto) {
        self.model = std::mem::take(&mut self.model).node(node);
    }

    /// A 3×3 convolution and ReLU: `[inputs, outputs]` channels of `from`, named `to`.
    fn convolution(&mut self, from: &str, to: &str, [inputs, outputs]: [usize; 2]) {
        let (weights, sums) = (format!("w_{to}"), format!("c_{to}"));
        self.weights(&weights, [outputs, inputs, 3, 3], 9 * inputs);
        self.append(node("Conv", &[from, &weights], &[&sums], &[ints("pads", &[1, 1, 1, 1])]));
        self.append(node("Relu", &[&sums], &[to], &[]));
    }

    fn pair(&mut self, from: &str, to: &str, [inputs, outputs]: [usize; 2]) {
        let middle = format!("m_{to}");
        self.convolution(from, &middle, [inputs, outputs]);
        self.convolution(&middle, to, [outputs, outputs]);
    }

    fn halve(&mut self, from: &str, to: &str) {
        let window = [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
        self.append(node("MaxPool", &[from], &[to], &window));
    }

    /// Doubles `from` by a transposed convolution and joins it with `skip`.
    fn join(&mut self, from: &str, skip: &str, to: &str, [inputs, outputs]: [usize; 2]) {
        let (weights, doubled) = (format!("w_{to}"), format!("d_{to}"));
        self.weights(&weights, [inputs, outputs, 2, 2], inputs);
        self.append(node("ConvTranspose", &[from, &weights], &[&doubled], &[ints("strides", &[2, 2])]));
        self.append(node("Concat", &[&doubled, skip], &[to], &[int("axis", 1)]));
    }
}

/// A package of a U-Net with 8, 16 and 32 channels over one channel of `side` × `side`, two convolutions at
/// each scale, two classes.
pub fn unet8(side: usize) -> Vec<u8> {
    let extent = side as i64;
    let mut draft = Draft { model: Model::image(&[1, 1, extent, extent]), random: SplitMix64::new(8) };
    draft.pair("x", "e1", [1, 8]);
    draft.halve("e1", "p1");
    draft.pair("p1", "e2", [8, 16]);
    draft.halve("e2", "p2");
    draft.pair("p2", "e3", [16, 32]);
    draft.join("e3", "e2", "j2", [32, 16]);
    draft.pair("j2", "d2", [32, 16]);
    draft.join("d2", "e1", "j1", [16, 8]);
    draft.pair("j1", "d1", [16, 8]);
    draft.weights("w_y", [1, 8, 1, 1], 8);
    draft.append(node("Conv", &["d1", "w_y"], &["c_y"], &[]));
    draft.append(node("Sigmoid", &["c_y"], &["y"], &[]));
    let model = draft.model.output("y").bytes(17);
    let import = onnx::import(&model, &ImportOptions::default()).expect("the model is sound");
    let (unit, network) = (Quantization { scale: 1.0 / 64.0, zero_point: 0 }, import.network);
    let quantized = QuantizedNetwork {
        activations: network.values.iter().map(|value| value.constant.is_none().then_some(unit)).collect(),
        network,
        ..Default::default()
    };
    let lowered = lower::lower(&quantized, Ending::Logits).expect("the network has an integer form");
    let description = Description {
        name: "unet8".into(),
        source: "generated".into(),
        preprocess: Preprocess {
            geometry: Geometry::Resize,
            order: ChannelOrder::Gray,
            normalize: build::unit(),
        },
        classes: vec!["background".into(), "foreground".into()],
        card: String::new(),
    };
    pack::sections(&lowered, &description).to_bytes()
}
