//! The demo's overlays and its HTML report.

use super::measure;
use super::shown;
use super::stream::{GROUPS, Group, Outcome, Record};
use crate::exit::Failure;
use candor_imaging::frame::{Frame, Samples, Source};
use candor_imaging::labels::Labels;
use candor_imaging::overlay::{self, Style};
use candor_imaging::report::{
    Axis, Figure, KeyFigure, Level, LinePlot, Page, Reference, Reliability, Series, Table, Thumbnail,
};
use candor_imaging::{palette, write};
use std::path::Path;

/// Overlays are drawn at this multiple of the frame, so that outlines stay thin.
const ENLARGE: usize = 3;
/// Frames shown per group.
const SHOWN: usize = 2;

/// Writes the overlay of every frame.
pub fn write_overlays(outcome: &Outcome, folder: &Path) -> Result<(), Failure> {
    for record in &outcome.records {
        let target = folder.join(format!("{:02}-{}.png", record.index, record.group.file));
        write::frame_png(&target, &found(record)?)?;
    }
    Ok(())
}

/// The report.
pub fn page(outcome: &Outcome) -> Result<String, Failure> {
    let subtitle = format!(
        "{}, {} KB, {} generated frames of {}×{}, kernel tier {}, one thread",
        outcome.name,
        outcome.bytes.div_ceil(1000),
        outcome.records.len(),
        outcome.extent[1],
        outcome.extent[0],
        outcome.tier
    );
    let mut page = Page::new("Candor demo", &subtitle);
    summary(&mut page, outcome);
    page.section("The stream, frame by frame");
    page.paragraph(
        "A frame that is unlike those the model was fitted on scores above the limit, alerts, and \
         its calibrated \
         confidence is declared void.",
    );
    page.figures(&[score_plot(outcome), quality_plot(outcome)]);
    page.section("Is the confidence right?");
    page.figures(&[
        diagram("Clean frames, all pixels", &outcome.reliability),
        diagram("Clean frames, pixels that truly are lung or nodule", &outcome.foreground_reliability),
    ]);
    page.section("Frames");
    page.paragraph(
        "Left the truth, right what was found: the colours are lung and nodule, pixels with a \
         confidence below \
         0.75 are hatched.",
    );
    for group in &GROUPS {
        gallery(&mut page, outcome, group)?;
    }
    page.section("All frames");
    page.table(&frames(outcome));
    Ok(page.finish())
}

fn summary(page: &mut Page, outcome: &Outcome) {
    let clean = |record: &Record| record.group.fault.is_none();
    let rate = |chosen: &dyn Fn(&Record) -> bool| {
        let count = outcome.records.iter().filter(|record| chosen(record)).count();
        let alerts = outcome.records.iter().filter(|record| chosen(record) && record.alert()).count();
        (
            format!("{:.0} %", 100.0 * alerts as f64 / count.max(1) as f64),
            format!("{alerts} of {count} frames"),
        )
    };
    let (quiet, quiet_detail) = rate(&clean);
    let (loud, loud_detail) = rate(&|record| !clean(record));
    let mean = |figure: fn(&Record) -> Option<f64>| shown(measure::mean(outcome.of(clean, figure)), 3);
    page.section("What to see");
    page.notice(
        Level::Caution,
        "Generated pictures and a model that has only ever seen such pictures: this shows what the \
         runtime does, \
         not what a clinical model can do.",
    );
    let stated = format!("{quiet_detail}; stated rate {:.0} %", 100.0 * outcome.alpha);
    let latency = measure::median(outcome.of(|_| true, |record| Some(record.latency_ms)));
    page.key_figures(&[
        KeyFigure::new("Dice, lung", mean(|r| r.dice[1]), "clean frames, mean"),
        KeyFigure::new("Dice, nodule", mean(|r| r.dice[2]), "clean frames, mean"),
        KeyFigure::new("ECE", shown(outcome.reliability.expected_error(), 4), "clean frames, all pixels"),
        KeyFigure::new("Alerts on clean frames", quiet, stated),
        KeyFigure::new("Alerts on faulty frames", loud, loud_detail),
        KeyFigure::new("Latency", format!("{} ms", shown(latency, 2)), "median, frame to verdict"),
    ]);
    let columns = [
        "What arrives",
        "Frames",
        "Dice, lung",
        "Dice, nodule",
        "Confidence",
        "… in nodules",
        "OOD score",
        "Alerts",
    ];
    let mut table = Table::new("Means over frames; the OOD score is the median.", &columns);
    for group in &GROUPS {
        let own = |record: &Record| record.group.name == group.name;
        let mean = |figure: fn(&Record) -> Option<f64>| shown(measure::mean(outcome.of(own, figure)), 3);
        let alerts = outcome.records.iter().filter(|record| own(record) && record.alert()).count();
        let reasons = outcome.reasons(own).join(", ");
        table.row([
            group.name.to_string(),
            group.frames.to_string(),
            mean(|r| r.dice[1]),
            mean(|r| r.dice[2]),
            mean(|r| Some(r.confidence)),
            mean(|r| r.nodule_confidence),
            shown(measure::median(outcome.of(own, Record::score)), 2),
            if alerts == 0 { "none".into() } else { format!("{alerts} ({reasons})") },
        ]);
    }
    page.table(&table);
}

