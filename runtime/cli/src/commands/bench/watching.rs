//! Measures what watching a stream costs: features for the OOD verdict, statistics, drift and alerts.

use crate::device;
use crate::exit::Failure;
use candor::drift::DriftSettings;
use candor::recalibrate::Recalibrator;
use candor::stream::guard::{GUARD_BYTES, Guard, SERIES};
use candor::{FrameView, Package, Samples, SessionOptions};
use candor_core::golden;
use std::time::Instant;

/// Medians over frames, run in turn with and without the OOD detectors.
pub(super) struct Watching {
    /// Milliseconds of a frame without detectors.
    pub frame_ms: f64,
    /// More with them; `None` for a package that has no profile.
    pub ood_ms: Option<f64>,
    /// Milliseconds of statistics, drift, alerts and trust.
    pub guard_ms: f64,
    /// Bytes of their state.
    pub guard_bytes: usize,
    /// Bytes of the state of the online calibrator.
    pub calibrator_bytes: usize,
}

impl Watching {
    /// All of it as a share of a frame's time.
    pub fn share(&self) -> f64 {
        (self.ood_ms.unwrap_or(0.0) + self.guard_ms) / self.frame_ms
    }
}

/// Runs `frames` pairs of frames of the model's extent, after a few that are not counted. `None` for a
/// package that takes arrays alone.
pub(super) fn measure(
    package: &Package,
    options: &SessionOptions,
    device: &str,
    frames: usize,
) -> Result<Option<Watching>, Failure> {
    let mut watched = device::open(package, options, device)?;
    let mut plain = device::open(package, options, device)?;
    plain.stop_judging();
    let layout = plain.plan().tensor(0).map_err(candor::Error::from)?.layout;
    if !matches!(layout.channels, 1 | 3) {
        return Ok(None);
    }
    let classes = plain.head().classes();
    // A short warm-up, so that blocks are bet on while it is measured.
    let settings = DriftSettings { warmup: candor::drift::WARMUP_MIN, ..DriftSettings::new(SERIES.len()) };
    let mut guard = Guard::new(&settings, classes, 0)?;
    let row = layout.width * layout.channels;
    let (mut with, mut without, mut own) = (Vec::new(), Vec::new(), Vec::new());
    let warm_up = settings.warmup as usize;
    for index in 0..warm_up + frames {
        let samples: Vec<u8> =
            (0..layout.height * row).map(|at| golden::input_code(index as u32 % 7, at, row)).collect();
        let view = FrameView {
            width: layout.width,
            height: layout.height,
            channels: layout.channels,
            full_scale: 255,
            samples: Samples::U8(&samples),
        };
        let start = Instant::now();
        plain.run(&view)?;
        let plain_ms = start.elapsed().as_secs_f64() * 1e3;
        let start = Instant::now();
        let finding = watched.run(&view)?;
        let watched_ms = start.elapsed().as_secs_f64() * 1e3;
        let start = Instant::now();
        let pixels = (finding.mask, finding.confidence);
        guard.frame(index as u64, index as u64, pixels, finding.ood.as_ref());
        let guard_ms = start.elapsed().as_secs_f64() * 1e3;
        while guard.alerts.pop().is_some() {}
        if index >= warm_up {
            without.push(plain_ms);
            with.push(watched_ms - plain_ms);
            own.push(guard_ms);
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    Ok(Some(Watching {
        frame_ms: median(&mut without),
        ood_ms: watched.profile().is_some().then(|| median(&mut with).max(0.0)),
        guard_ms: median(&mut own),
        guard_bytes: GUARD_BYTES,
        calibrator_bytes: Recalibrator::bytes(classes),
    }))
}
