//! What must hold for detectors: exact linear algebra, honest held-out scores, false-alarm rates as stated.
use super::DetectError;
use super::fit::{fit_intensity, fit_mahalanobis, fit_spectrum};
use super::linear::{cholesky, solve};
use super::score::*;
use super::verdict::{fit_verdict, rank_threshold};
use crate::metrics::SplitMix64;

/// Sum of twelve uniforms minus six: close to a standard normal.
fn normal(random: &mut SplitMix64) -> f64 {
    (0..12).map(|_| random.below(1 << 20) as f64 / f64::from(1 << 20)).sum::<f64>() - 6.0
}

fn normals(seed: u64, count: usize) -> Vec<f64> {
    let mut random = SplitMix64::new(seed);
    (0..count).map(|_| normal(&mut random)).collect()
}

fn own_groups(frames: usize) -> Vec<u32> {
    (0..frames as u32).collect()
}

#[test]
fn natural_log_matches_the_standard_library() {
    let mut random = SplitMix64::new(1);
    for _ in 0..20_000 {
        let x = f64::from_bits(random.next_u64() >> 1);
        if x.is_finite() && x > 0.0 {
            assert!((natural_log(x) - x.ln()).abs() <= 4.0 * f64::EPSILON * x.ln().abs(), "{x:e}");
        }
    }
    for x in [1.0, 0.5, 2.0, 1.0 + 1e-9, 1.0 - 1e-9, f64::MIN_POSITIVE, 5e-324, f64::MAX] {
        assert!((natural_log(x) - x.ln()).abs() <= 4.0 * f64::EPSILON * x.ln().abs(), "{x:e}");
    }
    assert_eq!([natural_log(0.0), natural_log(-1.0), natural_log(f64::NAN)], [f64::NEG_INFINITY; 3]);
}

