//! What must hold for the figures: hand-computed cases, brute-force definitions, conventions for empty
//! input.
use super::*;

const CLOSE: f64 = 1e-12;

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= CLOSE * (1.0 + b.abs()), "{a} is not {b}");
}

/// A random frame of `classes` classes whose planes sum to 65535 per pixel.
fn random_frame(random: &mut SplitMix64, classes: usize, pixels: usize) -> (Vec<u16>, Vec<u8>, Vec<u8>) {
    let mut planes = vec![0_u16; classes * pixels];
    let (mut predicted, mut truth) = (vec![0_u8; pixels], vec![0_u8; pixels]);
    for pixel in 0..pixels {
        let mut rest = FULL;
        for class in 0..classes - 1 {
            let share = random.below(usize::from(rest) + 1) as u16;
            planes[class * pixels + pixel] = share;
            rest -= share;
        }
        planes[(classes - 1) * pixels + pixel] = rest;
        let best = (0..classes).max_by_key(|class| planes[class * pixels + pixel]).unwrap();
        predicted[pixel] = best as u8;
        let agrees = random.below(4) > 0;
        truth[pixel] = if agrees { best as u8 } else { random.below(classes) as u8 };
    }
    (planes, predicted, truth)
}

#[test]
fn a_certain_and_right_frame_has_no_error_anywhere() {
    let truth = [0_u8, 0, 1, 1, 0, 1];
    let background: Vec<u16> = truth.iter().map(|label| if *label == 0 { FULL } else { 0 }).collect();
    let planes: Vec<u16> = background.iter().copied().chain(background.iter().map(|p| FULL - p)).collect();
    let band = boundary_band(&truth, 3, 1);
    let frame = Frame::new([2, 2, 3], &planes, &truth, &truth, &band).unwrap();
    let mut accumulator = Accumulator::new(2).unwrap();
    let scores = accumulator.add(&frame).unwrap();
    let summary = accumulator.summary();
    assert_eq!((scores.dice.mean, scores.iou.mean, scores.hd95.mean), (Some(1.0), Some(1.0), Some(0.0)));
    let errors = [summary.ece, summary.ece_foreground, summary.ece_boundary, summary.ece_adaptive];
    assert_eq!(errors, [Some(0.0); 4]);
    assert_eq!((summary.nll, summary.brier, summary.aurc), (Some(0.0), Some(0.0), Some(0.0)));
    assert_eq!(
        (summary.volume_bias.mean, summary.ace.mean, summary.mce.mean),
        (Some(0.0), Some(0.0), Some(0.0))
    );
}

#[test]
fn figures_of_a_small_frame_are_those_worked_out_by_hand() {
    // Four pixels, foreground probability 0.8 (52428/65535) throughout, truth 1 1 1 0, all reported as 1.
    let planes = [13_107_u16, 13_107, 13_107, 13_107, 52_428, 52_428, 52_428, 52_428];
    let frame = Frame::new([2, 2, 2], &planes, &[1; 4], &[1, 1, 1, 0], &[false; 4]).unwrap();
    let mut accumulator = Accumulator::new(2).unwrap();
    let scores = accumulator.add(&frame).unwrap();
    let summary = accumulator.summary();
    close(summary.ece.unwrap(), 0.05);
    close(summary.ece_foreground.unwrap(), 0.2);
    close(summary.ece_classwise.unwrap(), 0.05);
    close(summary.overconfidence.unwrap(), 0.8 * 0.05);
    close(summary.nll.unwrap(), -(3.0 * 0.8_f64.ln() + 0.2_f64.ln()) / 4.0);
    close(summary.nll_foreground.unwrap(), -0.8_f64.ln());
    close(summary.nll_foreground_term.unwrap(), -0.8_f64.ln() * 0.75);
    close(summary.brier.unwrap(), (3.0 * 2.0 * 0.04 + 2.0 * 0.64) / 4.0);
    close(summary.volume_bias.mean.unwrap(), 0.2 / 3.0);
    close(summary.aurc.unwrap(), 0.25);
    close(scores.dice.mean.unwrap(), 6.0 / 7.0);
    close(scores.iou.mean.unwrap(), 0.75);
    close(scores.nll, summary.nll.unwrap());
    close(scores.confidence, 0.8);
    assert_eq!(summary.ece_boundary, None);
}

