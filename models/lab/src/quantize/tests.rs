//! Quantization parameters: ranges that hold zero, weights within their steps, and each range method's
//! promise.

use super::ranges::{Method, observe};
use super::*;
use crate::network::{Node, Op, Tensor, Unary, Value};

#[test]
fn covering_represents_zero_exactly_and_the_ends_within_half_a_step() {
    for (low, high) in [(-1.0, 1.0), (0.0, 6.0), (2.0, 5.0), (-7.0, -3.0), (-1e-6, 3e4), (0.0, 0.0)] {
        let q = Quantization::covering(low, high);
        assert!(q.scale > 0.0 && q.scale.is_finite());
        assert_eq!(q.real(q.zero_point), 0.0);
        assert_eq!(q.code(0.0), q.zero_point);
        for end in [low, high] {
            assert!((q.real(q.code(end)) - end).abs() <= 0.501 * q.scale, "{end} of {low}..{high}");
        }
        assert!((0..=255).all(|code| q.code(q.real(code)) == code));
    }
    assert_eq!(Quantization { scale: 1.0, zero_point: 9 }.code(f32::NAN), 9);
}

#[test]
fn weights_use_their_channels_whole_range_and_never_minus_128() {
    let weights = [0.5, -1.0, 0.25, 3.0, -2.0, 1e-9, 0.0, 0.0, 0.0];
    let own = weights_per_channel(&weights, 3, 0, |_| 0.0, |at| at / 3);
    assert_eq!(own.scales.len(), 3);
    for (at, &weight) in weights.iter().enumerate() {
        let real = f32::from(own.codes[at]) * own.scales[at / 3];
        assert!((real - weight).abs() <= 0.501 * own.scales[at / 3]);
    }
    assert_eq!((own.codes[1], own.codes[3]), (-127, 127));
    assert!(own.codes.iter().all(|&code| code != -128));
    let floored = weights_per_channel(&weights, 3, 0, |_| 0.1, |at| at / 3);
    assert_eq!(floored.scales, [0.1; 3]);
}

/// An identity over values 0..1000 with one outlier of 100000.
fn outlier() -> (Network, Vec<Vec<Tensor>>) {
    let value = |name: &str| Value { name: name.into(), shape: vec![1, 1, 20, 50], constant: None };
    let clip = Op::Unary(Unary::Clip { low: f32::NEG_INFINITY, high: f32::INFINITY });
    let network = Network {
        name: "identity".into(),
        values: vec![value("x"), value("y")],
        nodes: vec![Node { name: "clip".into(), op: clip, inputs: vec![0], output: 1 }],
        inputs: vec![0],
        outputs: vec![1],
    };
    let mut data: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    data[500] = 100_000.0;
    (network, vec![vec![Tensor::f32(vec![1, 1, 20, 50], data)]])
}

#[test]
fn range_methods_keep_or_leave_out_the_outlier() {
    let (network, frames) = outlier();
    let observed = observe(&network, &frames).unwrap();
    let top = |method| {
        let quantized = observed.quantize(&network, method);
        let q = quantized.activations[1].unwrap();
        assert_eq!(quantized.activations[0], Some(q), "input and output hold the same values");
        q.real(255)
    };
    assert!((top(Method::MinMax) - 100_000.0).abs() < 1.0);
    assert!(top(Method::Percentile(0.002)) < 1100.0);
    assert!((top(Method::Percentile(1e-5)) - 100_000.0).abs() < 100.0);
    assert!(top(Method::LeastSquares) <= 100_001.0);
}
