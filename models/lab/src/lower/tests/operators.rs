//! Each operator alone: the integer output is within one and a half steps of the float executor's.

use super::*;
use crate::network::{Binary, PadMode, Reduction};

/// Greatest distance in output steps, both clamped to what the output codes express.
fn farthest(outcome: &Compared) -> f32 {
    assert_eq!(outcome.values.len(), outcome.expected.len());
    let clamped = |x: &f32| x.clamp(outcome.limits[0], outcome.limits[1]);
    let pairs = outcome.values.iter().zip(&outcome.expected);
    pairs.map(|(a, b)| (a - clamped(b)).abs() / outcome.step).fold(0.0, f32::max)
}

fn check(name: &str, mut draft: Draft) {
    let frame = draft.frame();
    let outcome = both(&draft.network, &frame, Ending::Codes);
    let distance = farthest(&outcome);
    assert!(distance <= 1.5, "{name}: {distance} steps");
    let spread = outcome.expected.iter().map(|x| x.abs()).fold(0.0, f32::max);
    assert!(spread > 4.0 * outcome.step, "{name}: an output of {spread} shows nothing");
}

/// A network of one operator over one image `[1,C,H,W]`.
fn single(name: &str, op: Op, input: [usize; 4], output: [usize; 4]) {
    let mut draft = Draft::new(7);
    let x = draft.input(&input);
    draft.node(op, &[x], &output);
    check(name, draft);
}

#[test]
fn convolutions_of_every_geometry() {
    // Channels in and out, window, groups, output extent of a 9×12 image.
    for (index, (inputs, outputs, window, groups, extent)) in [
        (3, 5, window(3, 1, 1, 1), 1, [9, 12]),
        (8, 9, window(1, 1, 1, 0), 1, [9, 12]),
        (5, 6, window(3, 2, 1, 1), 1, [5, 6]),
        (4, 4, window(3, 1, 2, 2), 1, [9, 12]),
        (8, 12, window(3, 1, 1, 1), 4, [9, 12]),
        (10, 10, window(3, 1, 1, 1), 10, [9, 12]),
        (6, 6, window(5, 2, 1, 2), 6, [5, 6]),
        (6, 12, window(3, 1, 1, 1), 6, [9, 12]),
        (2, 3, Window { kernel: [2, 4], stride: [1, 2], dilation: [3, 1], pads: [0, 3, 1, 0] }, 1, [7, 6]),
    ]
    .into_iter()
    .enumerate()
    {
        for relu in [false, true] {
            let mut draft = Draft::new(20 + index as u64);
            let x = draft.input(&[1, inputs, 9, 12]);
            let shape = [outputs, inputs / groups, window.kernel[0], window.kernel[1]];
            let per_channel: usize = shape[1..].iter().product();
            let weight = draft.whole_weights(&shape, |at| at / per_channel);
            let bias = draft.uniform(&[outputs], -1.0, 1.0);
            let shape = [1, outputs, extent[0], extent[1]];
            let y = draft.node(Op::Conv { window, groups }, &[x, weight, bias], &shape);
            if relu {
                draft.node(Op::Unary(Unary::Clip { low: 0.0, high: 6.0 }), &[y], &shape);
            }
            check(&format!("convolution {index}"), draft);
        }
    }
}

#[test]
fn transposed_convolutions() {
    for (kernel, stride, pad, output_padding, groups) in
        [(2, 2, 0, 0, 1), (3, 2, 1, 1, 1), (4, 2, 1, 0, 1), (3, 1, 1, 0, 2), (2, 3, 0, 1, 2)]
    {
        let mut draft = Draft::new(kernel as u64);
        let x = draft.input(&[1, 6, 5, 7]);
        let per_group = 4 / groups;
        let taps = kernel * kernel;
        let weight = draft.whole_weights(&[6, per_group, kernel, kernel], |at| {
            let (input, output) = (at / taps / per_group, at / taps % per_group);
            input / (6 / groups) * per_group + output
        });
        let bias = draft.uniform(&[4], -1.0, 1.0);
        let extent = |e: usize| (e - 1) * stride + kernel + output_padding - 2 * pad;
        let op = Op::ConvTranspose {
            window: window(kernel, stride, 1, pad),
            output_padding: [output_padding; 2],
            groups,
        };
        draft.node(op, &[x, weight, bias], &[1, 4, extent(5), extent(7)]);
        check(&format!("transposed {kernel} by {stride}"), draft);
    }
}

#[test]
fn normalisations() {
    for groups in [1, 2, 6] {
        let mut draft = Draft::new(groups as u64);
        let x = draft.input(&[1, 6, 8, 9]);
        let (gamma, beta) = (draft.uniform(&[6], 0.5, 1.5), draft.uniform(&[6], -0.5, 0.5));
        draft.node(Op::GroupNorm { groups, epsilon: 1e-5 }, &[x, gamma, beta], &[1, 6, 8, 9]);
        check(&format!("{groups} groups"), draft);
    }
    let mut draft = Draft::new(9);
    let x = draft.input(&[1, 6, 8, 9]);
    let mut parameters = vec![x];
    for (low, high) in [(0.5, 1.5), (-0.5, 0.5), (-0.5, 0.5), (0.3, 2.0)] {
        let constant = draft.uniform(&[6], low, high);
        parameters.push(constant);
    }
    draft.node(Op::BatchNorm { epsilon: 1e-5 }, &parameters, &[1, 6, 8, 9]);
    check("batch norm", draft);
}

