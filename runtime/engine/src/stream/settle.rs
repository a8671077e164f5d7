//! The end of a frame: its disposition, its line in the record, and the alerts that follow from it.

use super::event::{Event, FrameEvent, SourceFault};
use super::guard::{Conclusion, SERIES};
use super::ledger::Disposition;
use super::ring::Ring;
use super::sink::Sink;
use super::{Clock, Stream};
use crate::ood::{REASON_LIMIT, Reason, Verdict};
use crate::record::chain;
use crate::statistics::{CLASSES_MAX, FrameCounts};
use candor_core::alert::{Level, Reason as AlertReason};

/// What is known of a frame once it is settled; plain values, so that it outlives the session's loan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settled {
    pub sequence: u64,
    pub disposition: Disposition,
    pub age_us: u64,
    pub engine_us: u64,
    pub cap: u16,
    pub has_finding: bool,
    pub conclusion: Conclusion,
    class_pixels: [u64; CLASSES_MAX],
    confidence: Option<f64>,
    foreground_confidence: Option<f64>,
    ood: Option<(f64, bool)>,
    reasons: [&'static str; REASON_LIMIT],
    reason_count: usize,
    digest: [u8; 32],
}

impl Settled {
    /// A frame without a finding.
    pub fn of(sequence: u64, disposition: Disposition) -> Self {
        Self {
            sequence,
            disposition,
            age_us: 0,
            engine_us: 0,
            cap: u16::MAX,
            has_finding: false,
            conclusion: Conclusion::default(),
            class_pixels: [0; CLASSES_MAX],
            confidence: None,
            foreground_confidence: None,
            ood: None,
            reasons: [""; REASON_LIMIT],
            reason_count: 0,
            digest: [0; 32],
        }
    }

    /// Takes what a finding says.
    pub fn take(&mut self, counts: &FrameCounts, verdict: Option<&Verdict>, digest: &[u8; 32]) {
        self.class_pixels = counts.pixels.map(u64::from);
        self.confidence = counts.mean_confidence(0);
        self.foreground_confidence = counts.mean_confidence(1);
        self.digest = *digest;
        if let Some(verdict) = verdict {
            self.ood = Some((verdict.score, verdict.alert));
            for (slot, reason) in self.reasons.iter_mut().zip(verdict.reasons()) {
                *slot = reason_name(reason);
                self.reason_count += 1;
            }
        }
    }
}

/// A reason in one word.
const fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Intensity => "intensity",
        Reason::Features { .. } => "features",
        Reason::Spectrum => "spectrum",
        Reason::Geometry => "geometry",
        Reason::Collapse => "collapse",
    }
}

impl<S: Sink> Stream<'_, S> {
    /// Settles the frame in the slot, records it, and lets the alerts see it.
    pub(super) fn settle(
        &mut self,
        ring: &Ring,
        clock: &dyn Clock,
        mut settled: Settled,
        begun_ns: u64,
    ) -> Settled {
        let now_ns = self.watch.now_ns(clock);
        let now_ms = now_ns / 1_000_000;
        settled.age_us = now_ns.saturating_sub(self.slot.arrival_ns) / 1000;
        let begun = settled.has_finding || settled.disposition == Disposition::Rejected;
        settled.engine_us = if begun { now_ns.saturating_sub(begun_ns) / 1000 } else { 0 };
        let ledger = ring.settle(settled.disposition);
        self.meters.scores(settled.ood, settled.confidence);
        if settled.has_finding {
            self.meters.time(settled.engine_us, settled.age_us);
        }
        let seq = settled.sequence;
        if settled.disposition == Disposition::Rejected {
            let (width, height) = (self.slot.width as u64, self.slot.height as u64);
            let fault = SourceFault::Refused { width, height };
            self.guard.usable(now_ms, seq, Some(fault.number()));
            self.record(&Event::Rejected { seq, fault }, clock);
        } else {
            self.guard.usable(now_ms, seq, None);
            let late = settled.disposition == Disposition::Late;
            let deadline_us = self.options.deadline_us.unwrap_or(0);
            let late_ms = late.then(|| settled.age_us.saturating_sub(deadline_us) / 1000);
            self.guard.timeliness(now_ms, seq, late_ms, &self.options);
            self.record_frame(&settled, clock);
        }
        self.record_drift(&settled, clock);
        self.record_alerts(clock);
        if !ledger.reconciles() {
            self.record(&Event::Ledger { ledger, reconciles: false }, clock);
        }
        settled
    }

    fn record_frame(&mut self, settled: &Settled, clock: &dyn Clock) {
        let digest = chain::hex(&settled.digest);
        let digest = if settled.has_finding { std::str::from_utf8(&digest).unwrap_or_default() } else { "" };
        let ceiling = f64::from(settled.cap) / 65535.0;
        let capped = |value: Option<f64>| value.map(|value| value.min(ceiling));
        let own = self.session.last_finding().calibration;
        let classes = self.session.head().classes().min(settled.class_pixels.len());
        let event = FrameEvent {
            seq: settled.sequence,
            disposition: settled.disposition,
            age_us: settled.age_us,
            engine_us: settled.engine_us,
            class_pixels: &settled.class_pixels[..classes],
            confidence: capped(settled.confidence),
            foreground_confidence: capped(settled.foreground_confidence),
            ood_score: settled.ood.map(|(score, _)| score),
            ood_alert: settled.ood.is_some_and(|(_, alert)| alert),
            ood_reasons: &settled.reasons[..settled.reason_count],
            calibration: self.calibration(own).name(),
            confidence_cap: ceiling,
            digest,
        };
        self.record(&Event::Frame(event), clock);
    }

    fn record_drift(&mut self, settled: &Settled, clock: &dyn Clock) {
        if let Some(alarm) = settled.conclusion.alarm {
            let event = Event::Drift {
                seq: settled.sequence,
                score: SERIES.get(alarm.series).copied().unwrap_or_default(),
                direction: alarm.direction.name(),
                evidence: alarm.method.name(),
                value: alarm.evidence,
            };
            self.record(&event, clock);
        }
    }

    /// Somebody has seen every alert that stands; what is over and was kept for them is cleared. Returns how
    /// many there were.
    pub fn acknowledge(&mut self, clock: &dyn Clock) -> usize {
        let now_ms = self.watch.now_ms(clock);
        let alerts = &mut self.guard.alerts;
        let seen = AlertReason::ALL.into_iter().filter(|reason| alerts.acknowledge(now_ms, *reason)).count();
        self.record_alerts(clock);
        seen
    }

    /// Records what the alerts have to say.
    pub(super) fn record_alerts(&mut self, clock: &dyn Clock) {
        let now_ms = self.watch.now_ms(clock);
        let outstanding = self.sink.outstanding();
        if outstanding > 0 || self.guard.alerts.standing(AlertReason::StorageLost).holds() {
            let (level, seq) = (Level::when(outstanding > 0), self.slot.sequence);
            let value = i64::try_from(outstanding).unwrap_or(i64::MAX);
            self.guard.alerts.observe(now_ms, AlertReason::StorageLost, level, seq, value);
        }
        while let Some(said) = self.guard.alerts.pop() {
            let event = Event::Alert {
                number: said.number,
                change: said.change.name(),
                severity: said.severity.name(),
                reason: said.reason.name(),
                value: said.value,
                seq: said.frame,
            };
            self.record(&event, clock);
        }
        self.meters.worst = self.guard.alerts.worst();
    }
}
