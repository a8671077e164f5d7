//! `candor-lab evaluate`: accuracy, calibration and OOD detection of a package on real frames.

use super::Failure;
use candor::Package;
use candor_lab::dataset::Split;
use candor_lab::evaluate::{self, EvaluateOptions, Evaluation};
use candor_lab::network::Coordinates;
use candor_lab::onnx::{self, ImportOptions};
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `evaluate`.
#[derive(Args)]
pub struct EvaluateArguments {
    /// Package file
    package: PathBuf,
    /// Directory of frames
    #[arg(long)]
    images: PathBuf,
    /// Directory of masks with the frames' names
    #[arg(long)]
    masks: PathBuf,
    /// Use only the half of the frames whose name hashes to this side
    #[arg(long, default_value = "all")]
    split: Split,
    /// Text file of frame names (without extension) to use, one per line
    #[arg(long)]
    only: Option<PathBuf>,
    /// Out-of-distribution frames: NAME=DIR, or NAME=DIR@FILE with a file of frame names
    #[arg(long)]
    ood: Vec<String>,
    /// Float ONNX model to compare the Dice with
    #[arg(long)]
    float: Option<PathBuf>,
    /// Coordinates of linear Upsample before operator set 11, for --float
    #[arg(long)]
    resize_coordinates: Option<super::ResizeCoordinates>,
    /// Leading characters of a name that say which exam it is of; 0 for the whole name
    #[arg(long, default_value_t = 0)]
    group: usize,
    /// Also find the thresholds on the foreground probability that keep an exam's expected share of missed
    /// foreground, and of false calls, at this level (conformal risk control)
    #[arg(long)]
    risk: Option<f64>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// HTML report to write
    #[arg(long)]
    report: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Evaluates a package.
pub fn evaluate(arguments: &EvaluateArguments) -> Result<ExitCode, Failure> {
    let package = Package::open(&arguments.package)?;
    let listed = |lines: Vec<String>| Failure::problems(&arguments.package, lines.into_iter());
    let options = EvaluateOptions {
        images: arguments.images.clone(),
        masks: arguments.masks.clone(),
        split: arguments.split,
        only: arguments.only.clone(),
        ood: arguments.ood.iter().map(|text| foreign(text)).collect::<Result<_, _>>()?,
        threads: arguments.threads.clamp(1, 64),
        group: arguments.group,
        risk: arguments.risk,
    };
    let network = match &arguments.float {
        None => None,
        Some(path) => {
            let bytes = std::fs::read(path)
                .map_err(|error| Failure::invalid(format!("{}: {error}", path.display())))?;
            let coordinates = arguments.resize_coordinates.map(|choice| match choice {
                super::ResizeCoordinates::Asymmetric => Coordinates::Asymmetric,
                super::ResizeCoordinates::HalfPixel => Coordinates::HalfPixel,
            });
            let options = ImportOptions { resize_coordinates: coordinates, ..Default::default() };
            let import = onnx::import(&bytes, &options)
                .map_err(|errors| Failure::problems(path, errors.0.iter().map(ToString::to_string)))?;
            let mut network = import.network;
            onnx::simplify(&mut network);
            Some(network)
        }
    };
    let evaluation = evaluate::evaluate(&package, &options, network.as_ref()).map_err(listed)?;
    if let Some(path) = &arguments.report {
        let name = arguments.package.file_stem().unwrap_or_default().to_string_lossy();
        let html = evaluate::html(&evaluation, &package, &format!("Evaluation of {name}")).map_err(listed)?;
        candor_imaging::write::file(path, html.as_bytes()).map_err(|e| Failure::invalid(e.to_string()))?;
    }
    if arguments.json {
        println!("{:#}", evaluation.json());
    } else {
        print_text(&evaluation);
    }
    Ok(ExitCode::SUCCESS)
}

fn foreign(text: &str) -> Result<(String, PathBuf, Option<PathBuf>), Failure> {
    let Some((name, place)) = text.split_once('=') else {
        return Err(Failure::usage(format!("--ood '{text}': write NAME=DIR")));
    };
    Ok(match place.split_once('@') {
        Some((folder, only)) => (name.into(), folder.into(), Some(only.into())),
        None => (name.into(), place.into(), None),
    })
}

fn print_text(evaluation: &Evaluation) {
    let document = evaluation.json();
    let text = |value: &Value| value.as_f64().map_or("-".to_string(), |v| format!("{v:.5}"));
    println!("{} frames", evaluation.frames.len());
    println!("{:<16} {:>12} {:>12}", "", "calibrated", "uncalibrated");
    for key in ["dice", "iou", "ece", "ece_foreground", "ece_boundary", "nll", "brier", "volume_bias", "aurc"]
    {
        println!("{key:<16} {:>12} {:>12}", text(&document[key]), text(&document["uncalibrated"][key]));
    }
    if document["float"].is_object() {
        println!(
            "float model      Dice {}, int8 minus float {}",
            text(&document["float"]["dice"]),
            text(&document["float"]["difference"])
        );
    }
    for key in ["false_negative_rate", "false_positive_share"] {
        let own = &document["risk_control"][key];
        let level = text(&document["risk_control"]["alpha"]);
        if let Some(threshold) = own["threshold"].as_f64() {
            println!("{key} of the next exam at most {level} on average: threshold {threshold:.4}");
        } else if let Some(why) = own["refused"].as_str() {
            println!("{key} at most {level}: {why}");
        }
    }
    if let Some(rate) = document["in_distribution"]["alert_rate"].as_f64() {
        let stated = document["in_distribution"]["stated_rate"].as_f64().unwrap_or(0.0);
        println!("alerts in distribution {:.1} % (stated {:.1} %)", 100.0 * rate, 100.0 * stated);
    }
    for set in &evaluation.ood {
        let own = &document["ood"][&set.name];
        for (suffix, row) in [("", own), (" (histogram matched)", &own["histogram_matched"])] {
            if row.is_object() {
                println!(
                    "ood {:<36} AUROC {} (intensity {}, features {}, spectrum {}), alerts {}",
                    format!("{}{suffix}", set.name),
                    text(&row["auroc"]),
                    text(&row["intensity"]["auroc"]),
                    text(&row["features"]["auroc"]),
                    text(&row["spectrum"]["auroc"]),
                    text(&row["alert_rate"])
                );
            }
        }
    }
}
