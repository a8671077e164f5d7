//! How a stream treats time.

/// What is done with a finding that is not there before the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LatePolicy {
    /// It is withheld: the caller gets no mask of a moment that is past.
    #[default]
    Withhold,
    /// It is delivered, marked late.
    Deliver,
}

/// Settings of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// Greatest age of a finding, from the arrival of the whole frame.
    pub deadline_us: Option<u64>,
    /// What is done with a later one.
    pub late: LatePolicy,
    /// The source counts as stalled after so long without a frame.
    pub stall_ms: u64,
    /// Time between two `ledger` lines of the record.
    pub ledger_ms: u64,
    /// Whether a lost device is left for this processor; otherwise it ends the stream.
    pub fall_back: bool,
}

impl Default for StreamOptions {
    /// No deadline, a stall after two seconds, counts every ten, no falling back.
    fn default() -> Self {
        Self {
            deadline_us: None,
            late: LatePolicy::Withhold,
            stall_ms: 2000,
            ledger_ms: 10_000,
            fall_back: false,
        }
    }
}
