//! Tests of training: the loss falls, runs repeat and resume bit for bit, folders become packages.

use super::*;
use crate::losses::Loss;
use crate::nets::Norm;
use candor_imaging::{palette, write};
use std::path::{Path, PathBuf};

fn tiny() -> TrainConfig {
    TrainConfig {
        name: "tiny".into(),
        network: NetworkConfig { kind: NetworkKind::Unet, depth: 2, channels: 3, norm: Norm::Batch },
        frames: Some(FrameConfig { width: 32, height: 24, seed: 5 }),
        data: None,
        training: TrainingConfig {
            steps: 40,
            batch: 2,
            learning_rate: 5e-3,
            seed: 9,
            schedule: Schedule::Cosine,
            warm_up: 0,
            average: 0.0,
            patience: 0,
            check_every: 100,
            quantized_steps: 0,
        },
        loss: Loss::CrossEntropyDice,
        augmentation: Augmentation::default(),
        package: PackageConfig {
            calibration_frames: 24,
            held_out_frames: 4,
            alpha: 0.1,
            checkpoint: PathBuf::from("checkpoint.safetensors"),
            package: PathBuf::from("tiny.candor"),
            card: PathBuf::from("tiny.md"),
            report: None,
        },
    }
}

/// Everything that a resumed run has to get right.
fn thorough() -> TrainConfig {
    let mut config = tiny();
    config.training.average = 0.9;
    config.training.warm_up = 3;
    config.training.patience = 2;
    config.training.check_every = 2;
    config.augmentation = Augmentation {
        flip_columns: true,
        flip_rows: true,
        rotate: 20.0,
        scale: 0.2,
        elastic: 0.05,
        intensity: 0.2,
        noise: 0.05,
    };
    config
}

fn slices(config: &TrainConfig) -> PhantomSource {
    let frames = config.frames.clone().unwrap();
    PhantomSource::new(frames.phantom(), frames.seed).unwrap()
}

fn train(trainer: &mut Trainer, config: &TrainConfig, steps: usize) -> Vec<f32> {
    let source = slices(config);
    let validation = draw(&source, 1000..1004).unwrap();
    let mut step = || {
        let loss = trainer.step(&source).unwrap();
        trainer.check(&validation, source.shape()).unwrap();
        loss
    };
    (0..steps).map(|_| step()).collect()
}

fn bits(losses: &[f32]) -> Vec<u32> {
    losses.iter().map(|loss| loss.to_bits()).collect()
}

#[test]
fn the_loss_falls_and_a_run_repeats_bit_for_bit() {
    let losses = train(&mut Trainer::new(&tiny(), 1).unwrap(), &tiny(), 12);
    let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
    assert!(mean(&losses[9..]) < 0.9 * mean(&losses[..3]), "{losses:?}");
    assert_eq!(bits(&losses), bits(&train(&mut Trainer::new(&tiny(), 1).unwrap(), &tiny(), 12)));
}

#[test]
fn one_thread_and_many_give_the_same_bits() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train(&mut Trainer::new(&thorough(), 1).unwrap(), &thorough(), 4))
    };
    assert_eq!(bits(&run(1)), bits(&run(3)));
}

#[test]
fn a_resumed_run_equals_an_unbroken_one() {
    // With the rounding from the third step on, from the sixth, and never.
    for quantized_steps in [38, 35, 0] {
        let mut config = thorough();
        config.training.quantized_steps = quantized_steps;
        resumes(&config);
    }
}

fn resumes(config: &TrainConfig) {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("own/checkpoint.safetensors");
    let mut unbroken = Trainer::new(config, 1).unwrap();
    train(&mut unbroken, config, 3);
    unbroken.save(&checkpoint).unwrap();
    let expected = train(&mut unbroken, config, 4);
    unbroken.finish().unwrap();
    let mut resumed = Trainer::resume(config, 1, &checkpoint).unwrap();
    assert_eq!(resumed.steps_done(), 3);
    assert_eq!(bits(&train(&mut resumed, config, 4)), bits(&expected));
    resumed.finish().unwrap();
    for (name, var) in unbroken.model().parameters() {
        let values = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(bits(&values(var)), bits(&values(&resumed.model().parameters()[name])), "{name}");
    }
}

#[test]
fn training_stops_when_the_validation_loss_no_longer_falls_and_keeps_the_best() {
    let mut config = tiny();
    // So large a step that the loss soon rises.
    config.training.learning_rate = 0.5;
    config.training.schedule = Schedule::Constant;
    config.training.patience = 2;
    config.training.check_every = 1;
    config.training.steps = 200;
    let mut trainer = Trainer::new(&config, 1).unwrap();
    let source = slices(&config);
    let validation = draw(&source, 1000..1004).unwrap();
    let mut losses = Vec::new();
    while !trainer.is_done() {
        trainer.step(&source).unwrap();
        losses.extend(trainer.check(&validation, source.shape()).unwrap());
    }
    assert!(losses.len() < 200, "it never stopped");
    let best = losses.iter().copied().fold(f32::INFINITY, f32::min);
    trainer.finish().unwrap();
    let [images, truth] = tensors(&validation, source.shape(), PHANTOM_CLASSES).unwrap();
    let own = config.loss.of(&trainer.model().logits(&images, false).unwrap(), &truth).unwrap();
    assert!((own.to_scalar::<f32>().unwrap() - best).abs() < 0.05 * best.abs().max(0.1), "{losses:?}");
}