#[test]
fn pooled_figures_do_not_depend_on_frame_order_and_an_empty_accumulator_reports_nothing() {
    let mut random = SplitMix64::new(7);
    let frames: Vec<_> = (0..4).map(|_| random_frame(&mut random, 3, 96)).collect();
    let run = |order: &[usize]| {
        let mut accumulator = Accumulator::new(3).unwrap();
        for &index in order {
            let (planes, predicted, truth) = &frames[index];
            let band = boundary_band(truth, 12, BOUNDARY_RADIUS);
            accumulator.add(&Frame::new([3, 8, 12], planes, predicted, truth, &band).unwrap()).unwrap();
        }
        accumulator.summary()
    };
    let (forward, backward) = (run(&[0, 1, 2, 3]), run(&[3, 1, 0, 2]));
    let pooled =
        |s: &Summary| [s.ece, s.ece_foreground, s.ece_boundary, s.ece_adaptive, s.nll, s.brier, s.aurc];
    assert_eq!(pooled(&forward), pooled(&backward));
    assert_eq!(forward.volume_bias, backward.volume_bias);
    let empty = run(&[]);
    assert_eq!((empty.images, empty.pixels, pooled(&empty)), (0, 0, [None; 7]));
    assert_eq!((empty.dice.mean, empty.ace.classes), (None, vec![None; 3]));
}

#[test]
fn foreground_ece_weighs_each_frame_by_its_foreground_and_differs_from_the_pooled_one() {
    // Frame a: 1 foreground pixel, confidence 1 and right. Frame b: 3, confidence 1 and wrong.
    let mut accumulator = Accumulator::new(2).unwrap();
    let right = [0, FULL, FULL, FULL, FULL, 0, 0, 0];
    let wrong = [FULL, FULL, FULL, FULL, 0, 0, 0, 0];
    accumulator
        .add(&Frame::new([2, 1, 4], &right, &[1, 0, 0, 0], &[1, 0, 0, 0], &[false; 4]).unwrap())
        .unwrap();
    accumulator.add(&Frame::new([2, 1, 4], &wrong, &[0; 4], &[1, 1, 1, 0], &[false; 4]).unwrap()).unwrap();
    close(accumulator.summary().ece_foreground.unwrap(), 0.75);
    // Opposite gaps in one bin cancel when pooled, not when averaged over frames: 0.8 right, 0.8 wrong.
    let mut cancelling = Accumulator::new(2).unwrap();
    for (label, truth) in [(1, 1), (0, 1)] {
        let p = [if label == 0 { 52_428 } else { 13_107 }, if label == 1 { 52_428 } else { 13_107 }];
        cancelling.add(&Frame::new([2, 1, 1], &p, &[label], &[truth], &[false]).unwrap()).unwrap();
    }
    let summary = cancelling.summary();
    close(summary.ece_foreground.unwrap(), (0.2 + 0.8) / 2.0);
    close(summary.ece_foreground_pooled.unwrap(), 0.3);
}

#[test]
fn classes_absent_from_both_masks_are_undefined_and_from_one_are_zero() {
    let planes = [FULL, FULL, 0, 0, 0, 0];
    let mut accumulator = Accumulator::new(3).unwrap();
    let scores =
        accumulator.add(&Frame::new([3, 1, 2], &planes, &[0, 1], &[0, 0], &[false; 2]).unwrap()).unwrap();
    assert_eq!(scores.dice.classes, [Some(2.0 / 3.0), Some(0.0), None]);
    assert_eq!(scores.hd95.classes[1..], [Some(5.0_f64.sqrt()), None]);
    assert_eq!(scores.volume_bias.classes[1..], [None, None]);
    assert_eq!(scores.ece_foreground, None);
}

