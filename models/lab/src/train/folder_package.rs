//! From a model trained on folders to package, report and card, measured on a set of its own.

use super::TrainError;
use super::config::TrainConfig;
use super::folder::{DataConfig, Part};
use super::package::{Packaged, with_card};
use crate::build::{self, BuildOptions, Built};
use crate::dataset::{Entry, Split};
use crate::evaluate::{self, EvaluateOptions, Evaluation};
use crate::lower::Ending;
use crate::nets::{Model, export};
use candor::Package;
use candor_core::package::Geometry;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Quantizes, calibrates and fits OOD detection on the calibration set and measures on the test set.
///
/// # Errors
/// All problems of the stage that failed.
pub fn make_folder_package(config: &TrainConfig, model: &Model) -> Result<Packaged<Evaluation>, TrainError> {
    let Some(data) = &config.data else {
        return Err(TrainError::Invalid(vec!["the configuration has no [data]".into()]));
    };
    let folder = tempfile::tempdir().map_err(|error| TrainError::Invalid(vec![error.to_string()]))?;
    let [calibration, test] = [Part::Calibration, Part::Test].map(|part| data.entries(part));
    let (calibration, test) = (calibration?, test?);
    let last = model.graph().outputs.len() - 1;
    let network = export(model, last, &config.name, [data.height, data.width])?;
    let options = BuildOptions {
        name: config.name.clone(),
        source: source(config, data)?,
        card: String::new(),
        classes: config.classes(),
        normalize: build::unit(),
        geometry: Geometry::Resize,
        images: Some(data.images.clone()),
        masks: Some(data.masks.clone()),
        split: Split::All,
        only: Some(names(&calibration, &folder.path().join("calibration.txt"))?),
        alpha: config.package.alpha,
        ending: Ending::Logits,
    };
    let Built { bytes, lines, summary } = build::build(&network, &options).map_err(TrainError::Invalid)?;
    let package = Package::load(&bytes)?;
    let options = EvaluateOptions {
        images: data.images.clone(),
        masks: data.masks.clone(),
        split: Split::All,
        only: Some(names(&test, &folder.path().join("test.txt"))?),
        ood: Vec::new(),
        threads: 2,
        group: data.group,
        risk: None,
    };
    let evaluation = evaluate::evaluate(&package, &options, Some(&network)).map_err(TrainError::Invalid)?;
    let title = format!("{}: test set", config.name);
    let report = evaluate::html(&evaluation, &package, &title).map_err(TrainError::Invalid)?;
    let card = card(config, data, &evaluation, calibration.len())?;
    let bytes = with_card(&package, &card)?;
    Ok(Packaged { bytes, card, report: Some(report), figures: evaluation, lines, summary })
}

/// The names of `entries`, one per line, in the file at `path`.
fn names(entries: &[Entry], path: &Path) -> Result<PathBuf, TrainError> {
    let text: String = entries.iter().map(|entry| format!("{}\n", entry.name)).collect();
    let written = std::fs::write(path, text);
    written.map_err(|error| TrainError::Invalid(vec![format!("{}: {error}", path.display())]))?;
    Ok(path.to_path_buf())
}

fn source(config: &TrainConfig, data: &DataConfig) -> Result<String, TrainError> {
    let (network, training) = (&config.network, &config.training);
    Ok(format!(
        "candor-lab train\n{:?}, depth {}, {} channels\n{} steps of {} of {} frames, {}x{}, seed {}\nloss {}",
        network.kind,
        network.depth,
        network.channels,
        training.steps,
        training.batch,
        data.entries(Part::Train)?.len(),
        data.width,
        data.height,
        training.seed,
        config.loss.label()
    ))
}

/// The card, Markdown: what the figures are of and what nobody has yet checked.
fn card(
    config: &TrainConfig,
    data: &DataConfig,
    evaluation: &Evaluation,
    calibration: usize,
) -> Result<String, TrainError> {
    let document = evaluation.json();
    let shown = |value: &Value| value.as_f64().map_or("n/a".to_string(), |value| format!("{value:.4}"));
    let rows: String = [
        ("Dice, mean of frames and foreground classes", "dice"),
        ("ECE, all pixels", "ece"),
        ("ECE, true foreground", "ece_foreground"),
        ("ECE, boundary band", "ece_boundary"),
        ("NLL", "nll"),
        ("Brier", "brier"),
    ]
    .iter()
    .map(|(name, key)| {
        format!("| {name} | {} | {} |\n", shown(&document["uncalibrated"][key]), shown(&document[key]))
    })
    .collect();
    let group = match data.group {
        0 => "its name".to_string(),
        count => format!("the first {count} characters of its name"),
    };
    Ok(format!(
        "# {name}\n\n\
         Segments {classes}. **Made by `candor-lab train` and checked on the test set below only;\n\
         whoever uses it on people must validate it for that use.**\n\n\
         ## Made by\n\n```\ncandor-lab train {name}.toml\n```\n\n{made}\n\
         ## Data\n\n\
         Frames of one folder, each in one of three sets by the hash of {group}: {train} to train,\n\
         {calibration} for activation ranges, calibration and OOD detection, {test} for the figures below.\n\
         Resized to {width}x{height}.\n\n\
         ## Figures\n\n| {test} test frames | int8 | int8, calibrated |\n|---|---|---|\n{rows}\n\
         Dice of the float network: {float}. Alerts on the test set: {alerts} at a stated false-alarm\n\
         rate of {alpha}.\n\n\
         ## Limits\n\n\
         * Frames of one exam fall into different sets unless names say which exam they are of; then the\n\
         \x20 figures are too good.\n\
         * The OOD verdict knows the calibration frames only.\n",
        name = config.name,
        made = super::card::training(config),
        classes = config.classes().iter().skip(1).cloned().collect::<Vec<_>>().join(", "),
        train = data.entries(Part::Train)?.len(),
        test = evaluation.frames.len(),
        width = data.width,
        height = data.height,
        float = shown(&document["float"]["dice"]),
        alerts = shown(&document["in_distribution"]["alert_rate"]),
        alpha = config.package.alpha,
    ))
}
