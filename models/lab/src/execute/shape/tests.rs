//! Data movement against hand-written results and NumPy's documented examples.

use std::borrow::Cow;

use super::super::tests::Random;
use super::{concat, expand, gather, pad, reshape, slice, transpose};
use crate::network::{Data, PadMode, Tensor};

fn counting(shape: &[usize]) -> Tensor {
    Tensor { shape: shape.to_vec(), data: Data::I64((0..shape.iter().product::<usize>() as i64).collect()) }
}

fn integers(tensor: &Tensor) -> &[i64] {
    let Data::I64(values) = &tensor.data else { panic!("not i64") };
    values
}

#[test]
fn every_element_type_moves() {
    let types = [
        Data::F32(vec![1.0, 2.0]),
        Data::I64(vec![1, 2]),
        Data::I8(vec![1, 2]),
        Data::U8(vec![1, 2]),
        Data::Bool(vec![false, true]),
    ];
    for data in types {
        let x = Tensor { shape: vec![2], data };
        let reversed = slice(&x, &[1], &[-1], &[2]).unwrap();
        assert_ne!(reversed, x);
        let twice = concat(&[&reversed, &x], 0, &[4]).unwrap();
        assert_eq!(slice(&twice, &[2], &[1], &[2]).unwrap(), x);
        let indices = Tensor { shape: vec![2], data: Data::I64(vec![-1, 0]) };
        assert_eq!(gather(&x, &indices, 0, &[2]).unwrap(), reversed);
        let wide = expand(&x, &[3, 2]).unwrap();
        assert_eq!(slice(&wide, &[2, 0], &[1, 1], &[1, 2]).unwrap().data, x.data);
        let padded = pad(&x, &[1, 0], PadMode::Edge, &[3]).unwrap();
        assert_eq!(slice(&padded, &[1], &[1], &[2]).unwrap(), x);
    }
}

#[test]
fn transpose_matches_index_arithmetic_for_every_permutation() {
    let x = counting(&[2, 3, 4]);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let shape: Vec<usize> = order.iter().map(|&axis| x.shape[axis]).collect();
        let actual = transpose(&x, &order, &shape).unwrap();
        for (at, value) in integers(&actual).iter().enumerate() {
            let index = [at / (shape[1] * shape[2]), at / shape[2] % shape[1], at % shape[2]];
            let mut source = [0; 3];
            (0..3).for_each(|axis| source[order[axis]] = index[axis]);
            assert_eq!(
                *value as usize,
                (source[0] * 3 + source[1]) * 4 + source[2],
                "{order:?} at {index:?}"
            );
        }
    }
    assert!(transpose(&x, &[0, 1, 1], &[2, 3, 3]).is_err());
    assert!(transpose(&x, &[0, 1], &[2, 3]).is_err());
    assert!(transpose(&x, &[0, 2, 1], &[2, 3, 4]).is_err());
}

#[test]
fn slices_step_both_ways_and_never_leave_the_axis() {
    let x = counting(&[3, 5]);
    assert_eq!(integers(&slice(&x, &[2, 4], &[-2, -2], &[2, 3]).unwrap()), [14, 12, 10, 4, 2, 0]);
    assert_eq!(integers(&slice(&x, &[0, 1], &[1, 3], &[3, 2]).unwrap()), [1, 4, 6, 9, 11, 14]);
    assert_eq!(slice(&x, &[0, 0], &[1, 1], &[3, 0]).unwrap().shape, [3, 0]);
    for (start, step, count) in [(0, 1, 6), (5, 1, 1), (0, -1, 2), (4, i64::MIN, 2), (0, i64::MAX, 3)] {
        assert!(slice(&x, &[0, start], &[1, step], &[3, count]).is_err(), "{start} {step} {count}");
    }
    assert!(slice(&x, &[0], &[1], &[3]).is_err());
}

