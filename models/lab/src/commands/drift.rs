//! `candor-lab drift`: the drift detector of the stream over a recorded series of scores.

use super::Failure;
use candor::drift::{Alarm, BLOCK_MAX, Drift, DriftSettings, Phase};
use candor::statistics::SERIES_MAX;
use candor_imaging::read::npy::{self, Values};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `drift`.
#[derive(Args)]
pub struct DriftArguments {
    /// Scores: a .npy file of one series [n], or of several [n, series], one row per frame
    scores: PathBuf,
    /// Frames at the beginning that show what is normal; more are taken if they are strongly correlated
    #[arg(long, default_value_t = 2000)]
    warmup: u32,
    /// Greatest probability of a false alarm within the horizon
    #[arg(long, default_value_t = 0.01)]
    false_alarms: f64,
    /// Decorrelated blocks for which it is stated
    #[arg(long, default_value_t = 10_000)]
    horizon: u32,
    /// Seed of the numbers that break ties
    #[arg(long, default_value_t = DriftSettings::new(1).seed)]
    seed: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the detector over the series.
pub fn drift(arguments: &DriftArguments) -> Result<ExitCode, Failure> {
    let path = arguments.scores.display();
    let (series, values) = read(&arguments.scores)?;
    let settings = DriftSettings {
        series,
        warmup: arguments.warmup,
        share: arguments.false_alarms,
        horizon: arguments.horizon,
        seed: arguments.seed,
    };
    let mut drift = Drift::new(&settings).map_err(|error| Failure::usage(error.to_string()))?;
    let frames = values.len() / series;
    let (mut alarms, mut ends): (Vec<Alarm>, Vec<usize>) = (Vec::new(), Vec::new());
    for (frame, scores) in values.chunks_exact(series).enumerate() {
        let step = drift.push(scores);
        alarms.extend(step.alarm);
        ends.extend(step.recovered.then_some(frame));
    }
    if drift.phase() == Phase::WarmUp {
        return Err(Failure::invalid(format!(
            "{path}: {frames} frames end within the warm-up; record more, or give a smaller --warmup"
        )));
    }
    if arguments.json {
        let named: Vec<_> = alarms.iter().map(describe).collect();
        let document = json!({
            "frames": frames, "series": series, "block": drift.block(), "blocks": drift.blocks(),
            "autocorrelation": drift.autocorrelation(), "lengthened": drift.lengthened(),
            "alarms": alarms.iter().map(|alarm| alarm.frame).collect::<Vec<u64>>(), "evidence": named,
            "recovered": ends, "evidence_max": drift.evidence_max(), "guarantee": drift.guarantee(),
        });
        println!("{document:#}");
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{frames} frames, autocorrelation {:.3}: {} blocks of {} frames",
        drift.autocorrelation(),
        drift.blocks(),
        drift.block()
    );
    if drift.block() == BLOCK_MAX {
        println!(
            "note: the series stays correlated for longer than the longest block; the guarantee is weaker"
        );
    }
    for alarm in &alarms {
        let Alarm { frame, series, direction, method, evidence, .. } = alarm;
        let (direction, method) = (direction.name(), method.name());
        println!(
            "alarm at frame {frame}: series {series} moved {direction} ({method}, evidence {evidence:.0})"
        );
    }
    ends.iter().for_each(|frame| println!("as before again at frame {frame}"));
    println!(
        "{} alarms, greatest evidence {:.3} of {:.0}",
        alarms.len(),
        drift.evidence_max(),
        1.0 / settings.share
    );
    println!("guarantee: {}", drift.guarantee());
    Ok(ExitCode::SUCCESS)
}

fn describe(alarm: &Alarm) -> serde_json::Value {
    json!({
        "frame": alarm.frame, "blocks": alarm.blocks, "series": alarm.series,
        "direction": alarm.direction.name(), "method": alarm.method.name(), "evidence": alarm.evidence,
    })
}

/// The number of series and their values, frame by frame.
fn read(path: &std::path::Path) -> Result<(usize, Vec<f64>), Failure> {
    let array = npy::array(path).map_err(|error| Failure::invalid(error.to_string()))?;
    let series = match array.shape[..] {
        [_] => 1,
        [_, series] if series <= SERIES_MAX => series,
        _ => {
            let shape: Vec<String> = array.shape.iter().map(ToString::to_string).collect();
            let what = format!("{}: an array [{}]", path.display(), shape.join(", "));
            let fix = format!("give one series [n], or [n, series] with at most {SERIES_MAX}");
            return Err(Failure::invalid(format!("{what}; {fix}")));
        }
    };
    let values = match array.values {
        Values::F64(values) => values,
        Values::F32(values) => values.into_iter().map(f64::from).collect(),
        Values::U8(values) => values.into_iter().map(f64::from).collect(),
        Values::U16(values) => values.into_iter().map(f64::from).collect(),
        Values::I16(values) => values.into_iter().map(f64::from).collect(),
        Values::I32(values) => values.into_iter().map(f64::from).collect(),
        Values::I64(values) => values.into_iter().map(|value| value as f64).collect(),
    };
    Ok((series, values))
}
