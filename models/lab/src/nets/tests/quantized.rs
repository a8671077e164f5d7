//! The simulated rounding against the integers it stands for.

use super::{noise, shapes};
use crate::lower::{Ending, lower};
use crate::metrics::SplitMix64;
use crate::nets::{Model, Ranges, export};
use crate::network::Tensor as Constant;
use crate::quantize::ranges::{self, Method};
use candle_core::Tensor;
use candor::buffer::AlignedBuffer;
use candor_core::interpreter;
use candor_core::kernels::Reference;
use candor_core::plan::Plan;

/// Sides of the images.
const SIDES: [usize; 2] = [16, 24];

/// Logits of output `output` by the lowered plan, ranges found on `x` itself.
fn integers(model: &Model, output: usize, x: &[f32]) -> Vec<f32> {
    let network = export(model, output, "own", SIDES).unwrap();
    let input = Constant::f32(vec![1, 2, SIDES[0], SIDES[1]], x.to_vec());
    let observed = ranges::observe(&network, &[vec![input]]).unwrap();
    let lowered = lower(&observed.quantize(&network, Method::MinMax), Ending::Logits).unwrap();
    let (bytes, weights) = (AlignedBuffer::copy_of(&lowered.plan), AlignedBuffer::copy_of(&lowered.weights));
    let plan = Plan::parse(bytes.as_slice(), weights.as_slice()).unwrap();
    let mut arena = AlignedBuffer::zeroed(plan.arena_bytes());
    let codes: Vec<u8> = x.iter().map(|&x| lowered.inputs[0].code(x)).collect();
    interpreter::load_input(&plan, arena.as_mut_slice(), 0, &codes).unwrap();
    interpreter::run(&plan, &Reference, arena.as_mut_slice(), &mut ()).unwrap();
    let rows = interpreter::tensor_rows(&plan, arena.as_slice(), plan.output()).unwrap();
    let scales = lowered.head.accumulator_scales.clone().unwrap();
    let mut values = Vec::new();
    for (c, y) in (0..rows.layout.channels).flat_map(|c| (0..rows.layout.height).map(move |y| (c, y))) {
        values.extend((0..rows.layout.width).map(|x| rows.value(y, x, c) as f32 * scales[c]));
    }
    values
}

/// Weights whose channels differ in size, and norms that are not those of the start.
fn grown(model: &Model) {
    let mut random = SplitMix64::new(8);
    for (name, var) in model.parameters().iter().filter(|(name, _)| !name.contains("running_")) {
        let factors: Vec<f32> = (0..var.dim(0).unwrap()).map(|_| 0.4 + 1.6 * random.unit() as f32).collect();
        let mut shape = vec![1; var.rank()];
        shape[0] = factors.len();
        let factors = Tensor::from_vec(factors, shape, var.device()).unwrap();
        let grown = var.as_tensor().broadcast_mul(&factors).unwrap();
        let bias = if name.ends_with("bias") { 0.2 } else { 0.0 };
        var.set(&(grown + bias).unwrap()).unwrap();
    }
    // Until the running statistics are those of the images.
    for _ in 0..40 {
        model.forward(&noise(&[2, 2, SIDES[0], SIDES[1]], 2), true).unwrap();
    }
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32
}

#[test]
fn simulated_rounding_is_far_nearer_to_the_integers_than_floats_are() {
    for (what, graph) in shapes().into_iter().filter(|(what, _)| *what != "classifier") {
        let model = Model::new(graph, 4).unwrap();
        grown(&model);
        let x = noise(&[1, 2, SIDES[0], SIDES[1]], 3);
        let ranges = Ranges::observe(&model, std::slice::from_ref(&x)).unwrap();
        let (floats, simulated) =
            (model.forward(&x, false).unwrap(), model.forward_quantized(&x, &ranges).unwrap());
        let list = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let pixels = list(&x);
        for (output, (float, simulated)) in floats.iter().zip(&simulated).enumerate() {
            let integers = integers(&model, output, &pixels);
            let (float, simulated) =
                (distance(&list(float), &integers), distance(&list(simulated), &integers));
            println!(
                "{what}, output {output}: floats {float:.5}, simulated {simulated:.5} from the integers"
            );
            // In a deep network one code's difference grows: ranges two millionths wider move the logits
            // of the mobile one and of the W-Net as far.
            let bound = if what.starts_with("U-Net") { 0.1 } else { 0.6 };
            assert!(simulated < bound * float, "{what}, output {output}: {simulated} against {float}");
        }
    }
}

#[test]
fn gradients_pass_the_rounding() {
    for (what, graph) in shapes() {
        let model = Model::new(graph, 5).unwrap();
        grown(&model);
        let x = noise(&[2, 2, SIDES[0], SIDES[1]], 6);
        let ranges = Ranges::observe(&model, std::slice::from_ref(&x)).unwrap();
        let outputs = model.forward_quantized(&x, &ranges).unwrap();
        let losses = outputs.iter().map(|output| output.sqr().unwrap().mean_all().unwrap());
        let gradients = losses.reduce(|a, b| (a + b).unwrap()).unwrap().backward().unwrap();
        for (name, var) in model.parameters().iter().filter(|(name, _)| !name.contains("running_")) {
            let gradient = gradients.get(var).unwrap_or_else(|| panic!("{what}: no gradient for {name}"));
            let greatest = gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(greatest.is_finite() && greatest > 0.0, "{what}: {name} has the gradient {greatest}");
        }
    }
}
