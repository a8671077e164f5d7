//! The phantom: bytes that repeat, truth that matches, and factors that move nothing but themselves.

use super::*;
use crate::testing::sha256;

fn phantom(config: Config) -> Phantom {
    Phantom::new(config, 42).unwrap()
}

fn small() -> Config {
    Config { width: 96, height: 72, ..Config::default() }
}

fn bytes(frame: &Frame) -> Vec<u8> {
    match frame.samples() {
        Samples::U8(values) => values.clone(),
        Samples::U16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Samples::F32(_) => panic!("integers expected"),
    }
}

/// Digests of frame then labels; a change of any of them changes every model trained on the phantom.
#[test]
fn bytes_repeat_on_every_machine() {
    let twelve =
        Config { width: 65, height: 130, depth: Depth::Twelve, label_vessels: true, ..Config::default() };
    let patch = Config { patch_mm: Some(60.0), nodules: (1, 1), ..small() };
    let cases = [
        (Config::default(), 0, "946407811f4529e504375decc8e0dd3229ce7a176d2ea727f8d83a9c681862bd"),
        (twelve, 7, "fad7bbc648d5d3644d0b79b7a675789c61104669a330e4e87e63ae25c12dacb6"),
        (patch, u64::MAX, "8d84d8daf4d75caf7a507511858f4e6e6a1ab4a07ac0e5900c0ef32f08320e51"),
    ];
    for (config, index, expected) in cases {
        let (frame, labels, _) = phantom(config).frame(index);
        assert_eq!(sha256(&[&bytes(&frame), labels.values()].concat()), expected, "index {index}");
    }
}

#[test]
fn seed_and_index_each_change_the_slice() {
    let first = phantom(small()).frame(0).0;
    assert_eq!(first, phantom(small()).frame(0).0);
    assert_ne!(first.samples(), phantom(small()).frame(1).0.samples());
    assert_ne!(first.samples(), Phantom::new(small(), 43).unwrap().frame(0).0.samples());
}

#[test]
fn frames_are_the_indexed_slices_and_render_gives_them_back() {
    let phantom = phantom(small());
    for (index, (frame, labels, factors)) in phantom.frames().take(4).enumerate() {
        assert_eq!(phantom.frame(index as u64).0, frame);
        assert_eq!(phantom.render(index as u64, &factors).unwrap(), (frame, labels));
    }
}

#[test]
fn factors_lie_in_their_ranges_and_reach_their_ends() {
    let config = small();
    let phantom = phantom(config.clone());
    let all: Vec<Factors> = (0..400).map(|index| phantom.factors(index)).collect();
    let spread = |values: Vec<f64>, range: Range| {
        assert!(values.iter().all(|value| (range.low..=range.high).contains(value)));
        let tenth = (range.high - range.low) * 0.1;
        assert!(values.iter().any(|&value| value < range.low + tenth));
        assert!(values.iter().any(|&value| value > range.high - tenth));
    };
    spread(all.iter().map(|factors| factors.dose).collect(), config.dose);
    spread(all.iter().map(|factors| factors.level).collect(), config.level);
    spread(all.iter().map(|factors| factors.girth).collect(), config.girth);
    spread(all.iter().map(|factors| factors.vessel_density).collect(), config.vessel_density);
    let nodules: Vec<NoduleFactors> = all.iter().flat_map(|factors| factors.nodules.clone()).collect();
    spread(nodules.iter().map(|nodule| nodule.radius_mm).collect(), config.radius_mm);
    spread(nodules.iter().map(|nodule| nodule.spiculation).collect(), config.spiculation);
    spread(nodules.iter().map(|nodule| nodule.contrast_hu).collect(), config.contrast_hu);
    spread(nodules.iter().map(|nodule| nodule.position).collect(), config.position);
    for count in 0..=3 {
        let found = all.iter().filter(|factors| factors.nodules.len() == count).count();
        assert!((70..130).contains(&found), "{found} slices of 400 with {count} nodules");
    }
}

#[test]
fn narrowing_one_range_moves_no_other_factor() {
    let wide = phantom(small()).factors(3);
    let narrow =
        phantom(Config { dose: Range::only(1.0), spiculation: Range::only(0.5), ..small() }).factors(3);
    assert_eq!(
        (wide.level, wide.girth, wide.vessel_density),
        (narrow.level, narrow.girth, narrow.vessel_density)
    );
    assert_eq!(wide.nodules.len(), narrow.nodules.len());
    for (wide, narrow) in wide.nodules.iter().zip(&narrow.nodules) {
        assert_eq!(NoduleFactors { spiculation: 0.5, ..*wide }, *narrow);
    }
}

