//! What the frames of a box say about it: order, age, package, findings.

use super::{Cause, Settings};
use candor_core::alert::Severity;
use candor_core::link::{Calibration, Finding, Message, Received};

/// How fast the quickest way of a frame is forgotten, as a fraction of time: clocks drift apart by up to
/// 200 parts in a million.
const DRIFT_SHIFT: u32 = 12;

/// What is remembered of the frames since the last acknowledgement.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    heard_at_us: u64,
    finding_at_us: u64,
    /// Least difference of this side's time and the box's, and when it was corrected last.
    offset_us: i64,
    offset_at_us: u64,
    /// Time, exam and camera frame of the last frame.
    last: Option<(u64, u32, u64)>,
    /// Exam and camera frame of the last finding.
    judged: Option<(u32, u64)>,
    /// Digest of that camera frame, and how often it came again.
    input: Option<u64>,
    repeats: u32,
    sound: u32,
}

impl Watch {
    pub const fn new() -> Self {
        Self {
            heard_at_us: 0,
            finding_at_us: 0,
            offset_us: i64::MAX,
            offset_at_us: 0,
            last: None,
            judged: None,
            input: None,
            repeats: 0,
            sound: 0,
        }
    }

    /// Forgets the box as it was.
    pub const fn restart(&mut self, now_us: u64) {
        *self = Self { heard_at_us: now_us, finding_at_us: now_us, ..Self::new() };
    }

    /// Sound frames since then.
    pub const fn sound_frames(&self) -> u32 {
        self.sound
    }

    /// Whether a finding was among them.
    pub const fn has_finding(&self) -> bool {
        self.input.is_some()
    }

    /// The exam as the box numbers it.
    pub fn epoch(&self) -> u32 {
        self.last.map_or(0, |(_, epoch, _)| epoch)
    }

    /// The last camera frame.
    pub fn frame_id(&self) -> u64 {
        self.last.map_or(0, |(_, _, frame)| frame)
    }

    /// What silence means at `now_us`.
    pub fn check(&self, settings: &Settings, now_us: u64) -> Result<(), Cause> {
        if now_us.saturating_sub(self.heard_at_us) > settings.silence_us {
            return Err(Cause::Silence);
        }
        if now_us.saturating_sub(self.finding_at_us) > settings.finding_us {
            return Err(Cause::Stalled);
        }
        Ok(())
    }

    /// Takes a frame that arrived at `now_us`.
    pub fn take(&mut self, settings: &Settings, now_us: u64, received: &Received) -> Result<(), Cause> {
        let frame = &received.frame;
        self.heard_at_us = now_us;
        if received.missed > settings.gap_max {
            return Err(Cause::Gap);
        }
        if frame.package != settings.package {
            return Err(Cause::Package);
        }
        let last = self.last.replace((frame.time_us, frame.epoch, frame.frame_id));
        if let Some((time_us, epoch, frame_id)) = last {
            if frame.time_us < time_us {
                return Err(Cause::ClockBack);
            }
            if (frame.epoch, frame.frame_id) < (epoch, frame_id) {
                return Err(Cause::OrderBack);
            }
        }
        self.age(settings, now_us, frame.time_us)?;
        if let Message::Finding(finding) = &frame.message {
            self.finding_at_us = now_us;
            let number = (frame.epoch, frame.frame_id);
            // Heartbeats repeat the number of the last camera frame; findings do not.
            if self.judged.replace(number).is_some_and(|before| number <= before) {
                return Err(Cause::OrderBack);
            }
            self.finding(settings, finding)?;
        }
        self.sound = self.sound.saturating_add(1);
        Ok(())
    }

    /// Compares how long the frame was on its way with the quickest.
    fn age(&mut self, settings: &Settings, now_us: u64, sent_us: u64) -> Result<(), Cause> {
        let offset = (now_us as i64).wrapping_sub(sent_us as i64);
        let passed = now_us.saturating_sub(self.offset_at_us) >> DRIFT_SHIFT;
        if passed > 0 {
            self.offset_us = self.offset_us.saturating_add(passed as i64);
            self.offset_at_us = now_us;
        }
        self.offset_us = self.offset_us.min(offset);
        if offset.wrapping_sub(self.offset_us) > settings.stale_us as i64 {
            Err(Cause::Stale)
        } else {
            Ok(())
        }
    }

    fn finding(&mut self, settings: &Settings, finding: &Finding) -> Result<(), Cause> {
        self.repeats = if self.input == Some(finding.input) { self.repeats.saturating_add(1) } else { 0 };
        self.input = Some(finding.input);
        if self.repeats > settings.repeats_max {
            return Err(Cause::Frozen);
        }
        if finding.calibration == Calibration::Void {
            return Err(Cause::CalibrationVoid);
        }
        if finding.worst == Some(Severity::Critical) {
            return Err(Cause::Alert);
        }
        Ok(())
    }
}
