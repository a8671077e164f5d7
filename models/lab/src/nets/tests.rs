//! Tests of the networks: sizes, shapes, gradients everywhere, and the exported network computes the same.

mod quantized;

use super::*;
use crate::execute;
use crate::metrics::SplitMix64;
use crate::network::Tensor as Constant;
use candle_core::{DType, Device, Tensor};

fn noise(shape: &[usize], seed: u64) -> Tensor {
    let mut random = SplitMix64::new(seed);
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| (random.next_u64() >> 40) as f32 / (1 << 24) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn shapes() -> Vec<(&'static str, Graph)> {
    let shape = |norm| UnetShape { inputs: 2, classes: 3, depth: 2, channels: 4, norm };
    vec![
        ("U-Net, batch norm", unet(shape(Norm::Batch))),
        ("U-Net, instance norm", unet(shape(Norm::Instance))),
        ("U-Net, no norm", unet(shape(Norm::None))),
        ("W-Net", wnet(shape(Norm::Batch))),
        ("mobile U-Net", mobile_unet(MobileShape { inputs: 2, classes: 3, depth: 2, channels: 4 })),
        ("multi-task U-Net", multi_task_unet(shape(Norm::Batch), &[("organ", 3), ("vessel", 2)])),
        ("classifier", classifier(ClassifierShape { inputs: 2, classes: 3, depth: 2, channels: 4 })),
    ]
}

#[test]
fn every_weight_has_a_gradient() {
    for (what, graph) in shapes() {
        let model = Model::new(graph, 3).unwrap();
        let outputs = model.forward(&noise(&[2, 2, 16, 24], 1), true).unwrap();
        let losses = outputs.iter().map(|output| output.sqr().unwrap().mean_all().unwrap());
        let loss = losses.reduce(|a, b| (a + b).unwrap()).unwrap();
        let gradients = loss.backward().unwrap();
        for (name, var) in model.parameters().iter().filter(|(name, _)| !name.contains("running_")) {
            let gradient = gradients.get(var).unwrap_or_else(|| panic!("{what}: no gradient for {name}"));
            assert_eq!(gradient.shape(), var.shape(), "{what}: {name}");
        }
    }
}

#[test]
fn the_exported_network_computes_the_same() {
    for (what, graph) in shapes() {
        let model = Model::new(graph, 4).unwrap();
        // Running statistics that are not those of the start.
        model.forward(&noise(&[2, 2, 16, 24], 2), true).unwrap();
        let x = noise(&[1, 2, 16, 24], 3);
        let expected = model.forward(&x, false).unwrap();
        let values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (output, expected) in expected.iter().enumerate() {
            let network = export(&model, output, "own", [16, 24]).unwrap();
            let input = Constant::f32(vec![1, 2, 16, 24], values.clone());
            let own = execute::run(&network, &[input], &mut |_, _| {}).unwrap();
            let (own, expected) =
                (own[0].as_f32().unwrap(), expected.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            assert_eq!(own.len(), expected.len(), "{what}");
            let worst = own.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 2e-4, "{what}, output {output}: {worst}");
            assert!(expected.iter().any(|v| v.abs() > 1e-2), "{what}: nothing comes out");
        }
    }
}

#[test]
fn the_little_w_net_has_fewer_than_70_000_values() {
    let graph = wnet(UnetShape { inputs: 3, classes: 2, depth: 2, channels: 8, norm: Norm::Batch });
    assert_eq!(graph.outputs.len(), 2);
    let values = graph.trained_values();
    assert!((30_000..70_000).contains(&values), "{values}");
}

#[test]
fn sides_must_be_multiples_of_the_halvings() {
    for (what, graph) in shapes() {
        assert_eq!(graph.halvings(), 2, "{what}");
    }
}

#[test]
fn starts_are_drawn_from_the_seed() {
    let graph = unet(UnetShape { inputs: 1, classes: 2, depth: 1, channels: 2, norm: Norm::Batch });
    let weights = |seed| {
        let model = Model::new(graph.clone(), seed).unwrap();
        let sums: Vec<f32> = model
            .parameters()
            .values()
            .map(|var| {
                var.sqr().unwrap().sum_all().unwrap().to_dtype(DType::F32).unwrap().to_scalar().unwrap()
            })
            .collect();
        sums
    };
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
}
