//! Normalizations against their formulas, one element at a time in f64.

use std::borrow::Cow;

use super::super::tests::{Random, assert_close};
use super::{batch_norm, group_norm};
use crate::network::Tensor;

#[test]
fn batch_norm_matches_its_formula() {
    let random = &mut Random(16);
    let x = random.tensor(&[2, 3, 70, 90]);
    let [scale, bias, mean] = [0; 3].map(|_| random.tensor(&[3]));
    let variance = Tensor::f32(vec![3], vec![0.5, 1.0, 4.0]);
    let of = |tensor: &Tensor, channel: usize| f64::from(tensor.as_f32().unwrap()[channel]);
    let element = |(at, &x): (usize, &f32)| {
        let c = at / (70 * 90) % 3;
        let normal = (f64::from(x) - of(&mean, c)) / (of(&variance, c) + 1e-3).sqrt();
        (normal * of(&scale, c) + of(&bias, c)) as f32
    };
    let expected = x.as_f32().unwrap().iter().enumerate().map(element).collect();
    let expected = Tensor::f32(x.shape.clone(), expected);
    let actual = batch_norm(Cow::Borrowed(&x), [&scale, &bias, &mean, &variance], 1e-3, &x.shape).unwrap();
    assert_close(&actual, &expected, 1e-5, "batch norm");
    let short = random.tensor(&[2]);
    assert!(batch_norm(Cow::Borrowed(&x), [&scale, &bias, &short, &variance], 1e-3, &x.shape).is_err());
    let vector = random.tensor(&[3]);
    assert!(batch_norm(Cow::Borrowed(&vector), [&scale, &bias, &mean, &variance], 1e-3, &[3]).is_err());
}

#[test]
fn group_norm_matches_its_formula_from_layer_to_instance() {
    let random = &mut Random(17);
    let (channels, inner) = (6, 35);
    let x = random.tensor(&[2, channels, 5, 7]);
    let (scale, bias) = (random.tensor(&[channels]), random.tensor(&[channels]));
    for groups in [1, 2, 3, 6] {
        let size = channels / groups * inner;
        let mut expected = Vec::new();
        for (number, group) in x.as_f32().unwrap().chunks(size).enumerate() {
            let mean = group.iter().map(|&x| f64::from(x)).sum::<f64>() / size as f64;
            let square = group.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / size as f64;
            let deviation = (square - mean * mean + 1e-2).sqrt();
            for (at, &x) in group.iter().enumerate() {
                let c = (number * size + at) / inner % channels;
                let (scale, bias) = (scale.as_f32().unwrap()[c], bias.as_f32().unwrap()[c]);
                expected
                    .push(((f64::from(x) - mean) / deviation * f64::from(scale) + f64::from(bias)) as f32);
            }
        }
        let actual = group_norm(Cow::Borrowed(&x), &scale, &bias, groups, 1e-2, &x.shape).unwrap();
        assert_close(&actual, &Tensor::f32(x.shape.clone(), expected), 2e-5, &format!("{groups} groups"));
    }
    assert!(group_norm(Cow::Borrowed(&x), &scale, &bias, 4, 1e-2, &x.shape).is_err());
    assert!(group_norm(Cow::Borrowed(&x), &scale, &bias, 0, 1e-2, &x.shape).is_err());
}
