//! Products against the definition, strided, broadcast and empty.

use super::super::tests::{Random, assert_close};
use super::{Matrix, matmul, multiply};
use crate::network::Tensor;

#[test]
fn strided_products_match_the_definition() {
    let random = &mut Random(21);
    for (m, k, n) in [(1, 1, 1), (3, 5, 7), (17, 70, 33), (64, 9, 300), (2, 0, 3)] {
        let (a, b) = (random.tensor(&[k * m + 5]), random.tensor(&[k * (n + 4)]));
        let (a, b) = (a.as_f32().unwrap(), b.as_f32().unwrap());
        let transposed = Matrix { data: a, row_stride: 1, column_stride: m };
        let mut out = vec![f32::NAN; m * n];
        multiply([m, k, n], transposed, Matrix::row_major(b, n + 4), &mut out);
        let sum = |at: usize| (0..k).map(|i| a[i * m + at / n] * b[i * (n + 4) + at % n]).sum::<f32>();
        let expected = Tensor::f32(vec![m * n], (0..m * n).map(sum).collect());
        assert_close(&Tensor::f32(vec![m * n], out), &expected, 1e-3, &format!("{m}×{k}×{n}"));
    }
}

#[test]
#[should_panic(expected = "outside its slice")]
fn an_operand_outside_its_slice_is_caught_before_it_is_read() {
    multiply([2, 2, 2], Matrix::row_major(&[0.0; 3], 2), Matrix::row_major(&[0.0; 4], 2), &mut [0.0; 4]);
}

#[test]
fn leading_axes_of_matmul_broadcast() {
    let random = &mut Random(22);
    let (a, b) = (random.tensor(&[2, 1, 3, 4]), random.tensor(&[5, 4, 6]));
    let (av, bv) = (a.as_f32().unwrap(), b.as_f32().unwrap());
    let element = |at: usize| {
        let (outer, inner, row, column) = (at / 90, at / 18 % 5, at / 6 % 3, at % 6);
        (0..4).map(|k| av[(outer * 3 + row) * 4 + k] * bv[(inner * 4 + k) * 6 + column]).sum::<f32>()
    };
    let expected = Tensor::f32(vec![2, 5, 3, 6], (0..180).map(element).collect());
    assert_close(&matmul(&a, &b, &[2, 5, 3, 6]).unwrap(), &expected, 1e-4, "broadcast");
    assert!(matmul(&a, &random.tensor(&[5, 6]), &[2, 1, 3, 6]).is_err());
    assert!(matmul(&a, &random.tensor(&[4]), &[2, 1, 3]).is_err());
    assert!(matmul(&a, &b, &[2, 5, 6, 3]).is_err());
    assert_eq!(matmul(&random.tensor(&[0, 4]), &random.tensor(&[4, 2]), &[0, 2]).unwrap().shape, [0, 2]);
}