/// A slice with one nodule and its factors, to be changed one at a time.
fn with_one_nodule() -> (Phantom, Factors, Frame, Labels) {
    let phantom = phantom(Config { nodules: (1, 1), radius_mm: Range::new(8.0, 10.0), ..Config::default() });
    let (frame, labels, factors) = phantom.frame(5);
    (phantom, factors, frame, labels)
}

/// Bounding box of the pixels at which two maps differ: first and last row, first and last column.
fn changed(left: &[u8], right: &[u8], width: usize) -> Option<[usize; 4]> {
    let differing = (0..left.len()).filter(|&index| left[index] != right[index]);
    differing.map(|index| (index / width, index % width)).fold(None, |found, (row, column)| {
        let [top, bottom, first, last] = found.unwrap_or([row, row, column, column]);
        Some([top.min(row), bottom.max(row), first.min(column), last.max(column)])
    })
}

#[test]
fn changing_a_nodule_changes_the_slice_only_around_it() {
    let (phantom, factors, frame, labels) = with_one_nodule();
    let before = factors.nodules[0];
    let changes = [
        NoduleFactors { spiculation: 1.0 - before.spiculation, ..before },
        NoduleFactors { contrast_hu: 300.0, ..before },
        NoduleFactors { texture: 1.0, ..before },
        NoduleFactors { radius_mm: 6.0, ..before },
    ];
    for nodule in changes {
        let factors = Factors { nodules: vec![nodule], ..factors.clone() };
        let (after, _) = phantom.render(5, &factors).unwrap();
        let [top, bottom, left, right] = changed(&bytes(&frame), &bytes(&after), 256).unwrap();
        let reach = (2.0 * 2.4 * 10.0 / (360.0 / 256.0)) as usize + 4;
        assert!(bottom - top <= reach && right - left <= reach, "{nodule:?}");
        let middle = ((top + bottom) / 2) * 256 + (left + right) / 2;
        assert!(labels.values()[middle.saturating_sub(512)..middle + 512].contains(&2), "{nodule:?}");
    }
}

#[test]
fn dose_changes_the_noise_and_not_the_truth() {
    let (phantom, factors, _, labels) = with_one_nodule();
    let at = |dose| phantom.render(5, &Factors { dose, ..factors.clone() }).unwrap();
    let (clean, _) = at(100.0);
    let deviation = |dose| {
        let (noisy, same) = at(dose);
        assert_eq!(same, labels);
        let differences =
            bytes(&noisy).into_iter().zip(bytes(&clean)).map(|(a, b)| f64::from(a) - f64::from(b));
        // The heart: deep in the body, far from both ends of the scale.
        let region = differences.enumerate().filter(|(index, _)| (110..125).contains(&(index / 256)));
        let region: Vec<f64> =
            region.filter(|(index, _)| (120..136).contains(&(index % 256))).map(|(_, d)| d).collect();
        (region.iter().map(|d| d * d).sum::<f64>() / region.len() as f64).sqrt()
    };
    let ratio = deviation(0.5) / deviation(2.0);
    assert!((1.7..2.3).contains(&ratio), "four times the dose halves the noise: {ratio}");
}

#[test]
fn vessels_disappear_with_their_density_and_get_their_class_when_asked() {
    let config = Config { label_vessels: true, nodules: (0, 0), ..Config::default() };
    let phantom = phantom(config);
    let factors = phantom.factors(1);
    let count = |density| {
        let factors = Factors { vessel_density: density, ..factors.clone() };
        phantom.render(1, &factors).unwrap().1.counts()[3]
    };
    assert_eq!(count(0.0), 0);
    assert!(count(0.3) > 50 && count(1.0) > count(0.3), "{} {}", count(0.3), count(1.0));
}

#[test]
fn a_smooth_nodule_has_the_area_of_its_radius() {
    let config = Config {
        nodules: (1, 1),
        radius_mm: Range::only(12.0),
        spiculation: Range::only(0.0),
        patch_mm: Some(60.0),
        ..Config::default()
    };
    let phantom = phantom(config);
    let pixel = 60.0 / 256.0;
    let areas = (0..20).map(|index| phantom.frame(index).1.counts()[2] as f64 * pixel * pixel);
    let mean = areas.sum::<f64>() / 20.0;
    // The lobes add half the sum of their squared amplitudes, below 1 %.
    assert!((mean / (std::f64::consts::PI * 144.0) - 1.0).abs() < 0.02, "{mean}");
}

