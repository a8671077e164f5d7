//! Evaluation of a package on frames with masks and on out-of-distribution folders.

mod float;
mod matching;
mod report;

use crate::dataset::{self, Entry, Split, view};
use crate::metrics::{
    Accumulator, FULL, Frame as Scored, FrameScores, OperatingPoint, Risk, Summary, ThresholdCurve,
    area_under_roc, boundary_band, control_risk, false_positive_rate_at,
};
use crate::network::Network;
use candor::ood::Verdict;
use candor::ood::profile::{DETECTORS, Profile};
use candor::{Details, Package, Session, SessionOptions};
use candor_core::package::Section;
use candor_imaging::frame::Frame;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use report::html;

/// Chebyshev radius of the boundary band in frame pixels.
const BAND: usize = 2;
/// Share of out-of-distribution frames that must be found when the false-positive rate is read off.
const RECALL: f64 = 0.95;

/// What to evaluate on.
#[derive(Debug, Clone)]
pub struct EvaluateOptions {
    /// Frames.
    pub images: PathBuf,
    /// Their masks.
    pub masks: PathBuf,
    /// Which half of them.
    pub split: Split,
    /// File listing the frame names to use.
    pub only: Option<PathBuf>,
    /// Out-of-distribution folders by name; each optionally with a file of frame names.
    pub ood: Vec<(String, PathBuf, Option<PathBuf>)>,
    /// Threads.
    pub threads: usize,
    /// Leading characters of a name that say which exam it is of, 0 for the whole name.
    pub group: usize,
    /// Level at which thresholds control the risk of an exam.
    pub risk: Option<f64>,
}

/// One evaluated frame.
#[derive(Debug, Clone)]
pub struct FrameResult {
    /// File name without extension.
    pub name: String,
    /// File.
    pub path: PathBuf,
    /// Metrics under calibrated probabilities.
    pub scores: FrameScores,
    /// Dice of the float model, when one was given.
    pub float_dice: Option<f64>,
    /// OOD verdict, when the package has a profile.
    pub verdict: Option<Verdict>,
}

/// One out-of-distribution set: a verdict per frame as it is, and with its histogram matched.
#[derive(Debug, Clone)]
pub struct OodResult {
    /// Name of the set.
    pub name: String,
    /// Verdicts of the frames as they are.
    pub plain: Vec<Verdict>,
    /// Verdicts after matching intensities to in-distribution frames.
    pub matched: Vec<Verdict>,
}

/// Everything an evaluation found.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Class names.
    pub classes: Vec<String>,
    /// Under calibrated probabilities.
    pub calibrated: Summary,
    /// Under the model's own probabilities.
    pub uncalibrated: Summary,
    /// Per frame, in name order.
    pub frames: Vec<FrameResult>,
    /// Out-of-distribution sets.
    pub ood: Vec<OodResult>,
    /// Joint threshold and stated rate of the profile.
    pub profile: Option<(f64, f32)>,
    /// Calibrated foreground probabilities of every exam.
    pub exams: BTreeMap<String, ThresholdCurve>,
    /// Level at which thresholds control the risk of an exam.
    pub risk: Option<f64>,
}

/// Runs the package over everything.
///
/// # Errors
/// One line per problem.
pub fn evaluate(
    package: &Package,
    options: &EvaluateOptions,
    float: Option<&Network>,
) -> Result<Evaluation, Vec<String>> {
    let line = |error: candor::Error| vec![error.to_string()];
    let entries =
        dataset::list(&options.images, Some(&options.masks), options.split, options.only.as_deref())?;
    let session_options =
        SessionOptions { threads: options.threads, keep_output: true, ..Default::default() };
    let mut session = Session::new(package, &session_options).map_err(line)?;
    let view = package.view().map_err(line)?;
    let classes: Vec<String> = view.classes().map_err(|e| line(e.into()))?.map(str::to_string).collect();
    let failed = |error: crate::metrics::MetricError| vec![error.to_string()];
    let mut accumulators =
        [Accumulator::new(classes.len()).map_err(failed)?, Accumulator::new(classes.len()).map_err(failed)?];
    let mut baseline = float.map(|network| float::Baseline::new(network, &session)).transpose()?;
    let (mut frames, mut exams) = (Vec::new(), BTreeMap::new());
    for entry in &entries {
        let name = entry.name.get(..options.group).filter(|exam| !exam.is_empty()).unwrap_or(&entry.name);
        let exam: &mut ThresholdCurve = exams.entry(name.to_string()).or_default();
        frames.push(one(&mut session, entry, &mut accumulators, exam, baseline.as_mut())?);
    }
    let [calibrated, uncalibrated] = accumulators.map(|accumulator| accumulator.summary());
    let profile = match view.section(Section::Ood) {
        Some(section) => {
            let profile = Profile::parse(section, session.plan()).map_err(line)?;
            Some((profile.threshold, profile.alpha))
        }
        None => None,
    };
    let mut ood = Vec::new();
    if profile.is_some() {
        let references = matching::References::new(&entries)?;
        for (name, folder, only) in &options.ood {
            ood.push(foreign(&mut session, name, folder, only.as_deref(), &references)?);
        }
    }
    let risk = options.risk;
    Ok(Evaluation { classes, calibrated, uncalibrated, frames, ood, profile, exams, risk })
}

