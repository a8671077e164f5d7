//! `candor run`: masks, confidence, overlays and findings for files.

use crate::device;
use crate::exit::{ALERT, Failure, INVALID, MEMORY};
use crate::input::{RunOptions, hex, view};
use candor::ood::{Reason, Verdict};
use candor::{Finding, Package, Session, SessionOptions};
use candor_imaging::frame::{Frame, Samples};
use candor_imaging::labels::Labels;
use candor_imaging::{overlay, palette, read, write};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Arguments of `run`.
#[derive(Args)]
pub struct RunArguments {
    /// Package file
    package: PathBuf,
    /// PNG, TIFF or .npy files, or directories of them
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Directory for masks, confidence and overlays; only findings are printed without it
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
    /// Write the model's own output of the last input as f32 .npy
    #[arg(long)]
    raw_output: Option<PathBuf>,
    /// Exit with 10 when a frame alerts
    #[arg(long)]
    fail_on_alert: bool,
    /// Print one JSON document per input
    #[arg(long)]
    json: bool,
}

/// Runs every input; a bad one is reported and the others still run.
pub fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    let package = Package::open(&arguments.package)?;
    let keep_output = arguments.raw_output.is_some();
    let options = SessionOptions { keep_output, ..arguments.options.session()? };
    let mut session = device::open(&package, &options, &arguments.options.device)
        .map_err(|error| error.at(arguments.package.display()))?;
    if let Some(directory) = &arguments.out {
        std::fs::create_dir_all(directory).map_err(|error| {
            let fix = "fix: give --out a folder that can be made";
            Failure::invalid(format!("{}: {error}; {fix}", directory.display()))
        })?;
    }
    let (mut failed, mut starved, mut alerted) = (0, 0, 0);
    for input in read::list(&arguments.inputs) {
        let outcome = input
            .map_err(|error| Failure::invalid(error.to_string()))
            .and_then(|path| one(arguments, &mut session, &path));
        match outcome {
            Ok(alert) => alerted += usize::from(alert),
            Err(failure) => {
                eprintln!("candor: {failure}");
                *(if failure.is_memory() { &mut starved } else { &mut failed }) += 1;
            }
        }
    }
    Ok(match (failed, starved, alerted) {
        (1.., _, _) => ExitCode::from(INVALID),
        (0, 1.., _) => ExitCode::from(MEMORY),
        (0, 0, 1..) if arguments.fail_on_alert => ExitCode::from(ALERT),
        _ => ExitCode::SUCCESS,
    })
}

/// Runs one file; true when it alerted.
fn one(arguments: &RunArguments, session: &mut Session<'_>, path: &Path) -> Result<bool, Failure> {
    let frame = read::open(path).map_err(|error| Failure::invalid(error.to_string()))?;
    let start = Instant::now();
    let classes = session.head().classes();
    let finding = match view(&frame) {
        Some(view) => session.run(&view),
        None => feed(session, &frame),
    }
    .map_err(|error| error.at(path.display()))?;
    let latency_ms = start.elapsed().as_secs_f64() * 1e3;
    let document = describe(path, &finding, classes, latency_ms);
    let alert = finding.ood.is_some_and(|verdict| verdict.alert);
    if let Some(directory) = &arguments.out {
        save(directory, path, &frame, &finding, classes)?;
    }
    if let Some(target) = &arguments.raw_output {
        let (shape, values) = session.raw_output()?;
        write::npy_f32(target, &shape, &values)?;
    }
    if arguments.json {
        println!("{document}");
    } else {
        print_text(&document);
    }
    Ok(alert)
}

/// Feeds a float array as it is.
fn feed<'s>(session: &'s mut Session<'_>, frame: &Frame) -> Result<Finding<'s>, candor::Error> {
    let Samples::F32(values) = frame.samples() else {
        return Err(candor::Error::new(candor::ErrorKind::Input, "not a float array"));
    };
    let shape = [frame.channels(), frame.height(), frame.width()];
    let codes = session.quantize_input(0, &shape, values)?;
    session.run_codes(&[&codes], &mut ())
}

