//! False alarms on streams of held-out frames, and delays after a change of gain, texture or anatomy.

use candor::drift::{Drift, DriftSettings};
use candor::statistics::SERIES;
use candor_lab::dataset::Split;

use crate::frames::{Picture, Probe, Random, Scores, foreign, nuclei, scores, session, watch};
use crate::package;

/// How long the probe rests, from hardly to most of the time.
const RESTS: [f64; 5] = [0.0, 0.5, 0.8, 0.95, 0.98];
/// Frames of a stationary stream.
const FRAMES: u64 = 20_000;
/// Decorrelated blocks before a change.
const BEFORE: u64 = 500;

fn detector(seed: u64) -> Drift {
    let settings = DriftSettings { seed, ..DriftSettings::new(SERIES.len()) };
    Drift::new(&settings).expect("the settings are in range")
}

fn probe(scores: &[Scores], phi: f64, seed: u64) -> Probe<'_> {
    Probe { scores, phi, random: Random(seed << 20), at: 0 }
}

/// Streams among `count` that raise a false alarm.
fn false_alarms(normal: &[Scores], count: u64, first: u64) -> usize {
    let alarmed = |&seed: &u64| {
        let mut probe = probe(normal, RESTS[(seed % 5) as usize], seed);
        watch(&mut detector(seed), &mut probe, FRAMES, u64::MAX / 2).is_some()
    };
    (first..first + count).filter(alarmed).count()
}

/// Blocks from the change to the alarm in each of 25 streams, sorted; the series named most often.
fn delays(normal: &[Scores], changed: &[Scores]) -> (Vec<u64>, usize) {
    let (mut delays, mut named) = (Vec::new(), [0; SERIES.len()]);
    for seed in 500..525 {
        let mut drift = detector(seed);
        let phi = RESTS[(seed % 5) as usize];
        let early = watch(&mut drift, &mut probe(normal, phi, seed), u64::MAX, BEFORE);
        let start = drift.blocks();
        let series = watch(&mut drift, &mut probe(changed, phi, seed + 100), u64::MAX, 400);
        if let (None, Some(series)) = (early, series) {
            named[series] += 1;
            delays.push(drift.blocks() - start);
        } else {
            delays.push(u64::MAX);
        }
    }
    delays.sort_unstable();
    let most = (0..SERIES.len()).max_by_key(|&series| named[series]).unwrap_or(0);
    (delays, most)
}

/// Fully developed speckle of grains of two pixels, which stays where it is: a Rayleigh amplitude of mean 1
/// and contrast 0.52 (Goodman, 1976).
fn speckle(y: usize, x: usize) -> f64 {
    let mut grain = Random(((y / 2) as u64) << 32 | (x / 2) as u64);
    let uniform = (grain.below(1 << 24) as f64 + 0.5) / f64::from(1 << 24);
    (-2.0 * uniform.ln()).sqrt() / (std::f64::consts::PI / 2.0).sqrt()
}

#[test]
fn drift_of_real_frames_is_seen_and_their_like_is_not() {
    let (Some(package), Some(held_out)) = (package(), nuclei(Split::Test)) else { return };
    let (Some(ultrasound), Some(cardiac)) = (foreign("ultrasound"), foreign("cardiac-mr")) else { return };
    let mut session = session(&package);
    let turns = [(false, false), (true, false), (false, true), (true, true)];
    let all: Vec<Picture> =
        held_out.iter().flat_map(|own| turns.map(|(side, head)| own.turned(side, head))).collect();
    let normal = scores(&mut session, &all);
    let few = false_alarms(&normal, 20, 0);
    let many = false_alarms(&normal, 500, 1000);
    println!("false alarms: {few} of 20 streams of {FRAMES} held-out frames, {many} of 500");
    let change = |change: &dyn Fn(f64, usize, usize) -> f64| -> Vec<Picture> {
        held_out.iter().map(|picture| picture.changed(change)).collect()
    };
    let weave = |value: f64, y: usize, x: usize| {
        value * (1.0 + 0.3 * (y as f64 * 0.9).sin() * (x as f64 * 1.26).sin())
    };
    let changes = [
        ("gain x 1.5", true, change(&|value, _, _| 1.5 * value)),
        ("gain x 3", true, change(&|value, _, _| 3.0 * value)),
        ("new probe texture: speckle", true, change(&|value, y, x| value * speckle(y, x))),
        ("new probe texture: faint weave", false, change(&weave)),
        ("ultrasound", true, ultrasound),
        ("cardiac MR", true, cardiac),
    ];
    for (name, asserted, pictures) in changes {
        let changed = scores(&mut session, &pictures);
        let (delays, series) = delays(&normal, &changed);
        let (median, most) = (delays[delays.len() / 2], delays[delays.len() - 1]);
        println!(
            "{name}: seen after a median of {median} blocks, at most {most}, first in {}",
            SERIES[series]
        );
        assert!(!asserted || median <= 10, "{name}: {delays:?}");
    }
    // Eleven of 500 are more than 1 % by more than chance (p < 0.015).
    assert!(few <= 1 && many <= 11, "{few} of 20, {many} of 500");
}