#[test]
fn cholesky_solves_and_refuses_what_is_not_positive_definite() {
    let mut matrix = [4.0, 0.0, 0.0, 2.0, 5.0, 0.0, -2.0, 1.0, 6.0];
    assert!(cholesky(&mut matrix, 3));
    let x = solve(&matrix, &[8.0, 4.0, 3.0]);
    // A·x with A symmetric from the lower triangle above.
    let product = [
        4.0 * x[0] + 2.0 * x[1] - 2.0 * x[2],
        2.0 * x[0] + 5.0 * x[1] + x[2],
        -2.0 * x[0] + x[1] + 6.0 * x[2],
    ];
    assert!(product.iter().zip([8.0, 4.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-12));
    assert!(!cholesky(&mut [1.0, 0.0, 2.0, 1.0], 2));
    assert!(!cholesky(&mut [f64::NAN], 1));
    assert!(!cholesky(&mut [1.0; 3], 2));
}

#[test]
fn eigenvalues_of_known_matrices_come_out() {
    let mut values = [0.0; 3];
    symmetric_eigenvalues(&mut [2.0, -1.0, 0.0, -1.0, 2.0, -1.0, 0.0, -1.0, 2.0], &mut values).unwrap();
    let root = 2.0_f64.sqrt();
    assert!(values.iter().zip([2.0 + root, 2.0, 2.0 - root]).all(|(a, b)| (a - b).abs() < 1e-14));
    symmetric_eigenvalues(&mut [0.0; 9], &mut values).unwrap();
    assert_eq!(values, [0.0; 3]);
    symmetric_eigenvalues(&mut [5.0; 9], &mut values).unwrap();
    assert!((values[0] - 15.0).abs() < 1e-14 && values[1].abs() < 1e-14 && values[2].abs() < 1e-14);
    assert!(symmetric_eigenvalues(&mut [1.0; 4], &mut values).is_err());
    symmetric_eigenvalues(&mut [], &mut []).unwrap();
}

#[test]
fn eigenvalues_are_accurate_far_below_the_floor_of_the_signature() {
    // D·(I + small)·D with D from 1 to 1e-3: eigenvalues from 1 down to the floor of 1e-6.
    let n = 7;
    let d: Vec<f64> = (0..n as i32).map(|i| 10.0_f64.powf(-0.5 * f64::from(i))).collect();
    let mut matrix: Vec<f64> =
        (0..n * n).map(|k| d[k / n] * d[k % n] * if k / n == k % n { 1.0 } else { 0.01 }).collect();
    let mut values = vec![0.0; n];
    symmetric_eigenvalues(&mut matrix, &mut values).unwrap();
    let determinant: f64 = values.iter().product();
    // det = Π d² · (1 − 0.01)⁶ · (1 + 6·0.01)
    let expected = d.iter().map(|d| d * d).product::<f64>() * 0.99_f64.powi(6) * 1.06;
    assert!((determinant / expected - 1.0).abs() < 1e-8, "{determinant} {expected}");
}

#[test]
fn trace_and_squares_are_kept_whatever_the_rank() {
    let mut random = SplitMix64::new(11);
    for n in [1, 2, 3, 8, 9, 31, 64] {
        for rank in [0, 1, n / 2, n] {
            // A sum of `rank` products of vectors, every third entry of which is a dead channel.
            let mut matrix = vec![0.0; n * n];
            for _ in 0..rank {
                let draw = |k: usize| if k % 3 == 2 { 0.0 } else { random.below(200) as f64 - 100.0 };
                let vector: Vec<f64> = (0..n).map(draw).collect();
                (0..n * n).for_each(|k| matrix[k] += vector[k / n] * vector[k % n]);
            }
            let trace: f64 = (0..n).map(|k| matrix[k * n + k]).sum();
            let squares: f64 = matrix.iter().map(|value| value * value).sum();
            let mut values = vec![0.0; n];
            symmetric_eigenvalues(&mut matrix, &mut values).unwrap();
            assert!(values.is_sorted_by(|a, b| a >= b));
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * b.abs().max(1e-300);
            assert!(close(values.iter().sum(), trace), "{n} of rank {rank}");
            assert!(close(values.iter().map(|value| value * value).sum(), squares), "{n} of rank {rank}");
            let least = values.last().copied().unwrap_or(0.0);
            assert!(least >= -1e-12 * values[0], "{n} of rank {rank}: {least}");
        }
    }
}

fn gram_of(pixels: &[[i16; 4]]) -> [i64; 16] {
    let mut gram = [0; 16];
    pixels.iter().for_each(|pixel| add_to_gram(pixel, &mut gram));
    gram
}

fn signature(pixels: &[[i16; 4]], normalisation: Normalisation) -> [f64; 4] {
    let mut signature = [0.0; 4];
    spectral_signature(&gram_of(pixels), normalisation, &mut [0.0; 16], &mut signature).unwrap();
    signature
}

fn random_pixels(seed: u64) -> Vec<[i16; 4]> {
    let mut random = SplitMix64::new(seed);
    (0..300).map(|_| [5, 30, 80, 120].map(|most| random.below(2 * most + 1) as i16 - most as i16)).collect()
}

#[test]
fn mean_log_signatures_ignore_gain_and_channel_order() {
    let pixels = random_pixels(4);
    let original = signature(&pixels, Normalisation::MeanLog);
    assert!(original.is_sorted_by(|a, b| a >= b) && original.iter().sum::<f64>().abs() < 1e-12);
    let louder: Vec<[i16; 4]> = pixels.iter().map(|pixel| pixel.map(|value| value * 3)).collect();
    let shuffled: Vec<[i16; 4]> = pixels.iter().map(|&[a, b, c, d]| [c, a, d, b]).collect();
    for other in [&louder, &shuffled] {
        assert!(euclidean(&signature(other, Normalisation::MeanLog), &original) < 1e-12);
    }
    let norm = signature(&pixels, Normalisation::EuclideanNorm);
    assert!((norm.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(euclidean(&signature(&louder, Normalisation::EuclideanNorm), &norm) > 1e-3);
}

#[test]
fn silent_channels_and_frames_give_finite_signatures() {
    let silent = vec![[0; 4]; 10];
    assert_eq!(signature(&silent, Normalisation::MeanLog), [0.0; 4]);
    assert_eq!(signature(&silent, Normalisation::EuclideanNorm), [0.0; 4]);
    let half: Vec<[i16; 4]> = random_pixels(5).iter().map(|&[a, b, ..]| [a, b, 0, 0]).collect();
    let found = signature(&half, Normalisation::MeanLog);
    assert!(found.iter().all(|value| value.is_finite()));
    assert!((found[0] - found[3] - 0.5 * 1e6_f64.ln()).abs() < 1e-9);
    assert!(spectral_signature(&[0; 9], Normalisation::MeanLog, &mut [0.0; 16], &mut [0.0; 4]).is_err());
}

#[test]
fn chi_square_is_a_bounded_symmetric_distance() {
    let (mut a, mut b) = ([0.0; 3], [0.0; 3]);
    normalise(&[1, 3, 0], &mut a).unwrap();
    normalise(&[0, 0, 8], &mut b).unwrap();
    assert_eq!((chi_square(&a, &b), chi_square(&b, &a), chi_square(&a, &a)), (1.0, 1.0, 0.0));
    normalise(&[0; 3], &mut a).unwrap();
    assert_eq!(a, [0.0; 3]);
    assert!(normalise(&[1], &mut a).is_err());
    let mut counts = [0; 64];
    count_intensities(&[0, 3, 4, 255], &mut counts);
    assert_eq!((counts[0], counts[1], counts[63]), (2, 1, 1));
}

#[test]
fn entropy_runs_from_zero_to_log_classes() {
    let table = EntropyTable::default();
    assert_eq!(table.score(&[65_535, 0, 0, 65_535], 2), 0.0);
    assert!((table.score(&[32_768; 8], 4) - 2.0_f64.ln()).abs() < 1e-6);
    assert!((table.score(&[16_384; 4], 1) - 4.0_f64.ln()).abs() < 1e-6);
    assert_eq!(table.score(&[], 0), 0.0);
    assert_eq!(
        table.score(&[9000, 56_535, 30_000, 35_535], 2),
        table.score(&[30_000, 35_535, 9000, 56_535], 2)
    );
}

#[test]
fn nearest_neighbour_scores_are_held_out_with_their_whole_group() {
    // Frames 2k and 2k+1 are twins from one exam: leaving out the frame alone would leave its twin.
    let shares: Vec<f64> = (0..6)
        .flat_map(|frame| {
            let exam = f64::from(frame / 2) / 4.0;
            [1.0 - exam, exam]
        })
        .collect();
    let fitted = fit_intensity(&shares, 2, &[0, 0, 1, 1, 2, 2], 100).unwrap();
    assert!(fitted.held_out.iter().all(|score| *score > 0.0));
    let alone = fit_intensity(&shares, 2, &own_groups(6), 100).unwrap();
    assert_eq!(alone.held_out, [0.0; 6]);
    let capped = fit_intensity(&shares, 2, &own_groups(6), 3).unwrap();
    assert_eq!(capped.detector.references.len(), 6);
    let profile = capped.detector.profile();
    let in_sample = shares.chunks(2).map(|row| intensity_score(&profile, row).unwrap());
    assert!(in_sample.zip(&capped.held_out).all(|(seen, held)| seen <= *held));
    assert!(intensity_score(&profile, &[1.0]).is_err());
}

#[test]
fn fits_refuse_one_group_bad_rows_and_values_that_are_no_numbers() {
    assert_eq!(fit_spectrum(&[1.0, 2.0], 1, &[4, 4], 9).unwrap_err(), DetectError::OneGroup);
    assert!(fit_spectrum(&[1.0, 2.0, 3.0], 2, &[0, 1], 9).is_err());
    assert!(fit_spectrum(&[1.0, f64::NAN], 1, &[0, 1], 9).is_err());
    assert!(fit_spectrum(&[1.0, 2.0], 1, &[0, 1], 1).is_err());
    assert!(fit_spectrum(&[], 0, &[], 9).is_err());
    assert!(fit_mahalanobis(&[1.0, 2.0], &[0], &[0, 1]).is_err());
    assert_eq!(fit_mahalanobis(&[1.0, 2.0], &[1], &[3, 3]).unwrap_err(), DetectError::OneGroup);
}

#[test]
fn mahalanobis_is_about_one_on_training_like_frames_and_large_off_them() {
    let (frames, channels) = (300, [4, 9]);
    let features = normals(8, frames * 13);
    let fitted = fit_mahalanobis(&features, &channels, &own_groups(frames)).unwrap();
    let profiles = fitted.detector.profiles();
    let mut scratch = vec![0.0; fitted.detector.scratch()];
    assert_eq!(scratch.len(), 9);
    let mut score = |row: &[f64]| mahalanobis_score(&profiles, row, &mut scratch).unwrap();
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    let in_sample: Vec<f64> = features.chunks(13).map(&mut score).collect();
    assert!((mean(&in_sample) - 1.0).abs() < 0.1);
    assert!(mean(&fitted.held_out) > mean(&in_sample));
    let shifted: Vec<f64> = features[..13].iter().map(|value| value + 5.0).collect();
    assert!(score(&shifted) > 4.0);
    assert!(mahalanobis_score(&profiles, &features[..12], &mut [0.0; 9]).is_err());
    assert!(mahalanobis_score(&profiles, &features[..13], &mut [0.0; 8]).is_err());
}

#[test]
fn mahalanobis_scores_ignore_the_unit_and_offset_of_a_layer() {
    let features = normals(9, 40 * 6);
    let fitted = fit_mahalanobis(&features, &[6], &own_groups(40)).unwrap();
    let scaled: Vec<f64> = features.iter().map(|value| value * 1e6 - 3e5).collect();
    let rescaled = fit_mahalanobis(&scaled, &[6], &own_groups(40)).unwrap();
    let pairs = fitted.held_out.iter().zip(&rescaled.held_out);
    assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-6 * a));
}

#[test]
fn held_out_mahalanobis_stays_honest_with_fewer_frames_than_channels() {
    let (frames, channels) = (20, 60);
    let features = normals(10, frames * channels);
    let fitted = fit_mahalanobis(&features, &[channels], &own_groups(frames)).unwrap();
    let profiles = fitted.detector.profiles();
    let mut scratch = vec![0.0; channels];
    for (row, held_out) in features.chunks(channels).zip(&fitted.held_out) {
        assert!(*held_out > 2.0 * mahalanobis_score(&profiles, row, &mut scratch).unwrap());
    }
    let silent = fit_mahalanobis(&[7.0; 12], &[3], &own_groups(4)).unwrap();
    assert_eq!(silent.held_out, [0.0; 4]);
}

#[test]
fn the_rank_threshold_is_the_stated_order_statistic() {
    let scores: Vec<f64> = (1..=99).rev().map(f64::from).collect();
    assert_eq!(rank_threshold(&scores, 0.01), Ok(99.0));
    assert_eq!(rank_threshold(&scores, 0.05), Ok(95.0));
    assert_eq!(rank_threshold(&scores[..98], 0.01), Err(DetectError::TooFewScores { needed: 99, found: 98 }));
    assert_eq!(rank_threshold(&[], 0.5), Err(DetectError::TooFewScores { needed: 1, found: 0 }));
    assert!(rank_threshold(&scores, 0.0).is_err() && rank_threshold(&[f64::NAN], 0.5).is_err());
}

#[test]
fn p_values_count_scores_at_least_as_high() {
    let held = [1.0, 2.0, 2.0, 3.0];
    assert_eq!([0.0, 2.0, 3.0, 9.0].map(|score| p_value(&held, score)), [1.0, 0.8, 0.4, 0.2]);
    assert_eq!((p_value(&held, f64::NAN), p_value(&[], 1.0)), (0.2, 1.0));
}

#[test]
fn the_joint_false_alarm_rate_is_the_stated_one_for_dependent_detectors() {
    let alpha = 0.05;
    let (mut alerts, mut frames) = (0, 0);
    for seed in 0..200 {
        let noise = normals(1000 + seed, 400 * 3);
        let score = |frame: usize, detector: usize| {
            (noise[frame * 3] + noise[frame * 3 + detector]).exp() * (1.0 + detector as f64)
        };
        let held: Vec<Vec<f64>> =
            (0..3).map(|detector| (0..200).map(|frame| score(frame, detector)).collect()).collect();
        let views: Vec<&[f64]> = held.iter().map(Vec::as_slice).collect();
        let verdict = fit_verdict(&views, alpha).unwrap();
        for frame in 200..400 {
            let scores = [score(frame, 0), score(frame, 1), score(frame, 2)];
            alerts += u32::from(verdict.judge(&scores).unwrap().1);
            frames += 1;
        }
    }
    let rate = f64::from(alerts) / f64::from(frames);
    // 200 draws of a rate whose spread is about √(α/200) = 0.016: standard error 0.0011.
    assert!((rate - alpha).abs() < 0.005, "{rate}");
}

#[test]
fn the_verdict_names_its_reason_and_never_lets_a_missing_number_pass() {
    let first: Vec<f64> = (0..40).map(f64::from).collect();
    let second = vec![3.0; 40];
    let verdict = fit_verdict(&[&first, &second], 0.05).unwrap();
    assert!(!verdict.judge(&[20.0, 3.0]).unwrap().1);
    let (combined, alert) = verdict.judge(&[20.0, 3.1]).unwrap();
    assert!(alert && combined.leading == 1);
    let (combined, alert) = verdict.judge(&[f64::NAN, 3.0]).unwrap();
    assert!(alert && combined.leading == 0 && verdict.scales[0].alerts(f64::NAN));
    assert!(verdict.judge(&[1.0]).is_err());
    assert!(fit_verdict(&[&first, &second[..39]], 0.05).is_err());
    assert!(fit_verdict(&[], 0.05).is_err());
    assert!(matches!(fit_verdict(&[&first], 0.01), Err(DetectError::TooFewScores { needed: 99, found: 40 })));
}