#[test]
fn augmentation_moves_labels_with_the_image_and_repeats() {
    let source = slices(&tiny());
    let sample = source.sample(0).unwrap();
    let mut labelled = sample.clone();
    // An image of its own labels stays one, but for what lies between two classes.
    labelled.image = labelled.labels.iter().map(|&label| f32::from(label) / 2.0).collect();
    let geometry = Augmentation { intensity: 0.0, noise: 0.0, ..thorough().augmentation };
    for seed in 0..10 {
        let changed = geometry.apply(labelled.clone(), source.shape(), seed);
        let pairs = changed.image.iter().zip(&changed.labels);
        let wrong = pairs.filter(|(value, label)| (*value - f32::from(**label) / 2.0).abs() > 0.26).count();
        assert!(wrong * 50 < changed.labels.len(), "{wrong} pixels at seed {seed}");
        assert_ne!(changed, labelled);
        assert_eq!(changed, geometry.apply(labelled.clone(), source.shape(), seed));
    }
    assert_eq!(Augmentation::default().apply(sample.clone(), source.shape(), 1), sample);
    let mirror = Augmentation { flip_columns: true, ..Default::default() };
    let mirrored = (0..20).map(|seed| mirror.apply(sample.clone(), source.shape(), seed));
    let mut expected = sample.clone();
    expected.labels.chunks_mut(32).for_each(<[u8]>::reverse);
    expected.image.chunks_mut(32).for_each(<[f32]>::reverse);
    let same = mirrored.filter(|own| *own == expected).count();
    assert!((3..18).contains(&same), "{same} of 20 mirrored");
}

#[test]
fn schedules_rise_and_fall() {
    assert_eq!(Schedule::Constant.factor(0, 100, 4), 0.25);
    assert_eq!(Schedule::Cosine.factor(0, 100, 0), 1.0);
    assert!((Schedule::Cosine.factor(50, 100, 0) - 0.5).abs() < 1e-12);
    assert_eq!([10, 60, 90].map(|step| Schedule::Steps.factor(step, 100, 0)), [1.0, 0.1, 0.01]);
}

#[test]
fn finite_sources_come_round_in_another_order() {
    let samples: Vec<Sample> = (0..5).map(|at| Sample { image: vec![at as f32], labels: vec![0] }).collect();
    let source = ListSource::new([1, 1, 1], samples, 3).unwrap();
    let pass = |from: u64| -> Vec<u32> {
        (from..from + 5).map(|at| source.sample(at).unwrap().image[0] as u32).collect()
    };
    let sorted = |mut values: Vec<u32>| {
        values.sort_unstable();
        values
    };
    let passes: Vec<Vec<u32>> = (0..6).map(|at| pass(5 * at)).collect();
    assert!(passes.iter().all(|own| sorted(own.clone()) == [0, 1, 2, 3, 4]), "{passes:?}");
    assert!(passes.windows(2).any(|pair| pair[0] != pair[1]));
    assert!(ListSource::new([1, 1, 1], Vec::new(), 3).is_err());
    let mixture = Mixture(vec![&source, &source]);
    assert_eq!(mixture.sample(6).unwrap(), mixture.sample(7).unwrap());
}

#[test]
fn a_checkpoint_of_another_network_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint.safetensors");
    Trainer::new(&tiny(), 1).unwrap().save(&checkpoint).unwrap();
    let mut wider = tiny();
    wider.network.channels = 4;
    let Err(error) = Trainer::resume(&wider, 1, &checkpoint) else { panic!("it was taken") };
    assert!(error.to_string().contains("another network"), "{error}");
}

#[test]
fn a_trained_network_becomes_a_package_with_its_card() {
    let config = tiny();
    let mut trainer = Trainer::new(&config, 1).unwrap();
    train(&mut trainer, &config, 20);
    let made = make_package(&config, trainer.model()).unwrap();
    let package = candor::Package::load(&made.bytes).unwrap();
    let names: Vec<&str> = package.view().unwrap().classes().unwrap().collect();
    assert_eq!(names, ["background", "lung", "nodule"]);
    assert!(made.card.contains("must not be used"), "{}", made.card);
    assert!(made.card.contains("on CE + Dice:\n40 steps of 2 frames.\n"), "{}", made.card);
    assert_eq!(made.figures.frames, 4);
    assert!(made.figures.alert_rate.is_some());
}

