//! Scalar functions against values computed elsewhere, and broadcasting against index arithmetic.

use std::borrow::Cow;

use super::super::tests::{Random, assert_close};
use super::{binary, prelu, unary, unary_value};
use crate::network::{Binary, Data, Tensor, Unary};

#[test]
fn scalar_functions_have_their_tabulated_values() {
    let cases = [
        (Unary::Relu, -1.5, 0.0),
        (Unary::LeakyRelu { alpha: 0.1 }, -1.5, -0.15),
        (Unary::Clip { low: -1.0, high: 2.0 }, 3.0, 2.0),
        (Unary::Clip { low: 2.0, high: -1.0 }, 0.0, -1.0),
        (Unary::Sigmoid, 1.0, 0.731_058_6),
        (Unary::Sigmoid, -200.0, 0.0),
        (Unary::HardSigmoid { alpha: 0.2, beta: 0.5 }, 1.0, 0.7),
        (Unary::HardSwish, 1.0, 0.666_666_7),
        (Unary::HardSwish, -4.0, 0.0),
        (Unary::Silu, 1.0, 0.731_058_6),
        (Unary::Mish, 1.0, 0.865_098_4),
        (Unary::Tanh, 0.5, 0.462_117_16),
        (Unary::Exp, 0.5, 1.648_721_3),
        (Unary::Log, 3.0, 1.098_612_3),
        (Unary::Sqrt, 3.0, 1.732_050_8),
        (Unary::Gelu { tanh: false }, 1.0, 0.841_344_7),
        (Unary::Gelu { tanh: true }, 1.0, 0.841_192),
        (Unary::Softplus, 1.0, 1.313_261_7),
        (Unary::Softplus, 100.0, 100.0),
        (Unary::Elu { alpha: 2.0 }, -1.0, -1.264_241_1),
        (Unary::Selu { alpha: 1.5, gamma: 2.0 }, -1.0, -1.896_361_7),
        (Unary::Selu { alpha: 1.5, gamma: 2.0 }, 3.0, 6.0),
        (Unary::ThresholdedRelu { alpha: 1.0 }, 1.0, 0.0),
        (Unary::ThresholdedRelu { alpha: 1.0 }, 1.5, 1.5),
        (Unary::Neg, 2.0, -2.0),
        (Unary::Abs, -2.0, 2.0),
        (Unary::Reciprocal, 4.0, 0.25),
    ];
    for (function, x, expected) in cases {
        let actual = unary_value(function, x);
        assert!((actual - expected).abs() <= 3e-7 * expected.abs().max(1.0), "{function:?}({x}) = {actual}");
    }
}

#[test]
fn erf_has_the_handbook_values() {
    let table = [
        (0.0, 0.0),
        (0.001, 0.001_128_378_8),
        (0.1, 0.112_462_916),
        (0.499, 0.519_620_66),
        (0.5, 0.520_499_9),
        (1.0, 0.842_700_8),
        (2.0, 0.995_322_3),
        (3.0, 0.999_977_9),
        (9.0, 1.0),
    ];
    for (x, expected) in table {
        assert!((unary_value(Unary::Erf, x) - expected).abs() <= 3e-7 * expected.max(0.1), "erf({x})");
        assert!((unary_value(Unary::Erf, -x) + expected).abs() <= 3e-7 * expected.max(0.1), "erf(-{x})");
    }
}

#[test]
fn the_vectorised_loops_agree_with_the_scalar_definition() {
    let x = Random(12).tensor(&[7, 9001]);
    let functions = [
        Unary::Relu,
        Unary::LeakyRelu { alpha: 0.3 },
        Unary::Clip { low: -0.5, high: 1.0 },
        Unary::HardSwish,
        Unary::Sigmoid,
    ];
    for function in functions {
        let expected = x.as_f32().unwrap().iter().map(|&x| unary_value(function, x)).collect();
        let actual = unary(function, Cow::Borrowed(&x), &x.shape).unwrap();
        assert_eq!(actual, Tensor::f32(x.shape.clone(), expected), "{function:?}");
    }
}

#[test]
fn nan_survives_clipping_and_extrema() {
    assert!(unary_value(Unary::Relu, f32::NAN).is_nan());
    assert!(unary_value(Unary::Clip { low: 0.0, high: 1.0 }, f32::NAN).is_nan());
    for function in [Binary::Max, Binary::Min] {
        for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN)] {
            let (a, b) = (Tensor::f32(vec![1], vec![a]), Tensor::f32(vec![1], vec![b]));
            let actual = binary(function, Cow::Owned(a), &b, &[1]).unwrap();
            assert!(actual.as_f32().unwrap()[0].is_nan(), "{function:?}");
        }
    }
}

