//! Quantization at ties, at saturation, and per axis.

use super::{dequantize, quantize};
use crate::network::{Data, Tensor};

fn floats(values: &[f32]) -> Tensor {
    Tensor::f32(vec![values.len()], values.to_vec())
}

fn typed(data: Data, shape: &[usize]) -> Tensor {
    Tensor { shape: shape.to_vec(), data }
}

#[test]
fn halves_round_to_even_and_bytes_saturate() {
    let x = floats(&[1.0, 3.0, 5.0, -1.0, -3.0, 1e30, -1e30, f32::INFINITY, f32::NAN]);
    let scale = Tensor::f32(vec![], vec![2.0]);
    let unsigned = quantize(&x, &scale, &typed(Data::U8(vec![10]), &[]), 1, &[9]).unwrap();
    assert_eq!(unsigned.data, Data::U8(vec![10, 12, 12, 10, 8, 255, 0, 255, 0]));
    let signed = quantize(&x, &scale, &typed(Data::I8(vec![-2]), &[]), 1, &[9]).unwrap();
    assert_eq!(signed.data, Data::I8(vec![-2, 0, 0, -2, -4, 127, -128, 127, 0]));
}

#[test]
fn each_slice_of_the_axis_has_its_own_scale() {
    let x = Tensor::f32(vec![1, 2, 2], vec![1.0, 2.0, 1.0, 2.0]);
    let scale = floats(&[1.0, 0.5]);
    let zero = typed(Data::I8(vec![0, 10]), &[2]);
    let quantized = quantize(&x, &scale, &zero, 1, &[1, 2, 2]).unwrap();
    assert_eq!(quantized.data, Data::I8(vec![1, 2, 12, 14]));
    assert_eq!(dequantize(&quantized, &scale, &zero, 1, &[1, 2, 2]).unwrap(), x);
}

#[test]
fn dequantize_takes_bytes_and_wide_biases() {
    let scale = Tensor::f32(vec![], vec![0.25]);
    let cases = [
        (Data::U8(vec![0, 255]), Data::U8(vec![128]), [-32.0, 31.75]),
        (Data::I8(vec![-128, 127]), Data::I8(vec![127]), [-63.75, 0.0]),
        (Data::I64(vec![-1_000_000, 7]), Data::I64(vec![0]), [-250_000.0, 1.75]),
    ];
    for (x, zero, expected) in cases {
        let actual = dequantize(&typed(x, &[2]), &scale, &typed(zero, &[]), 0, &[2]).unwrap();
        assert_eq!(actual.as_f32().unwrap(), expected);
    }
}

#[test]
fn mismatched_types_axes_and_extents_are_refused() {
    let x = floats(&[1.0, 2.0]);
    let one = Tensor::f32(vec![], vec![1.0]);
    let zero = typed(Data::U8(vec![0]), &[]);
    assert!(quantize(&x, &one, &typed(Data::I64(vec![0]), &[]), 0, &[2]).is_err());
    assert!(quantize(&x, &floats(&[1.0, 1.0]), &zero, 0, &[2]).is_err());
    assert!(quantize(&x, &floats(&[1.0; 3]), &typed(Data::U8(vec![0; 3]), &[3]), 0, &[2]).is_err());
    assert!(quantize(&x, &floats(&[1.0; 2]), &typed(Data::U8(vec![0; 2]), &[2]), 1, &[2]).is_err());
    assert!(dequantize(&x, &one, &zero, 0, &[2]).is_err());
    assert!(dequantize(&typed(Data::I8(vec![0; 2]), &[2]), &one, &zero, 0, &[2]).is_err());
}
