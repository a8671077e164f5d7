//! Lowered integer plans against the float executor: every operator alone, then a small U-Net.

mod operators;

use super::*;
use crate::execute;
use crate::metrics::SplitMix64;
use crate::network::{Binary, Coordinates, Interpolation, Nearest, Tensor, Unary, Value, Window};
use crate::quantize::ranges::{self, Method};
use candor::buffer::AlignedBuffer;
use candor_core::interpreter;
use candor_core::kernels::Reference;
use candor_core::plan::Plan;

/// A network under construction with the randomness of its constants.
pub(super) struct Draft {
    pub(super) network: Network,
    pub(super) random: SplitMix64,
}

impl Draft {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            network: Network { name: "draft".into(), ..Network::default() },
            random: SplitMix64::new(seed),
        }
    }

    /// Uniform in −1..1.
    pub(super) fn unit(&mut self) -> f32 {
        (self.random.next_u64() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn value(&mut self, shape: &[usize], constant: Option<Tensor>) -> ValueId {
        let name = format!("value {}", self.network.values.len());
        self.network.values.push(Value { name, shape: shape.to_vec(), constant });
        self.network.values.len() - 1
    }

    pub(super) fn input(&mut self, shape: &[usize]) -> ValueId {
        let id = self.value(shape, None);
        self.network.inputs.push(id);
        id
    }

    pub(super) fn constant(&mut self, shape: &[usize], data: Vec<f32>) -> ValueId {
        self.value(shape, Some(Tensor::f32(shape.to_vec(), data)))
    }

    /// Constants uniform in `low..high`.
    pub(super) fn uniform(&mut self, shape: &[usize], low: f32, high: f32) -> ValueId {
        let count: usize = shape.iter().product();
        let data = (0..count).map(|_| low + (self.unit() + 1.0) / 2.0 * (high - low)).collect();
        self.constant(shape, data)
    }

    /// Weights that int8 represents exactly: whole steps of one size, the greatest ±127 in every output
    /// channel.
    pub(super) fn whole_weights(&mut self, shape: &[usize], channel: impl Fn(usize) -> usize) -> ValueId {
        let count: usize = shape.iter().product();
        let mut seen = std::collections::HashSet::new();
        let mut data = Vec::with_capacity(count);
        for at in 0..count {
            let step = 1.0 / 512.0 * (1 + channel(at) % 3) as f32;
            let code = if seen.insert(channel(at)) { 127.0 } else { self.random.below(255) as f32 - 127.0 };
            data.push(code * step);
        }
        self.constant(shape, data)
    }

    pub(super) fn node(&mut self, op: Op, inputs: &[ValueId], shape: &[usize]) -> ValueId {
        let output = self.value(shape, None);
        let name = format!("{}#{}", op_name(&op), self.network.nodes.len());
        self.network.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        self.network.outputs = vec![output];
        output
    }

    /// Inputs with a different mean and spread in every channel.
    pub(super) fn frame(&mut self) -> Vec<Tensor> {
        let shapes: Vec<Vec<usize>> =
            self.network.inputs.iter().map(|&id| self.network.values[id].shape.clone()).collect();
        shapes
            .into_iter()
            .map(|shape| {
                let area: usize = shape[2..].iter().product();
                let count: usize = shape.iter().product();
                let data =
                    (0..count).map(|at| self.unit() * 2.0 + ((at / area) % 3) as f32 * 0.7 - 0.4).collect();
                Tensor::f32(shape, data)
            })
            .collect()
    }
}

/// What a lowered plan gives for a frame, in reals, and what its output codes can express.
pub(super) struct Compared {
    pub(super) values: Vec<f32>,
    pub(super) expected: Vec<f32>,
    pub(super) step: f32,
    pub(super) limits: [f32; 2],
}

/// Quantizes `draft` by the range of `frame`, lowers it, and runs both forms on the dequantized frame.
pub(super) fn both(network: &Network, frame: &[Tensor], ending: Ending) -> Compared {
    let observed = ranges::observe(network, &[frame.to_vec()]).unwrap();
    let quantized = observed.quantize(network, Method::MinMax);
    let lowered = lower(&quantized, ending).unwrap_or_else(|problems| panic!("{problems:?}"));
    let (bytes, weights) = (AlignedBuffer::copy_of(&lowered.plan), AlignedBuffer::copy_of(&lowered.weights));
    let plan = Plan::parse(bytes.as_slice(), weights.as_slice()).unwrap();
    let mut arena = AlignedBuffer::zeroed(plan.arena_bytes());
    arena.as_mut_slice().fill(0xa5);
    let mut reals = Vec::new();
    for (index, (tensor, quantization)) in frame.iter().zip(&lowered.inputs).enumerate() {
        let codes: Vec<u8> = tensor.as_f32().unwrap().iter().map(|&x| quantization.code(x)).collect();
        interpreter::load_input(&plan, arena.as_mut_slice(), index, &codes).unwrap();
        let data = codes.iter().map(|&code| quantization.real(code)).collect();
        reals.push(Tensor::f32(tensor.shape.clone(), data));
    }
    interpreter::run(&plan, &Reference, arena.as_mut_slice(), &mut ()).unwrap();
    let rows = interpreter::tensor_rows(&plan, arena.as_slice(), plan.output()).unwrap();
    let (scale, zero) = lowered.head.codes.unwrap_or((0.0, 0));
    let sums = lowered.head.accumulator_scales.clone();
    let mut values = Vec::new();
    for c in 0..rows.layout.channels {
        let scale = sums.as_ref().map_or(scale, |scales| scales[c]);
        for y in 0..rows.layout.height {
            values.extend(
                (0..rows.layout.width).map(|x| (rows.value(y, x, c) - i32::from(zero)) as f32 * scale),
            );
        }
    }
    let limits = match sums {
        Some(_) => [f32::MIN, f32::MAX],
        None => [0, 255].map(|code| (code - i32::from(zero)) as f32 * scale),
    };
    let expected = execute::run(network, &reals, &mut |_, _| {}).unwrap()[0].as_f32().unwrap().to_vec();
    Compared { values, expected, step: scale, limits }
}

pub(super) fn window(kernel: usize, stride: usize, dilation: usize, pad: usize) -> Window {
    Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [dilation; 2], pads: [pad; 4] }
}