#[test]
fn every_problem_of_a_configuration_is_listed_at_once() {
    let mut config = tiny();
    config.network.depth = 0;
    config.training.learning_rate = f64::NAN;
    config.package.alpha = 1.0;
    config.frames.as_mut().unwrap().width = 8;
    config.loss = Loss::Focal { gamma: -1.0 };
    config.augmentation.scale = 1.0;
    config.training.quantized_steps = 41;
    let problems = config.problems().join("\n");
    for key in [
        "network.depth",
        "training.learning_rate",
        "training.quantized_steps",
        "package.alpha",
        "frames: width",
        "loss.gamma",
        "augmentation.scale",
    ] {
        assert!(problems.contains(key), "{key} is missing from:\n{problems}");
    }
}

#[test]
fn a_configuration_that_says_nothing_follows_the_recipe() {
    let text = r#"
        name = "short"
        network = { depth = 2, channels = 4 }
        frames = { width = 32, height = 32, seed = 1 }
        training = { steps = 10, batch = 1, learning_rate = 1e-3, seed = 1 }
        [package]
        calibration_frames = 8
        held_out_frames = 1
        alpha = 0.1
        checkpoint = "checkpoint"
        package = "package"
        card = "card"
    "#;
    let read = |text: &str| toml::from_str::<TrainConfig>(text).unwrap();
    let config = read(text);
    assert_eq!(config.problems(), [""; 0]);
    assert_eq!(config.loss, recipe::loss());
    assert_eq!(config.augmentation, recipe::augmentation());
    assert_eq!(config.training.average, recipe::AVERAGE);
    let config = read(&format!("augmentation = {{}}\n{text}"));
    assert_eq!(config.augmentation, Augmentation::default());
}

#[test]
fn the_shipped_configurations_are_valid() {
    for name in ["phantom", "ultrasound", "mobile"] {
        let path = format!("{}/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let config = TrainConfig::read(Path::new(&path)).unwrap();
        assert_eq!(config.name, name);
        // The example says the recipe; the others say what their figures were made with.
        let own = (config.loss, config.augmentation, config.training.average);
        let recipe = (recipe::loss(), recipe::augmentation(), recipe::AVERAGE);
        assert_eq!(own == recipe, name == "ultrasound", "{name}");
    }
}

/// Phantom frames as a user's folders: 60 images, masks of the same names.
fn folders(root: &Path) -> DataConfig {
    let source = slices(&tiny());
    let (images, masks) = (root.join("images"), root.join("masks"));
    for folder in [&images, &masks] {
        std::fs::create_dir(folder).unwrap();
    }
    for index in 0..60 {
        let (frame, labels) = source.frame(index);
        let name = format!("{index:03}.png");
        write::frame_png(&images.join(&name), &frame).unwrap();
        write::mask_png(&masks.join(&name), &labels, &palette::class_colours(3)).unwrap();
    }
    let classes = ["background", "lung", "nodule"].map(String::from).to_vec();
    DataConfig { images, masks, classes, width: 32, height: 24, channels: 1, group: 2 }
}

#[test]
fn folders_become_a_package_with_report_and_card() {
    let root = tempfile::tempdir().unwrap();
    let data = folders(root.path());
    let config = TrainConfig { frames: None, data: Some(data.clone()), ..tiny() };
    assert_eq!(config.problems(), Vec::<String>::new());
    let parts = [Part::Train, Part::Calibration, Part::Test].map(|part| data.entries(part).unwrap());
    assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 60);
    // An exam, here the first two characters, lies in one part only.
    for entry in parts.iter().flatten() {
        let part = data.part(&entry.name);
        assert_eq!(part, data.part(&format!("{}9", &entry.name[..2])));
    }
    let source = ListSource::new(data.shape(), data.samples(Part::Train).unwrap(), 1).unwrap();
    let mut trainer = Trainer::new(&config, 1).unwrap();
    for _ in 0..20 {
        trainer.step(&source).unwrap();
    }
    let made = make_folder_package(&config, trainer.model()).unwrap();
    let package = candor::Package::load(&made.bytes).unwrap();
    assert_eq!(package.view().unwrap().classes().unwrap().collect::<Vec<_>>(), data.classes);
    assert_eq!(made.figures.frames.len(), parts[2].len());
    assert!(made.card.contains("must validate"), "{}", made.card);
    assert!(made.card.contains("on CE + Dice:\n40 steps of 2 frames.\n"), "{}", made.card);
    assert!(made.report.unwrap().contains("<html"));
}

#[test]
fn a_folder_without_masks_or_of_other_classes_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let mut data = folders(root.path());
    data.classes.pop();
    let error = data.samples(Part::Train).unwrap_err().to_string();
    assert!(error.contains("masks/") && error.contains("value 2 is no class"), "{error}");
    std::fs::remove_file(data.masks.join("007.png")).unwrap();
    let error = data.entries(Part::Train).unwrap_err().to_string();
    assert!(error.contains("007.png: no such mask"), "{error}");
}
