//! Reductions, Softmax and ArgMax against hand-written results and their edges.

use std::borrow::Cow;

use super::super::tests::{Random, assert_close};
use super::{argmax, reduce, softmax};
use crate::network::{Data, Reduction, Tensor};

#[test]
fn reductions_give_the_functions_they_name() {
    let x = Tensor::f32(vec![2, 2], vec![3.0, -4.0, 1.0, 2.0]);
    let cases = [
        (Reduction::Sum, [-1.0, 3.0]),
        (Reduction::Mean, [-0.5, 1.5]),
        (Reduction::Max, [3.0, 2.0]),
        (Reduction::Min, [-4.0, 1.0]),
        (Reduction::L1, [7.0, 3.0]),
        (Reduction::L2, [5.0, 2.236_068]),
        (Reduction::SumSquare, [25.0, 5.0]),
        (Reduction::LogSumExp, [3.000_911_5, 2.313_261_7]),
    ];
    for (reduction, expected) in cases {
        let actual = reduce(&x, reduction, &[1], true, &[2, 1]).unwrap();
        assert_close(&actual, &Tensor::f32(vec![2, 1], expected.to_vec()), 1e-6, &format!("{reduction:?}"));
    }
}

#[test]
fn any_set_of_axes_matches_index_arithmetic() {
    let x = Random(18).tensor(&[2, 3, 4, 5]);
    for mask in 0..16 {
        let axes: Vec<usize> = (0..4).filter(|axis| mask >> axis & 1 == 1).collect();
        let kept: Vec<usize> =
            (0..4).map(|axis| if axes.contains(&axis) { 1 } else { x.shape[axis] }).collect();
        let mut expected = vec![0.0; kept.iter().product()];
        for (at, value) in x.as_f32().unwrap().iter().enumerate() {
            let index = [at / 60, at / 20 % 3, at / 5 % 4, at % 5];
            let target =
                (0..4).fold(0, |to, axis| to * kept[axis] + if kept[axis] == 1 { 0 } else { index[axis] });
            expected[target] += value;
        }
        let actual = reduce(&x, Reduction::Sum, &axes, true, &kept).unwrap();
        assert_close(&actual, &Tensor::f32(kept, expected), 1e-4, &format!("{axes:?}"));
        let dropped: Vec<usize> =
            (0..4).filter(|axis| !axes.contains(axis)).map(|axis| x.shape[axis]).collect();
        assert_eq!(reduce(&x, Reduction::Sum, &axes, false, &dropped).unwrap().data, actual.data);
    }
}

#[test]
fn an_empty_set_reduces_to_the_neutral_element() {
    let x = Tensor::f32(vec![2, 0], vec![]);
    let value = |reduction| reduce(&x, reduction, &[1], false, &[2]).unwrap().as_f32().unwrap()[0];
    assert_eq!(value(Reduction::Sum), 0.0);
    assert_eq!(value(Reduction::Max), f32::NEG_INFINITY);
    assert_eq!(value(Reduction::Min), f32::INFINITY);
    assert_eq!(value(Reduction::LogSumExp), f32::NEG_INFINITY);
    assert!(value(Reduction::Mean).is_nan());
}

#[test]
fn log_sum_exp_of_large_values_is_finite() {
    let x = Tensor::f32(vec![2], vec![1000.0, 1000.0]);
    let actual = reduce(&x, Reduction::LogSumExp, &[0], false, &[]).unwrap();
    assert_close(&actual, &Tensor::f32(vec![], vec![1_000.693_1]), 1e-3, "large");
}

#[test]
fn unsorted_repeated_and_absent_axes_are_refused() {
    let x = Random(19).tensor(&[2, 2]);
    for axes in [vec![1, 0], vec![1, 1], vec![2]] {
        assert!(reduce(&x, Reduction::Sum, &axes, true, &[1, 1]).is_err(), "{axes:?}");
    }
    assert!(reduce(&x, Reduction::Sum, &[0], true, &[2]).is_err());
}

#[test]
fn softmax_along_any_axis_matches_its_formula_and_survives_large_logits() {
    let mut x = Random(20).tensor(&[2, 3, 4]);
    if let Data::F32(values) = &mut x.data {
        values.iter_mut().step_by(5).for_each(|x| *x += 1000.0);
    }
    let values = x.as_f32().unwrap();
    for axis in 0..3 {
        let inner: usize = x.shape[axis + 1..].iter().product();
        let extent = x.shape[axis];
        let logs = (0..values.len()).map(|at| {
            let first = at / (extent * inner) * extent * inner + at % inner;
            let row: Vec<f64> = (0..extent).map(|k| f64::from(values[first + k * inner])).collect();
            let largest = row.iter().copied().fold(f64::MIN, f64::max);
            let sum = row.iter().map(|x| (x - largest).exp()).sum::<f64>();
            f64::from(values[at]) - largest - sum.ln()
        });
        let logs: Vec<f64> = logs.collect();
        let expected = Tensor::f32(x.shape.clone(), logs.iter().map(|x| x.exp() as f32).collect());
        assert_close(&softmax(Cow::Borrowed(&x), axis, false, &x.shape).unwrap(), &expected, 1e-6, "softmax");
        let expected = Tensor::f32(x.shape.clone(), logs.iter().map(|&x| x as f32).collect());
        assert_close(
            &softmax(Cow::Borrowed(&x), axis, true, &x.shape).unwrap(),
            &expected,
            1e-3,
            "log softmax",
        );
    }
    assert!(softmax(Cow::Borrowed(&x), 3, false, &x.shape).is_err());
}

#[test]
fn argmax_breaks_ties_by_first_or_last() {
    let x = Tensor::f32(vec![2, 3], vec![5.0, 1.0, 5.0, 0.0, 2.0, 2.0]);
    let indices = |last, keepdims, shape: &[usize]| argmax(&x, 1, keepdims, last, shape).unwrap();
    assert_eq!(indices(false, false, &[2]).data, Data::I64(vec![0, 1]));
    assert_eq!(indices(true, true, &[2, 1]).data, Data::I64(vec![2, 2]));
    assert_eq!(argmax(&x, 0, false, false, &[3]).unwrap().data, Data::I64(vec![0, 1, 0]));
    assert!(argmax(&x, 2, false, false, &[2]).is_err());
    assert!(argmax(&Tensor::f32(vec![2, 0], vec![]), 1, false, false, &[2]).is_err());
}
