//! The evaluation as one HTML file that needs no network.

use super::{Evaluation, FrameResult, detectors, rate, scores};
use crate::dataset::view;
use crate::metrics::{OperatingPoint, Summary};
use candor::ood::profile::DETECTORS;
use candor::{Package, Session, SessionOptions};
use candor_imaging::labels::Labels;
use candor_imaging::report::{
    Axis, KeyFigure, Level, LinePlot, Page, Reference, Reliability, ReliabilityBin, Series, Table, Thumbnail,
    number,
};
use candor_imaging::{overlay, palette, read};

/// Frames shown as overlays.
const WORST: usize = 6;

/// The report. `package` draws the worst frames again.
///
/// # Errors
/// One line per frame that can no longer be read.
pub fn html(evaluation: &Evaluation, package: &Package, title: &str) -> Result<String, Vec<String>> {
    let subtitle = format!(
        "{} frames, classes {}; every figure by its definition in the metrics documentation",
        evaluation.frames.len(),
        evaluation.classes.join(", ")
    );
    let mut page = Page::new(title, &subtitle);
    let (own, uncalibrated) = (&evaluation.calibrated, &evaluation.uncalibrated);
    page.key_figures(&[
        KeyFigure::new("Dice", optional(own.dice.mean), "mean over frames, foreground classes"),
        KeyFigure::new("NLL", optional(own.nll), format!("uncalibrated {}", optional(uncalibrated.nll))),
        KeyFigure::new(
            "Foreground ECE",
            optional(own.ece_foreground),
            format!("uncalibrated {}", optional(uncalibrated.ece_foreground)),
        ),
        KeyFigure::new(
            "Alerts in distribution",
            rate(&evaluation.own_verdicts()).map_or("-".into(), |r| format!("{:.1} %", 100.0 * r)),
            evaluation.profile.map_or("no OOD profile".into(), |(_, a)| format!("stated {:.1} %", 100.0 * a)),
        ),
    ]);
    calibration(&mut page, own, uncalibrated);
    page.figures(&[sweep(evaluation).figure()]);
    if evaluation.profile.is_some() {
        detection(&mut page, evaluation);
    }
    worst(&mut page, evaluation, package)?;
    frames(&mut page, evaluation);
    Ok(page.finish())
}

fn optional(value: Option<f64>) -> String {
    value.map_or("-".into(), number)
}

fn calibration(page: &mut Page, own: &Summary, uncalibrated: &Summary) {
    page.section("Calibration");
    page.figures(&[
        diagram("Before: the model's own confidence", uncalibrated).figure(),
        diagram("After: calibrated confidence", own).figure(),
    ]);
    type Measure = fn(&Summary) -> Option<f64>;
    let mut table = Table::new("All pixels, before and after calibration", &["measure", "before", "after"]);
    let rows: [(&str, Measure); 12] = [
        ("NLL", |s| s.nll),
        ("Brier", |s| s.brier),
        ("ECE, whole image", |s| s.ece),
        ("ECE, foreground", |s| s.ece_foreground),
        ("ECE, boundary band", |s| s.ece_boundary),
        ("ECE, adaptive", |s| s.ece_adaptive),
        ("ECE, class-wise", |s| s.ece_classwise),
        ("ACE, mean", |s| s.ace.mean),
        ("MCE, mean", |s| s.mce.mean),
        ("AURC", |s| s.aurc),
        ("Volume bias", |s| s.volume_bias.mean),
        ("Dice", |s| s.dice.mean),
    ];
    for (name, pick) in rows {
        table.row([name.to_string(), optional(pick(uncalibrated)), optional(pick(own))]);
    }
    page.table(&table);
    page.notice(
        Level::Note,
        "Whole-image ECE is small for any segmenter, because background dominates; read it beside \
         the foreground \
         and boundary figures.",
    );
}

/// Recall, precision and Dice of every foreground class together as the threshold on its probability moves.
fn sweep(evaluation: &Evaluation) -> LinePlot {
    let points = evaluation.operating_points();
    type Measure = fn(&OperatingPoint) -> Option<f64>;
    let series = |name: &str, of: Measure| Series {
        name: name.into(),
        points: points.iter().filter_map(|point| Some((point.threshold, of(point)?))).collect(),
    };
    LinePlot {
        title: "Operating points".into(),
        remark: "calibrated foreground probability, all frames".into(),
        x: Axis::unit("threshold"),
        y: Axis::unit("share"),
        series: vec![
            series("recall", |point| point.recall),
            series("precision", |point| point.precision),
            series("Dice", |point| point.dice),
        ],
        references: Vec::new(),
    }
}

fn diagram(title: &str, summary: &Summary) -> Reliability {
    let bins = summary.reliability.bins();
    let width = 1.0 / bins.len().max(1) as f64;
    let bins = bins.iter().enumerate().map(|(index, bin)| ReliabilityBin {
        low: index as f64 * width,
        high: (index + 1) as f64 * width,
        confidence: bin.confidence().unwrap_or(0.0),
        accuracy: bin.accuracy().unwrap_or(0.0),
        count: bin.count,
    });
    Reliability {
        title: title.into(),
        remark: format!("ECE {} over {} pixels", optional(summary.ece), summary.pixels),
        bins: bins.collect(),
    }
}

