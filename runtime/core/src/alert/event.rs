//! What can be said about a device: reasons, severities, and the events that say so.

use crate::state::{Reader, StateError, Writer};

/// How much an alert matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Severity {
    /// Worth recording; nothing need be done.
    Notice = 0,
    /// Results may be worse than they look.
    Warning = 1,
    /// Results must not be relied on.
    Critical = 2,
}

impl Severity {
    /// All, least first.
    pub const ALL: [Self; 3] = [Self::Notice, Self::Warning, Self::Critical];

    /// As logs print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What an event is about. The numbers are part of the record: they are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Frames are unlike those the model was made for; value: the joint score in thousandths.
    OutOfDistribution = 0,
    /// The distribution of scores changed; value: the series in which most evidence moved.
    Drift = 1,
    /// Confidence is lower than usual; value: mean confidence in 1/65535.
    LowConfidence = 2,
    /// Calibration is void: confidence is capped; value: the cap in 1/65535.
    CalibrationVoid = 3,
    /// Results came after their deadline; value: milliseconds late.
    DeadlineMissed = 4,
    /// The source gives no frames; value: milliseconds since the last.
    SourceStalled = 5,
    /// A frame could not be used; value: the kind of fault, as the source numbers them.
    FrameRejected = 6,
    /// The weights do not match their digest; value: the section.
    WeightsCorrupted = 7,
    /// The record could not be written; value: entries missing.
    StorageLost = 8,
    /// A clock went backwards; value: milliseconds.
    ClockSetBack = 9,
    /// Events were lost for want of room; value: how many, numbered from the event's own number.
    EventsLost = 10,
    /// More memory is held than the budget allows; value: bytes over it.
    MemoryExceeded = 11,
    /// The calibrator learned from corrected masks, or a step of it was undone; value: labelled frames.
    Recalibrated = 12,
    /// Corrected masks could not be used; value: the kind of fault.
    LabelsRejected = 13,
    /// The stream began, went on after a restart, or ended; value: restarts so far.
    Lifecycle = 14,
    /// A link or a sensor of the device does not answer; value: milliseconds since it did.
    LinkLost = 15,
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = 16;

    /// All, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::OutOfDistribution,
        Self::Drift,
        Self::LowConfidence,
        Self::CalibrationVoid,
        Self::DeadlineMissed,
        Self::SourceStalled,
        Self::FrameRejected,
        Self::WeightsCorrupted,
        Self::StorageLost,
        Self::ClockSetBack,
        Self::EventsLost,
        Self::MemoryExceeded,
        Self::Recalibrated,
        Self::LabelsRejected,
        Self::Lifecycle,
        Self::LinkLost,
    ];

    /// As logs print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OutOfDistribution => "out-of-distribution",
            Self::Drift => "drift",
            Self::LowConfidence => "low-confidence",
            Self::CalibrationVoid => "calibration-void",
            Self::DeadlineMissed => "deadline-missed",
            Self::SourceStalled => "source-stalled",
            Self::FrameRejected => "frame-rejected",
            Self::WeightsCorrupted => "weights-corrupted",
            Self::StorageLost => "storage-lost",
            Self::ClockSetBack => "clock-set-back",
            Self::EventsLost => "events-lost",
            Self::MemoryExceeded => "memory-exceeded",
            Self::Recalibrated => "recalibrated",
            Self::LabelsRejected => "labels-rejected",
            Self::Lifecycle => "lifecycle",
            Self::LinkLost => "link-lost",
        }
    }

    /// Whether calibration is void while this alert is active: the frames, or the model, are not those on
    /// which the calibration was fitted.
    pub const fn voids_calibration(self) -> bool {
        matches!(self, Self::OutOfDistribution | Self::Drift | Self::WeightsCorrupted)
    }
}

/// What an event says of its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Change {
    /// It happened once; no state changed.
    Occurred = 0,
    /// The alert became active.
    Raised = 1,
    /// Somebody acknowledged it.
    Acknowledged = 2,
    /// Its condition is over, but nobody has acknowledged it.
    Returned = 3,
    /// It is over.
    Cleared = 4,
    /// It was not observed for so long that its state says nothing.
    Stale = 5,
    /// It is observed again.
    Fresh = 6,
}

impl Change {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Occurred,
        Self::Raised,
        Self::Acknowledged,
        Self::Returned,
        Self::Cleared,
        Self::Stale,
        Self::Fresh,
    ];

    /// As logs print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Occurred => "occurred",
            Self::Raised => "raised",
            Self::Acknowledged => "acknowledged",
            Self::Returned => "returned",
            Self::Cleared => "cleared",
            Self::Stale => "stale",
            Self::Fresh => "fresh",
        }
    }
}

/// One event. Numbers rise by one from zero; a gap is always covered by an [`Reason::EventsLost`] event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// Its number; of lost events, the first one's.
    pub number: u64,
    /// Monotonic milliseconds.
    pub time_ms: u64,
    /// Sequence number of the frame it belongs to, or of the last one before it.
    pub frame: u64,
    /// A number that its reason explains.
    pub value: i64,
    /// What it is about.
    pub reason: Reason,
    /// How much it matters.
    pub severity: Severity,
    /// What it says.
    pub change: Change,
}

/// Bytes of an event in a state.
pub const EVENT_BYTES: usize = 35;

impl Event {
    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.number);
        writer.u64(self.time_ms);
        writer.u64(self.frame);
        writer.i64(self.value);
        writer.raw(&[self.reason as u8, self.severity as u8, self.change as u8]);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let (number, time_ms, frame) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let value = reader.i64()?;
        let [reason, severity, change] = reader.raw::<3>()?;
        let fault = reader.fault(3);
        Ok(Self {
            number,
            time_ms,
            frame,
            value,
            reason: *Reason::ALL.get(usize::from(reason)).ok_or(fault)?,
            severity: *Severity::ALL.get(usize::from(severity)).ok_or(fault)?,
            change: *Change::ALL.get(usize::from(change)).ok_or(fault)?,
        })
    }
}
