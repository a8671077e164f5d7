//! The `candor-lab` binary: everything that happens off the device.

mod commands;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "candor-lab",
    version,
    about = "Imports, quantizes, calibrates, packs, trains and evaluates segmenters"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List every operator of an ONNX model: how it runs, its work and bytes, and all problems at once
    ///
    /// Example: candor-lab check model.onnx
    Check(commands::check::CheckArguments),
    /// Make a package from an ONNX model: quantize, calibrate, fit OOD detection, add golden vectors
    ///
    /// Example: candor-lab pack model.onnx --images images --masks masks -o model.candor
    Pack(commands::pack::PackArguments),
    /// Measure accuracy, calibration and OOD detection of a package, and write a report
    ///
    /// Example: candor-lab evaluate model.candor --images images --masks masks --report report.html
    Evaluate(commands::evaluate::EvaluateArguments),
    /// Train a small U-Net on generated frames and make a package and a model card of it
    ///
    /// Example: candor-lab train models/lab/phantom.toml
    Train(commands::train::TrainArguments),
    /// Repeat a published experiment, paired over seeds: tables, a picture, and a verdict per claim
    ///
    /// Example: candor-lab reproduce mbls --data DATA --out reproductions
    Reproduce(commands::reproduce::ReproduceArguments),
    /// Run the drift detector over a recorded series of scores
    ///
    /// Example: candor-lab drift scores.npy --warmup 2000
    Drift(commands::drift::DriftArguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Check(arguments) => commands::check::check(&arguments),
        Verb::Pack(arguments) => commands::pack::pack(&arguments),
        Verb::Evaluate(arguments) => commands::evaluate::evaluate(&arguments),
        Verb::Train(arguments) => commands::train::train(&arguments),
        Verb::Reproduce(arguments) => commands::reproduce::start(&arguments),
        Verb::Drift(arguments) => commands::drift::drift(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("candor-lab: {failure}");
            failure.code()
        }
    }
}
