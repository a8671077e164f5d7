//! Tests of the losses: gradients against central differences, values against hand-worked and equal forms.

use super::*;
use crate::metrics::SplitMix64;
use candle_core::{DType, Device, Var};

const SHAPE: [usize; 4] = [2, 3, 4, 5];

/// Logits within ±`spread`, f64, and one-hot labels with every class.
fn example(spread: f64, seed: u64) -> (Var, Tensor) {
    let mut random = SplitMix64::new(seed);
    let mut unit = || random.unit();
    let [images, classes, height, width] = SHAPE;
    let logits: Vec<f64> =
        (0..images * classes * height * width).map(|_| (2.0 * unit() - 1.0) * spread).collect();
    let mut truth = vec![0.0; logits.len()];
    for image in 0..images {
        for pixel in 0..height * width {
            let class = (unit() * classes as f64) as usize;
            truth[(image * classes + class) * height * width + pixel] = 1.0;
        }
    }
    let tensor = |values| Tensor::from_vec(values, &SHAPE[..], &Device::Cpu).unwrap();
    (Var::from_tensor(&tensor(logits)).unwrap(), tensor(truth))
}

fn scalar(tensor: &Tensor) -> f64 {
    tensor.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
}

/// Checks d loss / d x of every element by central differences.
fn check_gradient(x: &Var, loss: impl Fn(&Tensor) -> Result<Tensor>, what: &str) {
    let gradients = loss(x.as_tensor()).unwrap().backward().unwrap();
    let own = gradients.get(x).unwrap_or_else(|| panic!("{what}: no gradient"));
    let own = own.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let start = x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let step = 1e-5;
    let mut largest = 0.0f64;
    for at in 0..start.len() {
        let at_offset = |offset: f64| {
            let mut moved = start.clone();
            moved[at] += offset;
            scalar(&loss(&Tensor::from_vec(moved, x.shape(), &Device::Cpu).unwrap()).unwrap())
        };
        let expected = (at_offset(step) - at_offset(-step)) / (2.0 * step);
        assert!((own[at] - expected).abs() < 1e-6, "{what}, element {at}: {}, not {expected}", own[at]);
        largest = largest.max(expected.abs());
    }
    assert!(largest > 1e-5, "{what}: the gradient is nothing");
}

#[test]
fn gradients_are_those_of_central_differences() {
    for loss in Loss::all() {
        // A spread that puts some pairs beyond the margin of MbLS; no probability of this draw lies within
        // a step of the edge of a hard bin, where the loss jumps.
        let (logits, truth) = example(if matches!(loss, Loss::Mbls { .. }) { 9.0 } else { 2.0 }, 8);
        if loss == Loss::DiceSurgery {
            continue;
        }
        check_gradient(&logits, |x| loss.of(x, &truth), &loss.label());
    }
}

#[test]
fn surgery_keeps_the_value_and_scales_the_gradient_by_the_error() {
    let (p, truth) = example(0.4, 6);
    let p = Var::from_tensor(&(p.as_tensor() + 0.5).unwrap()).unwrap();
    let plain = region::dice(&p, &truth).unwrap();
    let operated = region::dice(&region::surgery(&p, &truth).unwrap(), &truth).unwrap();
    assert!((scalar(&plain) - scalar(&operated)).abs() < 1e-12);
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let plain = values(plain.backward().unwrap().get(&p).unwrap());
    let operated = values(operated.backward().unwrap().get(&p).unwrap());
    let errors = values(&(p.as_tensor() - &truth).unwrap().abs().unwrap());
    for ((own, plain), error) in operated.iter().zip(&plain).zip(&errors) {
        assert!((own - plain * error).abs() < 1e-12, "{own}, not {plain} · {error}");
    }
    assert!(plain.iter().any(|g| g.abs() > 1e-3));
}

#[test]
fn embedding_gradients_are_those_of_central_differences() {
    let (logits, _) = example(1.0, 7);
    let embeddings = Var::from_tensor(&logits.reshape((12, 10)).unwrap()).unwrap();
    let labels = [0, 1, 0, 1, 2, 2, 0, 1, 2, 0, 1, 1];
    check_gradient(&embeddings, |x| contrastive(x, &labels, 3.0), "contrastive");
    check_gradient(&embeddings, |x| triplet(x, &labels, 0.7), "triplet");
}