#[test]
fn boundary_band_equals_its_brute_force_definition() {
    let mut random = SplitMix64::new(3);
    for (height, width, radius) in
        [(1_usize, 1_usize, 2_usize), (1, 9, 2), (9, 1, 1), (7, 11, 2), (12, 5, 3), (6, 6, 0)]
    {
        let labels: Vec<u8> = (0..height * width).map(|_| u8::from(random.below(12) == 0)).collect();
        let near = |y: usize, x: usize| {
            (0..height * width).any(|other| {
                let apart = (other / width).abs_diff(y).max((other % width).abs_diff(x));
                apart <= radius && labels[other] != labels[y * width + x]
            })
        };
        // The window holds more than one label exactly when it holds one that differs from its centre.
        let expected: Vec<bool> = (0..height * width).map(|i| near(i / width, i % width)).collect();
        assert_eq!(boundary_band(&labels, width, radius), expected);
    }
    assert_eq!(boundary_band(&[], 0, 2), Vec::<bool>::new());
    assert_eq!(boundary_band(&[4; 12], 4, 2), [false; 12]);
}

#[test]
fn squared_distances_equal_brute_force() {
    let mut random = SplitMix64::new(11);
    for (height, width, sparsity) in
        [(1, 1, 1), (1, 17, 4), (17, 1, 4), (13, 19, 40), (20, 8, 3), (9, 31, 250)]
    {
        let mut mask: Vec<bool> = (0..height * width).map(|_| random.below(sparsity) == 0).collect();
        mask[random.below(height * width)] = true;
        let nearest = |y: usize, x: usize| {
            let set = (0..mask.len()).filter(|index| mask[*index]);
            set.map(|i| ((i / width).abs_diff(y).pow(2) + (i % width).abs_diff(x).pow(2)) as u64).min()
        };
        let expected: Vec<u64> = (0..mask.len()).map(|i| nearest(i / width, i % width).unwrap()).collect();
        assert_eq!(squared_distances(&mask, width).unwrap(), expected);
    }
    assert_eq!(squared_distances(&[false; 4], 2), None);
    assert_eq!(squared_distances(&[true; 5], 2), None);
    assert_eq!(squared_distances(&[], 0), None);
}

#[test]
fn hausdorff_follows_its_conventions() {
    let dot = |at: usize| -> Vec<bool> { (0..25).map(|index| index == at).collect() };
    let empty = vec![false; 25];
    assert_eq!(hausdorff_95(&dot(0), &dot(0), 5), Some(0.0));
    assert_eq!(hausdorff_95(&dot(0), &dot(14), 5), Some(20.0_f64.sqrt()));
    assert_eq!(hausdorff_95(&empty, &empty, 5), None);
    assert_eq!(hausdorff_95(&dot(3), &empty, 5), Some(50.0_f64.sqrt()));
    assert_eq!(hausdorff_95(&empty, &dot(3), 5), Some(50.0_f64.sqrt()));
    assert_eq!(hausdorff_95(&dot(3), &[true; 4], 5), None);
    // A shifted bar: one directed distance per surface pixel, 95th percentile between order statistics.
    let bar =
        |from: usize| -> Vec<bool> { (0..40).map(|index| (from..from + 20).contains(&index)).collect() };
    assert!((hausdorff_95(&bar(0), &bar(10), 40).unwrap() - 9.05).abs() < 1e-12);
}

#[test]
fn equal_mass_bins_hold_equal_mass_and_never_split_a_value() {
    let mut histogram = ConfidenceHistogram::default();
    (0..150_u16).for_each(|level| histogram.add(level * 100, level % 3 == 0));
    assert!(histogram.equal_mass(15).bins().iter().all(|bin| bin.count == 10));
    let mut constant = ConfidenceHistogram::default();
    (0..150).for_each(|pixel| constant.add(40_000, pixel % 2 == 0));
    let bins = constant.equal_mass(15);
    assert_eq!(bins.bins().iter().filter(|bin| bin.count > 0).count(), 1);
    close(bins.expected_error().unwrap(), 40_000.0 / 65_535.0 - 0.5);
    assert_eq!(ConfidenceHistogram::default().equal_mass(15).expected_error(), None);
}

