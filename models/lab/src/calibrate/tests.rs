//! What must hold for calibrators: monotone tables, likelihood that grows with freedom, degenerate cases.
use super::*;
use crate::metrics::SplitMix64;

const STEP: f64 = 1.0 / 128.0;

/// Expected counts, scaled to `pixels`, of a normal spread of logits whose true probability is `truth(z)`.
fn expected(pixels: f64, truth: impl Fn(f64) -> f64) -> Histogram {
    let (mut positives, mut negatives) = (vec![0; LEVELS], vec![0; LEVELS]);
    for index in 0..LEVELS {
        let z = histogram::logit(index, STEP);
        let count = pixels * (-z * z / 32.0).exp();
        positives[index] = (count * truth(z)).round() as u64;
        negatives[index] = (count * (1.0 - truth(z))).round() as u64;
    }
    Histogram::from_counts(STEP, positives, negatives).unwrap()
}

fn random(seed: u64, pixels: usize) -> Histogram {
    let mut random = SplitMix64::new(seed);
    let mut histogram = Histogram::new(STEP).unwrap();
    for _ in 0..pixels {
        let index = random.below(LEVELS);
        histogram.add(index as u16, random.below(LEVELS) < index / 2 + 700);
    }
    histogram
}

fn image(boundary: &Histogram, interior: &Histogram) -> Evidence {
    Evidence { interior: interior.clone(), boundary: boundary.clone() }
}

#[test]
fn every_table_is_monotone_and_leaves_both_labels_possible() {
    let extremes = [random(1, 40), random(2, 5000), expected(1e9, |z| 1.0 - table::sigmoid(z))];
    for (histogram, method) in extremes.iter().flat_map(|h| Method::ALL.map(|method| (h, method))) {
        let table = fit(method, histogram).unwrap().table;
        assert!(table.entries().is_sorted(), "{method:?}");
        assert!(table.entries().iter().all(|entry| (1..=65_534).contains(entry)), "{method:?}");
        assert!(histogram.surprise(&table).is_finite());
    }
}

#[test]
fn likelihood_never_falls_with_more_freedom() {
    for seed in 0..5 {
        let histogram = random(seed, 20_000);
        let nll =
            |method| histogram.surprise(&fit(method, &histogram).unwrap().table) / histogram.count() as f64;
        let [identity, temperature, platt, beta, isotonic] = Method::ALL.map(nll);
        // Rounding a table to 1/65535 costs up to a few 1e-9 nats per pixel.
        assert!(temperature <= identity + 1e-8 && platt <= temperature + 1e-8);
        assert!(isotonic <= beta + 1e-8 && isotonic <= platt + 1e-8);
    }
}

#[test]
fn the_map_that_made_the_evidence_is_found_again() {
    let sigmoid = table::sigmoid;
    let Parameters::Temperature { temperature } =
        fit(Method::Temperature, &expected(1e9, |z| sigmoid(z / 2.5))).unwrap().parameters
    else {
        panic!("another method")
    };
    assert!((temperature - 2.5).abs() < 1e-6);
    let Parameters::Platt { slope, offset } =
        fit(Method::Platt, &expected(1e9, |z| sigmoid(0.7 * z - 1.2))).unwrap().parameters
    else {
        panic!("another method")
    };
    assert!((slope - 0.7).abs() < 1e-6 && (offset + 1.2).abs() < 1e-6);
    let bent = |z: f64| sigmoid(0.4 * -table::softplus(-z) + 1.7 * table::softplus(z) + 0.3);
    let Parameters::Beta { a, b, c } = fit(Method::Beta, &expected(1e9, bent)).unwrap().parameters else {
        panic!("another method")
    };
    assert!((a - 0.4).abs() < 1e-5 && (b - 1.7).abs() < 1e-5 && (c - 0.3).abs() < 1e-5);
}

#[test]
fn logits_that_point_the_wrong_way_give_the_base_rate() {
    let histogram = expected(1e6, |z| table::sigmoid(-z));
    let Parameters::Platt { slope, .. } = fit(Method::Platt, &histogram).unwrap().parameters else {
        panic!("another method")
    };
    assert_eq!(slope, 0.0);
    for method in [Method::Platt, Method::Beta, Method::Isotonic] {
        let table = fit(method, &histogram).unwrap().table;
        assert!((table.probability(0) - 0.5).abs() < 1e-3 && (table.probability(4095) - 0.5).abs() < 1e-3);
    }
}

#[test]
fn classes_that_do_not_overlap_saturate_without_failing() {
    let mut histogram = Histogram::new(STEP).unwrap();
    (0..100).for_each(|_| histogram.add(1000, false));
    (0..300).for_each(|_| histogram.add(3000, true));
    for method in Method::ALL {
        let table = fit(method, &histogram).unwrap().table;
        assert!(table.entries().is_sorted() && histogram.surprise(&table).is_finite());
        assert!(table.probability(1000) < 0.01 && table.probability(3000) > 0.99, "{method:?}");
    }
    let isotonic = fit(Method::Isotonic, &histogram).unwrap().table;
    assert!((isotonic.probability(1000) - 1.0 / 102.0).abs() < 1e-5);
    assert!((isotonic.probability(3000) - 301.0 / 302.0).abs() < 1e-5);
    assert!((isotonic.probability(2000) - (1.0 / 102.0 + 301.0 / 302.0) / 2.0).abs() < 1e-5);
}