fn detection(page: &mut Page, evaluation: &Evaluation) {
    page.section("Out-of-distribution detection");
    let own = evaluation.own_verdicts();
    let mut table = Table::new(
        "Area under the ROC curve per detector, and alerts of the joint verdict",
        &["set", "frames", "joint", "intensity", "features", "spectrum", "FPR at 95 %", "alerts"],
    );
    let percent = |value: Option<f64>| value.map_or("-".into(), |v| format!("{:.1} %", 100.0 * v));
    let mut plots = Vec::new();
    for set in &evaluation.ood {
        for (suffix, verdicts) in [("", &set.plain), (", histogram matched", &set.matched)] {
            if verdicts.is_empty() {
                continue;
            }
            let figures = detectors(&own, verdicts);
            table.row([
                format!("{}{suffix}", set.name),
                verdicts.len().to_string(),
                optional(figures["auroc"].as_f64()),
                optional(figures["intensity"]["auroc"].as_f64()),
                optional(figures["features"]["auroc"].as_f64()),
                optional(figures["spectrum"]["auroc"].as_f64()),
                percent(figures["fpr95"].as_f64()),
                percent(figures["alert_rate"].as_f64()),
            ]);
            let mut series = vec![Series { name: "joint".into(), points: curve(&own, verdicts, 3) }];
            series.extend(
                DETECTORS.iter().enumerate().map(|(index, name)| Series {
                    name: (*name).into(),
                    points: curve(&own, verdicts, index),
                }),
            );
            let plot = LinePlot {
                title: format!("{}{suffix}", set.name),
                remark: String::new(),
                x: Axis::unit("share of in-distribution frames above the threshold"),
                y: Axis::unit("share of foreign frames above it"),
                series,
                references: vec![Reference::Diagonal],
            };
            plots.push(plot.figure());
        }
    }
    page.table(&table);
    page.figures(&plots);
}

/// Receiver operating characteristic of one detector.
fn curve(own: &[candor::ood::Verdict], foreign: &[candor::ood::Verdict], detector: usize) -> Vec<(f64, f64)> {
    let (negatives, positives) = (scores(own, detector), scores(foreign, detector));
    let mut thresholds: Vec<f64> = negatives.iter().chain(&positives).copied().collect();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    let above =
        |list: &[f64], t: f64| list.iter().filter(|&&s| s >= t).count() as f64 / list.len().max(1) as f64;
    let mut points = vec![(0.0, 0.0)];
    points.extend(thresholds.into_iter().map(|t| (above(&negatives, t), above(&positives, t))));
    points
}

/// Overlays of the frames with the lowest Dice.
fn worst(page: &mut Page, evaluation: &Evaluation, package: &Package) -> Result<(), Vec<String>> {
    page.section("Worst frames");
    let mut ranked: Vec<&FrameResult> =
        evaluation.frames.iter().filter(|frame| frame.scores.dice.mean.is_some()).collect();
    ranked.sort_by(|a, b| {
        a.scores.dice.mean.partial_cmp(&b.scores.dice.mean).unwrap_or(std::cmp::Ordering::Equal)
    });
    let line = |error: candor::Error| vec![error.to_string()];
    let mut session = Session::new(package, &SessionOptions::default()).map_err(line)?;
    let colours = palette::class_colours(evaluation.classes.len());
    let mut thumbnails = Vec::new();
    for result in ranked.into_iter().take(WORST) {
        let frame = read::open(&result.path).map_err(|error| vec![error.to_string()])?;
        let Some(borrowed) = view(&frame) else { continue };
        let finding = session.run(&borrowed).map_err(line)?;
        let failed = |what: String| vec![format!("{}: {what}", result.path.display())];
        let labels = Labels::new(finding.width, finding.height, finding.mask.to_vec())
            .map_err(|error| failed(error.to_string()))?;
        let style = overlay::Style::default();
        let picture = overlay::compose(&frame, &labels, &colours, Some(finding.confidence), style)
            .map_err(|error| failed(error.to_string()))?;
        let caption = format!("{} · Dice {}", result.name, optional(result.scores.dice.mean));
        thumbnails.push(Thumbnail::new(&caption, &picture).map_err(|error| failed(error.to_string()))?);
    }
    page.paragraph("Predicted contours; hatched where confidence is below 0.75.");
    page.gallery(&thumbnails);
    Ok(())
}

fn frames(page: &mut Page, evaluation: &Evaluation) {
    page.section("Every frame");
    let columns = ["frame", "Dice", "IoU", "HD95", "ECE", "NLL", "Brier", "OOD score", "alert"];
    let mut table = Table::new("In name order", &columns);
    for frame in &evaluation.frames {
        let alert = frame.verdict.map(|verdict| if verdict.alert { "yes" } else { "no" });
        table.row([
            frame.name.clone(),
            optional(frame.scores.dice.mean),
            optional(frame.scores.iou.mean),
            optional(frame.scores.hd95.mean),
            optional(frame.scores.ece),
            number(frame.scores.nll),
            number(frame.scores.brier),
            optional(frame.verdict.map(|verdict| verdict.score)),
            alert.unwrap_or("-").to_string(),
        ]);
    }
    page.table(&table);
}
