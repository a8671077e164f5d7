//! What a stream records: typed events, each one line of JSON in the log.
//!
//! Events hold numbers and fixed words alone: no file name, no text of the source, nothing of a patient.

use super::ledger::{Disposition, Ledger};
use serde::Serialize;

/// Trouble of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum SourceFault {
    /// The source ended inside a frame.
    ShortFrame {
        /// Bytes of the frame that came.
        bytes: u64,
        /// Bytes it should have.
        expected: u64,
    },
    /// Bytes that are no frame were skipped until the next one began.
    Garbled {
        /// How many.
        skipped: u64,
    },
    /// A sample is NaN or infinite.
    NonFinite {
        /// Index of the first such sample.
        index: u64,
    },
    /// A file that could not be read as a frame.
    Unreadable,
    /// The package cannot take a frame of this extent or kind.
    Refused {
        /// Columns.
        width: u64,
        /// Rows.
        height: u64,
    },
    /// No frame came for a while.
    Stalled {
        /// Milliseconds since the last one.
        after_ms: u64,
    },
    /// Frames come again.
    Resumed {
        /// Milliseconds without one.
        after_ms: u64,
    },
    /// The operating system failed to deliver bytes; reading goes on.
    ReadFailed {
        /// Its error number, 0 when unknown.
        errno: i32,
    },
    /// More faults came at once than there was room for.
    Unlisted {
        /// How many were left out.
        count: u64,
    },
}

impl SourceFault {
    /// The fault's number in alerts; never reused.
    pub const fn number(self) -> i64 {
        match self {
            Self::ShortFrame { .. } => 1,
            Self::Garbled { .. } => 2,
            Self::NonFinite { .. } => 3,
            Self::Unreadable => 4,
            Self::Refused { .. } => 5,
            Self::Stalled { .. } => 6,
            Self::Resumed { .. } => 7,
            Self::ReadFailed { .. } => 8,
            Self::Unlisted { .. } => 9,
        }
    }
}

/// Why a new segment of the log began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentCause {
    /// The first of this log.
    New,
    /// The one before had reached its size.
    Size,
    /// The one before had reached its age.
    Age,
    /// The file was removed or replaced from outside; what it held was written again.
    Removed,
    /// The one before is damaged and was set aside.
    Damaged,
    /// The one before is gone; the numbers go on where the checkpoint ends.
    Missing,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// The source had no more frames.
    EndOfSource,
    /// The stated number of frames had come.
    FrameLimit,
    /// SIGINT or SIGTERM.
    Signal,
    /// An error, told on standard error.
    Failure,
}

/// Where the state came from that a stream began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StateOrigin {
    /// There was none.
    Fresh,
    /// The newest checkpoint.
    Newest,
    /// The checkpoint before the newest, which is damaged.
    Previous,
    /// Both checkpoints are damaged or of another package: everything begins anew.
    Lost,
}

/// One frame that reached the engine.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct FrameEvent<'a> {
    /// Its number.
    pub seq: u64,
    /// Its end.
    pub disposition: Disposition,
    /// Microseconds from its arrival to its finding.
    pub age_us: u64,
    /// Microseconds of the engine's work on it; 0 when it was too late to begin.
    pub engine_us: u64,
    /// Pixels per class.
    pub class_pixels: &'a [u64],
    /// Mean confidence over all pixels, 0..1, or the cap when that is less.
    pub confidence: Option<f64>,
    /// Likewise over the foreground.
    pub foreground_confidence: Option<f64>,
    /// Joint out-of-distribution score.
    pub ood_score: Option<f64>,
    /// Whether the frame's own verdict is foreign.
    pub ood_alert: bool,
    /// The verdict's reasons.
    pub ood_reasons: &'a [&'static str],
    /// What the confidence is worth: `applied`, `void` or `none`.
    pub calibration: &'static str,
    /// Highest confidence that is reported, 0..1.
    pub confidence_cap: f64,
    /// SHA-256 of the raw output, hexadecimal.
    pub digest: &'a str,
}