#[test]
fn equal_width_bins_include_their_upper_edge() {
    let mut bins = Bins::new(15);
    for edge in [0, 1, 4369, 4370, 8738, FULL] {
        bins.add(edge, false);
    }
    let counts: Vec<u64> = bins.bins().iter().map(|bin| bin.count).collect();
    assert_eq!(counts, [3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn aurc_is_the_mean_risk_over_coverages_and_ties_are_averaged() {
    let mut random = SplitMix64::new(5);
    let mut histogram = ConfidenceHistogram::default();
    let pixels: Vec<(u16, bool)> =
        (0..3000).map(|level: u16| (level * 20 + 1, random.below(3) > 0)).collect();
    pixels.iter().for_each(|(confidence, correct)| histogram.add(*confidence, *correct));
    let (mut wrong, mut area) = (0.0, 0.0);
    for (covered, (_, correct)) in pixels.iter().rev().enumerate() {
        wrong += if *correct { 0.0 } else { 1.0 };
        area += wrong / (covered as f64 + 1.0);
    }
    close(histogram.area_under_risk_coverage().unwrap(), area / 3000.0);
    let mut tied = ConfidenceHistogram::default();
    (0..100_000).for_each(|pixel| tied.add(9, pixel % 10 != 0));
    close(tied.area_under_risk_coverage().unwrap(), 0.1);
}

#[test]
fn auroc_equals_pair_counting_and_is_symmetric() {
    let mut random = SplitMix64::new(2);
    let mut draw =
        |n: usize, shift: usize| -> Vec<f64> { (0..n).map(|_| (random.below(9) + shift) as f64).collect() };
    let (negatives, positives) = (draw(40, 0), draw(33, 2));
    let pairs = positives.iter().flat_map(|p| negatives.iter().map(move |n| (p, n)));
    let wins: f64 = pairs
        .map(|(p, n)| {
            if p > n {
                1.0
            } else if p == n {
                0.5
            } else {
                0.0
            }
        })
        .sum();
    let auroc = area_under_roc(&negatives, &positives).unwrap();
    close(auroc, wins / (40.0 * 33.0));
    close(area_under_roc(&positives, &negatives).unwrap(), 1.0 - auroc);
    close(area_under_roc(&[1.0; 5], &[1.0; 3]).unwrap(), 0.5);
    assert_eq!(area_under_roc(&[], &[1.0]), Err(MetricError::Empty { what: "negatives" }));
    let not_finite = MetricError::NotFinite { what: "positives", index: 1 };
    assert_eq!(area_under_roc(&[0.0], &[1.0, f64::NAN]), Err(not_finite));
}

#[test]
fn fpr_and_alert_rate_follow_their_thresholds() {
    let positives: Vec<f64> = (1..=20).map(f64::from).collect();
    // 19 of 20 positives lie at or above 2.
    assert_eq!(false_positive_rate_at(0.95, &[0.0, 1.0, 2.0, 3.0], &positives), Ok(0.5));
    assert_eq!(false_positive_rate_at(1.0, &[0.0, 1.0], &positives), Ok(0.5));
    assert!(false_positive_rate_at(0.0, &[0.0], &positives).is_err());
    assert_eq!(alert_rate(&[1.0, 2.0, 3.0, f64::NAN], 2.0), Some(0.5));
    assert_eq!(alert_rate(&[], 2.0), None);
}

#[test]
fn spearman_sees_order_only() {
    let scores = [1.0, 10.0, 3.0, 200.0];
    assert_eq!(spearman(&scores, &[0.1, 0.3, 0.2, 0.4]), Ok(Some(1.0)));
    assert_eq!(spearman(&scores, &[4.0, 2.0, 3.0, 1.0]), Ok(Some(-1.0)));
    assert_eq!(spearman(&scores, &[1.0; 4]), Ok(None));
    assert_eq!(spearman(&scores, &[1.0]), Err(MetricError::Unpaired { first: 4, second: 1 }));
}

#[test]
fn the_generator_gives_the_published_sequence() {
    let mut random = SplitMix64::new(0);
    let expected = [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F];
    assert_eq!([random.next_u64(), random.next_u64(), random.next_u64()], expected);
    assert_eq!(random.below(0), 0);
    assert!((0..1000).all(|_| random.below(7) < 7));
}

#[test]
fn bootstrap_repeats_brackets_its_estimate_and_reports_undefined_resamples() {
    let plan = Resampling { resamples: 500, level: 0.95, seed: 1 };
    let first: Vec<f64> = (0..60).map(|i| f64::from(i % 7) + 1.0).collect();
    let second: Vec<f64> = (0..60).map(|i| f64::from(i % 5)).collect();
    let interval = paired_difference(&first, &second, plan).unwrap();
    assert_eq!(paired_difference(&first, &second, plan).unwrap(), interval);
    assert!(interval.low < interval.estimate && interval.estimate < interval.high);
    let shifted: Vec<f64> = first.iter().map(|value| value - 2.0).collect();
    let constant = paired_difference(&first, &shifted, plan).unwrap();
    assert_eq!((constant.low, constant.estimate, constant.high), (2.0, 2.0, 2.0));
    let sometimes = bootstrap(3, plan, |chosen| if chosen.contains(&0) { 1.0 } else { f64::NAN }).unwrap();
    assert!(sometimes.undefined > 0 && sometimes.low == 1.0);
    assert_eq!(bootstrap(3, plan, |_| f64::NAN), Err(MetricError::Undefined));
    assert_eq!(bootstrap(0, plan, |_| 0.0), Err(MetricError::Empty { what: "units" }));
    assert!(bootstrap(1, Resampling { level: 1.0, ..plan }, |_| 0.0).is_err());
}

#[test]
fn bootstrap_intervals_are_as_wide_as_the_normal_theory_of_a_mean_says() {
    let mut random = SplitMix64::new(31);
    let first: Vec<f64> = (0..400).map(|_| random.below(1000) as f64).collect();
    let mean = first.iter().sum::<f64>() / 400.0;
    let error = (first.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 400.0).sqrt() / 20.0;
    for (level, normal_quantile) in [(0.95, 1.960), (0.8, 1.282)] {
        let plan = Resampling { resamples: 4000, level, seed: 2 };
        let interval = paired_difference(&first, &vec![0.0; 400], plan).unwrap();
        let ends = [(mean - interval.low) / error, (interval.high - mean) / error];
        assert!(ends.iter().all(|end| (end / normal_quantile - 1.0).abs() < 0.08), "{ends:?}");
    }
}

#[test]
fn a_malformed_frame_lists_every_problem() {
    let error = Frame::new([2, 2, 2], &[0; 7], &[0, 1, 2, 0], &[0; 3], &[false; 4]).unwrap_err();
    let expected = [
        Problem::Length { what: "probabilities", expected: 8, found: 7 },
        Problem::Length { what: "truth", expected: 4, found: 3 },
        Problem::Label { what: "predicted", pixel: 2, label: 2, classes: 2 },
    ];
    assert_eq!(error, MetricError::Frame(expected.to_vec()));
    assert!(error.to_string().contains("remap the masks"));
    let shape = Frame::new([1, 0, 70_000], &[], &[], &[], &[]).unwrap_err();
    assert!(matches!(shape, MetricError::Frame(problems) if problems.len() == 3));
    let frame = Frame::new([3, 1, 1], &[0, 0, FULL], &[2], &[2], &[false]).unwrap();
    let refused = Accumulator::new(2).unwrap().add(&frame).unwrap_err();
    assert_eq!(refused, MetricError::ClassCount { expected: 2, found: 3 });
}

#[test]
fn alignment_ignores_rotation_and_scale() {
    let first: Vec<Vec<f32>> = vec![vec![1.0, 2.0], vec![3.0, -1.0], vec![0.0, 4.0], vec![-2.0, 0.5]];
    let turned: Vec<Vec<f32>> = first.iter().map(|row| vec![-3.0 * row[1], 3.0 * row[0]]).collect();
    assert!((linear_cka(&first, &turned).unwrap() - 1.0).abs() < 1e-12);
    // Columns (1, −1, 0) and (1, 1, −2) are orthogonal.
    let [one, other] = [[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]].map(|own| own.map(|value| vec![value]));
    assert_eq!(linear_cka(&one, &other), Some(0.0));
    assert_eq!(linear_cka(&one, &vec![vec![2.0]; 3]), None);
    assert_eq!(linear_cka(&[], &[]), None);
}

/// A curve of `pixels`: level of the probability and whether it is foreground.
fn curve(pixels: &[(u16, bool)]) -> ThresholdCurve {
    let mut curve = ThresholdCurve::default();
    pixels.iter().for_each(|&(level, foreground)| curve.add(level << 8, foreground));
    curve
}

#[test]
fn operating_points_count_what_is_called() {
    let curve = curve(&[(10, false), (100, true), (100, false), (200, true), (255, true)]);
    let point = curve.point(100);
    assert_eq!((point.recall, point.precision, point.dice), (Some(1.0), Some(0.75), Some(6.0 / 7.0)));
    assert_eq!(curve.point(101).recall, Some(2.0 / 3.0));
    assert_eq!((curve.point(256).precision, curve.point(256).recall), (None, Some(0.0)));
    assert!((curve.point(100).threshold - 25_600.0 / 65_535.0).abs() < 1e-15);
    assert_eq!(ThresholdCurve::default().point(0).dice, None);
    let thresholds: Vec<f64> = curve.sweep().iter().map(|own| own.threshold).collect();
    assert!(thresholds.iter().zip(1..).all(|(own, k)| (own - f64::from(k) / 20.0).abs() < 0.003));
}

#[test]
fn risk_is_controlled_on_new_exams() {
    // Exams whose foreground probabilities differ in level: what fits the average does not fit each.
    let mut random = SplitMix64::new(3);
    let mut exam = || {
        let shift = random.unit() * 120.0;
        let pixels = (0..60).map(|at| {
            let foreground = at % 3 == 0;
            let level = random.unit() * 120.0 + if foreground { shift } else { 0.0 };
            (level as u16, foreground)
        });
        curve(&pixels.collect::<Vec<_>>())
    };
    for risk in [Risk::FalseNegativeRate, Risk::FalsePositiveShare] {
        let (mut loss, repeats) = (0.0, 400);
        for _ in 0..repeats {
            let known: Vec<ThresholdCurve> = (0..20).map(|_| exam()).collect();
            let chosen = control_risk(&known, risk, 0.2).unwrap();
            assert!(chosen.mean_loss <= chosen.bound && chosen.bound <= 0.2);
            let level = (chosen.threshold * 65_535.0 / 256.0).round() as usize;
            let point = exam().point(level);
            loss += match risk {
                Risk::FalseNegativeRate => 1.0 - point.recall.unwrap_or(1.0),
                Risk::FalsePositiveShare => 1.0 - point.precision.unwrap_or(1.0),
            };
        }
        let mean = loss / f64::from(repeats);
        // Controlled, and for the first not by calling everything.
        assert!(mean < 0.22, "{risk:?}: {mean}");
        assert!(risk != Risk::FalseNegativeRate || mean > 0.1, "{mean}");
    }
}

#[test]
fn risk_control_refuses_what_it_cannot_promise() {
    let exams = vec![ThresholdCurve::default(); 8];
    let error = control_risk(&exams, Risk::FalseNegativeRate, 0.1).unwrap_err();
    assert_eq!(error, MetricError::TooFew { what: "exams", needed: 9, found: 8 });
    assert!(control_risk(&exams, Risk::FalseNegativeRate, 0.12).is_ok());
    assert!(matches!(control_risk(&exams, Risk::FalseNegativeRate, 1.0), Err(MetricError::Range { .. })));
}
