//! Figures of the float network and of its package on held-out phantom frames, clean and with faults.

use super::TrainError;
use super::config::{FrameConfig, PHANTOM_CLASSES as CLASSES};
use super::source::{PhantomSource, gray};
use crate::dataset::view;
use crate::metrics::{Accumulator, BOUNDARY_RADIUS, Frame as Measured, Summary, boundary_band};
use crate::nets::Model;
use candle_core::{Device, Tensor};
use candor::{Details, Package, Session, SessionOptions};
use candor_imaging::frame::Frame;
use candor_imaging::labels::Labels;
use candor_imaging::phantom::fault::Fault;
use rayon::prelude::*;
use serde::Serialize;

/// Faults whose alert rate is measured: a tenth of the dose left, and a metal streak.
pub const FAULTS: [(&str, Fault); 2] = [
    ("dose drop to 1/10", Fault::DoseDrop { dose: 0.1 }),
    ("metal streak", Fault::MetalStreak { strength: 0.6 }),
];

/// Frames rendered at once.
const BATCH: u64 = 8;

/// Figures on held-out frames.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Clean frames.
    pub frames: usize,
    /// The float network.
    pub float: Summary,
    /// The package with its calibration.
    pub package: Summary,
    /// The package's own confidence, uncalibrated.
    pub uncalibrated: Summary,
    /// Share of clean frames that alert; `None` without an OOD profile.
    pub alert_rate: Option<f64>,
    /// Share of frames that alert per fault of `FAULTS`, each fault laid on every held-out frame.
    pub fault_alert_rates: Vec<(String, Option<f64>)>,
}

/// Probabilities and classes of one frame.
struct Prediction {
    probabilities: Vec<u16>,
    classes: Vec<u8>,
}

/// Measures both on the held-out stream.
pub(super) fn evaluate(
    frames: &FrameConfig,
    count: usize,
    model: &Model,
    package: &[u8],
) -> Result<Figures, TrainError> {
    let package = Package::load(package)?;
    let mut session =
        Session::new(&package, &SessionOptions { threads: 2, keep_output: true, ..Default::default() })?;
    let mut sums = [accumulator()?, accumulator()?, accumulator()?];
    let mut alerts: Vec<Option<usize>> = vec![None; 1 + FAULTS.len()];
    let phantom = PhantomSource::new(frames.phantom(), frames.seed.wrapping_add(2))?;
    let count = count as u64;
    let mut details = Details::default();
    for start in (0..count).step_by(BATCH as usize) {
        let indices = start..(start + BATCH).min(count);
        let drawn: Vec<_> = indices.clone().into_par_iter().map(|index| phantom.frame(index)).collect();
        for (index, (frame, labels)) in indices.zip(drawn) {
            let finding = session.run_detailed(&engine_view(&frame)?, &mut details)?;
            let (classes, verdict) = (finding.mask.to_vec(), finding.ood);
            count_alert(&mut alerts[0], verdict.map(|verdict| verdict.alert));
            let calibrated = Prediction { probabilities: details.calibrated.clone(), classes };
            let own = argmax(details.uncalibrated.clone(), labels.values().len());
            for (sum, prediction) in sums.iter_mut().zip([float(model, &frame)?, calibrated, own]) {
                add(sum, &prediction, &labels)?;
            }
            for (alert, (_, fault)) in alerts.iter_mut().skip(1).zip(FAULTS) {
                let broken = fault.apply(&frame, index);
                let verdict = session.run(&engine_view(&broken)?)?.ood;
                count_alert(alert, verdict.map(|verdict| verdict.alert));
            }
        }
    }
    let rate = |alerts: Option<usize>| alerts.map(|alerts| alerts as f64 / count as f64);
    let faults = FAULTS.iter().zip(&alerts[1..]);
    let [float, package, uncalibrated] = sums.map(|sum| sum.summary());
    Ok(Figures {
        frames: count as usize,
        float,
        package,
        uncalibrated,
        alert_rate: rate(alerts[0]),
        fault_alert_rates: faults.map(|((name, _), &alerts)| (name.to_string(), rate(alerts))).collect(),
    })
}

