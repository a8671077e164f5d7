//! What a stream watches beside its frames: clocks, source, storage, and the time for a checkpoint.

use super::event::{Event, SourceFault};
use super::ring::Ring;
use super::sink::Sink;
use super::{Clock, Stream};
use candor_core::alert::{Level, Reason};

/// A calendar that moved by so much more than the time that passed was set.
const CLOCK_STEP_MS: i64 = 1000;
/// Time between two looks at storage and calendar.
const LOOK_MS: u64 = 250;

/// When things were last looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    /// Latest monotonic reading; an earlier one counts as this.
    latest_ns: u64,
    /// Calendar and monotonic time at the last look.
    looked: (i64, u64),
    /// When the last frame, good or bad, was seen.
    frame_ms: u64,
    stalled: bool,
    ledger_ms: u64,
    pub checkpoint_ms: u64,
}

impl Watch {
    pub const fn new(wall_ms: i64, now_ns: u64) -> Self {
        let now_ms = now_ns / 1_000_000;
        Self {
            latest_ns: now_ns,
            looked: (wall_ms, now_ms),
            frame_ms: now_ms,
            stalled: false,
            ledger_ms: now_ms,
            checkpoint_ms: now_ms,
        }
    }

    /// Monotonic time that truly never goes back.
    pub fn now_ns(&mut self, clock: &dyn Clock) -> u64 {
        self.latest_ns = self.latest_ns.max(clock.monotonic_ns());
        self.latest_ns
    }

    pub fn now_ms(&mut self, clock: &dyn Clock) -> u64 {
        self.now_ns(clock) / 1_000_000
    }
}

impl<S: Sink> Stream<'_, S> {
    /// Records what the source had to tell.
    pub(super) fn hear(&mut self, ring: &Ring, clock: &dyn Clock) {
        while let Some(notice) = ring.next_notice() {
            let now_ms = self.watch.now_ms(clock);
            match notice.sequence {
                Some(seq) => {
                    self.frame_came(now_ms, clock);
                    self.guard.usable(now_ms, seq, Some(notice.fault.number()));
                    self.record(&Event::Rejected { seq, fault: notice.fault }, clock);
                }
                None => self.record(&Event::Source { fault: notice.fault }, clock),
            }
        }
    }

    /// Looks at clocks, source, storage and counts.
    pub(super) fn look_around(&mut self, ring: &Ring, clock: &dyn Clock, frame: bool) {
        let now_ms = self.watch.now_ms(clock);
        if frame {
            self.frame_came(now_ms, clock);
        } else {
            self.miss_frames(ring, now_ms, clock);
        }
        if now_ms.saturating_sub(self.watch.looked.1) < LOOK_MS {
            return;
        }
        self.look_at_calendar(now_ms, clock);
        self.sink.tick(clock.wall_ms(), now_ms);
        self.guard.alerts.tick(now_ms);
        self.record_alerts(clock);
        if now_ms.saturating_sub(self.watch.ledger_ms) >= self.options.ledger_ms {
            self.watch.ledger_ms = now_ms;
            let ledger = ring.ledger();
            self.record(&Event::Ledger { ledger, reconciles: ledger.reconciles() }, clock);
        }
        self.checkpoint(ring, clock);
    }

    /// A frame, good or bad: the source is alive.
    fn frame_came(&mut self, now_ms: u64, clock: &dyn Clock) {
        let after_ms = now_ms.saturating_sub(self.watch.frame_ms);
        self.watch.frame_ms = now_ms;
        if std::mem::take(&mut self.watch.stalled) {
            self.record(&Event::Source { fault: SourceFault::Resumed { after_ms } }, clock);
            self.guard.alerts.observe(now_ms, Reason::SourceStalled, Level::Low, self.slot.sequence, 0);
        }
    }

    fn miss_frames(&mut self, ring: &Ring, now_ms: u64, clock: &dyn Clock) {
        let after_ms = now_ms.saturating_sub(self.watch.frame_ms);
        if self.watch.stalled || after_ms < self.options.stall_ms || ring.has_ended() {
            return;
        }
        self.watch.stalled = true;
        self.record(&Event::Source { fault: SourceFault::Stalled { after_ms } }, clock);
        let value = i64::try_from(after_ms).unwrap_or(i64::MAX);
        self.guard.alerts.observe(now_ms, Reason::SourceStalled, Level::High, self.slot.sequence, value);
        self.record_alerts(clock);
    }

    /// Finds a calendar that was set: it moved by another time than passed.
    fn look_at_calendar(&mut self, now_ms: u64, clock: &dyn Clock) {
        let wall_ms = clock.wall_ms();
        let (wall_before, before_ms) = std::mem::replace(&mut self.watch.looked, (wall_ms, now_ms));
        let passed_ms = i64::try_from(now_ms.saturating_sub(before_ms)).unwrap_or(i64::MAX);
        let step_ms = wall_ms.saturating_sub(wall_before).saturating_sub(passed_ms);
        if step_ms.saturating_abs() >= CLOCK_STEP_MS {
            self.record(&Event::ClockSet { step_ms }, clock);
            if step_ms < 0 {
                let seq = self.slot.sequence;
                self.guard.alerts.record(now_ms, Reason::ClockSetBack, seq, step_ms.saturating_neg());
            }
        }
    }
}
