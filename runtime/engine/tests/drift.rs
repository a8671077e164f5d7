//! How often the drift detector is wrong on stationary streams, and how soon it is right on others.
//!
//! Tables are of five streams per row, so that every run of the tests checks their bounds; those of the
//! README by
//! `CANDOR_STREAMS=500 cargo test --release -p candor --test drift -- --nocapture`.

use candor::drift::{Drift, DriftSettings, Phase};

/// Streams per row of a table when `CANDOR_STREAMS` does not say.
const STREAMS: u64 = 5;
/// Most streams per row of the table of delays.
const DELAYS: u64 = 101;
/// Frames of a stationary stream.
const FRAMES: u64 = 20_000;
const PHIS: [f64; 7] = [0.0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98];

/// Streams per row of a table.
fn streams() -> u64 {
    std::env::var("CANDOR_STREAMS").map_or(STREAMS, |text| text.parse().expect("CANDOR_STREAMS is a number"))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// A normal number by Box and Muller.
    fn normal(&mut self) -> f64 {
        let (a, b) = (self.uniform(), self.uniform());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}

/// A first-order process of unit variance.
struct Process {
    phi: f64,
    random: Random,
    value: f64,
}

impl Process {
    fn new(phi: f64, seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let value = random.normal();
        Self { phi, random, value }
    }

    fn next(&mut self) -> f64 {
        self.value = self.phi * self.value + (1.0 - self.phi * self.phi).sqrt() * self.random.normal();
        self.value
    }
}

fn processes(phi: f64, series: usize, seed: u64) -> Vec<Process> {
    (0..series as u64).map(|index| Process::new(phi, (seed << 8) + index)).collect()
}

fn detector(series: usize, seed: u64) -> Drift {
    Drift::new(&DriftSettings { seed, ..DriftSettings::new(series) }).expect("the settings are in range")
}

/// Whether a stationary stream raises an alarm, and its block length.
fn stationary(phi: f64, series: usize, seed: u64) -> (bool, u32) {
    let mut drift = detector(series, seed);
    let mut processes = processes(phi, series, seed);
    let mut scores = vec![0.0; series];
    let mut alarmed = false;
    for _ in 0..FRAMES {
        scores.iter_mut().zip(&mut processes).for_each(|(score, process)| *score = process.next());
        alarmed |= drift.push(&scores).alarm.is_some();
    }
    (alarmed, drift.block())
}

/// The Wilson interval of a share at 95 %.
fn wilson(hits: u64, of: u64) -> (f64, f64) {
    let (n, z) = (of as f64, 1.959_964);
    let p = hits as f64 / n;
    let centre = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - half) / (1.0 + z * z / n), (centre + half) / (1.0 + z * z / n))
}

/// What became of a stream with a change.
enum Outcome {
    /// An alarm before it.
    Early,
    /// An alarm so many blocks after it.
    Seen(u64),
    Missed,
}

impl Outcome {
    fn seen(self) -> Option<u64> {
        if let Self::Seen(blocks) = self { Some(blocks) } else { None }
    }
}

/// A stream with a change that begins after `before` blocks and is `size(blocks since)` in standard
/// deviations of the first series, watched for `most` blocks more.
fn delay(phi: f64, series: usize, seed: u64, before: u64, most: u64, size: impl Fn(f64) -> f64) -> Outcome {
    let mut drift = detector(series, seed);
    let mut processes = processes(phi, series, seed);
    let mut scores = vec![0.0; series];
    let mut change = None;
    loop {
        scores.iter_mut().zip(&mut processes).for_each(|(score, process)| *score = process.next());
        if drift.phase() != Phase::WarmUp && drift.blocks() >= before {
            let since: &mut u64 = change.get_or_insert(0);
            scores[0] += size(*since as f64 / f64::from(drift.block()));
            *since += 1;
        }
        let step = drift.push(&scores);
        if step.alarm.is_some() {
            return change.map_or(Outcome::Early, |_| Outcome::Seen(drift.blocks() - before));
        }
        if drift.blocks() > before + most {
            return Outcome::Missed;
        }
    }
}

fn median(delays: &mut [u64]) -> u64 {
    delays.sort_unstable();
    delays[delays.len() / 2]
}

#[test]
fn stationary_streams_rarely_alarm() {
    for phi in [0.0, 0.5, 0.9, 0.98] {
        let alarms = (0..20).filter(|&seed| stationary(phi, 1, seed).0).count();
        // Two of twenty at a stated 1 % would be seen once in sixty runs; the seeds are fixed.
        assert!(alarms <= 1, "phi {phi}: {alarms} of 20 streams");
    }
}

#[test]
fn a_shift_of_one_deviation_is_seen_within_forty_blocks() {
    let delays = (0..21).map(|seed| delay(0.5, 1, seed, 1000, 400, |_| 1.0).seen().unwrap_or(u64::MAX));
    assert!(median(&mut delays.collect::<Vec<u64>>()) <= 40);
}