fn one(
    session: &mut Session<'_>,
    entry: &Entry,
    accumulators: &mut [Accumulator; 2],
    exam: &mut ThresholdCurve,
    baseline: Option<&mut float::Baseline<'_>>,
) -> Result<FrameResult, Vec<String>> {
    let line = |error: String| vec![error];
    let frame = entry.frame().map_err(line)?;
    let classes = session.head().classes();
    let truth = entry.labels(&frame, classes).map_err(line)?;
    let borrowed = view(&frame).ok_or_else(|| vec![format!("{}: not a picture", entry.image.display())])?;
    let mut details = Details::default();
    let finding = session.run_detailed(&borrowed, &mut details).map_err(|error| vec![error.to_string()])?;
    let (mask, verdict) = (finding.mask.to_vec(), finding.ood);
    let boundary = boundary_band(&truth, frame.width(), BAND);
    let shape = [classes, frame.height(), frame.width()];
    let failed = |error: crate::metrics::MetricError| vec![format!("{}: {error}", entry.image.display())];
    let mut scores = Vec::new();
    for (accumulator, planes) in accumulators.iter_mut().zip([&details.calibrated, &details.uncalibrated]) {
        let scored = Scored::new(shape, planes, &mask, &truth, &boundary).map_err(failed)?;
        scores.push(accumulator.add(&scored).map_err(failed)?);
    }
    for (&background, &label) in details.calibrated.iter().zip(&truth) {
        exam.add(FULL - background, label > 0);
    }
    let float_dice = match baseline {
        Some(baseline) => {
            let own = baseline.mask(&borrowed)?;
            let uniform = vec![32768; details.calibrated.len()];
            let scored = Scored::new(shape, &uniform, &own, &truth, &boundary).map_err(failed)?;
            let mut scratch = Accumulator::new(classes).map_err(failed)?;
            scratch.add(&scored).map_err(failed)?.dice.mean
        }
        None => None,
    };
    Ok(FrameResult {
        name: entry.name.clone(),
        path: entry.image.clone(),
        scores: scores.swap_remove(0),
        float_dice,
        verdict,
    })
}

fn foreign(
    session: &mut Session<'_>,
    name: &str,
    folder: &Path,
    only: Option<&Path>,
    references: &matching::References,
) -> Result<OodResult, Vec<String>> {
    let (mut plain, mut matched) = (Vec::new(), Vec::new());
    for (index, entry) in dataset::list(folder, None, Split::All, only)?.iter().enumerate() {
        let frame = entry.frame().map_err(|line| vec![line])?;
        for (list, frame) in
            [(&mut plain, Some(frame.clone())), (&mut matched, references.apply(&frame, index))]
        {
            let Some(frame) = frame else { continue };
            list.extend(verdict(session, &frame)?);
        }
    }
    Ok(OodResult { name: name.to_string(), plain, matched })
}

fn verdict(session: &mut Session<'_>, frame: &Frame) -> Result<Option<Verdict>, Vec<String>> {
    let Some(view) = view(frame) else { return Ok(None) };
    let finding = session.run(&view).map_err(|error| vec![format!("{}: {error}", frame.source().name)])?;
    Ok(finding.ood)
}

/// Scores of one detector: 0..3 as in [`DETECTORS`], 3 the joint score.
fn scores(verdicts: &[Verdict], detector: usize) -> Vec<f64> {
    verdicts.iter().map(|v| v.scores.get(detector).copied().unwrap_or(v.score)).collect()
}

impl Evaluation {
    /// Verdicts of the in-distribution frames.
    pub fn own_verdicts(&self) -> Vec<Verdict> {
        self.frames.iter().filter_map(|frame| frame.verdict).collect()
    }