/// a − b by index arithmetic over four axes.
fn naive_difference(a: &Tensor, b: &Tensor, shape: &[usize]) -> Tensor {
    let element = |tensor: &Tensor, index: &[usize]| {
        let own = &index[index.len() - tensor.shape.len()..];
        let position =
            own.iter().zip(&tensor.shape).fold(0, |at, (&i, &n)| at * n + if n == 1 { 0 } else { i });
        tensor.as_f32().unwrap()[position]
    };
    let mut out = Vec::new();
    for flat in 0..shape.iter().product() {
        let mut rest: usize = flat;
        let mut index: Vec<usize> = shape.iter().rev().map(|&n| (rest % n, rest /= n).0).collect();
        index.reverse();
        out.push(element(a, &index) - element(b, &index));
    }
    Tensor::f32(shape.to_vec(), out)
}

#[test]
fn every_broadcast_pattern_of_four_axes_matches_index_arithmetic() {
    let random = &mut Random(13);
    let full = [2, 3, 4, 5];
    let shapes: Vec<Vec<usize>> = (0..16)
        .map(|mask| (0..4).map(|axis| if mask >> axis & 1 == 1 { 1 } else { full[axis] }).collect())
        .chain([vec![], vec![5], vec![4, 5], vec![3, 1, 1], vec![1]])
        .collect();
    for (a, b) in shapes.iter().flat_map(|a| shapes.iter().map(move |b| (a, b))) {
        let (a, b) = (random.tensor(a), random.tensor(b));
        let rank = a.shape.len().max(b.shape.len());
        let extent =
            |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
        let shape: Vec<usize> =
            (0..rank).map(|axis| extent(&a.shape, axis).max(extent(&b.shape, axis))).collect();
        let expected = naive_difference(&a, &b, &shape);
        assert_eq!(
            binary(Binary::Sub, Cow::Borrowed(&a), &b, &shape).unwrap(),
            expected,
            "{:?} {:?}",
            a.shape,
            b.shape
        );
        assert_eq!(binary(Binary::Sub, Cow::Owned(a), &b, &shape).unwrap(), expected);
    }
}

#[test]
fn large_operands_split_over_threads_match_index_arithmetic() {
    let random = &mut Random(14);
    let a = random.tensor(&[1, 3, 170, 190]);
    for b in [vec![1, 3, 170, 190], vec![3, 1, 1], vec![190], vec![170, 1], vec![]] {
        let b = random.tensor(&b);
        let expected = naive_difference(&a, &b, &a.shape);
        assert_eq!(binary(Binary::Sub, Cow::Borrowed(&a), &b, &a.shape).unwrap(), expected, "{:?}", b.shape);
    }
}

#[test]
fn arithmetic_gives_the_functions_it_names() {
    let (a, b) = (Tensor::f32(vec![1], vec![3.0]), Tensor::f32(vec![1], vec![2.0]));
    let cases = [
        (Binary::Add, 5.0),
        (Binary::Sub, 1.0),
        (Binary::Mul, 6.0),
        (Binary::Div, 1.5),
        (Binary::Pow, 9.0),
        (Binary::Max, 3.0),
        (Binary::Min, 2.0),
    ];
    for (function, expected) in cases {
        let actual = binary(function, Cow::Borrowed(&a), &b, &[1]).unwrap();
        assert_close(&actual, &Tensor::f32(vec![1], vec![expected]), 1e-6, &format!("{function:?}"));
    }
}

#[test]
fn prelu_slopes_each_channel() {
    let x = Tensor::f32(vec![1, 2, 1, 2], vec![-1.0, 1.0, -1.0, 1.0]);
    let slope = Tensor::f32(vec![2, 1, 1], vec![0.5, 0.25]);
    let actual = prelu(Cow::Borrowed(&x), &slope, &x.shape).unwrap();
    assert_eq!(actual.as_f32().unwrap(), [-0.5, 1.0, -0.25, 1.0]);
    let wide = Tensor::f32(vec![3, 1, 2, 1, 2], vec![0.0; 12]);
    assert!(prelu(Cow::Borrowed(&x), &wide, &x.shape).is_err());
}

#[test]
fn operands_of_other_types_and_shapes_are_refused() {
    let integers = Tensor { shape: vec![2], data: Data::I64(vec![1, 2]) };
    let floats = Tensor::f32(vec![2], vec![1.0, 2.0]);
    assert!(unary(Unary::Relu, Cow::Borrowed(&integers), &[2]).is_err());
    assert!(unary(Unary::Relu, Cow::Borrowed(&floats), &[3]).is_err());
    assert!(binary(Binary::Add, Cow::Borrowed(&floats), &integers, &[2]).is_err());
    assert!(binary(Binary::Add, Cow::Borrowed(&integers), &floats, &[2]).is_err());
    assert!(binary(Binary::Add, Cow::Borrowed(&floats), &Tensor::f32(vec![3], vec![0.0; 3]), &[3]).is_err());
}
