//! Tests of the demo: the embedded package passes its self-test, and the figures are what their names say.

use super::*;
use candor::{Session, SessionOptions};
use candor_core::digest;
use candor_core::golden::{self, Golden};
use candor_core::package::Section;
use measure::Reliability;

#[test]
fn the_embedded_package_passes_its_own_golden_vector() {
    let package = Package::load(PACKAGE).unwrap();
    let options = SessionOptions { keep_output: true, ..SessionOptions::default() };
    let mut session = Session::new(&package, &options).unwrap();
    let golden = Golden::parse(session.package().section(Section::Golden).unwrap()).unwrap();
    let layout = session.plan().tensor(0).unwrap().layout;
    let count = layout.height * layout.width * layout.channels;
    let codes: Vec<u8> = (0..count).map(|at| golden::input_code(golden.seed, at, layout.width)).collect();
    session.run_codes(&[&codes], &mut ()).unwrap();
    assert_eq!(digest::tensor(session.output().unwrap())[..], *golden.output);
}

#[test]
fn the_embedded_package_is_small_and_whole() {
    assert!(PACKAGE.len() < 400_000, "{} bytes", PACKAGE.len());
    let package = Package::load(PACKAGE).unwrap();
    let view = package.view().unwrap();
    assert_eq!(view.classes().unwrap().collect::<Vec<_>>(), ["background", "lung", "nodule"]);
    for section in [Section::Calibration, Section::Ood, Section::Card, Section::Golden] {
        assert!(view.section(section).is_some(), "{section:?}");
    }
}

#[test]
fn the_stream_finds_the_organs_and_tells_faults_from_clean_frames() {
    let package = Package::load(PACKAGE).unwrap();
    let outcome = stream::run(&package).unwrap();
    assert_eq!(outcome.records.len(), GROUPS.iter().map(|group| group.frames).sum::<usize>());
    let clean = |record: &stream::Record| record.group.fault.is_none();
    assert!(measure::mean(outcome.of(clean, |r| r.dice[1])).unwrap() > 0.9);
    let [quiet, loud] =
        [outcome.alert_rate(clean).unwrap(), outcome.alert_rate(|record| !clean(record)).unwrap()];
    assert!(loud > 0.5 && quiet < 0.25, "{quiet} of clean frames and {loud} of faulty ones alert");
    assert!(outcome.records.iter().all(|record| (record.calibration == "void") == record.alert()));
}

#[test]
fn dice_counts_both_masks() {
    assert_eq!(measure::dice(&[1, 1, 0, 0], &[1, 0, 1, 0], 1), Some(0.5));
    assert_eq!(measure::dice(&[0, 0], &[0, 0], 1), None);
    assert_eq!(measure::dice(&[1, 0], &[0, 0], 1), Some(0.0));
}

#[test]
fn the_calibration_error_is_the_weighted_gap() {
    let mut reliability = Reliability::default();
    assert_eq!(reliability.expected_error(), None);
    for right in [true, true, true, false] {
        reliability.add(65535, right);
    }
    assert!((reliability.expected_error().unwrap() - 0.25).abs() < 1e-12);
    reliability.add(0, false);
    assert!((reliability.expected_error().unwrap() - 0.2).abs() < 1e-12);
}