#[test]
fn evidence_of_one_class_or_none_is_refused_except_by_the_identity() {
    let empty = Histogram::new(STEP).unwrap();
    let mut single = empty.clone();
    single.add(7, true);
    for method in Method::ALL.into_iter().skip(1) {
        assert_eq!(fit(method, &empty).unwrap_err(), CalibrateError::Empty);
        assert_eq!(fit(method, &single).unwrap_err(), CalibrateError::SingleClass { positive: true });
    }
    let identity = fit(Method::Identity, &empty).unwrap().table;
    assert_eq!((identity.entry(CENTRE), identity.entry(0), identity.entry(9999)), (32_768, 1, 65_534));
    assert!(Histogram::new(0.0).is_err() && Histogram::new(f64::NAN).is_err());
    assert!(Histogram::from_counts(STEP, vec![0; 3], vec![0; LEVELS]).is_err());
}

#[test]
fn isotonic_blocks_obey_the_min_max_formula() {
    let histogram = random(9, 60);
    let rows: Vec<_> = histogram.occupied().collect();
    let mean = |from: usize, to: usize| {
        let (p, n) = rows[from..=to].iter().fold((0, 0), |(p, n), row| (p + row.2, n + row.2 + row.3));
        p as f64 / n as f64
    };
    let blocks = pool_adjacent_violators(&histogram);
    assert!(blocks.windows(2).all(|pair| pair[0].mean() < pair[1].mean() && pair[0].last < pair[1].first));
    for (at, row) in rows.iter().enumerate() {
        // Robertson, Wright & Dykstra (1988): max over starts of min over ends of the mean.
        let least = |from: usize| (at..rows.len()).map(|to| mean(from, to)).fold(f64::INFINITY, f64::min);
        let expected = (0..=at).map(least).fold(f64::NEG_INFINITY, f64::max);
        let block = blocks.iter().find(|block| (block.first..=block.last).contains(&row.0)).unwrap();
        assert!((block.mean() - expected).abs() < 1e-12);
    }
}

#[test]
fn logits_are_indexed_by_rounding_half_to_even_and_saturate() {
    assert_eq!(logit_index(0.0, STEP), 2048);
    assert_eq!([logit_index(0.5 * STEP, STEP), logit_index(1.5 * STEP, STEP)], [2048, 2050]);
    assert_eq!([logit_index(1e9, STEP), logit_index(f64::NEG_INFINITY, STEP)], [4095, 0]);
    assert_eq!(logit_index(f64::NAN, STEP), 2048);
}

#[test]
fn selection_finds_boundary_tables_when_the_boundary_behaves_differently() {
    let interior = expected(4e3, |z| table::sigmoid(1.5 * z));
    let boundary = expected(2e3, |z| table::sigmoid(0.3 * z));
    let choice = choose(&vec![image(&boundary, &interior); 6], 5).unwrap();
    assert_eq!(choice.ranking.len(), 9);
    assert!(choice.ranking.is_sorted_by(|a, b| a.held_out_nll <= b.held_out_nll));
    assert_eq!(choice.calibrator.kind, Kind::BoundaryInterior);
    let steep = choice.calibrator.binary(2148, false).unwrap();
    assert!(steep > choice.calibrator.binary(2148, true).unwrap());
    assert_eq!(choose(&vec![image(&boundary, &interior); 6], 5).unwrap(), choice);
}

#[test]
fn selection_is_the_same_from_images_merged_into_folds_beforehand() {
    let empty = Histogram::new(STEP).unwrap();
    let images: Vec<Evidence> = (0..7).map(|seed| image(&empty, &random(seed, 900))).collect();
    let mut merged = vec![Evidence::new(STEP).unwrap(); 3];
    images.iter().enumerate().for_each(|(index, part)| merged[index % 3].merge(part).unwrap());
    let choice = choose(&images, 3).unwrap();
    assert_eq!(choose(&merged, 3).unwrap(), choice);
    assert_eq!((choice.ranking.len(), choice.calibrator.kind), (5, Kind::Shared));
    assert!(!choice.calibrator.multiclass(&[0.0; 2], &mut [0; 2]));
}