/// Everything that is recorded.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// A stream began.
    Started {
        /// Version of the runtime.
        version: &'static str,
        /// SHA-256 of the package, hexadecimal.
        package: &'a str,
        /// Kernel tier.
        tier: &'static str,
        /// Kind of source: `dir`, `raw`, `y4m` or `phantom`.
        source: &'static str,
        /// Deadline in microseconds.
        deadline_us: Option<u64>,
        /// Where the state came from.
        state: StateOrigin,
        /// Number of the first frame to come.
        seq: u64,
        /// Frames that arrived after the checkpoint and before the restart; they left their lines in the
        /// log, but are not in the statistics.
        rewound: u64,
    },
    /// A segment of the log began.
    Segment {
        /// Why.
        cause: SegmentCause,
        /// Number of the line before.
        after: Option<u64>,
        /// Chain value of the line before.
        previous: &'a str,
    },
    /// A frame reached the engine.
    Frame(FrameEvent<'a>),
    /// A frame was rejected on arrival.
    Rejected {
        /// Its number.
        seq: u64,
        /// What was wrong.
        #[serde(flatten)]
        fault: SourceFault,
    },
    /// Trouble of the source that cost no frame.
    Source {
        /// What was wrong.
        #[serde(flatten)]
        fault: SourceFault,
    },
    /// The alert machine said something.
    Alert {
        /// Number of the machine's event.
        number: u64,
        /// What it says: `raised`, `cleared`, `returned` and so on.
        change: &'a str,
        /// Its severity: `notice`, `warning` or `critical`.
        severity: &'a str,
        /// What it is about.
        reason: &'a str,
        /// A number that the reason explains.
        value: i64,
        /// Number of the frame at which it was said.
        seq: u64,
    },
    /// The drift detector gave an alarm.
    Drift {
        /// Number of the frame at which it came.
        seq: u64,
        /// The score that moved.
        score: &'a str,
        /// `up`, `down` or `spread`.
        direction: &'a str,
        /// The bets that won: `simple-jumper` or `shiryaev-roberts`.
        evidence: &'a str,
        /// Its value.
        value: f64,
    },
    /// The device that ran the model was lost; this processor runs it from here on.
    DeviceLost {
        /// Its name.
        device: &'a str,
        /// What it said.
        reason: &'a str,
    },
    /// A corrected mask updated the calibration.
    Label {
        /// Number of the frame it belongs to.
        seq: u64,
        /// Whether it was used; not when it is unreadable, of another extent, or came too late.
        used: bool,
        /// Calibration error of the foreground before the update.
        ece_before: Option<f64>,
        /// And after.
        ece_after: Option<f64>,
    },
    /// The calendar was set: it moved by so much more than the time that passed.
    ClockSet {
        /// Milliseconds, negative when it went back.
        step_ms: i64,
    },
    /// The counts of all frames so far.
    Ledger {
        /// The counts.
        #[serde(flatten)]
        ledger: Ledger,
        /// Whether they add up.
        reconciles: bool,
    },
    /// Lines that could not be written while the storage failed.
    Gap {
        /// How many lines about single frames are lost.
        lost: u64,
        /// How many other lines are lost; none unless the memory for them was full.
        events_lost: u64,
        /// How many were held in memory and follow.
        held: u64,
        /// Calendar time of the first.
        since_ms: i64,
        /// Error number of the operating system, 0 when unknown.
        errno: i32,
    },
    /// A torn last line was cut off when the log was opened.
    Repaired {
        /// Bytes cut.
        cut_bytes: u64,
    },
    /// The storage did not confirm that lines are on it.
    SyncFailed {
        /// Error number of the operating system, 0 when unknown.
        errno: i32,
    },
    /// A checkpoint could not be written.
    CheckpointFailed {
        /// Error number of the operating system, 0 when unknown.
        errno: i32,
    },
    /// The stream ended.
    Stopped {
        /// Why.
        cause: StopCause,
        /// The counts.
        #[serde(flatten)]
        ledger: Ledger,
    },
}

impl Event<'_> {
    /// Whether the line may be lost when the storage fails: only what tells of a single frame.
    pub const fn is_per_frame(&self) -> bool {
        matches!(self, Self::Frame(_) | Self::Rejected { .. })
    }
}