/// A figure of every frame as points over the stream, one series per group.
fn series(outcome: &Outcome, figure: fn(&Record) -> Option<f64>) -> Vec<Series> {
    let points = |group: &Group| {
        let own = outcome.records.iter().filter(|record| record.group.name == group.name);
        own.filter_map(|record| Some((record.index as f64, figure(record)?))).collect()
    };
    GROUPS.iter().map(|group| Series { name: group.name.into(), points: points(group) }).collect()
}

fn score_plot(outcome: &Outcome) -> Figure {
    LinePlot {
        title: "OOD score".into(),
        remark: format!("dashed: the limit, {:.2}", outcome.threshold),
        x: Axis::new("Frame"),
        y: Axis::new("Joint score, in held-out spreads"),
        series: series(outcome, Record::score),
        references: vec![Reference::Level(outcome.threshold)],
    }
    .figure()
}

fn quality_plot(outcome: &Outcome) -> Figure {
    let all = |name: &str, figure: fn(&Record) -> Option<f64>| Series {
        name: name.into(),
        points: outcome.records.iter().filter_map(|r| Some((r.index as f64, figure(r)?))).collect(),
    };
    LinePlot {
        title: "How good, and how sure".into(),
        remark: "where confidence stays high while Dice falls, only the alert tells".into(),
        x: Axis::new("Frame"),
        y: Axis::unit("Dice and mean confidence of nodule"),
        series: vec![
            all("Dice, nodule", |record| record.dice[2]),
            all("confidence in what was found to be nodule", |record| record.nodule_confidence),
        ],
        references: Vec::new(),
    }
    .figure()
}

fn diagram(title: &str, reliability: &measure::Reliability) -> Figure {
    let remark = format!("ECE {}", shown(reliability.expected_error(), 4));
    Reliability { title: title.into(), remark, bins: reliability.bins() }.figure()
}

fn gallery(page: &mut Page, outcome: &Outcome, group: &Group) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::invalid(format!("report: {error}"));
    let own: Vec<&Record> = outcome.records.iter().filter(|r| r.group.name == group.name).collect();
    // Frames with a nodule say more.
    let telling = own.iter().filter(|record| record.truth.counts()[2] > 40);
    let mut pictures = Vec::new();
    for record in telling.take(SHOWN) {
        let truth = picture(&record.frame, &record.truth, None)?;
        let caption = format!("Frame {}, {}: the truth", record.index, group.name);
        pictures.push(Thumbnail::new(&caption, &truth).map_err(failed)?);
        let verdict = match record.alert() {
            true => format!("ALERT ({}), calibration void", record.reasons().join(", ")),
            false => format!("in distribution, calibration {}", record.calibration),
        };
        let dice = shown(record.dice[2], 2);
        let caption = format!("Frame {}: nodule Dice {dice}; {verdict}", record.index);
        pictures.push(Thumbnail::new(&caption, &found(record)?).map_err(failed)?);
    }
    page.gallery(&pictures);
    Ok(())
}

fn frames(outcome: &Outcome) -> Table {
    let columns = [
        "Frame",
        "What arrives",
        "Verdict",
        "Calibration",
        "OOD score",
        "Dice, lung",
        "Dice, nodule",
        "Confidence",
        "ms",
    ];
    let mut table = Table::new("", &columns);
    for column in [1, 2, 3] {
        table.columns[column].numeric = false;
    }
    for record in &outcome.records {
        let verdict = match record.alert() {
            true => format!("ALERT: {}", record.reasons().join(", ")),
            false => "in distribution".to_string(),
        };
        table.row([
            record.index.to_string(),
            record.group.name.to_string(),
            verdict,
            record.calibration.to_string(),
            shown(record.score(), 2),
            shown(record.dice[1], 3),
            shown(record.dice[2], 3),
            format!("{:.3}", record.confidence),
            format!("{:.2}", record.latency_ms),
        ]);
    }
    table
}

fn found(record: &Record) -> Result<Frame, Failure> {
    picture(&record.frame, &record.mask, Some(&record.confidences))
}

/// The overlay at [`ENLARGE`] times the frame's size.
fn picture(frame: &Frame, labels: &Labels, confidence: Option<&[u16]>) -> Result<Frame, Failure> {
    let failed = |error: String| Failure::invalid(format!("overlay: {error}"));
    let (width, height) = (frame.width(), frame.height());
    let (display, _) = frame.to_display();
    let source = Source::new(frame.source().name.clone(), 8);
    let (wide, high) = (width * ENLARGE, height * ENLARGE);
    let samples = Samples::U8(enlarge(&display, width));
    let frame = Frame::new(wide, high, 1, samples, source).map_err(|error| failed(error.to_string()))?;
    let labels = Labels::new(wide, high, enlarge(labels.values(), width))
        .map_err(|error| failed(error.to_string()))?;
    let confidence = confidence.map(|own| enlarge(own, width));
    let colours = palette::class_colours(3);
    overlay::compose(&frame, &labels, &colours, confidence.as_deref(), Style::default())
        .map_err(|error| failed(error.to_string()))
}

/// Every value of a row-major plane [`ENLARGE`] times along both axes.
fn enlarge<T: Copy>(values: &[T], width: usize) -> Vec<T> {
    let mut large = Vec::with_capacity(values.len() * ENLARGE * ENLARGE);
    for row in values.chunks(width.max(1)) {
        for _ in 0..ENLARGE {
            large.extend(row.iter().flat_map(|&value| [value; ENLARGE]));
        }
    }
    large
}
