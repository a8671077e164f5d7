//! `candor-lab train`: from a configuration to a package and its card, with a checkpoint on the way.

use super::Failure;
use candor_lab::train::{Packaged, TrainConfig, Trainer, make_package};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Steps between checkpoints.
const CHECKPOINT_EVERY: usize = 100;

/// Arguments of `train`.
#[derive(Args)]
pub struct TrainArguments {
    /// Configuration, TOML; models/lab/phantom.toml documents every key
    config: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Trains, or continues from the checkpoint, then packs and measures.
pub fn train(arguments: &TrainArguments) -> Result<ExitCode, Failure> {
    let path = &arguments.config;
    let failed = |problems: Vec<String>| Failure::problems(path, problems.into_iter());
    let config = TrainConfig::read(path).map_err(failed)?;
    let files = &config.package;
    let mut trainer = if files.checkpoint.is_file() {
        eprintln!("continuing from {}", files.checkpoint.display());
        Trainer::resume(&config, &files.checkpoint)
    } else {
        Trainer::new(&config)
    }
    .map_err(|error| failed(error.problems()))?;
    let begun = (Instant::now(), trainer.steps_done());
    let loss = run(&mut trainer, &config).map_err(|error| failed(error.problems()))?;
    let seconds = begun.0.elapsed().as_secs_f64();
    let steps = trainer.steps_done() - begun.1;
    eprintln!("{steps} steps in {seconds:.0} s; quantizing, calibrating, measuring");
    let made = make_package(&config, trainer.network()).map_err(|error| failed(error.problems()))?;
    for (target, bytes) in [(&files.package, &made.bytes[..]), (&files.card, made.card.as_bytes())] {
        candor_imaging::write::file(target, bytes).map_err(|error| Failure::invalid(error.to_string()))?;
    }
    report(arguments, &config, &made, json!({ "steps": steps, "seconds": seconds, "last_loss": loss }));
    Ok(ExitCode::SUCCESS)
}

/// All steps that are left, with a checkpoint every [`CHECKPOINT_EVERY`]; the last loss.
fn run(trainer: &mut Trainer, config: &TrainConfig) -> Result<Option<f32>, candor_lab::train::TrainError> {
    let steps = config.training.steps;
    // Hidden by indicatif itself when stderr is not a terminal.
    let bar = ProgressBar::new(steps as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} steps, {eta} left, {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_position(trainer.steps_done() as u64);
    let mut last = None;
    while trainer.steps_done() < steps {
        let loss = trainer.step()?;
        last = Some(loss);
        bar.set_message(format!("loss {loss:.4}"));
        bar.inc(1);
        if trainer.steps_done().is_multiple_of(CHECKPOINT_EVERY) || trainer.steps_done() == steps {
            trainer.save(&config.package.checkpoint)?;
        }
    }
    bar.finish();
    Ok(last)
}

fn report(arguments: &TrainArguments, config: &TrainConfig, made: &Packaged, training: serde_json::Value) {
    if arguments.json {
        let figures = json!({
            "training": training,
            "package": { "path": config.package.package.display().to_string(), "bytes": made.bytes.len() },
            "build": made.summary,
            "held_out": made.figures,
        });
        println!("{figures:#}");
        return;
    }
    for line in &made.lines {
        println!("{line}");
    }
    for line in made.figures.lines() {
        println!("{line}");
    }
    println!("wrote {} ({} bytes)", config.package.package.display(), made.bytes.len());
    println!("wrote {}", config.package.card.display());
}
