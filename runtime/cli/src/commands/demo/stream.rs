//! The demo's stream: phantom frames, clean, with two faults, and clean again, each run and measured.

use super::measure::{self, Reliability};
use crate::commands::run::{describe_verdict, reason_name};
use crate::exit::Failure;
use crate::input::{hex, view};
use candor::ood::Verdict;
use candor::ood::profile::Profile;
use candor::{Package, Session, SessionOptions};
use candor_core::package::{PackageError, Section};
use candor_imaging::frame::Frame;
use candor_imaging::labels::Labels;
use candor_imaging::phantom::fault::Fault;
use candor_imaging::phantom::{Config, Phantom};
use serde_json::{Value, json};
use std::time::Instant;

/// Seed of the demo's frames, far from the seeds the model was made with.
pub const SEED: u64 = 90_210;

/// A run of frames of one kind.
#[derive(Clone, Copy)]
pub struct Group {
    /// What arrives.
    pub name: &'static str,
    /// Name in file names.
    pub file: &'static str,
    /// How many frames.
    pub frames: usize,
    /// What is wrong with them.
    pub fault: Option<Fault>,
}

/// The stream, in order.
pub const GROUPS: [Group; 4] = [
    Group { name: "clean", file: "clean", frames: 24, fault: None },
    Group {
        name: "dose drop to 1/10",
        file: "dose-drop",
        frames: 12,
        fault: Some(Fault::DoseDrop { dose: 0.1 }),
    },
    Group {
        name: "metal streaks",
        file: "metal-streaks",
        frames: 12,
        fault: Some(Fault::MetalStreak { strength: 0.6 }),
    },
    Group { name: "clean again", file: "clean-again", frames: 12, fault: None },
];

/// One frame, its truth and what came out.
pub struct Record {
    /// Position in the stream, from 0.
    pub index: usize,
    /// Its group.
    pub group: &'static Group,
    /// As it arrived.
    pub frame: Frame,
    /// What is really there.
    pub truth: Labels,
    /// What was found.
    pub mask: Labels,
    /// Confidence per pixel in 1/65535.
    pub confidences: Vec<u16>,
    /// Dice per class; `None` where the class is in neither mask.
    pub dice: [Option<f64>; 3],
    /// Mean confidence over all pixels.
    pub confidence: f64,
    /// Mean confidence over pixels found to be lung or nodule.
    pub foreground_confidence: Option<f64>,
    /// Mean confidence over pixels found to be nodule.
    pub nodule_confidence: Option<f64>,
    /// OOD verdict.
    pub verdict: Option<Verdict>,
    /// What the confidence is worth.
    pub calibration: &'static str,
    /// Digest of the raw output.
    pub digest: [u8; 32],
    /// Preprocessing to verdict.
    pub latency_ms: f64,
}

impl Record {
    /// Whether it alerted.
    pub fn alert(&self) -> bool {
        self.verdict.is_some_and(|verdict| verdict.alert)
    }

    /// The joint OOD score.
    pub fn score(&self) -> Option<f64> {
        self.verdict.map(|verdict| verdict.score)
    }

    /// Reasons of the alert, none without one.
    pub fn reasons(&self) -> Vec<String> {
        self.verdict.iter().flat_map(Verdict::reasons).map(reason_name).collect()
    }

    fn document(&self) -> Value {
        json!({
            "frame": self.index,
            "group": self.group.name,
            "dice": self.dice,
            "confidence": {
                "mean": self.confidence,
                "foreground_mean": self.foreground_confidence,
                "nodule_mean": self.nodule_confidence,
            },
            "ood": self.verdict.map(|verdict| describe_verdict(&verdict)),
            "calibration": self.calibration,
            "digest": hex(&self.digest),
            "latency_ms": self.latency_ms,
        })
    }
}

/// All that the demo found.
pub struct Outcome {
    /// Name of the model.
    pub name: String,
    /// Size of the package.
    pub bytes: usize,
    /// Rows and columns of the frames.
    pub extent: [usize; 2],
    /// Kernel tier.
    pub tier: &'static str,
    /// Alert threshold of the joint score.
    pub threshold: f64,
    /// Stated false-alarm rate.
    pub alpha: f64,
    /// Every frame in order.
    pub records: Vec<Record>,
    /// Confidence against truth over all pixels of clean frames.
    pub reliability: Reliability,
    /// The same over their pixels that truly are lung or nodule.
    pub foreground_reliability: Reliability,
}

impl Outcome {
    /// A figure of the frames that `chosen` takes, where it is defined.
    pub fn of(&self, chosen: impl Fn(&Record) -> bool, figure: fn(&Record) -> Option<f64>) -> Vec<f64> {
        self.records.iter().filter(|record| chosen(record)).filter_map(figure).collect()
    }

    /// Share of alerts among the frames that `chosen` takes.
    pub fn alert_rate(&self, chosen: impl Fn(&Record) -> bool) -> Option<f64> {
        measure::mean(self.of(chosen, |record| Some(f64::from(u8::from(record.alert())))))
    }

