//! Why a supervisor stops.

use crate::plausibility::SensorFault;
use candor_core::link::Refusal;

/// The cause of a stop. The numbers go over the link and into the record: they are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// The processor was switched on.
    PowerOn = 1,
    /// The watchdog reset it.
    WatchdogReset = 2,
    /// No frame from the box for too long.
    Silence = 3,
    /// Too many frames were lost in a row.
    Gap = 4,
    /// A frame that was sent before.
    Replay = 5,
    /// A frame that was long on its way.
    Stale = 6,
    /// The box's clock went back.
    ClockBack = 7,
    /// The exam's or the camera frame's number went back.
    OrderBack = 8,
    /// The box uses another package.
    Package = 9,
    /// The box speaks another version of the protocol.
    Version = 10,
    /// The same camera frame again and again.
    Frozen = 11,
    /// No finding for too long.
    Stalled = 12,
    /// The confidence must not be relied on.
    CalibrationVoid = 13,
    /// A critical alert stands.
    Alert = 14,
    /// A question was not answered in time.
    Unanswered = 15,
    /// The box's own inference of a golden tile gave another digest.
    WrongAnswer = 16,
    /// See [`SensorFault`].
    Saturated = 17,
    /// See [`SensorFault`].
    DeadRows = 18,
    /// See [`SensorFault`].
    Constant = 19,
    /// See [`SensorFault`].
    Repeated = 20,
    /// See [`SensorFault`].
    Drifted = 21,
    /// See [`SensorFault`].
    NoContact = 22,
}

impl Cause {
    /// What a refused frame says of the box. Damaged bytes say nothing but that a frame is lost, which the
    /// next one's number or the silence tells.
    pub(super) const fn of_refusal(refusal: Refusal) -> Option<Self> {
        match refusal {
            Refusal::Replay => Some(Self::Replay),
            Refusal::Version | Refusal::Content => Some(Self::Version),
            Refusal::Length | Refusal::Stuffing | Refusal::Checksum => None,
        }
    }

    /// What the sensor's own frames say.
    pub(super) const fn of_sensor(fault: SensorFault) -> Self {
        match fault {
            SensorFault::Saturated => Self::Saturated,
            SensorFault::DeadRows => Self::DeadRows,
            SensorFault::Constant => Self::Constant,
            SensorFault::Repeated => Self::Repeated,
            SensorFault::Drifted => Self::Drifted,
            SensorFault::NoContact => Self::NoContact,
        }
    }
}
