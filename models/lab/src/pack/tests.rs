//! Packed sections: tables against their formulas, and packages that read back as they were set.

use super::*;
use crate::lower::HeadSpec;
use candor::buffer::AlignedBuffer;
use candor_core::package::{Head, HeadCodes, Package};

fn spec(activation: Activation, channels: usize) -> HeadSpec {
    HeadSpec { value: 0, activation, stripped: true, channels, accumulator_scales: None, codes: None }
}

fn parsed(head: &HeadSpec, check: impl Fn(Head<'_>)) {
    let bytes = AlignedBuffer::copy_of(&head_section(head));
    check(Head::parse(bytes.as_slice()).unwrap());
}

#[test]
fn tables_equal_their_formulas_within_half_a_step() {
    let (sigmoid, exponential) = (sigmoid_table(), exponential_table());
    for index in 0..INDEX_COUNT {
        let logit = (index as f64 - 2048.0) / 128.0;
        let logistic = 65_535.0 / (1.0 + (-logit).exp());
        assert!((f64::from(sigmoid[index]) - logistic.clamp(1.0, 65_534.0)).abs() <= 0.5);
        let weight = 65_535.0 * logit.min(0.0).exp();
        assert!((f64::from(exponential[index]) - weight.max(1.0)).abs() <= 0.5);
        assert!(index == 0 || sigmoid[index] >= sigmoid[index - 1]);
        assert_eq!(usize::from(index_of(logit as f32)), index);
        assert_eq!(logit_of(index), logit);
    }
    assert_eq!([index_of(-1e9), index_of(1e9), index_of(0.0)], [0, 4095, 2048]);
}

#[test]
fn heads_of_codes_name_the_nearest_logit() {
    let head = HeadSpec { codes: Some((0.05, 30)), ..spec(Activation::Sigmoid, 1) };
    parsed(&head, |head| {
        assert!(head.activation_stripped && head.scales[0].get() == 0.05);
        for code in 0..256 {
            let logit = (f64::from(code) - 30.0) * f64::from(0.05f32);
            assert!((logit_of(usize::from(head.index(code, 0))) - logit).abs() <= 1.001 / 256.0, "{code}");
        }
    });
}

#[test]
fn softmax_heads_of_codes_do_not_saturate_where_logits_are_large() {
    let head = HeadSpec { codes: Some((0.5, 10)), ..spec(Activation::Softmax, 3) };
    parsed(&head, |head| {
        let indices: Vec<i32> = (0..256).map(|code| i32::from(head.index(code, 2))).collect();
        assert!(indices.windows(2).all(|pair| pair[1] - pair[0] == 64), "differences are half a logit");
    });
}

#[test]
fn heads_of_sums_scale_each_channel() {
    let scales = vec![0.001, 0.25, 3.0];
    let head = HeadSpec { accumulator_scales: Some(scales), ..spec(Activation::Softmax, 3) };
    parsed(&head, |head| {
        let HeadCodes::Accumulators(multipliers) = head.codes else { panic!("codes") };
        assert_eq!(multipliers.iter().map(|m| m.get()).collect::<Vec<_>>(), [0.128, 32.0, 384.0]);
        assert_eq!([head.index(1000, 0), head.index(-1, 1)].map(|i| i32::from(i) - 32_768), [128, -32]);
    });
}

#[test]
fn sections_are_replaced_removed_and_kept_in_order() {
    let mut sections = Sections::default();
    sections.set(Section::Card, b"second".to_vec());
    sections.set(Section::Model, b"first".to_vec());
    sections.set(Section::Card, Vec::new());
    sections.set(Section::Lineage, vec![7; 65]);
    sections.remove(Section::Operating);
    let bytes = AlignedBuffer::copy_of(&sections.to_bytes());
    let package = Package::parse(bytes.as_slice()).unwrap();
    let names: Vec<_> = package.entries().flatten().map(|entry| entry.section.name()).collect();
    assert_eq!(names, ["model", "card", "lineage"]);
    assert_eq!(package.section(Section::Card), Some(&[][..]));
    assert_eq!(package.section(Section::Lineage), Some(&[7; 65][..]));
    assert_eq!(Sections::of(&package).unwrap().to_bytes(), bytes.as_slice());
    let mut fewer = Sections::of(&package).unwrap();
    fewer.remove(Section::Card);
    let fewer = AlignedBuffer::copy_of(&fewer.to_bytes());
    let fewer = Package::parse(fewer.as_slice()).unwrap();
    assert_eq!(fewer.section(Section::Card), None);
    assert_ne!(fewer.digest(), package.digest());
}
