//! Metrics, calibrators and detectors against numpy, scikit-learn and scipy on random and degenerate cases.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use candor_lab::calibrate::{
    CENTRE, Histogram, LEVELS, LogitSample, Method, Parameters, fit, fit_temperature, pool_adjacent_violators,
};
use candor_lab::detect::fit::{fit_intensity, fit_mahalanobis, fit_spectrum};
use candor_lab::detect::score::{self, Normalisation};
use candor_lab::detect::verdict::{fit_verdict, rank_threshold};
use candor_lab::metrics::{
    Accumulator, BOUNDARY_RADIUS, Frame, Risk, SplitMix64, ThresholdCurve, area_under_roc, boundary_band,
    control_risk, false_positive_rate_at, linear_cka, spearman,
};
use serde_json::{Value, json};
use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/metrics_oracle.py");

/// Uniform in [0, 1).
fn uniform(random: &mut SplitMix64) -> f64 {
    random.unit()
}

fn normal(random: &mut SplitMix64) -> f64 {
    (0..12).map(|_| uniform(random)).sum::<f64>() - 6.0
}

/// Blobs with a soft, noisy probability around them: `sharpness` 0 is pure noise, large is near certain.
fn soft_frame(random: &mut SplitMix64, shape: [usize; 3], sharpness: f64) -> (Vec<u16>, Vec<u8>, Vec<u8>) {
    let [classes, height, width] = shape;
    let pixels = height * width;
    let (mut planes, mut predicted, mut truth) =
        (vec![0; classes * pixels], vec![0; pixels], vec![0; pixels]);
    let centres: Vec<[f64; 3]> = (1..classes)
        .map(|_| [uniform(random) * height as f64, uniform(random) * width as f64, uniform(random) * 5.0])
        .collect();
    for pixel in 0..pixels {
        let (y, x) = ((pixel / width) as f64, (pixel % width) as f64);
        let mut logits = vec![0.0];
        for (class, [cy, cx, radius]) in centres.iter().enumerate() {
            let depth = radius - ((y - cy).powi(2) + (x - cx).powi(2)).sqrt();
            truth[pixel] = if depth > 0.0 { class as u8 + 1 } else { truth[pixel] };
            logits.push(sharpness * (depth + normal(random)));
        }
        let weights: Vec<f64> = logits.iter().map(|logit: &f64| logit.clamp(-40.0, 40.0).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let mut rest = 65_535_u16;
        for (class, weight) in weights.iter().enumerate() {
            let share = if class + 1 == classes { rest } else { (weight / sum * 65_535.0) as u16 };
            planes[class * pixels + pixel] = share.min(rest);
            rest -= share.min(rest);
        }
        let best = (0..classes).max_by_key(|class| planes[class * pixels + pixel]).unwrap_or(0);
        predicted[pixel] = best as u8;
    }
    (planes, predicted, truth)
}

fn frames_case(name: &str, shape: [usize; 3], frames: &[(Vec<u16>, Vec<u8>, Vec<u8>)]) -> Value {
    let mut accumulator = Accumulator::new(shape[0]).unwrap();
    let mut entries = Vec::new();
    for (planes, predicted, truth) in frames {
        let band = boundary_band(truth, shape[2], BOUNDARY_RADIUS);
        let frame = Frame::new(shape, planes, predicted, truth, &band).unwrap();
        let scores = accumulator.add(&frame).unwrap();
        entries.push(json!({
            "probabilities": planes, "predicted": predicted, "truth": truth, "boundary": band,
            "scores": scores,
        }));
    }
    json!({
        "kind": "frames", "name": name, "shape": shape, "frames": entries, "summary": accumulator.summary(),
    })
}

fn frames_cases() -> Vec<Value> {
    let mut random = SplitMix64::new(20);
    let mut cases = Vec::new();
    for (name, shape, sharpness) in [
        ("binary", [2, 24, 31], 0.8),
        ("binary, sharp", [2, 40, 23], 6.0),
        ("binary, noise", [2, 16, 16], 0.05),
        ("four classes", [4, 30, 26], 1.2),
        ("one row", [3, 1, 57], 1.0),
        ("one column", [2, 57, 1], 1.0),
    ] {
        let frames: Vec<_> = (0..5).map(|_| soft_frame(&mut random, shape, sharpness)).collect();
        cases.push(frames_case(name, shape, &frames));
    }
    let pixels = 12;
    let certain = |label: u8| -> Vec<u16> {
        (0..2 * pixels).map(|index| if index / pixels == usize::from(label) { 65_535 } else { 0 }).collect()
    };
    let all = |label: u8| vec![label; pixels];
    let half: Vec<u16> = [32_767, 32_768].iter().flat_map(|value| vec![*value; pixels]).collect();
    let stripes: Vec<u8> = (0..pixels).map(|pixel| u8::from(pixel % 4 > 1)).collect();
    for (name, frame) in [
        ("background only, right", (certain(0), all(0), all(0))),
        ("foreground only, right", (certain(1), all(1), all(1))),
        ("missed everything, certain", (certain(0), all(0), all(1))),
        ("invented everything, certain", (certain(1), all(1), all(0))),
        ("all probabilities equal", (half, all(1), stripes)),
        ("one pixel missed", (certain(0), all(0), (0..12).map(|pixel| u8::from(pixel == 5)).collect())),
    ] {
        cases.push(frames_case(name, [2, 3, 4], &[frame]));
    }
    cases
}

fn ranking_cases() -> Vec<Value> {
    let mut random = SplitMix64::new(21);
    let mut draw = |count: usize, shift: f64, step: f64| -> Vec<f64> {
        (0..count).map(|_| ((normal(&mut random) + shift) / step).round() * step).collect()
    };
    let lists = [
        (draw(300, 0.0, 1e-6), draw(200, 1.0, 1e-6)),
        (draw(100, 0.0, 0.5), draw(100, 0.7, 0.5)),
        (vec![1.0; 7], vec![1.0; 4]),
        (draw(20, 0.0, 1e-3), draw(20, 50.0, 1e-3)),
        (draw(20, 50.0, 1e-3), draw(20, 0.0, 1e-3)),
        (vec![0.0], vec![1.0]),
    ];
    let case = |(negatives, positives): &(Vec<f64>, Vec<f64>)| {
        let paired = negatives.len().min(positives.len());
        json!({
            "kind": "ranking", "name": "ranking", "negatives": negatives, "positives": positives,
            "auroc": area_under_roc(negatives, positives).unwrap(),
            "fpr95": false_positive_rate_at(0.95, negatives, positives).unwrap(),
            "spearman": spearman(&negatives[..paired], &positives[..paired]).unwrap(),
        })
    };
    lists.iter().map(case).collect()
}

fn histogram_of(step: f64, rows: &[(usize, u64, u64)]) -> Histogram {
    let (mut positives, mut negatives) = (vec![0; LEVELS], vec![0; LEVELS]);
    for (index, positive, negative) in rows {
        positives[*index] += positive;
        negatives[*index] += negative;
    }
    Histogram::from_counts(step, positives, negatives).unwrap()
}

fn calibration_case(name: &str, step: f64, rows: &[(usize, u64, u64)]) -> Value {
    let histogram = histogram_of(step, rows);
    let fits: Vec<Value> = Method::ALL
        .iter()
        .map(|method| {
            let fitted = fit(*method, &histogram).unwrap();
            let surprise = histogram.surprise(&fitted.table);
            let table = fitted.table.entries().to_vec();
            json!({"parameters": fitted.parameters, "table": table, "surprise": surprise})
        })
        .collect();
    let blocks: Vec<Value> = pool_adjacent_violators(&histogram)
        .iter()
        .map(|block| json!([block.first, block.last, block.mean()]))
        .collect();
    json!({"kind": "calibration", "name": name, "step": step, "rows": rows, "fits": fits, "blocks": blocks})
}

fn calibration_cases() -> Vec<Value> {
    let mut random = SplitMix64::new(22);
    let mut cases = Vec::new();
    for (name, step, pixels, slope, offset) in [
        ("overconfident", 1.0 / 128.0, 20_000, 0.4, -0.3),
        ("underconfident", 1.0 / 256.0, 20_000, 1.8, 0.2),
        ("few pixels", 1.0 / 64.0, 60, 0.8, 0.0),
        ("rare class", 1.0 / 128.0, 40_000, 1.1, -5.0),
        ("reversed", 1.0 / 128.0, 3000, -0.5, 0.0),
    ] {
        let mut rows = Vec::new();
        for _ in 0..pixels {
            let index = (normal(&mut random) * 3.0 / step + CENTRE as f64).clamp(0.0, 4095.0) as usize;
            let z = slope * (index as f64 - CENTRE as f64) * step + offset;
            let positive = uniform(&mut random) < 1.0 / (1.0 + (-z).exp());
            rows.push((index, u64::from(positive), u64::from(!positive)));
        }
        cases.push(calibration_case(name, step, &rows));
    }
    // Two logits only; and one logit only, where nothing but the base rate can be learned.
    cases.push(calibration_case("two logits", 1.0 / 128.0, &[(1800, 10, 90), (2300, 70, 30)]));
    cases.push(calibration_case("one logit", 1.0 / 128.0, &[(2100, 3, 5)]));
    cases
}

fn multiclass_case() -> Value {
    let mut random = SplitMix64::new(23);
    let (classes, pixels) = (4, 500);
    let logits: Vec<f32> = (0..classes * pixels).map(|_| (normal(&mut random) * 3.0) as f32).collect();
    let labels: Vec<u8> = (0..pixels)
        .map(|pixel| {
            let mut noisy =
                |class: usize| f64::from(logits[class * pixels + pixel]) + 4.0 * normal(&mut random);
            let values: Vec<f64> = (0..classes).map(&mut noisy).collect();
            (0..classes).max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap() as u8
        })
        .collect();
    let sample = LogitSample::draw(classes, &logits, &labels, pixels, 0).unwrap();
    let temperature = fit_temperature(&[&sample]);
    json!({"kind": "multiclass", "name": "multiclass", "classes": classes, "logits": logits, "labels": labels,
        "temperature": temperature})
}

fn detector_cases() -> Vec<Value> {
    let mut random = SplitMix64::new(24);
    let (frames, channels) = (60_usize, [5_usize, 12]);
    let groups: Vec<u32> = (0..frames as u32).map(|frame| frame / 3).collect();
    let features: Vec<f64> = (0..frames * 17).map(|_| normal(&mut random) * 50.0 + 20.0).collect();
    let mahalanobis = fit_mahalanobis(&features, &channels, &groups).unwrap();
    let profiles = mahalanobis.detector.profiles();
    let mut scratch = vec![0.0; mahalanobis.detector.scratch()];
    let scores: Vec<f64> = features
        .chunks(17)
        .map(|row| score::mahalanobis_score(&profiles, row, &mut scratch).unwrap())
        .collect();
    let mut cases = vec![json!({"kind": "mahalanobis", "name": "mahalanobis", "features": features,
        "channels": channels, "groups": groups, "scores": scores, "held_out": mahalanobis.held_out})];

    let counts: Vec<u32> = (0..frames * 64).map(|_| (normal(&mut random).powi(2) * 20.0) as u32).collect();
    let mut shares = vec![0.0; counts.len()];
    for (counts, shares) in counts.chunks(64).zip(shares.chunks_mut(64)) {
        score::normalise(counts, shares).unwrap();
    }
    let intensity = fit_intensity(&shares, 64, &groups, 1000).unwrap();
    cases.push(json!({"kind": "intensity", "name": "intensity", "counts": counts, "groups": groups,
        "held_out": intensity.held_out}));

    for normalisation in [Normalisation::MeanLog, Normalisation::EuclideanNorm] {
        cases.push(spectrum_case(&mut random, normalisation));
    }
    let held: Vec<f64> = (0..150).map(|_| normal(&mut random).exp()).collect();
    let other: Vec<f64> = held.iter().map(|value| value * 3.0 + normal(&mut random)).collect();
    let verdict = fit_verdict(&[&held, &other], 0.02).unwrap();
    cases.push(json!({"kind": "verdict", "name": "verdict", "held_out": [&held, &other], "alpha": 0.02,
        "thresholds": [rank_threshold(&held, 0.02).unwrap(), rank_threshold(&other, 0.02).unwrap()],
        "joint": verdict.held_out_combined, "threshold": verdict.threshold}));
    cases
}

fn spectrum_case(random: &mut SplitMix64, normalisation: Normalisation) -> Value {
    let (frames, pixels, channels) = (12, 80, 24);
    let (mut activations, mut signatures) = (Vec::new(), Vec::new());
    for frame in 0..frames {
        let mut gram = vec![0; channels * channels];
        for _ in 0..pixels {
            let common = normal(random) * 20.0;
            // The last channel is silent, channel 0 nearly so.
            let pixel: Vec<i16> = (0..channels)
                .map(|channel| match channel {
                    0 => i16::from(uniform(random) < 0.02 + f64::from(frame) * 0.01),
                    23 => 0,
                    _ => (common + normal(random) * channel as f64).clamp(-128.0, 127.0) as i16,
                })
                .collect();
            score::add_to_gram(&pixel, &mut gram);
            activations.extend(pixel);
        }
        let mut signature = vec![0.0; channels];
        let mut matrix = vec![0.0; channels * channels];
        score::spectral_signature(&gram, normalisation, &mut matrix, &mut signature).unwrap();
        signatures.extend(signature);
    }
    let groups: Vec<u32> = (0..frames).map(|frame| frame as u32 / 2).collect();
    let fitted = fit_spectrum(&signatures, channels, &groups, 100).unwrap();
    json!({"kind": "spectrum", "name": format!("{normalisation:?}"), "activations": activations,
        "channels": channels, "groups": groups, "signatures": signatures, "held_out": fitted.held_out})
}

/// Exams of foreground probabilities: points of the sum of all, and thresholds for two levels of both risks.
fn threshold_case() -> Value {
    let mut random = SplitMix64::new(25);
    let mut curves = Vec::new();
    let mut exams = Vec::new();
    for _ in 0..40 {
        let skill = 0.5 + 2.5 * uniform(&mut random);
        let mut curve = ThresholdCurve::default();
        let pixels: Vec<(u16, bool)> = (0..400)
            .map(|_| {
                let foreground = uniform(&mut random) < 0.3;
                let z = skill * (if foreground { 1.5 } else { -1.5 }) + normal(&mut random);
                ((65_535.0 / (1.0 + (-z).exp())) as u16, foreground)
            })
            .collect();
        pixels.iter().for_each(|&(probability, foreground)| curve.add(probability, foreground));
        curves.push(curve);
        exams.push(pixels);
    }
    let mut all = ThresholdCurve::default();
    curves.iter().for_each(|curve| all.merge(curve));
    let controlled: Vec<Value> = [0.05, 0.2]
        .iter()
        .map(|&alpha| {
            let own = |risk| control_risk(&curves, risk, alpha).unwrap();
            json!({"alpha": alpha, "missed": own(Risk::FalseNegativeRate),
                "wrong": own(Risk::FalsePositiveShare)})
        })
        .collect();
    json!({"kind": "thresholds", "name": "thresholds", "exams": exams, "points": all.sweep(),
        "controlled": controlled})
}

/// Two lists of features, one partly made of the other.
fn similarity_case() -> Value {
    let mut random = SplitMix64::new(26);
    let mut rows = |columns: usize| -> Vec<Vec<f32>> {
        (0..50).map(|_| (0..columns).map(|_| (normal(&mut random) * 3.0 + 1.0) as f32).collect()).collect()
    };
    let (first, mut second) = (rows(9), rows(6));
    for (own, other) in second.iter_mut().zip(&first) {
        own[0] += 4.0 * other[3];
    }
    json!({"kind": "similarity", "name": "similarity", "first": first, "second": second,
        "cka": [linear_cka(&first, &second), linear_cka(&first, &first)]})
}

/// The interpreter named by `CANDOR_PYTHON`, if it can import what the script needs.
fn python() -> Result<String, String> {
    let python = std::env::var("CANDOR_PYTHON").map_err(|_| "CANDOR_PYTHON is not set".to_owned())?;
    let import = Command::new(&python).args(["-c", "import numpy, scipy, sklearn"]).output();
    match import {
        Ok(output) if output.status.success() => Ok(python),
        Ok(_) => Err(format!("{python} cannot import numpy, scipy and sklearn")),
        Err(error) => Err(format!("{python} does not start: {error}")),
    }
}

#[test]
fn figures_equal_those_of_numpy_scikit_learn_and_scipy() {
    let required =
        std::env::var("CANDOR_REQUIRE").is_ok_and(|list| list.split(',').any(|what| what == "oracle"));
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            assert!(!required, "oracle required, but {why}");
            println!("SKIPPED metrics oracle: {why}");
            return;
        }
    };
    let mut cases = frames_cases();
    cases.extend(ranking_cases());
    cases.extend(calibration_cases());
    cases.push(multiclass_case());
    cases.extend(detector_cases());
    cases.extend([threshold_case(), similarity_case()]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.json");
    std::fs::write(&file, serde_json::to_vec(&json!({ "cases": cases })).unwrap()).unwrap();
    let output = Command::new(&python).arg(SCRIPT).arg(&file).output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // A script that compared nothing must not pass.
    assert!(String::from_utf8_lossy(&output.stdout).contains("all figures agree"));
}

#[test]
fn parameters_are_written_as_the_oracle_reads_them() {
    let text = serde_json::to_value(Parameters::Temperature { temperature: 2.0 }).unwrap();
    assert_eq!(text, json!({"temperature": {"temperature": 2.0}}));
}
