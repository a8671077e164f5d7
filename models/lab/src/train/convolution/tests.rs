//! Tests of convolution by patches, against Candle's own.

use super::*;
use candle_core::{Device, Var};

fn ramp(shape: &[usize], step: usize) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| ((i * step) % 17) as f32 / 8.0 - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn greatest_difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn convolution_and_its_gradients_equal_candles_own() {
    let x = Var::from_tensor(&ramp(&[2, 3, 5, 7], 5)).unwrap();
    let weight = Var::from_tensor(&ramp(&[4, 3, 3, 3], 7)).unwrap();
    let own = convolve(x.as_tensor(), weight.as_tensor()).unwrap();
    let theirs = x.as_tensor().conv2d(weight.as_tensor(), 1, 1, 1, 1).unwrap();
    assert!(greatest_difference(&own, &theirs) < 1e-5);

    let mix = ramp(&[2, 4, 5, 7], 3);
    let own = (own * &mix).unwrap().sum_all().unwrap().backward().unwrap();
    let theirs = (theirs * &mix).unwrap().sum_all().unwrap().backward().unwrap();
    for var in [&x, &weight] {
        assert!(greatest_difference(own.get(var).unwrap(), theirs.get(var).unwrap()) < 1e-4);
    }
}
