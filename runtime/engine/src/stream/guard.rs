//! What is concluded from frame after frame: statistics, drift, alerts, and what confidence is worth.

use super::options::StreamOptions;
use crate::drift::{Alarm, Drift, DriftSettings};
use crate::error::{Error, ErrorKind};
use crate::ood::Verdict;
use crate::recalibrate::Recalibrator;
use crate::statistics::{self, FrameCounts, Statistics};
use candor_core::alert::{AlertMachine, Level, Reason, Rules, TRUST_BYTES, Trust, TrustRule, Validity};

pub use crate::statistics::SERIES;

/// Alert events that can wait to be recorded.
pub const QUEUE: usize = 64;

/// Bytes of the state in a checkpoint, beside that of the calibrator.
pub const GUARD_BYTES: usize =
    Statistics::bytes(SERIES.len()) + Drift::bytes(SERIES.len()) + AlertMachine::<QUEUE>::BYTES + TRUST_BYTES;

const _: () = assert!(GUARD_BYTES <= 64 << 10, "the state is small");

/// What one frame led to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conclusion {
    /// The drift alarm that it completed.
    pub alarm: Option<Alarm>,
    /// Whether drift ended with it.
    pub recovered: bool,
}

/// The state over time. Nothing is allocated after it was made.
#[derive(Debug, Clone)]
pub struct Guard {
    settings: DriftSettings,
    /// Statistics of the stream.
    pub statistics: Statistics,
    /// The drift detector.
    pub drift: Drift,
    /// The alerts.
    pub alerts: AlertMachine<QUEUE>,
    /// What calibration is worth.
    pub trust: Trust,
    /// What was learned from corrected masks.
    pub recalibrator: Recalibrator,
}

impl Guard {
    /// Nothing seen yet of `classes` classes at `now_ms`, monotonic.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for drift settings out of range.
    pub fn new(settings: &DriftSettings, classes: usize, now_ms: u64) -> Result<Self, Error> {
        let settings = DriftSettings { series: SERIES.len(), ..*settings };
        Ok(Self {
            settings,
            statistics: Statistics::new(SERIES.len()),
            drift: Drift::new(&settings)?,
            alerts: AlertMachine::new(Rules::default(), now_ms),
            trust: Trust::new(TrustRule::default()),
            recalibrator: Recalibrator::new(classes),
        })
    }

    /// Goes on from [`Self::write`]'s bytes and the calibrator's, which follow them.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] when they are not such a state, or drift was watched under other settings.
    pub fn read(bytes: &[u8], settings: &DriftSettings, classes: usize, now_ms: u64) -> Result<Self, Error> {
        let settings = DriftSettings { series: SERIES.len(), ..*settings };
        let refused =
            |error: candor_core::state::StateError| Error::new(ErrorKind::Package, error.to_string());
        let mut rest = bytes;
        let mut take = |count: usize| {
            let (own, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = after;
            own
        };
        Ok(Self {
            settings,
            statistics: Statistics::from_bytes(take(Statistics::bytes(SERIES.len()))).map_err(refused)?,
            drift: Drift::from_bytes(take(Drift::bytes(SERIES.len())), &settings).map_err(refused)?,
            alerts: AlertMachine::read(take(AlertMachine::<QUEUE>::BYTES), Rules::default(), now_ms)
                .map_err(refused)?,
            trust: Trust::read(take(TRUST_BYTES), TrustRule::default()).map_err(refused)?,
            recalibrator: Recalibrator::from_bytes(take(Recalibrator::bytes(classes)), classes)
                .map_err(refused)?,
        })
    }

    /// Writes the state into `bytes`, [`GUARD_BYTES`] long. Allocates nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] for another length.
    pub fn write(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let refused =
            |error: candor_core::state::StateError| Error::new(ErrorKind::Package, error.to_string());
        if bytes.len() != GUARD_BYTES {
            let what = format!("a state takes {GUARD_BYTES} bytes, not {}", bytes.len());
            return Err(Error::new(ErrorKind::Package, what));
        }
        let (statistics, rest) = bytes.split_at_mut(Statistics::bytes(SERIES.len()));
        let (drift, rest) = rest.split_at_mut(Drift::bytes(SERIES.len()));
        let (alerts, trust) = rest.split_at_mut(AlertMachine::<QUEUE>::BYTES);
        self.statistics.write(statistics).map_err(refused)?;
        self.drift.write(drift).map_err(refused)?;
        self.alerts.write(alerts).map_err(refused)?;
        self.trust.write(trust).map_err(refused)
    }

    /// Takes a frame's mask, its confidence before any cap, and its verdict.
    pub fn frame(
        &mut self,
        now_ms: u64,
        seq: u64,
        (mask, confidence): (&[u8], &[u16]),
        verdict: Option<&Verdict>,
    ) -> (FrameCounts, Conclusion) {
        let counts = self.statistics.add_frame(mask, confidence);
        let scores = statistics::scores(verdict, &counts);
        self.statistics.add_scores(&scores);
        let step = self.drift.push(&scores);
        if let Some(verdict) = verdict {
            let thousandths = (verdict.score * 1000.0).clamp(-1e15, 1e15) as i64;
            let level = Level::when(verdict.alert);
            self.alerts.observe(now_ms, Reason::OutOfDistribution, level, seq, thousandths);
        }
        if let Some(alarm) = step.alarm {
            self.alerts.observe(now_ms, Reason::Drift, Level::High, seq, alarm.series as i64);
        } else if step.recovered {
            self.alerts.observe(now_ms, Reason::Drift, Level::Low, seq, 0);
        }
        self.conclude(now_ms, seq, step.block);
        (counts, Conclusion { alarm: step.alarm, recovered: step.recovered })
    }

    /// What the alerts and the blocks say of calibration.
    fn conclude(&mut self, now_ms: u64, seq: u64, block: Option<bool>) {
        let before = self.trust.validity();
        if self.alerts.voids_calibration() {
            self.trust.void();
        } else if let Some(clean) = block {
            self.trust.block(clean);
        }
        self.tell_validity(before, now_ms, seq);
    }

    /// Labels have shown that the stated confidence is right.
    pub(super) fn restore(&mut self, now_ms: u64, seq: u64) {
        let before = self.trust.validity();
        self.trust.restore();
        self.tell_validity(before, now_ms, seq);
    }

    fn tell_validity(&mut self, before: Validity, now_ms: u64, seq: u64) {
        if (before == Validity::Valid) != (self.trust.validity() == Validity::Valid) {
            let level = Level::when(self.trust.validity() != Validity::Valid);
            let cap = i64::from(self.trust.cap());
            self.alerts.observe(now_ms, Reason::CalibrationVoid, level, seq, cap);
        }
    }

    /// A frame was settled: on time or so many milliseconds late.
    pub fn timeliness(&mut self, now_ms: u64, seq: u64, late_ms: Option<u64>, options: &StreamOptions) {
        if options.deadline_us.is_some() {
            let value = i64::try_from(late_ms.unwrap_or(0)).unwrap_or(i64::MAX);
            let level = Level::when(late_ms.is_some());
            self.alerts.observe(now_ms, Reason::DeadlineMissed, level, seq, value);
        }
    }

    /// A frame arrived that could be used, or could not for a fault of this number.
    pub fn usable(&mut self, now_ms: u64, seq: u64, fault: Option<i64>) {
        let level = Level::when(fault.is_some());
        self.alerts.observe(now_ms, Reason::FrameRejected, level, seq, fault.unwrap_or(0));
    }

    /// The settings that drift is watched under.
    pub const fn settings(&self) -> &DriftSettings {
        &self.settings
    }
}
