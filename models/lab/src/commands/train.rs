//! `candor-lab train`: from a configuration to a package and its card, with a checkpoint on the way.

use super::Failure;
use candor_lab::train::{FrameConfig, ListSource};
use candor_lab::train::{
    Part, PhantomSource, Sample, Source, TrainConfig, TrainError, Trainer, make_folder_package, make_package,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Steps between checkpoints.
const CHECKPOINT_EVERY: usize = 100;
/// Phantom frames of the validation loss.
const VALIDATION_FRAMES: u64 = 64;

/// Arguments of `train`.
#[derive(Args)]
#[command(after_help = "Example, on your own folders:\n  \
    candor-lab train models/lab/ultrasound.toml --images frames/ --masks masks/")]
pub struct TrainArguments {
    /// Configuration, TOML; models/lab/phantom.toml and models/lab/ultrasound.toml document every key
    config: PathBuf,
    /// Folder of frames, instead of data.images
    #[arg(long)]
    images: Option<PathBuf>,
    /// Folder of masks with the frames' names, instead of data.masks
    #[arg(long)]
    masks: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What a run trains on and is validated on.
struct Material {
    source: Box<dyn Source>,
    validation: Vec<Sample>,
}

impl Material {
    fn of(config: &TrainConfig) -> Result<Self, TrainError> {
        let watched = config.training.patience > 0;
        if let Some(data) = &config.data {
            let source = ListSource::new(data.shape(), data.samples(Part::Train)?, config.training.seed)?;
            let validation = if watched { data.samples(Part::Calibration)? } else { Vec::new() };
            return Ok(Self { source: Box::new(source), validation });
        }
        let Some(frames) = &config.frames else { return Err(TrainError::Invalid(config.problems())) };
        let stream = |frames: &FrameConfig, stream| {
            PhantomSource::new(frames.phantom(), frames.seed.wrapping_add(stream))
        };
        let validation = match watched {
            true => candor_lab::train::draw(&stream(frames, 1)?, 0..VALIDATION_FRAMES)?,
            false => Vec::new(),
        };
        Ok(Self { source: Box::new(stream(frames, 0)?), validation })
    }
}

/// What was made, in either way.
struct Made {
    bytes: Vec<u8>,
    card: String,
    report: Option<String>,
    lines: Vec<String>,
    document: Value,
}

/// Trains, or continues from the checkpoint, then packs and measures.
pub fn train(arguments: &TrainArguments) -> Result<ExitCode, Failure> {
    let path = &arguments.config;
    let failed = |problems: Vec<String>| Failure::problems(path, problems.into_iter());
    let refused = |error: TrainError| failed(error.problems());
    let mut config = TrainConfig::read(path).map_err(failed)?;
    if let Some(data) = &mut config.data {
        for (own, given) in [(&mut data.images, &arguments.images), (&mut data.masks, &arguments.masks)] {
            if let Some(given) = given {
                own.clone_from(given);
            }
        }
    } else if arguments.images.is_some() || arguments.masks.is_some() {
        return Err(Failure::usage(format!("{}: --images and --masks need a [data] table", path.display())));
    }
    let files = &config.package;
    let material = Material::of(&config).map_err(refused)?;
    let inputs = material.source.shape()[0];
    let mut trainer = if files.checkpoint.is_file() {
        eprintln!("continuing from {}", files.checkpoint.display());
        Trainer::resume(&config, inputs, &files.checkpoint)
    } else {
        Trainer::new(&config, inputs)
    }
    .map_err(refused)?;
    let begun = (Instant::now(), trainer.steps_done());
    let loss = run(&mut trainer, &config, &material).map_err(refused)?;
    let seconds = begun.0.elapsed().as_secs_f64();
    let steps = trainer.steps_done() - begun.1;
    eprintln!("{steps} steps in {seconds:.1} s; quantizing, calibrating, measuring");
    trainer.finish().map_err(refused)?;
    let mut made = make(&config, &trainer).map_err(refused)?;
    made.document["training"] = json!({ "steps": steps, "seconds": seconds, "last_loss": loss });
    let mut written = vec![(&files.package, &made.bytes[..]), (&files.card, made.card.as_bytes())];
    if let (Some(path), Some(report)) = (&files.report, &made.report) {
        written.push((path, report.as_bytes()));
    }
    for (target, bytes) in &written {
        candor_imaging::write::file(target, bytes).map_err(|error| Failure::invalid(error.to_string()))?;
    }
    if arguments.json {
        println!("{:#}", made.document);
        return Ok(ExitCode::SUCCESS);
    }
    made.lines.iter().for_each(|line| println!("{line}"));
    for (target, bytes) in &written {
        println!("wrote {} ({} bytes)", target.display(), bytes.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// All steps that are left, with a checkpoint every [`CHECKPOINT_EVERY`]; the last loss.
fn run(trainer: &mut Trainer, config: &TrainConfig, material: &Material) -> Result<Option<f32>, TrainError> {
    let steps = config.training.steps;
    let shape = material.source.shape();
    // Hidden by indicatif itself when stderr is not a terminal.
    let bar = ProgressBar::new(steps as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} steps, {eta} left, {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_position(trainer.steps_done() as u64);
    let mut last = None;
    while !trainer.is_done() {
        let loss = trainer.step(material.source.as_ref())?;
        last = Some(loss);
        bar.set_message(format!("loss {loss:.4}"));
        bar.inc(1);
        trainer.check(&material.validation, shape)?;
        if trainer.steps_done().is_multiple_of(CHECKPOINT_EVERY) || trainer.is_done() {
            trainer.save(&config.package.checkpoint)?;
        }
    }
    bar.finish();
    Ok(last)
}

fn make(config: &TrainConfig, trainer: &Trainer) -> Result<Made, TrainError> {
    let place =
        |path: &Path, bytes: &[u8]| json!({ "path": path.display().to_string(), "bytes": bytes.len() });
    let path = &config.package.package;
    if config.frames.is_some() {
        let own = make_package(config, trainer.model())?;
        let document =
            json!({ "package": place(path, &own.bytes), "build": own.summary, "held_out": own.figures });
        let lines = own.lines.iter().cloned().chain(own.figures.lines()).collect();
        return Ok(Made { bytes: own.bytes, card: own.card, report: own.report, lines, document });
    }
    let own = make_folder_package(config, trainer.model())?;
    let figures = own.figures.json();
    let document = json!({ "package": place(path, &own.bytes), "build": own.summary, "test": figures });
    let shown = |key: &str| figures[key].as_f64().map_or("-".to_string(), |value| format!("{value:.4}"));
    let mut lines = own.lines;
    lines.push(format!(
        "test set of {} frames: Dice {}, ECE of the true foreground {}, Brier {}",
        own.figures.frames.len(),
        shown("dice"),
        shown("ece_foreground"),
        shown("brier")
    ));
    Ok(Made { bytes: own.bytes, card: own.card, report: own.report, lines, document })
}
