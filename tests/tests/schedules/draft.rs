//! A network under construction: values with their extents, operators with random constants.

use candor_lab::metrics::SplitMix64;
use candor_lab::network::{
    Binary, Coordinates, Interpolation, Nearest, Network, Node, Op, Tensor, Value, ValueId, Window,
};
use candor_lab::quantize::{Quantization, QuantizedNetwork};

/// A value of the image: channels, rows, columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    pub id: ValueId,
    pub extent: [usize; 3],
}

/// A network being drawn at random.
pub struct Draft {
    pub random: SplitMix64,
    pub network: Network,
    /// Most products of a convolution.
    pub products_max: usize,
    quantizations: Vec<Quantization>,
    activations: Vec<Option<Quantization>>,
}

impl Draft {
    pub fn new(seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        // Few to draw from, so that neighbours often share theirs.
        let count = 1 + random.below(3);
        let quantizations = (0..count)
            .map(|_| Quantization {
                scale: [0.02, 0.05, 0.0625][random.below(3)],
                zero_point: [0, 3, 100, 128, 131, 255][random.below(6)],
            })
            .collect();
        let network = Network { name: format!("random {seed}"), ..Network::default() };
        Self { random, network, products_max: 150_000, quantizations, activations: Vec::new() }
    }

    /// One of `low..=high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.random.below(high - low + 1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.random.below(times) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len())]
    }

    fn value(&mut self, shape: &[usize], constant: Option<Tensor>) -> ValueId {
        let quantization = match constant {
            Some(_) => None,
            None => Some(self.quantizations[self.random.below(self.quantizations.len())]),
        };
        self.activations.push(quantization);
        let name = format!("value {}", self.network.values.len());
        self.network.values.push(Value { name, shape: shape.to_vec(), constant });
        self.network.values.len() - 1
    }

    pub fn input(&mut self, extent: [usize; 3]) -> Image {
        let [channels, height, width] = extent;
        let id = self.value(&[1, channels, height, width], None);
        self.network.inputs.push(id);
        Image { id, extent }
    }

    /// Constants uniform in −`bound`..`bound`.
    pub fn constant(&mut self, shape: &[usize], bound: f32) -> ValueId {
        let count = shape.iter().product();
        let mut unit = || (self.random.next_u64() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        let data = (0..count).map(|_| unit() * bound).collect();
        self.value(shape, Some(Tensor::f32(shape.to_vec(), data)))
    }

    /// Appends an operator on `inputs` that gives an image of `extent`.
    pub fn node(&mut self, op: Op, inputs: &[ValueId], extent: [usize; 3]) -> Image {
        let [channels, height, width] = extent;
        let id = self.value(&[1, channels, height, width], None);
        let name = format!("node {}", self.network.nodes.len());
        self.network.nodes.push(Node { name, op, inputs: inputs.to_vec(), output: id });
        self.network.outputs = vec![id];
        Image { id, extent }
    }

    /// A convolution whose window gives at least one row and column.
    pub fn convolution(&mut self, x: Image, outputs: usize, window: Window, groups: usize) -> Option<Image> {
        let [channels, ..] = x.extent;
        let [height, width] = [0, 1].map(|axis| slid(x.extent[1 + axis], &window, axis));
        let fan_in = channels / groups * window.kernel[0] * window.kernel[1];
        let products = outputs * fan_in * height? * width?;
        if products > self.products_max {
            return None;
        }
        let bound = (6.0 / fan_in as f32).sqrt();
        let shape = [outputs, channels / groups, window.kernel[0], window.kernel[1]];
        let weight = self.constant(&shape, bound);
        let bias = self.constant(&[outputs], 0.5);
        let inputs = [x.id, weight, bias];
        let inputs = if self.once_in(3) { &inputs[..2] } else { &inputs };
        Some(self.node(Op::Conv { window, groups }, inputs, [outputs, height?, width?]))
    }

    /// A transposed convolution.
    pub fn transposed(
        &mut self,
        x: Image,
        outputs: usize,
        window: Window,
        output_padding: usize,
    ) -> Option<Image> {
        let [channels, height, width] = x.extent;
        let grown = |axis: usize, extent: usize| {
            let whole = (extent - 1) * window.stride[axis] + window.kernel[axis] + output_padding;
            whole.checked_sub(window.pads[axis] + window.pads[axis + 2]).filter(|&extent| extent > 0)
        };
        let (rows, columns) = (grown(0, height)?, grown(1, width)?);
        let taps = window.kernel[0] * window.kernel[1];
        if rows > 90 || columns > 40 || outputs * channels * taps * height * width > self.products_max {
            return None;
        }
        let bound = (12.0 / (channels * taps) as f32).sqrt();
        let weight = self.constant(&[channels, outputs, window.kernel[0], window.kernel[1]], bound);
        let bias = self.constant(&[outputs], 0.5);
        let op = Op::ConvTranspose { window, output_padding: [output_padding; 2], groups: 1 };
        Some(self.node(op, &[x.id, weight, bias], [outputs, rows, columns]))
    }

    /// `x` at `height × width`, by whichever interpolation.
    pub fn resize(&mut self, x: Image, [height, width]: [usize; 2]) -> Image {
        let nearest = [Nearest::Floor, Nearest::Ceil, Nearest::RoundPreferFloor, Nearest::RoundPreferCeil];
        let interpolation = match self.once_in(2) {
            true => Interpolation::Linear,
            false => Interpolation::Nearest(self.pick(&nearest)),
        };
        let coordinates =
            self.pick(&[Coordinates::HalfPixel, Coordinates::AlignCorners, Coordinates::Asymmetric]);
        let [channels, own_height, own_width] = x.extent;
        let scales = [height as f32 / own_height as f32, width as f32 / own_width as f32];
        let op = Op::Resize { interpolation, coordinates, scales };
        self.node(op, &[x.id], [channels, height, width])
    }

    pub fn concat(&mut self, parts: &[Image]) -> Image {
        let channels = parts.iter().map(|part| part.extent[0]).sum();
        let ids: Vec<ValueId> = parts.iter().map(|part| part.id).collect();
        self.node(Op::Concat { axis: 1 }, &ids, [channels, parts[0].extent[1], parts[0].extent[2]])
    }

    pub fn binary(&mut self, function: Binary, a: Image, b: Image) -> Image {
        let extent = if a.extent[1..] == [1, 1] { b.extent } else { a.extent };
        self.node(Op::Binary(function), &[a.id, b.id], extent)
    }

    /// The network and what its codes mean.
    pub fn finish(self) -> QuantizedNetwork {
        QuantizedNetwork { network: self.network, activations: self.activations, ..Default::default() }
    }
}

/// Extent after sliding `window` along `axis`.
pub fn slid(extent: usize, window: &Window, axis: usize) -> Option<usize> {
    let span = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
    let padded = extent + window.pads[axis] + window.pads[axis + 2];
    Some(padded.checked_sub(span)? / window.stride[axis] + 1)
}