fn describe(path: &Path, finding: &Finding<'_>, classes: usize, latency_ms: f64) -> Value {
    let mut pixels = vec![0usize; classes];
    let (mut total, mut foreground, mut foreground_pixels) = (0u64, 0u64, 0u64);
    for (&class, &confidence) in finding.mask.iter().zip(finding.confidence) {
        pixels[usize::from(class)] += 1;
        total += u64::from(confidence);
        if class > 0 {
            foreground += u64::from(confidence);
            foreground_pixels += 1;
        }
    }
    let mean = |sum: u64, count: u64| (count > 0).then(|| sum as f64 / count as f64 / 65535.0);
    json!({
        "input": path.display().to_string(),
        "width": finding.width,
        "height": finding.height,
        "classes": classes,
        "mask_pixels": pixels,
        "confidence": {
            "mean": mean(total, finding.mask.len() as u64),
            "foreground_mean": mean(foreground, foreground_pixels),
        },
        "ood": finding.ood.map(|verdict| describe_verdict(&verdict)),
        "calibration": finding.calibration.name(),
        "digest": hex(&finding.digest),
        "latency_ms": latency_ms,
    })
}

/// Score, alert and reasons as JSON.
pub fn describe_verdict(verdict: &Verdict) -> Value {
    let reasons: Vec<String> = verdict.reasons().map(reason_name).collect();
    json!({
        "score": verdict.score,
        "alert": verdict.alert,
        "reasons": reasons,
        "scores": {
            "intensity": verdict.scores[0],
            "features": verdict.scores[1],
            "spectrum": verdict.scores[2],
        },
    })
}

/// The reason as findings print it.
pub fn reason_name(reason: Reason) -> String {
    match reason {
        Reason::Intensity => "intensity".into(),
        Reason::Features { step } => format!("features@{step}"),
        Reason::Spectrum => "spectrum".into(),
        Reason::Geometry => "geometry".into(),
        Reason::Collapse => "collapse".into(),
    }
}

fn print_text(document: &Value) {
    let percent = |value: &Value| value.as_f64().map_or("-".into(), |v| format!("{:.1} %", 100.0 * v));
    let ood = &document["ood"];
    let verdict = match ood["alert"].as_bool() {
        None => "no OOD profile".to_string(),
        Some(false) => format!("in distribution ({:.2})", ood["score"].as_f64().unwrap_or(0.0)),
        Some(true) => format!("ALERT {} ({:.2})", ood["reasons"], ood["score"].as_f64().unwrap_or(0.0)),
    };
    println!(
        "{}: pixels {}, confidence {} (foreground {}), {verdict}, calibration {}, {:.1} ms",
        document["input"].as_str().unwrap_or_default(),
        document["mask_pixels"],
        percent(&document["confidence"]["mean"]),
        percent(&document["confidence"]["foreground_mean"]),
        document["calibration"].as_str().unwrap_or_default(),
        document["latency_ms"].as_f64().unwrap_or(0.0),
    );
}

/// Writes mask, confidence and overlay beside each other, named after the input.
fn save(
    directory: &Path,
    path: &Path,
    frame: &Frame,
    finding: &Finding<'_>,
    classes: usize,
) -> Result<(), Failure> {
    let colours = palette::class_colours(classes);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let target = |suffix: &str| directory.join(format!("{stem}.{suffix}.png"));
    let labels = Labels::new(finding.width, finding.height, finding.mask.to_vec())
        .map_err(|error| Failure::invalid(format!("{}: {error}", path.display())))?;
    write::mask_png(&target("mask"), &labels, &colours)?;
    write::confidence_png(&target("confidence"), finding.width, finding.height, finding.confidence)?;
    if (frame.width(), frame.height()) == (finding.width, finding.height) {
        let picture =
            overlay::compose(frame, &labels, &colours, Some(finding.confidence), overlay::Style::default())
                .map_err(|error| Failure::invalid(format!("{}: {error}", path.display())))?;
        write::frame_png(&target("overlay"), &picture)?;
    }
    Ok(())
}