/// Two levels with a skip connection; weights are ordinary floats, so they are rounded too.
fn unet(seed: u64) -> Draft {
    let mut draft = Draft::new(seed);
    let input = draft.input(&[1, 3, 16, 24]);
    let block = |draft: &mut Draft, x: ValueId, shape: [usize; 4], extent: [usize; 2]| {
        let bound = (3.0 / (shape[1] * shape[2] * shape[3]) as f32).sqrt() * 1.4;
        let weight = draft.uniform(&shape, -bound, bound);
        let bias = draft.uniform(&[shape[0]], -0.2, 0.2);
        let output = [1, shape[0], extent[0], extent[1]];
        let op = Op::Conv { window: window(shape[2], 1, 1, shape[2] / 2), groups: 1 };
        draft.node(op, &[x, weight, bias], &output)
    };
    let relu = |draft: &mut Draft, x: ValueId| {
        let shape = draft.network.values[x].shape.clone();
        draft.node(Op::Unary(Unary::Relu), &[x], &shape)
    };
    let x = block(&mut draft, input, [8, 3, 3, 3], [16, 24]);
    let skip = relu(&mut draft, x);
    let x = draft.node(Op::MaxPool { window: window(2, 2, 1, 0), ceil: false }, &[skip], &[1, 8, 8, 12]);
    let x = block(&mut draft, x, [12, 8, 3, 3], [8, 12]);
    let x = relu(&mut draft, x);
    let op = Op::Resize {
        interpolation: Interpolation::Nearest(Nearest::Floor),
        coordinates: Coordinates::Asymmetric,
        scales: [2.0; 2],
    };
    let x = draft.node(op, &[x], &[1, 12, 16, 24]);
    let x = draft.node(Op::Concat { axis: 1 }, &[x, skip], &[1, 20, 16, 24]);
    let x = block(&mut draft, x, [8, 20, 3, 3], [16, 24]);
    let x = relu(&mut draft, x);
    block(&mut draft, x, [2, 8, 1, 1], [16, 24]);
    draft
}