#[test]
fn a_slow_ramp_is_seen_before_it_ends() {
    let ramp = |blocks: f64| blocks / 1000.0;
    let seen = (0..10).filter(|&seed| delay(0.2, 1, seed, 500, 2000, ramp).seen().is_some()).count();
    assert_eq!(seen, 10);
}

/// Whether a stream with a period among its noise raises an alarm.
fn periodic(period: f64, seed: u64) -> bool {
    let (mut drift, mut random) = (detector(1, seed), Random(seed << 24));
    let start = random.uniform();
    (0..5 * FRAMES).any(|frame| {
        let phase = start + frame as f64 / period;
        let score = (std::f64::consts::TAU * phase).sin() + random.normal();
        drift.push(&[score]).alarm.is_some()
    })
}

#[test]
fn a_period_close_to_the_block_is_no_drift() {
    for period in [8.02, 10.01, 12.02, 25.3] {
        assert!(!(0..5).any(|seed| periodic(period, seed)), "period {period}");
    }
}

#[test]
fn table_of_false_alarms() {
    let streams = streams();
    println!("series  phi   block (median)  alarms of {streams}  share  95 % interval");
    for series in [1, 4] {
        let mut all = 0;
        for phi in PHIS {
            let runs: Vec<(bool, u32)> =
                (0..streams).map(|seed| stationary(phi, series, 1000 + seed)).collect();
            let alarms = runs.iter().filter(|run| run.0).count() as u64;
            let mut blocks: Vec<u64> = runs.iter().map(|run| u64::from(run.1)).collect();
            let (low, high) = wilson(alarms, streams);
            let share = alarms as f64 / streams as f64;
            println!(
                "{series:<6}  {phi:<4}  {:<14}  {alarms:<12}  {:.2} %  {:.2}..{:.2} %",
                median(&mut blocks),
                100.0 * share,
                100.0 * low,
                100.0 * high
            );
            all += alarms;
        }
        let of = streams * PHIS.len() as u64;
        let (low, high) = wilson(all, of);
        println!(
            "{series:<6}  all   {all} of {of}: {:.2} %, {:.2}..{:.2} %",
            100.0 * all as f64 / of as f64,
            100.0 * low,
            100.0 * high
        );
        assert!(low <= 0.01, "more than the stated 1 %");
    }
    let periods = (0..streams).filter(|&seed| periodic(4.0 + 0.1 * seed as f64, 3000 + seed)).count();
    println!("periods from 4 to 54 frames, 100,000 frames each: {periods} of {streams}");
}

#[test]
fn table_of_the_horizon() {
    let streams = streams();
    println!("phi   alarms of {streams} within 10,000 blocks  share  95 % interval");
    for phi in [0.0, 0.5, 0.9] {
        let still = |seed: &u64| delay(phi, 1, 20_000 + seed, 10_000, 0, |_| 0.0);
        let early = |seed: &u64| matches!(still(seed), Outcome::Early);
        let alarms = (0..streams).filter(early).count() as u64;
        let (low, high) = wilson(alarms, streams);
        let share = 100.0 * alarms as f64 / streams as f64;
        println!("{phi:<4}  {alarms:<36}  {share:.2} %  {:.2}..{:.2} %", 100.0 * low, 100.0 * high);
        assert!(low <= 0.01, "more than the stated 1 %");
    }
}

#[test]
fn table_of_delays() {
    println!("change                    series  phi   seen       median blocks  90 %");
    let ramp = |blocks: f64| (blocks / 1000.0).min(2.0);
    let half = |_: f64| 0.5;
    let one = |_: f64| 1.0;
    let two = |_: f64| 2.0;
    type Change<'a> = (&'a str, u64, u64, &'a dyn Fn(f64) -> f64);
    let changes: [Change<'_>; 5] = [
        ("0.5 σ after 5000 blocks", 5000, 2000, &half),
        ("1 σ after 5000 blocks", 5000, 2000, &one),
        ("2 σ after 5000 blocks", 5000, 2000, &two),
        ("1 σ after 200 blocks", 200, 2000, &one),
        ("2 σ over 2000 blocks", 1000, 2000, &ramp),
    ];
    for (name, before, most, size) in changes {
        for (series, phi) in [(1, 0.0), (1, 0.5), (1, 0.9), (1, 0.98), (4, 0.5)] {
            let streams = streams().min(DELAYS);
            let found =
                (0..streams).filter_map(|seed| delay(phi, series, 9000 + seed, before, most, size).seen());
            let mut delays: Vec<u64> = found.collect();
            assert!(!delays.is_empty(), "{name}, phi {phi}: no stream saw it");
            let (seen, middle) = (delays.len(), median(&mut delays));
            let late = delays[seen * 9 / 10];
            println!("{name:<24}  {series:<6}  {phi:<4}  {seen:>3}/{streams}    {middle:<13}  {late}");
        }
    }
}