#[test]
fn selection_needs_images_to_hold_out_and_survives_folds_of_one_class() {
    let empty = Histogram::new(STEP).unwrap();
    let one = image(&empty, &random(1, 100));
    assert_eq!(choose(&[], 5).unwrap_err(), CalibrateError::TooFewFolds { found: 0 });
    assert_eq!(choose(std::slice::from_ref(&one), 5).unwrap_err(), CalibrateError::TooFewFolds { found: 1 });
    assert_eq!(choose(&vec![image(&empty, &empty); 2], 2).unwrap_err(), CalibrateError::Empty);
    let mut background = empty.clone();
    background.add(100, false);
    // Held out, the only image with foreground leaves nothing to learn from: the identity remains.
    let choice = choose(&[one.clone(), image(&empty, &background)], 2).unwrap();
    assert_eq!((choice.ranking.len(), choice.ranking[0].method), (1, Method::Identity));
    let other = Evidence::new(2.0 * STEP).unwrap();
    assert!(matches!(choose(&[one, other], 2), Err(CalibrateError::StepMismatch { .. })));
}

/// Planar logits of three classes whose labels follow softmax(logits / temperature).
fn softmax_image(seed: u64, temperature: f64, pixels: usize) -> (Vec<f32>, Vec<u8>) {
    let mut random = SplitMix64::new(seed);
    let (mut logits, mut labels) = (vec![0.0; 3 * pixels], Vec::new());
    for pixel in 0..pixels {
        let z = [0; 3].map(|_: i32| random.below(1200) as f64 / 100.0 - 6.0);
        let weights = z.map(|z| (z / temperature).exp());
        let mut mark = random.below(1 << 30) as f64 / f64::from(1 << 30) * weights.iter().sum::<f64>();
        let label = weights
            .iter()
            .position(|w| {
                mark -= w;
                mark < 0.0
            })
            .unwrap_or(2);
        (0..3).for_each(|class| logits[class * pixels + pixel] = z[class] as f32);
        labels.push(label as u8);
    }
    (logits, labels)
}

#[test]
fn multiclass_temperature_is_found_again_and_wins_where_it_is_true() {
    let images: Vec<LogitSample> = (0..6)
        .map(|seed| {
            let (logits, labels) = softmax_image(seed, 2.0, 3000);
            LogitSample::draw(3, &logits, &labels, 2000, seed).unwrap()
        })
        .collect();
    assert!((fit_temperature(&images.iter().collect::<Vec<_>>()) - 2.0).abs() < 0.1);
    let choice = choose_multiclass(&images, 3, STEP).unwrap();
    assert_eq!((choice.calibrator.kind, choice.ranking.len()), (Kind::Softmax, 6));
    assert_eq!(choice.ranking[0].method, Method::Temperature);
    let mut probabilities = [0; 3];
    assert!(choice.calibrator.multiclass(&[1.0, 1.0, -30.0], &mut probabilities));
    assert_eq!(probabilities[0], probabilities[1]);
    assert!(probabilities[2] >= 1 && u64::from(probabilities[0]) * 2 <= 65_536);
    assert!(!choice.calibrator.multiclass(&[1.0, 1.0], &mut probabilities));
    assert_eq!(choice.calibrator.binary(0, false), None);
}

#[test]
fn two_classes_give_the_same_probability_by_margin_as_by_softmax() {
    let softmax = Calibrator {
        kind: Kind::Softmax,
        step: STEP,
        parameters: vec![Parameters::Identity],
        tables: vec![Table::from_weights(STEP, 1.0)],
    };
    let margin = |index| histogram::logit(index, STEP);
    let tables = vec![Table::from_logits(margin), Table::from_logits(margin)];
    let margins = Calibrator {
        kind: Kind::OneVsRest,
        parameters: vec![Parameters::Identity; 2],
        tables,
        ..softmax.clone()
    };
    for logit in [-6.0_f32, -1.0, 0.0, 0.5, 3.0] {
        let (mut a, mut b) = ([0; 2], [0; 2]);
        assert!(softmax.multiclass(&[0.0, logit], &mut a) && margins.multiclass(&[0.0, logit], &mut b));
        assert!(a[1].abs_diff(b[1]) <= 2, "{a:?} {b:?}");
    }
}

#[test]
fn samples_are_bounded_repeat_and_refuse_bad_input() {
    let (logits, labels) = softmax_image(1, 1.0, 100);
    let sample = LogitSample::draw(3, &logits, &labels, 7, 5).unwrap();
    assert_eq!((sample.len(), sample.is_empty()), (7, false));
    assert_eq!(LogitSample::draw(3, &logits, &labels, 7, 5).unwrap(), sample);
    assert_eq!(LogitSample::draw(3, &logits, &labels, 1000, 5).unwrap().len(), 100);
    assert!(LogitSample::draw(2, &logits, &labels, 7, 5).is_err());
    assert!(LogitSample::draw(3, &logits, &[3; 100], 7, 5).is_err());
    assert!(LogitSample::draw(3, &[f32::NAN; 300], &labels, 7, 5).is_err());
    assert_eq!(fit_temperature(&[]), 1.0);
    assert!(matches!(choose_multiclass(&[sample], 5, STEP), Err(CalibrateError::TooFewFolds { found: 1 })));
}