#[test]
fn squared_dice_is_dice_plus_plus_of_gamma_two_on_hard_labels() {
    for seed in 0..20 {
        let (logits, truth) = example(3.0, seed);
        let own = scalar(&Loss::DicePlusPlus { gamma: 2.0 }.of(&logits, &truth).unwrap());
        let squared = scalar(&Loss::SquaredDice.of(&logits, &truth).unwrap());
        assert!((own - squared).abs() < 1e-12, "{own} {squared}");
        let plain = scalar(&Loss::DicePlusPlus { gamma: 1.0 }.of(&logits, &truth).unwrap());
        let dice = scalar(&Loss::Dice.of(&logits, &truth).unwrap());
        assert!((plain - dice).abs() < 1e-12, "{plain} {dice}");
    }
}

#[test]
fn settings_that_switch_a_term_off_leave_cross_entropy() {
    let (logits, truth) = example(3.0, 1);
    let expected = scalar(&Loss::CrossEntropy.of(&logits, &truth).unwrap());
    for loss in [
        Loss::Focal { gamma: 0.0 },
        Loss::LabelSmoothing { alpha: 0.0 },
        Loss::EntropyPenalty { weight: 0.0 },
        Loss::NeighbourAware { alpha: 0.0 },
        Loss::Mbls { margin: 50.0, alpha: 0.1 },
    ] {
        let own = scalar(&loss.of(&logits, &truth).unwrap());
        assert!((own - expected).abs() < 1e-12, "{}: {own}, not {expected}", loss.label());
    }
}

#[test]
fn spatially_smoothed_labels_are_those_of_the_window() {
    // A lone pixel of class 1 in the middle of class 0.
    let mut truth = vec![1.0; 25];
    truth.extend(vec![0.0; 25]);
    truth[12] = 0.0;
    truth[25 + 12] = 1.0;
    let truth = Tensor::from_vec(truth, (1, 2, 5, 5), &Device::Cpu).unwrap();
    let soft =
        smoothing::spatial_labels(&truth, 1.0).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let (side, corner) = ((-0.5f64).exp(), (-1.0f64).exp());
    let total = 8.0 * (side + corner);
    for (at, expected) in [(12, 0.5), (11, side / total), (6, corner / total), (0, 0.0)] {
        assert!((soft[25 + at] - expected).abs() < 1e-12, "{at}: {}", soft[25 + at]);
        assert!((soft[at] - (1.0 - expected)).abs() < 1e-12);
    }
}

#[test]
fn calibration_errors_of_known_planes() {
    // Four pixels at 0.25 of which two are of the class: |0.25 − 0.5|; the other class mirrors it.
    let p =
        Tensor::new(&[[[[0.25f64, 0.25, 0.25, 0.25]], [[0.75, 0.75, 0.75, 0.75]]]], &Device::Cpu).unwrap();
    let truth = Tensor::new(&[[[[1.0f64, 1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0, 1.0]]]], &Device::Cpu).unwrap();
    for soft in [false, true] {
        let error = scalar(&calibration::average_error(&p, &truth, 10, soft).unwrap());
        assert!((error - 0.25).abs() < 1e-12, "{error}");
    }
}

#[test]
fn the_active_share_of_the_margin_counts_pairs_beyond_it() {
    let logits = Tensor::new(&[[[[12.0f32, 3.0]], [[0.0, 0.0]], [[1.5, 0.0]]]], &Device::Cpu).unwrap();
    assert!((active_margin_share(&logits, 10.0).unwrap() - 0.5).abs() < 1e-12);
    assert!((active_margin_share(&logits, 20.0).unwrap()).abs() < 1e-12);
}

#[test]
fn recipes_name_losses_with_defaults_and_every_problem_is_told() {
    let loss: Loss = toml::from_str("name = \"mbls\"\nmargin = 5.0").unwrap();
    assert_eq!(loss, Loss::Mbls { margin: 5.0, alpha: 0.1 });
    assert!(toml::from_str::<Loss>("name = \"mbls\"\nbeta = 5.0").is_err());
    let wrong = Loss::Tversky { delta: 2.0, gamma: 0.0 }.problems().join("\n");
    assert!(wrong.contains("loss.delta") && wrong.contains("loss.gamma"), "{wrong}");
    assert!(Loss::all().iter().all(|loss| loss.problems().is_empty()));
}
