//! Tests of training: the loss falls, runs repeat and resume bit for bit, the exported network is the
//! trained one.

use super::*;
use crate::execute;
use crate::network::Tensor;
use candor_imaging::phantom::Phantom;
use std::path::PathBuf;

fn tiny() -> TrainConfig {
    TrainConfig {
        name: "tiny".into(),
        network: NetworkConfig { depth: 2, channels: 3 },
        frames: FrameConfig { width: 32, height: 24, seed: 5 },
        training: TrainingConfig { steps: 40, batch: 2, learning_rate: 5e-3, seed: 9 },
        package: PackageConfig {
            calibration_frames: 24,
            held_out_frames: 4,
            alpha: 0.1,
            checkpoint: PathBuf::from("checkpoint.safetensors"),
            package: PathBuf::from("tiny.candor"),
            card: PathBuf::from("tiny.md"),
        },
    }
}

fn train(trainer: &mut Trainer, steps: usize) -> Vec<f32> {
    (0..steps).map(|_| trainer.step().unwrap()).collect()
}

#[test]
fn the_loss_falls_and_a_run_repeats_bit_for_bit() {
    let losses = train(&mut Trainer::new(&tiny()).unwrap(), 12);
    let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
    assert!(mean(&losses[9..]) < 0.9 * mean(&losses[..3]), "{losses:?}");
    let again = train(&mut Trainer::new(&tiny()).unwrap(), 12);
    assert_eq!(
        losses.iter().map(|l| l.to_bits()).collect::<Vec<_>>(),
        again.iter().map(|l| l.to_bits()).collect::<Vec<_>>()
    );
}

#[test]
fn a_resumed_run_equals_an_unbroken_one() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("own/checkpoint.safetensors");
    let mut unbroken = Trainer::new(&tiny()).unwrap();
    train(&mut unbroken, 2);
    unbroken.save(&checkpoint).unwrap();
    let expected = train(&mut unbroken, 2);
    let mut resumed = Trainer::resume(&tiny(), &checkpoint).unwrap();
    assert_eq!(resumed.steps_done(), 2);
    assert_eq!(train(&mut resumed, 2), expected);
}

#[test]
fn a_checkpoint_of_another_network_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint.safetensors");
    Trainer::new(&tiny()).unwrap().save(&checkpoint).unwrap();
    let mut wider = tiny();
    wider.network.channels = 4;
    let Err(error) = Trainer::resume(&wider, &checkpoint) else { panic!("it was taken") };
    assert!(error.to_string().contains("another network"), "{error}");
}

#[test]
fn the_exported_network_computes_what_the_trained_one_does() {
    let config = tiny();
    let mut trainer = Trainer::new(&config).unwrap();
    train(&mut trainer, 6);
    let (frame, _, _) = Phantom::new(config.phantom(), 77).unwrap().frame(0);
    let input = image(&frame).unwrap();
    let expected =
        trainer.network().forward(&input, false).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let exported = export(trainer.network(), "tiny", [24, 32]).unwrap();
    let values = input.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let outputs =
        execute::run(&exported, &[Tensor::f32(vec![1, 1, 24, 32], values)], &mut |_, _| {}).unwrap();
    let own = outputs[0].as_f32().unwrap();
    assert_eq!(own.len(), expected.len());
    let worst = own.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{worst}");
    assert!(expected.iter().any(|v| v.abs() > 0.1), "the logits say nothing");
}

#[test]
fn a_trained_network_becomes_a_package_with_its_card() {
    let config = tiny();
    let mut trainer = Trainer::new(&config).unwrap();
    train(&mut trainer, 20);
    let made = make_package(&config, trainer.network()).unwrap();
    let package = candor::Package::load(&made.bytes).unwrap();
    let names: Vec<&str> = package.view().unwrap().classes().unwrap().collect();
    assert_eq!(names, ["background", "lung", "nodule"]);
    assert!(made.card.contains("must not be used"), "{}", made.card);
    assert_eq!(made.figures.frames, 4);
    assert!(made.figures.alert_rate.is_some());
}

#[test]
fn every_problem_of_a_configuration_is_listed_at_once() {
    let mut config = tiny();
    config.network.depth = 0;
    config.training.learning_rate = f64::NAN;
    config.package.alpha = 1.0;
    config.frames.width = 8;
    let problems = config.problems().join("\n");
    for key in ["network.depth", "training.learning_rate", "package.alpha", "frames: width"] {
        assert!(problems.contains(key), "{key} is missing from:\n{problems}");
    }
}

#[test]
fn the_shipped_configuration_is_valid() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/phantom.toml");
    let config = TrainConfig::read(std::path::Path::new(path)).unwrap();
    assert_eq!(config.name, "phantom");
}
