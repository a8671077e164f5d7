//! The last findings of a stream as the package gave them, for corrected masks that come later.

use super::Sink;
use super::event::Event;
use super::{Clock, Stream};
use crate::error::{Error, ErrorKind};
use crate::recalibrate::Lesson;
use candor_core::alert::Reason;

/// Calibration error of the last lessons, up to which they restore a void calibration.
const RESTORING_ERROR: f64 = 0.05;

/// One finding, before any map or cap.
#[derive(Debug, Clone, Default)]
struct Past {
    sequence: Option<u64>,
    mask: Vec<u8>,
    confidence: Vec<u16>,
}

/// A ring of findings; the newest takes the place of the oldest.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    findings: Vec<Past>,
    next: usize,
}

impl History {
    pub fn new(findings: usize) -> Self {
        Self { findings: vec![Past::default(); findings], next: 0 }
    }

    /// Keeps a finding, in memory that is used again.
    pub fn keep(&mut self, sequence: u64, mask: &[u8], confidence: &[u16]) {
        let count = self.findings.len();
        let Some(past) = self.findings.get_mut(self.next) else { return };
        past.sequence = Some(sequence);
        past.mask.clear();
        past.mask.extend_from_slice(mask);
        past.confidence.clear();
        past.confidence.extend_from_slice(confidence);
        self.next = (self.next + 1) % count;
    }

    fn find(&self, sequence: u64) -> Option<&Past> {
        self.findings.iter().find(|past| past.sequence == Some(sequence))
    }

    pub fn bytes(&self) -> usize {
        self.findings.iter().map(|past| past.mask.capacity() + 2 * past.confidence.capacity()).sum()
    }
}

impl<S: Sink> Stream<'_, S> {
    /// Keeps the last `findings` findings, so that corrected masks for them can be learned from.
    pub fn remember(&mut self, findings: usize) {
        self.history = History::new(findings);
    }

    /// Learns from the corrected mask of frame `seq`: one class per pixel of the frame, 255 for pixels
    /// without a label. Both outcomes are recorded. Lessons that show the stated confidence to be right
    /// restore a void calibration, unless an alert that voids it still holds.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the frame is not remembered any more, or the mask does not fit it.
    pub fn learn(&mut self, seq: u64, truth: &[u8], clock: &dyn Clock) -> Result<Lesson, Error> {
        let outcome = match self.history.find(seq) {
            Some(past) => {
                let lesson = self.guard.recalibrator.learn(&past.mask, &past.confidence, truth);
                if lesson.is_ok() {
                    self.guard.statistics.add_labels(&past.mask, &past.confidence, truth);
                }
                lesson
            }
            None => {
                let what = format!("frame {seq} is not remembered: it was not processed, or is too long ago");
                Err(Error::new(ErrorKind::Input, what))
            }
        };
        let now_ms = self.watch.now_ms(clock);
        let lesson = outcome.as_ref().ok();
        self.record(
            &Event::Label {
                seq,
                used: lesson.is_some(),
                ece_before: lesson.and_then(|lesson| lesson.before.foreground_error()),
                ece_after: lesson.and_then(|lesson| lesson.after.foreground_error()),
            },
            clock,
        );
        let guard = &mut self.guard;
        let reason = if lesson.is_some() { Reason::Recalibrated } else { Reason::LabelsRejected };
        let lessons = i64::try_from(guard.recalibrator.lessons()).unwrap_or(i64::MAX);
        guard.alerts.record(now_ms, reason, seq, lessons);
        let right = guard.recalibrator.recent_error().is_some_and(|error| error <= RESTORING_ERROR);
        if lesson.is_some() && right && !guard.alerts.voids_calibration() {
            guard.restore(now_ms, seq);
        }
        self.record_alerts(clock);
        outcome
    }

    /// Takes the last lesson back. Returns whether there was one.
    pub fn unlearn(&mut self, clock: &dyn Clock) -> bool {
        let undone = self.guard.recalibrator.undo();
        if undone {
            let (now_ms, seq) = (self.watch.now_ms(clock), self.slot.sequence);
            let lessons = i64::try_from(self.guard.recalibrator.lessons()).unwrap_or(i64::MAX);
            self.guard.alerts.record(now_ms, Reason::Recalibrated, seq, lessons);
            self.record_alerts(clock);
        }
        undone
    }
}
