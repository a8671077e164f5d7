//! What fifty corrected masks do for confidence after a change of gain.

use candor::Session;
use candor::recalibrate::{ConfidenceMaps, Recalibrator};
use candor::statistics::Reliability;
use candor_lab::dataset::Split;

use crate::frames::{Picture, Random, nuclei, session};
use crate::package;

/// Labelled frames.
const LESSONS: usize = 50;

/// Calibration errors over a set of frames.
#[derive(Debug, Clone, Copy)]
struct Errors {
    /// Over pixels whose truth is foreground, frame by frame, each weighted by them, as `candor-lab
    /// evaluate` states it.
    foreground: f64,
    /// Over all pixels of all frames pooled.
    all: f64,
}

fn errors(session: &mut Session<'_>, pictures: &[Picture], maps: &ConfidenceMaps) -> Errors {
    let (mut sum, mut weight, mut pooled) = (0.0, 0.0, Reliability::default());
    for picture in pictures {
        session.run(&picture.view()).expect("the frame runs");
        let finding = session.remap(maps);
        let mut own = Reliability::default();
        own.add(finding.mask, finding.confidence, &picture.truth);
        pooled.merge(&own);
        let foreground = picture.truth.iter().filter(|&&label| label > 0).count() as f64;
        sum += own.foreground_error().unwrap_or(0.0) * foreground;
        weight += foreground;
    }
    Errors { foreground: sum / weight, all: pooled.error().expect("there are pixels") }
}

/// A shift by name, and whether the bar is asserted for it.
type Shift<'a> = (&'a str, bool, &'a dyn Fn(f64, usize) -> f64);

#[test]
fn fifty_labelled_frames_restore_confidence_after_a_change_of_gain() {
    let (Some(package), Some(fit), Some(held_out)) = (package(), nuclei(Split::Fit), nuclei(Split::Test))
    else {
        return;
    };
    let mut session = session(&package);
    let unchanged = ConfidenceMaps::capped(2, u16::MAX);
    let before = errors(&mut session, &held_out, &unchanged);
    println!("before: foreground ECE {:.4}, ECE {:.4}", before.foreground, before.all);
    let shifts: [Shift<'_>; 4] = [
        ("gain x 1.5", true, &|value, _| 1.5 * value),
        ("gain x 3", true, &|value, _| 3.0 * value),
        ("gain x 8, most nuclei saturated", false, &|value, _| 8.0 * value),
        ("gain 0.2 to 2.2 from left to right", false, &|value, x| value * (0.2 + 2.0 * x as f64 / 512.0)),
    ];
    for (name, asserted, shift) in shifts {
        let change = |pictures: &[Picture]| -> Vec<Picture> {
            pictures.iter().map(|picture| picture.changed(|value, _, x| shift(value, x))).collect()
        };
        let (lessons, tests) = (change(&fit), change(&held_out));
        let shifted = errors(&mut session, &tests, &unchanged);
        let mut recalibrator = Recalibrator::new(2);
        let mut random = Random(1);
        let mut order: Vec<usize> = (0..lessons.len()).collect();
        (1..order.len()).rev().for_each(|last| order.swap(last, random.below(last + 1)));
        for lesson in 0..LESSONS {
            // Frames beyond the first round come from right to left.
            let picture = &lessons[order[lesson % order.len()]];
            let picture = if lesson < order.len() { picture.clone() } else { picture.turned(true, false) };
            let finding = session.run(&picture.view()).expect("the frame runs");
            recalibrator.learn(finding.mask, finding.confidence, &picture.truth).expect("the labels fit");
        }
        let after = errors(&mut session, &tests, recalibrator.maps());
        let ratio = after.foreground / before.foreground;
        println!(
            "{name}: foreground ECE {:.4}, after {LESSONS} labelled frames {:.4} ({ratio:.2} of before); \
             ECE {:.4}, after {:.4}",
            shifted.foreground, after.foreground, shifted.all, after.all
        );
        assert!(!asserted || ratio <= 1.5, "{name}: {ratio}");
    }
}
