//! Tests of the operators: results and gradients against Candle's own, or against finite differences.

use super::*;
use crate::metrics::SplitMix64;
use candle_core::{Device, Tensor, Var};

/// Values in −1..1 that repeat.
fn noise(shape: &[usize], seed: u64) -> Var {
    let mut random = SplitMix64::new(seed);
    let count = shape.iter().product();
    let values: Vec<f32> =
        (0..count).map(|_| (random.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

fn near(own: &Tensor, other: &Tensor, what: &str) {
    let (own, other) = (values(own).unwrap(), values(other).unwrap());
    assert_eq!(own.len(), other.len(), "{what}");
    let scale = other.iter().fold(1.0f32, |scale, v| scale.max(v.abs()));
    for (at, (a, b)) in own.iter().zip(&other).enumerate() {
        assert!((a - b).abs() <= 2e-5 * scale, "{what}, value {at}: {a}, not {b}");
    }
}

/// Result and gradients of `own` and `other` for a loss that weighs every output differently.
fn same(variables: &[Var], own: impl Fn() -> Result<Tensor>, other: impl Fn() -> Result<Tensor>, what: &str) {
    let loss = |result: &Tensor| {
        let weights = noise(result.dims(), 77);
        (result * weights.as_tensor()).unwrap().sum_all().unwrap()
    };
    let (own, other) = (own().unwrap(), other().unwrap());
    near(&own, &other, what);
    let (own, other) = (loss(&own).backward().unwrap(), loss(&other).backward().unwrap());
    for (at, variable) in variables.iter().enumerate() {
        let what = format!("{what}, gradient of operand {at}");
        near(own.get(variable).unwrap(), other.get(variable).unwrap(), &what);
    }
}

#[test]
fn convolutions_are_those_of_candle() {
    for [images, inputs, outputs, height, width] in [
        [1, 1, 1, 1, 1],
        [2, 3, 5, 7, 9],
        [1, 4, 8, 16, 16],
        [1, 2, 3, 1, 40],
        [2, 1, 4, 18, 1],
        [1, 2, 6, 40, 50],
    ] {
        for kernel in [1, 3] {
            let x = noise(&[images, inputs, height, width], 1);
            let weight = noise(&[outputs, inputs, kernel, kernel], 2);
            let bias = noise(&[outputs], 3);
            let what = format!("{inputs} to {outputs} channels, {height}x{width}, kernel {kernel}");
            let other = || {
                let bias = bias.reshape((1, outputs, 1, 1))?;
                x.conv2d(&weight, kernel / 2, 1, 1, 1)?.broadcast_add(&bias)
            };
            let variables = [x.clone(), weight.clone(), bias.clone()];
            same(&variables, || convolve(&x, &weight, Some(&bias)), other, &what);
        }
    }
}

#[test]
fn depthwise_convolutions_are_those_of_candle() {
    let (x, weight) = (noise(&[2, 3, 6, 7], 1), noise(&[3, 1, 3, 3], 2));
    let other = || {
        let planes: Vec<Tensor> = (0..3)
            .map(|c| {
                x.narrow(1, c, 1)?.contiguous()?.conv2d(&weight.narrow(0, c, 1)?.contiguous()?, 1, 1, 1, 1)
            })
            .collect::<Result<_>>()?;
        Tensor::cat(&planes, 1)
    };
    same(&[x.clone(), weight.clone()], || convolve_depthwise(&x, &weight), other, "depthwise");
}

#[test]
fn norms_are_those_of_the_formula() {
    for groups in [Groups::Batch, Groups::Image] {
        for relu in [false, true] {
            let (x, scale, shift) = (noise(&[3, 4, 5, 6], 1), noise(&[4], 2), noise(&[4], 3));
            let statistics = Statistics::default();
            let other = || {
                let axes = if groups == Groups::Batch { vec![0, 2, 3] } else { vec![2, 3] };
                let mean = x.mean_keepdim(&axes[..])?;
                let centred = x.broadcast_sub(&mean)?;
                let variance = centred.sqr()?.mean_keepdim(&axes[..])?;
                let normal = centred.broadcast_div(&(variance + 1e-5)?.sqrt()?)?;
                let of = |tensor: &Var| tensor.reshape((1, 4, 1, 1));
                let result = normal.broadcast_mul(&of(&scale)?)?.broadcast_add(&of(&shift)?)?;
                if relu { result.relu() } else { Ok(result) }
            };
            let own = || normalize(&x, [&scale, &shift], groups, relu, 1e-5, &statistics);
            let variables = [x.clone(), scale.clone(), shift.clone()];
            same(&variables, own, other, &format!("{groups:?}, relu {relu}"));
            let expected = if groups == Groups::Batch { 4 } else { 12 };
            assert_eq!(statistics.lock().unwrap().len(), expected);
        }
    }
}

#[test]
fn halves_doubles_logarithms_and_sums_are_those_of_candle() {
    let x = noise(&[2, 3, 6, 8], 1);
    // Candle's own pooling divides its gradient by the window's four pixels.
    let windows = || x.reshape((2, 3, 3, 2, 4, 2))?.max(5)?.max(3);
    same(std::slice::from_ref(&x), || halve(&x), windows, "halve");
    same(std::slice::from_ref(&x), || double(&x), || x.upsample_nearest2d(12, 16), "double");
    same(std::slice::from_ref(&x), || rectify(&x), || x.relu(), "rectify");
    same(std::slice::from_ref(&x), || channel_sums(&x), || x.sum((0, 2, 3)), "sums");
    same(std::slice::from_ref(&x), || log_softmax(&x), || candle_nn::ops::log_softmax(&x, 1), "log softmax");
    let pair = Tensor::cat(&[&log_softmax(&x).unwrap()], 0).unwrap().exp().unwrap().sum(1).unwrap();
    near(
        &pair,
        &Tensor::ones(pair.shape(), candle_core::DType::F32, &Device::Cpu).unwrap(),
        "sum of the softmax",
    );
    assert!(halve(&noise(&[1, 1, 3, 4], 2)).is_err());
}

#[test]
fn sums_side_by_side_are_those_one_by_one_to_the_bit() {
    let bits = |tensor: &Tensor| values(tensor).unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>();
    // Nine channels: some are summed together, one is left.
    let (x, scale, shift) = (noise(&[2, 9, 6, 8], 1), noise(&[9], 2), noise(&[9], 3));
    let statistics = Statistics::default();
    normalize(&x, [&scale, &shift], Groups::Batch, false, 1e-5, &statistics).unwrap();
    for (channel, found) in statistics.lock().unwrap().iter().enumerate() {
        let own = x.narrow(1, channel, 1).unwrap();
        let planes: Vec<Vec<f32>> = own.chunk(2, 0).unwrap().iter().map(|own| values(own).unwrap()).collect();
        let total = |of: &dyn Fn(f64) -> f64| -> f64 {
            planes.iter().map(|plane| plane.iter().map(|&v| of(f64::from(v))).sum::<f64>()).sum()
        };
        let mean = total(&|v| v) / 96.0;
        let variance = total(&|v| (v - mean) * (v - mean)) / 96.0;
        assert_eq!(*found, [mean as f32, variance as f32], "channel {channel}");
    }
    let sums = x.sum((0, 2, 3)).unwrap();
    assert_eq!(bits(&channel_sums(&x).unwrap()), bits(&sums));
    assert_eq!(bits(&rectify(&x).unwrap()), bits(&x.relu().unwrap()));
}