#[test]
fn spicules_lengthen_the_boundary() {
    let config = Config { nodules: (1, 1), patch_mm: Some(60.0), ..Config::default() };
    let phantom = phantom(config);
    for index in 0..5 {
        let factors = phantom.factors(index);
        let boundary = |spiculation: f64| {
            let nodules = vec![NoduleFactors { spiculation, radius_mm: 10.0, ..factors.nodules[0] }];
            let (_, labels) = phantom.render(index, &Factors { nodules, ..factors.clone() }).unwrap();
            let rows = labels.values().chunks_exact(256);
            rows.map(|row| row.windows(2).filter(|pair| (pair[0] == 2) != (pair[1] == 2)).count())
                .sum::<usize>()
        };
        assert!(boundary(1.0) as f64 > 1.3 * boundary(0.0) as f64, "index {index}");
    }
}

#[test]
fn every_class_has_its_plausible_share_and_intensity() {
    let (mut sums, mut counts) = ([0u64; 3], [0u64; 3]);
    for (frame, labels, _) in phantom(Config::default()).frames().take(12) {
        for (&value, &class) in bytes(&frame).iter().zip(labels.values()) {
            sums[usize::from(class)] += u64::from(value);
            counts[usize::from(class)] += 1;
        }
    }
    let total = 12.0 * 65_536.0;
    let share = counts.map(|count| count as f64 / total);
    assert!((0.1..0.3).contains(&share[1]) && (0.0005..0.02).contains(&share[2]), "{share:?}");
    let [_, lung, nodule] = [0, 1, 2].map(|class| sums[class] as f64 / counts[class] as f64);
    assert!((35.0..70.0).contains(&lung) && nodule > lung + 50.0, "lung {lung}, nodule {nodule}");
}

#[test]
fn the_slice_stands_upright() {
    // The spine, the brightest large structure in the middle, lies in the lower half.
    for index in 0..6 {
        let (frame, ..) = phantom(Config::default()).frame(index);
        let values = bytes(&frame);
        let bright = |rows: std::ops::Range<usize>| {
            rows.flat_map(|row| &values[row * 256 + 112..row * 256 + 144])
                .filter(|&&value| value > 220)
                .count()
        };
        assert!(bright(128..256) > 3 * bright(0..128), "index {index}");
    }
}

#[test]
fn extreme_extents_and_factors_render() {
    for (width, height) in [(16, 16), (16, 300), (300, 16), (33, 31)] {
        for patch_mm in [None, Some(20.0), Some(360.0)] {
            let config = Config {
                width,
                height,
                patch_mm,
                nodules: (8, 8),
                depth: Depth::Twelve,
                ..Config::default()
            };
            let phantom = phantom(config);
            for bounds in [0, 1] {
                let pick = |(_, low, high): Bound| [low, high][bounds];
                let nodule = NoduleFactors {
                    radius_mm: pick(RADIUS),
                    spiculation: pick(SPICULATION),
                    contrast_hu: pick(CONTRAST),
                    texture: pick(TEXTURE),
                    position: pick(POSITION),
                };
                let factors = Factors {
                    vessel_density: pick(VESSELS),
                    dose: pick(DOSE),
                    level: pick(LEVEL),
                    girth: pick(GIRTH),
                    nodules: vec![nodule; 8],
                };
                let (frame, labels) = phantom.render(0, &factors).unwrap();
                assert_eq!((frame.width(), frame.height()), (width, height));
                assert_eq!((labels.width(), labels.height()), (width, height));
                assert!(bytes(&frame).chunks_exact(2).all(|pair| pair[1] < 16), "12 bits");
            }
        }
    }
}

#[test]
fn all_problems_of_a_configuration_are_listed_at_once() {
    let config = Config {
        width: 0,
        height: 5000,
        nodules: (3, 9),
        patch_mm: Some(f64::NAN),
        dose: Range::new(0.0, 1.0),
        spiculation: Range::new(0.9, 0.1),
        radius_mm: Range::only(f64::INFINITY),
        ..Config::default()
    };
    let error = Phantom::new(config, 0).unwrap_err();
    for name in ["width", "height", "nodules", "patch_mm", "dose", "spiculation", "radius_mm"] {
        assert!(error.problems().iter().any(|problem| problem.starts_with(name)), "{name}: {error}");
    }
}

#[test]
fn factors_out_of_bounds_are_refused() {
    let (phantom, mut factors, ..) = with_one_nodule();
    factors.dose = 0.0;
    factors.nodules[0].texture = 1.5;
    let error = phantom.render(5, &factors).unwrap_err();
    assert_eq!(error.problems().len(), 2, "{error}");
    factors.nodules = vec![factors.nodules[0]; 9];
    assert!(phantom.render(5, &factors).unwrap_err().to_string().contains("9 nodules"));
}