#[test]
fn functions_of_one_value() {
    for function in [
        Unary::Relu,
        Unary::LeakyRelu { alpha: 0.1 },
        Unary::Clip { low: -0.5, high: 1.2 },
        Unary::Sigmoid,
        Unary::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Unary::HardSwish,
        Unary::Silu,
        Unary::Mish,
        Unary::Tanh,
        Unary::Exp,
        Unary::Erf,
        Unary::Gelu { tanh: false },
        Unary::Gelu { tanh: true },
        Unary::Softplus,
        Unary::Elu { alpha: 0.7 },
        Unary::Selu { alpha: 1.67, gamma: 1.05 },
        Unary::ThresholdedRelu { alpha: 0.8 },
        Unary::Neg,
        Unary::Abs,
    ] {
        single(&format!("{function:?}"), Op::Unary(function), [1, 5, 6, 7], [1, 5, 6, 7]);
    }
    let mut draft = Draft::new(4);
    let x = draft.input(&[1, 5, 6, 7]);
    let slope = draft.uniform(&[5, 1, 1], -0.5, 0.5);
    let y = draft.node(Op::PRelu, &[x, slope], &[1, 5, 6, 7]);
    let offset = draft.uniform(&[1, 5, 1, 1], -1.0, 1.0);
    let y = draft.node(Op::Binary(Binary::Add), &[y, offset], &[1, 5, 6, 7]);
    draft.node(Op::Unary(Unary::Tanh), &[y], &[1, 5, 6, 7]);
    check("a chain of three", draft);
}

#[test]
fn joins_of_two_values() {
    let image = [1, 6, 5, 7];
    for (function, second) in [
        (Binary::Add, image),
        (Binary::Sub, image),
        (Binary::Mul, image),
        (Binary::Mul, [1, 6, 1, 1]),
        (Binary::Mul, [1, 1, 5, 7]),
        (Binary::Add, [1, 6, 1, 1]),
        (Binary::Sub, [1, 6, 1, 1]),
    ] {
        for swapped in [false, true] {
            let mut draft = Draft::new(11);
            let (a, b) = (draft.input(&image), draft.input(&second));
            let inputs = if swapped { [b, a] } else { [a, b] };
            draft.node(Op::Binary(function), &inputs, &image);
            check(&format!("{function:?} with {second:?}, swapped {swapped}"), draft);
        }
    }
    let mut draft = Draft::new(12);
    let (a, b) = (draft.input(&[1, 3, 5, 7]), draft.input(&[1, 6, 5, 7]));
    draft.node(Op::Concat { axis: 1 }, &[a, b, a], &[1, 12, 5, 7]);
    check("concat", draft);
}

#[test]
fn pooling_and_global_statistics() {
    for (kernel, stride, pad, ceil, extent) in [
        (2, 2, 0, false, [4, 5]),
        (2, 2, 0, true, [5, 6]),
        (3, 2, 1, false, [5, 6]),
        (3, 1, 1, false, [9, 11]),
    ] {
        let window = window(kernel, stride, 1, pad);
        let output = [1, 5, extent[0], extent[1]];
        single("max pool", Op::MaxPool { window, ceil }, [1, 5, 9, 11], output);
        for count_include_pad in [false, true] {
            if count_include_pad && ceil {
                continue;
            }
            let op = Op::AveragePool { window, ceil, count_include_pad };
            single(&format!("average pool {kernel}/{stride}"), op, [1, 5, 9, 11], output);
        }
    }
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let op = Op::Reduce { reduction, axes: vec![2, 3], keepdims: true };
        single(&format!("{reduction:?}"), op, [1, 5, 9, 11], [1, 5, 1, 1]);
    }
}

#[test]
fn resizing_by_every_rule() {
    let rules = [
        Coordinates::HalfPixel,
        Coordinates::PytorchHalfPixel,
        Coordinates::AlignCorners,
        Coordinates::Asymmetric,
    ];
    let modes = [
        Interpolation::Linear,
        Interpolation::Nearest(Nearest::Floor),
        Interpolation::Nearest(Nearest::RoundPreferFloor),
        Interpolation::Nearest(Nearest::RoundPreferCeil),
        Interpolation::Nearest(Nearest::Ceil),
    ];
    for (coordinates, interpolation) in rules.into_iter().flat_map(|r| modes.map(|m| (r, m))) {
        for extent in [[12, 16], [18, 24], [3, 4], [9, 11], [6, 13]] {
            let scales = [extent[0] as f32 / 6.0, extent[1] as f32 / 8.0];
            let op = Op::Resize { interpolation, coordinates, scales };
            let name = format!("{interpolation:?} {coordinates:?} to {extent:?}");
            single(&name, op, [1, 5, 6, 8], [1, 5, extent[0], extent[1]]);
        }
    }
}

#[test]
fn padding_cropping_and_expanding() {
    let pads = vec![0, 0, 2, 1, 0, 0, 1, 3];
    for mode in [PadMode::Constant(0.0), PadMode::Constant(0.8), PadMode::Edge, PadMode::Reflect] {
        single(&format!("{mode:?}"), Op::Pad { pads: pads.clone(), mode }, [1, 5, 6, 7], [1, 5, 9, 11]);
    }
    let cut = |start: [usize; 4], step: [i64; 4], output| {
        let op = Op::Slice { start: start.to_vec(), step: step.to_vec() };
        single(&format!("slice {start:?} {step:?}"), op, [1, 5, 6, 7], output);
    };
    cut([0, 0, 1, 2], [1; 4], [1, 5, 4, 5]);
    cut([0, 0, 5, 0], [1, 1, -2, 3], [1, 5, 3, 3]);
    cut([0, 2, 0, 0], [1; 4], [1, 2, 6, 7]);
    single("expand", Op::Expand, [1, 5, 1, 1], [1, 5, 6, 7]);
}
