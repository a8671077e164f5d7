//! What the detector promises, on simulated streams.

use super::*;
use crate::error::ErrorKind;
use crate::statistics::SERIES_MAX;
use candor_core::state::StateError;

/// Normal numbers by Box and Muller from SplitMix64.
struct Normal(u64);

impl Normal {
    fn next(&mut self) -> f64 {
        self.0 += 1;
        let (a, b) = (uniform(self.0, 1, 2), uniform(self.0, 3, 4));
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}

/// A first-order process of unit variance.
struct Process {
    phi: f64,
    normal: Normal,
    value: f64,
}

impl Process {
    fn new(phi: f64, seed: u64) -> Self {
        let mut normal = Normal(seed << 32);
        let value = normal.next();
        Self { phi, normal, value }
    }

    fn next(&mut self) -> f64 {
        self.value = self.phi * self.value + (1.0 - self.phi * self.phi).sqrt() * self.normal.next();
        self.value
    }
}

#[test]
fn the_block_follows_the_autocorrelation() {
    for (phi, least, most) in [(0.0, 3, 5), (0.5, 6, 12), (0.9, 28, 50), (0.98, 120, 600)] {
        let mut drift = Drift::new(&DriftSettings::new(1)).expect("the settings are in range");
        let mut process = Process::new(phi, 1);
        while drift.phase() == Phase::WarmUp {
            drift.push(&[process.next()]);
        }
        let block = drift.block();
        assert!((least..=most).contains(&block), "phi {phi}: blocks of {block}");
        assert!((drift.autocorrelation() - phi).abs() < 0.06, "phi {phi}: {}", drift.autocorrelation());
    }
}

#[test]
fn a_slow_part_under_a_fast_one_is_not_overlooked() {
    let mut drift = Drift::new(&DriftSettings::new(1)).expect("the settings are in range");
    let (mut slow, mut fast) = (Process::new(0.98, 2), Process::new(0.0, 3));
    while drift.phase() == Phase::WarmUp {
        drift.push(&[slow.next() + fast.next()]);
    }
    assert!(drift.block() > 60, "lag one alone would ask for 6 frames; blocks of {}", drift.block());
}

#[test]
fn ranks_of_exchangeable_values_are_uniform_and_independent() {
    let mut counts = [0_u32; 16];
    let mut products = 0.0;
    let mut all = 0;
    for seed in 0..400 {
        let mut process = Process::new(0.0, 100 + seed);
        let mut ranks = Ranks::default();
        ranks.set_scale(0.3, 1.2);
        let mut last = 0.0;
        for step in 0..50 {
            // Rounded, so that there are many ties.
            let value = (process.next() * 2.0).round();
            let rank = ranks.rank(value, uniform(seed, step, 0));
            ranks.insert(value);
            counts[(rank * 16.0) as usize] += 1;
            products += (rank - 0.5) * last;
            last = rank - 0.5;
            all += 1;
        }
    }
    let expected = f64::from(all) / 16.0;
    let chi: f64 = counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
    assert!(chi < 37.7, "chi-square of 15 degrees of freedom: {chi} (0.1 % point 37.7)");
    let correlation = 12.0 * products / f64::from(all);
    assert!(correlation.abs() < 0.025, "correlation of neighbours: {correlation}");
}

#[test]
fn every_bet_is_fair() {
    let steps = 20_000;
    let value = |step: i32| {
        let mut evidence = Evidence::default();
        evidence.bet((f64::from(step) + 0.5) / f64::from(steps));
        evidence.value(1)
    };
    let mean = (0..steps).map(value).sum::<f64>() / f64::from(steps);
    // One bet on a uniform rank returns the stake of the Jumper and the 1 of Shiryaev–Roberts.
    assert!((mean - 0.5 * (1.0 / 65.0 + 1.0)).abs() < 1e-6, "{mean}");
}

#[test]
fn alarms_name_series_and_direction() {
    for (series, sign, direction) in [(0, 1.5, Direction::Up), (1, -1.5, Direction::Down)] {
        let mut drift = Drift::new(&DriftSettings::new(2)).expect("the settings are in range");
        let mut processes = [Process::new(0.3, 5), Process::new(0.6, 6)];
        let mut alarm = None;
        for frame in 0..30_000 {
            let mut scores = processes.each_mut().map(Process::next);
            if frame >= 20_000 {
                scores[series] += sign;
            }
            alarm = alarm.or(drift.push(&scores).alarm);
        }
        let alarm = alarm.expect("the shift is seen");
        assert!(alarm.frame >= 20_000, "{alarm:?}");
        assert_eq!((alarm.series, alarm.direction), (series, direction));
    }
}

#[test]
fn an_alarm_ends_when_the_stream_is_as_before_and_not_while_it_is_shifted() {
    let mut drift = Drift::new(&DriftSettings::new(1)).expect("the settings are in range");
    let mut process = Process::new(0.0, 8);
    let (mut alarms, mut ends) = (Vec::new(), Vec::new());
    for frame in 0..40_000_u64 {
        let shift = if (15_000..25_000).contains(&frame) { 1.5 } else { 0.0 };
        let step = drift.push(&[process.next() + shift]);
        alarms.extend(step.alarm.map(|alarm| alarm.frame));
        ends.extend(step.recovered.then_some(frame));
    }
    assert!(matches!(alarms[..], [at] if (15_000..15_400).contains(&at)), "{alarms:?}");
    assert!(matches!(ends[..], [at] if (25_000..26_200).contains(&at)), "{ends:?}");
}

#[test]
fn a_replay_and_a_restart_give_the_same_bytes() {
    let settings = DriftSettings { warmup: 300, ..DriftSettings::new(3) };
    let mut drift = Drift::new(&settings).expect("the settings are in range");
    let mut twin = drift.clone();
    let mut processes = [Process::new(0.0, 9), Process::new(0.5, 10), Process::new(0.8, 11)];
    for frame in 0..9000_u64 {
        let mut scores = processes.each_mut().map(Process::next);
        if frame.is_multiple_of(7) {
            scores[1] = f64::NAN;
        }
        if frame > 6000 {
            scores[0] += 2.0;
        }
        assert_eq!(drift.push(&scores), twin.push(&scores));
        if frame.is_multiple_of(501) {
            let bytes = drift.to_bytes();
            assert_eq!(bytes.len(), Drift::bytes(3));
            twin = Drift::from_bytes(&bytes, &settings).expect("the state is sound");
            assert_eq!(twin.to_bytes(), bytes);
        }
    }
    let mut bytes = drift.to_bytes();
    let other = DriftSettings { seed: 1, ..settings };
    assert_eq!(Drift::from_bytes(&bytes, &other), Err(StateError::Settings));
    bytes[77] ^= 2;
    assert_eq!(Drift::from_bytes(&bytes, &settings), Err(StateError::Digest));
}

#[test]
fn statistics_and_drift_fit_in_64_kib() {
    let bytes = Drift::bytes(SERIES_MAX) + crate::statistics::Statistics::bytes(SERIES_MAX);
    assert!(bytes <= 64 * 1024, "{bytes} bytes");
}

#[test]
fn settings_out_of_range_are_refused() {
    let good = DriftSettings::new(1);
    for bad in [
        DriftSettings { series: 0, ..good },
        DriftSettings { series: SERIES_MAX + 1, ..good },
        DriftSettings { warmup: 63, ..good },
        DriftSettings { share: 0.0, ..good },
        DriftSettings { share: f64::NAN, ..good },
        DriftSettings { horizon: 0, ..good },
    ] {
        let error = Drift::new(&bad).expect_err("the settings are out of range");
        assert_eq!(error.kind(), ErrorKind::Input);
    }
}

#[test]
fn no_score_breaks_it() {
    let settings = DriftSettings { warmup: 64, ..DriftSettings::new(2) };
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 0.0] {
        let mut drift = Drift::new(&settings).expect("the settings are in range");
        for frame in 0..2000_u64 {
            let usual = uniform(frame, 0, 0);
            drift.push(&[odd, if frame.is_multiple_of(3) { odd } else { usual }]);
            drift.push(&[]);
        }
        assert!(drift.evidence().is_finite(), "{odd}: {}", drift.evidence());
        assert!(drift.block() < 100, "{odd}: blocks of {}", drift.block());
    }
}