fn accumulator() -> Result<Accumulator, TrainError> {
    Accumulator::new(CLASSES).map_err(|error| TrainError::Invalid(vec![error.to_string()]))
}

fn engine_view(frame: &Frame) -> Result<candor::FrameView<'_>, TrainError> {
    view(frame).ok_or_else(|| TrainError::Invalid(vec![format!("{}: not a picture", frame.source().name)]))
}

fn count_alert(count: &mut Option<usize>, alert: Option<bool>) {
    if let Some(alert) = alert {
        *count = Some(count.unwrap_or(0) + usize::from(alert));
    }
}

/// The float network's softmax, rounded to 1/65535.
fn float(model: &Model, frame: &Frame) -> Result<Prediction, TrainError> {
    let input = Tensor::from_vec(gray(frame)?, (1, 1, frame.height(), frame.width()), &Device::Cpu)?;
    let logits = model.logits(&input, false)?;
    let probabilities = candle_nn::ops::softmax(&logits, 1)?.flatten_all()?.to_vec1::<f32>()?;
    let levels = probabilities.iter().map(|p| (p * 65535.0).round() as u16).collect();
    Ok(argmax(levels, frame.width() * frame.height()))
}

fn argmax(probabilities: Vec<u16>, pixels: usize) -> Prediction {
    let at = |class: usize, pixel: usize| probabilities.get(class * pixels + pixel).copied().unwrap_or(0);
    let best = |pixel| (0..CLASSES).rev().max_by_key(|&class| at(class, pixel)).unwrap_or(0) as u8;
    let classes = (0..pixels).map(best).collect();
    Prediction { probabilities, classes }
}

fn add(sum: &mut Accumulator, prediction: &Prediction, labels: &Labels) -> Result<(), TrainError> {
    let failed = |error: crate::metrics::MetricError| TrainError::Invalid(vec![error.to_string()]);
    let truth = labels.values();
    let boundary = boundary_band(truth, labels.width(), BOUNDARY_RADIUS);
    let shape = [CLASSES, labels.height(), labels.width()];
    let (probabilities, classes) = (&prediction.probabilities, &prediction.classes);
    let frame = Measured::new(shape, probabilities, classes, truth, &boundary).map_err(failed)?;
    sum.add(&frame).map_err(failed)?;
    Ok(())
}

impl Figures {
    /// The figures as a Markdown table, one line each.
    pub fn lines(&self) -> Vec<String> {
        let shown = |value: Option<f64>| value.map_or("n/a".to_string(), |value| format!("{value:.4}"));
        let class = |summary: &Summary, class: usize| summary.dice.classes.get(class).copied().flatten();
        type Row = (&'static str, fn(&Summary) -> Option<f64>);
        let rows: [Row; 5] = [
            ("ECE, all pixels", |s| s.ece),
            ("ECE, true foreground", |s| s.ece_foreground),
            ("ECE, boundary band", |s| s.ece_boundary),
            ("NLL", |s| s.nll),
            ("Brier", |s| s.brier),
        ];
        let all = [&self.float, &self.uncalibrated, &self.package];
        let line =
            |name: &str, values: [Option<f64>; 3]| format!("| {name} | {} |", values.map(shown).join(" | "));
        let mut lines = vec![
            format!("| {} held-out frames | float | int8 | int8, calibrated |", self.frames),
            "|---|---|---|---|".to_string(),
            line("Dice, lung", all.map(|summary| class(summary, 1))),
            line("Dice, nodule", all.map(|summary| class(summary, 2))),
        ];
        lines.extend(rows.iter().map(|(name, of)| line(name, all.map(of))));
        lines.extend([String::new(), "| Frames | alert rate |".to_string(), "|---|---|".to_string()]);
        lines.push(format!("| clean | {} |", shown(self.alert_rate)));
        lines.extend(
            self.fault_alert_rates.iter().map(|(name, rate)| format!("| {name} | {} |", shown(*rate))),
        );
        lines
    }
}