    /// What thresholds from 0.05 to 0.95 do on all frames together.
    pub fn operating_points(&self) -> Vec<OperatingPoint> {
        let mut all = ThresholdCurve::default();
        self.exams.values().for_each(|exam| all.merge(exam));
        all.sweep()
    }

    /// Thresholds that keep the expected risk of the next exam at `alpha`, or why there is none.
    fn risk_control(&self, alpha: f64) -> Value {
        let exams: Vec<ThresholdCurve> = self.exams.values().cloned().collect();
        let of = |risk| match control_risk(&exams, risk, alpha) {
            Ok(found) => json!(found),
            Err(error) => json!({ "refused": error.to_string() }),
        };
        json!({ "alpha": alpha, "exams": exams.len(),
            "false_negative_rate": of(Risk::FalseNegativeRate),
            "false_positive_share": of(Risk::FalsePositiveShare) })
    }

    /// The stable JSON document.
    pub fn json(&self) -> Value {
        let mut document = summary(&self.calibrated);
        document["images"] = json!(self.frames.len());
        document["uncalibrated"] = summary(&self.uncalibrated);
        document["operating_points"] = json!(self.operating_points());
        if let Some(alpha) = self.risk {
            document["risk_control"] = self.risk_control(alpha);
        }
        let own = self.own_verdicts();
        if let Some((threshold, alpha)) = self.profile {
            document["in_distribution"] =
                json!({ "alert_rate": rate(&own), "stated_rate": alpha, "threshold": threshold });
        }
        for set in &self.ood {
            document["ood"][&set.name] = detectors(&own, &set.plain);
            if !set.matched.is_empty() {
                document["ood"][&set.name]["histogram_matched"] = detectors(&own, &set.matched);
            }
        }
        let floats: Vec<(f64, f64)> =
            self.frames.iter().filter_map(|f| Some((f.float_dice?, f.scores.dice.mean?))).collect();
        if !floats.is_empty() {
            let mean =
                |pick: fn(&(f64, f64)) -> f64| floats.iter().map(pick).sum::<f64>() / floats.len() as f64;
            document["float"] = json!({ "dice": mean(|p| p.0), "int8_dice": mean(|p| p.1),
                "difference": mean(|p| p.1 - p.0) });
        }
        document["frames"] = self.frames.iter().map(frame_json).collect();
        document
    }
}

fn frame_json(frame: &FrameResult) -> Value {
    json!({
        "name": frame.name, "dice": frame.scores.dice.mean, "iou": frame.scores.iou.mean,
        "ece": frame.scores.ece, "nll": frame.scores.nll, "brier": frame.scores.brier,
        "float_dice": frame.float_dice, "ood_score": frame.verdict.map(|v| v.score),
        "alert": frame.verdict.map(|v| v.alert),
    })
}

fn summary(summary: &Summary) -> Value {
    json!({
        "dice": summary.dice.mean, "iou": summary.iou.mean, "hd95": summary.hd95.mean,
        "ece": summary.ece, "ece_foreground": summary.ece_foreground, "ece_boundary": summary.ece_boundary,
        "ece_adaptive": summary.ece_adaptive, "ece_classwise": summary.ece_classwise,
        "ace": summary.ace.mean, "mce": summary.mce.mean, "nll": summary.nll,
        "nll_foreground": summary.nll_foreground, "brier": summary.brier,
        "volume_bias": summary.volume_bias.mean, "aurc": summary.aurc,
        "overconfidence": summary.overconfidence,
    })
}

fn rate(verdicts: &[Verdict]) -> Option<f64> {
    let alerts = verdicts.iter().filter(|verdict| verdict.alert).count();
    (!verdicts.is_empty()).then(|| alerts as f64 / verdicts.len() as f64)
}

fn detectors(own: &[Verdict], foreign: &[Verdict]) -> Value {
    let row = |detector: usize| {
        let (negatives, positives) = (scores(own, detector), scores(foreign, detector));
        json!({
            "auroc": area_under_roc(&negatives, &positives).ok(),
            "fpr95": false_positive_rate_at(RECALL, &negatives, &positives).ok(),
        })
    };
    let mut document = row(DETECTORS.len());
    document["alert_rate"] = json!(rate(foreign));
    document["frames"] = json!(foreign.len());
    for (index, name) in DETECTORS.iter().enumerate() {
        document[*name] = row(index);
    }
    document
}