#[test]
fn a_small_unet_stays_within_its_stated_bound_of_the_floats() {
    // The bound: one step of the output (1/255 of its range) on average, and six anywhere.
    for seed in 1..=5 {
        let mut draft = unet(seed);
        let frame = draft.frame();
        let outcome = both(&draft.network, &frame, Ending::Codes);
        let pairs = outcome.values.iter().zip(&outcome.expected);
        let steps: Vec<f32> = pairs.map(|(a, b)| (a - b).abs() / outcome.step).collect();
        let mean = steps.iter().sum::<f32>() / steps.len() as f32;
        let farthest = steps.iter().copied().fold(0.0, f32::max);
        println!("U-Net {seed}: mean {mean:.3} steps, farthest {farthest:.2}");
        assert!(mean <= 1.0 && farthest <= 6.0, "seed {seed}: mean {mean}, farthest {farthest}");
    }
}

#[test]
fn kept_sums_requantize_to_the_codes() {
    let mut draft = unet(9);
    let frame = draft.frame();
    let codes = both(&draft.network, &frame, Ending::Codes);
    let sums = both(&draft.network, &frame, Ending::Logits);
    assert_eq!(codes.values.len(), sums.values.len());
    for (code, sum) in codes.values.iter().zip(&sums.values) {
        let clamped = sum.clamp(codes.limits[0], codes.limits[1]);
        assert!((code - clamped).abs() <= codes.step * 0.501, "{code} {sum}");
    }
}

#[test]
fn all_refusals_come_at_once_and_name_their_nodes() {
    let mut draft = Draft::new(1);
    let input = draft.input(&[1, 4, 6, 6]);
    let a = draft.node(Op::Softmax { axis: 1, log: false }, &[input], &[1, 4, 6, 6]);
    let b = draft.node(Op::Transpose { permutation: vec![0, 1, 3, 2] }, &[input], &[1, 4, 6, 6]);
    draft.node(Op::Binary(Binary::Max), &[input, input], &[1, 4, 6, 6]);
    let c = draft.network.nodes[2].output;
    let joined = draft.node(Op::Concat { axis: 1 }, &[a, b, c], &[1, 12, 6, 6]);
    draft.network.outputs = vec![joined];
    let frame = draft.frame();
    let observed = ranges::observe(&draft.network, &[frame]).unwrap();
    let refused = lower(&observed.quantize(&draft.network, Method::MinMax), Ending::Codes).unwrap_err();
    let named: Vec<&str> = refused.iter().map(|problem| problem.node.as_str()).collect();
    assert_eq!(named, ["Softmax#0", "Transpose#1", "elementwise arithmetic#2"]);
    assert!(refused.iter().all(|problem| !problem.fix.is_empty() && !problem.what.is_empty()));
}

#[test]
fn a_network_that_moves_nothing_is_refused_before_the_runtime_must() {
    let mut draft = Draft::new(1);
    let input = draft.input(&[1, 4, 6, 6]);
    draft.node(Op::Reshape, &[input], &[1, 4, 6, 6]);
    let frame = draft.frame();
    let observed = ranges::observe(&draft.network, &[frame]).unwrap();
    let refused = lower(&observed.quantize(&draft.network, Method::MinMax), Ending::Codes).unwrap_err();
    assert_eq!(refused[0].what, "the output is not computed by any node");
}