    /// Reasons of the frames that `chosen` takes, each once, in order of appearance.
    pub fn reasons(&self, chosen: impl Fn(&Record) -> bool) -> Vec<String> {
        let mut reasons: Vec<String> = Vec::new();
        for reason in self.records.iter().filter(|record| chosen(record)).flat_map(Record::reasons) {
            // Which of the tapped steps differs most varies from frame to frame; their common name is enough
            // here.
            let reason = reason.split('@').next().unwrap_or_default().to_string();
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        reasons
    }

    /// The demo as one JSON document.
    pub fn document(&self) -> Value {
        let group = |group: &'static Group| {
            let own = |record: &Record| record.group.name == group.name;
            let mean = |figure: fn(&Record) -> Option<f64>| measure::mean(self.of(own, figure));
            json!({
                "name": group.name,
                "frames": group.frames,
                "dice": { "lung": mean(|r| r.dice[1]), "nodule": mean(|r| r.dice[2]) },
                "confidence": { "mean": mean(|r| Some(r.confidence)),
                                "foreground_mean": mean(|r| r.foreground_confidence) },
                "ood_score_median": measure::median(self.of(own, Record::score)),
                "alert_rate": self.alert_rate(own),
                "reasons": self.reasons(own),
            })
        };
        json!({
            "package": { "name": self.name, "bytes": self.bytes },
            "tier": self.tier,
            "threshold": self.threshold,
            "alpha": self.alpha,
            "groups": GROUPS.iter().map(group).collect::<Vec<_>>(),
            "alert_rate": {
                "clean": self.alert_rate(|record| record.group.fault.is_none()),
                "faulty": self.alert_rate(|record| record.group.fault.is_some()),
            },
            "ece_clean": self.reliability.expected_error(),
            "ece_clean_foreground": self.foreground_reliability.expected_error(),
            "frames": self.records.iter().map(Record::document).collect::<Vec<_>>(),
        })
    }
}

/// Streams all groups through the package.
pub fn run(package: &Package) -> Result<Outcome, Failure> {
    let mut session = Session::new(package, &SessionOptions { threads: 1, ..Default::default() })?;
    let layout = session.plan().tensor(0).map_err(candor::Error::from)?.layout;
    let section = session.package().section(Section::Ood);
    let section = section.ok_or_else(|| candor::Error::from(PackageError::Missing(Section::Ood)))?;
    let profile = Profile::parse(section, session.plan())?;
    // As the model was trained: the phantom's default ranges at the model's own extent.
    let config = Config { width: layout.width, height: layout.height, ..Config::default() };
    let phantom = Phantom::new(config, SEED).map_err(|error| Failure::invalid(error.to_string()))?;
    let mut outcome = Outcome {
        name: model_name(&session)?,
        bytes: package.size(),
        extent: [layout.height, layout.width],
        tier: session.tier().name(),
        threshold: profile.threshold,
        alpha: f64::from(profile.alpha),
        records: Vec::new(),
        reliability: Reliability::default(),
        foreground_reliability: Reliability::default(),
    };
    for group in &GROUPS {
        for _ in 0..group.frames {
            let index = outcome.records.len();
            let (clean, truth, _) = phantom.frame(index as u64);
            let frame = match group.fault {
                Some(fault) => fault.apply(&clean, SEED + index as u64),
                None => clean,
            };
            let record = one(&mut session, index, group, frame, truth)?;
            if group.fault.is_none() {
                count(&mut outcome, &record);
            }
            outcome.records.push(record);
        }
    }
    Ok(outcome)
}

fn model_name(session: &Session<'_>) -> Result<String, Failure> {
    let text = session.package().text(Section::Model).map_err(candor::Error::from)?;
    Ok(text.lines().next().unwrap_or_default().to_string())
}

fn one(
    session: &mut Session<'_>,
    index: usize,
    group: &'static Group,
    frame: Frame,
    truth: Labels,
) -> Result<Record, Failure> {
    let view = view(&frame).ok_or_else(|| Failure::invalid("the phantom is not a picture"))?;
    let start = Instant::now();
    let finding = session.run(&view)?;
    let latency_ms = start.elapsed().as_secs_f64() * 1e3;
    let dice = [0, 1, 2].map(|class| measure::dice(finding.mask, truth.values(), class));
    let of = |taken: fn(u8) -> bool| measure::confidence(finding.mask, finding.confidence, taken);
    let mask = Labels::new(finding.width, finding.height, finding.mask.to_vec())
        .map_err(|error| Failure::invalid(error.to_string()))?;
    Ok(Record {
        index,
        group,
        mask,
        confidences: finding.confidence.to_vec(),
        dice,
        confidence: of(|_| true).unwrap_or(0.0),
        foreground_confidence: of(|class| class > 0),
        nodule_confidence: of(|class| class == 2),
        verdict: finding.ood,
        calibration: finding.calibration.name(),
        digest: finding.digest,
        latency_ms,
        frame,
        truth,
    })
}

fn count(outcome: &mut Outcome, record: &Record) {
    let pixels = record.mask.values().iter().zip(record.truth.values()).zip(&record.confidences);
    for ((&found, &truth), &confidence) in pixels {
        outcome.reliability.add(confidence, found == truth);
        if truth > 0 {
            outcome.foreground_reliability.add(confidence, found == truth);
        }
    }
}