#[test]
fn gather_takes_indices_of_any_rank_and_refuses_those_outside() {
    let x = counting(&[2, 3]);
    let indices = |shape: &[usize], data: Vec<i64>| Tensor { shape: shape.to_vec(), data: Data::I64(data) };
    assert_eq!(integers(&gather(&x, &indices(&[], vec![2]), 1, &[2]).unwrap()), [2, 5]);
    let actual = gather(&x, &indices(&[2, 2], vec![1, 0, -3, 2]), 1, &[2, 2, 2]).unwrap();
    assert_eq!(integers(&actual), [1, 0, 0, 2, 4, 3, 3, 5]);
    for index in [3, -4, i64::MIN, i64::MAX] {
        assert!(gather(&x, &indices(&[1], vec![index]), 1, &[2, 1]).is_err(), "{index}");
    }
    assert!(gather(&x, &indices(&[1], vec![0]), 2, &[2, 3]).is_err());
    assert!(gather(&x, &Tensor::f32(vec![1], vec![0.0]), 0, &[1, 3]).is_err());
}

#[test]
fn concat_interleaves_along_inner_axes() {
    let (a, b) = (counting(&[2, 1, 2]), counting(&[2, 2, 2]));
    assert_eq!(integers(&concat(&[&a, &b], 1, &[2, 3, 2]).unwrap()), [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 6, 7]);
    assert!(concat(&[&a, &b], 0, &[4, 2, 2]).is_err());
    assert!(concat(&[&a, &b], 3, &[2, 3, 2]).is_err());
    assert!(concat(&[&a, &Random(15).tensor(&[2, 1, 2])], 1, &[2, 2, 2]).is_err());
    assert!(concat(&[&a, &counting(&[2, 1])], 1, &[2, 2, 2]).is_err());
}

#[test]
fn pads_match_numpy() {
    let x = counting(&[2, 3]);
    let pads = [1, 2, 0, 1];
    let constant = pad(&x, &pads, PadMode::Constant(9.0), &[3, 6]).unwrap();
    assert_eq!(integers(&constant), [9, 9, 9, 9, 9, 9, 9, 9, 0, 1, 2, 9, 9, 9, 3, 4, 5, 9]);
    let edge = pad(&x, &pads, PadMode::Edge, &[3, 6]).unwrap();
    assert_eq!(integers(&edge), [0, 0, 0, 1, 2, 2, 0, 0, 0, 1, 2, 2, 3, 3, 3, 4, 5, 5]);
    let reflect = pad(&x, &pads, PadMode::Reflect, &[3, 6]).unwrap();
    assert_eq!(integers(&reflect), [5, 4, 3, 4, 5, 4, 2, 1, 0, 1, 2, 1, 5, 4, 3, 4, 5, 4]);
}

#[test]
fn reflection_repeats_when_the_pad_exceeds_the_axis() {
    let x = counting(&[3]);
    let actual = pad(&x, &[5, 4], PadMode::Reflect, &[12]).unwrap();
    assert_eq!(integers(&actual), [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
    let single = pad(&counting(&[1]), &[2, 1], PadMode::Reflect, &[4]).unwrap();
    assert_eq!(integers(&single), [0, 0, 0, 0]);
}

#[test]
fn pads_of_empty_axes_and_wrong_counts_are_refused() {
    let empty = counting(&[0]);
    assert!(pad(&empty, &[1, 0], PadMode::Edge, &[1]).is_err());
    assert!(pad(&empty, &[1, 0], PadMode::Reflect, &[1]).is_err());
    assert_eq!(integers(&pad(&empty, &[1, 1], PadMode::Constant(7.0), &[2]).unwrap()), [7, 7]);
    assert!(pad(&counting(&[2]), &[1], PadMode::Edge, &[3]).is_err());
    assert!(pad(&counting(&[2]), &[usize::MAX, 0], PadMode::Edge, &[1]).is_err());
}

#[test]
fn reshape_keeps_elements_and_refuses_other_volumes() {
    let x = counting(&[2, 3]);
    assert_eq!(reshape(Cow::Borrowed(&x), &[3, 1, 2]).unwrap().data, x.data);
    assert!(reshape(Cow::Borrowed(&x), &[7]).is_err());
}

#[test]
fn expand_refuses_to_shrink() {
    assert!(expand(&counting(&[3]), &[2]).is_err());
    assert!(expand(&counting(&[2, 3]), &[3]).is_err());
    assert_eq!(integers(&expand(&counting(&[2, 1]), &[2, 2, 2]).unwrap()), [0, 0, 1, 1, 0, 0, 1, 1]);
}
