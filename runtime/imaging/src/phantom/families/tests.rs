//! Tests of the families: images repeat, objects can be seen, the posterior is the share of readers.

use super::*;

const KINDS: [Kind; 3] = [Kind::Cells, Kind::Vessels, Kind::Speckle];

fn source(kind: Kind) -> FamilyPhantom {
    FamilyPhantom::new(FamilyConfig::new(kind, 64, 48), 7).unwrap()
}

fn bytes(frame: &Frame) -> Vec<u8> {
    let Samples::U8(samples) = frame.samples() else { panic!("not of 8 bits") };
    samples.clone()
}

#[test]
fn images_repeat_and_differ_by_index_and_kind() {
    for kind in KINDS {
        assert_eq!(source(kind).scene(3), source(kind).scene(3));
        assert_ne!(bytes(&source(kind).scene(3).frame), bytes(&source(kind).scene(4).frame));
    }
    assert_ne!(bytes(&source(Kind::Cells).scene(0).frame), bytes(&source(Kind::Vessels).scene(0).frame));
}

#[test]
fn objects_differ_from_the_ground_on_average() {
    for kind in KINDS {
        let mut sums = [[0.0, 0.0]; 2];
        for index in 0..40 {
            let scene = source(kind).scene(index);
            for (&value, &label) in bytes(&scene.frame).iter().zip(scene.labels.values()) {
                sums[usize::from(label)][0] += f64::from(value);
                sums[usize::from(label)][1] += 1.0;
            }
        }
        let [ground, object] = sums.map(|[sum, count]| sum / count);
        let share = sums[1][1] / (sums[0][1] + sums[1][1]);
        assert!((0.03..0.6).contains(&share), "{kind:?}: {share} of the pixels are objects");
        let difference = if kind == Kind::Speckle { ground - object } else { object - ground };
        assert!(difference > 20.0, "{kind:?}: {ground} {object}");
    }
}

#[test]
fn the_posterior_is_the_share_of_readers() {
    for kind in KINDS {
        for ambiguity in [0.0, 0.3, 1.0] {
            let mut config = FamilyConfig::new(kind, 64, 48);
            config.ambiguity = Range::only(ambiguity);
            let source = FamilyPhantom::new(config, 5).unwrap();
            let (mut marked, mut rims) = (0.0, 0.0);
            for index in 0..60 {
                let scene = source.scene(index);
                for (&posterior, &label) in scene.posterior.iter().zip(scene.labels.values()) {
                    if posterior == 0.0 || posterior == 1.0 {
                        assert_eq!(f32::from(label), posterior);
                    } else if (f64::from(posterior) - ambiguity).abs() < 1e-6 {
                        marked += f64::from(label);
                        rims += 1.0;
                    }
                }
            }
            if ambiguity == 0.3 {
                // Objects are drawn or not as a whole: about 300 coins.
                assert!((marked / rims - ambiguity).abs() < 0.1, "{kind:?}: {}", marked / rims);
            }
        }
    }
}

#[test]
fn every_problem_is_listed() {
    let mut config = FamilyConfig::new(Kind::Cells, 8, 48);
    config.objects = (5, 2);
    config.noise = Range::new(0.5, 0.2);
    config.size = Range::only(0.0);
    let error = FamilyPhantom::new(config, 1).unwrap_err().to_string();
    for what in ["width is 8", "objects is 5..=2", "noise: low", "size is 0"] {
        assert!(error.contains(what), "{what} is missing from: {error}");
    }
}
