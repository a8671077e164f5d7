//! The maps approach what labels say, in bounded steps, and a lesson can be taken back.

use super::exponential::{logit, sigmoid};
use super::*;
use candor_core::state::StateError;

/// SplitMix64 as a number in (0, 1).
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (((z ^ (z >> 31)) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// A frame whose labels are right with probability σ(a·logit(confidence) + b) of their class.
fn frame(state: &mut u64, truth_of: [(f64, f64); 2]) -> (Vec<u8>, Vec<u16>, Vec<u8>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..4000 {
        let label = u8::from(uniform(state) < 0.4);
        let confidence = 0.5 + 0.5 * uniform(state).sqrt();
        let (a, b) = truth_of[usize::from(label)];
        let right = uniform(state) < sigmoid(a * logit(confidence) + b);
        columns.0.push(label);
        columns.1.push((confidence * 65_535.0) as u16);
        columns.2.push(if right { label } else { 1 - label });
    }
    columns
}

#[test]
fn labels_undo_a_shift_of_confidence() {
    let mut state = 1;
    let mut recalibrator = Recalibrator::new(2);
    let shifted = [(0.5, -0.3), (0.7, -1.0)];
    for _ in 0..50 {
        let (mask, confidence, truth) = frame(&mut state, shifted);
        recalibrator.learn(&mask, &confidence, &truth).expect("the labels fit");
    }
    let [background, foreground] = [0, 1].map(|class| recalibrator.parameters().nth(class));
    for (found, (slope, offset)) in [background, foreground].into_iter().flatten().zip(shifted) {
        assert!((found.slope - slope).abs() < 0.1, "{found:?} for {slope}");
        assert!((found.offset - offset).abs() < 0.15, "{found:?} for {offset}");
    }
    let before = recalibrator.package().error().expect("there are labels");
    let after = recalibrator.recent_error().expect("there are eight lessons");
    assert!(before > 0.1 && after < 0.02, "from {before} to {after}");
}

#[test]
fn calibeating_takes_away_what_platt_scaling_cannot() {
    let mut state = 2;
    let mut recalibrator = Recalibrator::new(2);
    for _ in 0..60 {
        let (mut confidence, mut truth) = (Vec::new(), Vec::new());
        for _ in 0..4000 {
            let stated = uniform(&mut state);
            // Waves that no logistic curve has.
            let right = stated + 0.44 * (9.0 * stated).sin() * stated * (1.0 - stated);
            confidence.push((stated * 65_535.0) as u16);
            truth.push(u8::from(uniform(&mut state) >= right));
        }
        recalibrator.learn(&[0; 4000], &confidence, &truth).expect("the labels fit");
    }
    let package = recalibrator.package().error().expect("there are labels");
    let recent = recalibrator.recent_error().expect("there are eight lessons");
    assert!(package > 0.04 && recent < 0.02, "from {package} to {recent}");
}

#[test]
fn steps_are_bounded_and_undone_to_the_bit() {
    let mut state = 3;
    let mut recalibrator = Recalibrator::new(2);
    let (mask, confidence, truth) = frame(&mut state, [(1.0, 0.0), (1.0, 0.0)]);
    recalibrator.learn(&mask, &confidence, &truth).expect("the labels fit");
    let mut trail = vec![(recalibrator.maps().clone(), recalibrator.lessons())];
    for _ in 0..3 {
        let before: Vec<Platt> = recalibrator.parameters().collect();
        // Everything is wrong: as far from calibrated as can be.
        let (mask, confidence, truth) = frame(&mut state, [(-2.0, -6.0), (-2.0, -6.0)]);
        let lesson = recalibrator.learn(&mask, &confidence, &truth).expect("the labels fit");
        assert!(lesson.bounded);
        for (after, before) in recalibrator.parameters().zip(before) {
            assert!((after.slope - before.slope).abs() <= 0.25 + 1e-12);
            assert!((after.offset - before.offset).abs() <= 0.5 + 1e-12);
        }
        trail.push((recalibrator.maps().clone(), recalibrator.lessons()));
    }
    let mut twin = Recalibrator::from_bytes(&recalibrator.to_bytes(), 2).expect("the state is sound");
    assert_eq!(twin.to_bytes(), recalibrator.to_bytes());
    while let Some((maps, lessons)) = trail.pop() {
        assert_eq!((recalibrator.maps(), recalibrator.lessons()), (&maps, lessons));
        assert_eq!(twin.maps(), &maps);
        assert!(recalibrator.undo() && twin.undo());
    }
    assert_eq!(recalibrator.maps(), &ConfidenceMaps::capped(2, u16::MAX));
    assert!(!recalibrator.undo(), "no lesson is left");
}

#[test]
fn a_damaged_or_foreign_state_is_refused() {
    let mut bytes = Recalibrator::new(3).to_bytes();
    assert_eq!(bytes.len(), Recalibrator::bytes(3));
    assert_eq!(Recalibrator::from_bytes(&bytes, 2).err(), Some(StateError::Settings));
    bytes[500] ^= 8;
    assert_eq!(Recalibrator::from_bytes(&bytes, 3).err(), Some(StateError::Digest));
}

#[test]
fn unusable_labels_teach_nothing() {
    let mut recalibrator = Recalibrator::new(2);
    let fresh = recalibrator.clone();
    for (confidence, truth, what) in [
        (&[9, 9, 9][..], &[0, 1][..], "2 for a frame of 3 pixels"),
        (&[9, 9, 9], &[255, 255, 255], "no pixel is labelled"),
        (&[9, 9, 9], &[0, 1, 2], "label 2 of 2 classes"),
    ] {
        let error = recalibrator.learn(&[0, 1, 1], confidence, truth).expect_err("the labels do not fit");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(recalibrator, fresh);
    }
}

#[test]
fn maps_rise_and_keep_to_their_cap() {
    let mut state = 5;
    let mut recalibrator = Recalibrator::new(2);
    for _ in 0..5 {
        let (mask, confidence, truth) = frame(&mut state, [(0.3, -1.0), (2.0, 1.0)]);
        recalibrator.learn(&mask, &confidence, &truth).expect("the labels fit");
    }
    let mut maps = recalibrator.maps().clone();
    maps.cap(40_000);
    for map in maps.maps() {
        assert!(map.is_sorted());
        assert!(map[KNOTS - 1] <= 40_000);
    }
}

#[test]
fn the_exponential_is_the_exponential() {
    for step in -7000..=7000 {
        let x = f64::from(step) * 0.1 + 0.013;
        if x.abs() < 700.0 {
            assert!((exponential(x) / x.exp() - 1.0).abs() < 1e-12, "{x}");
        }
    }
    assert_eq!(exponential(-1e9), 0.0);
}
