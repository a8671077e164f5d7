//! What an alarm says: when, which series, which way, and which bets found it.

/// Which way a series moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To higher values.
    Up,
    /// To lower values.
    Down,
    /// To both extremes.
    Spread,
}

impl Direction {
    /// As reports print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Spread => "spread",
        }
    }
}

/// Which bets won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The Simple Jumper martingale.
    Jumper,
    /// The Shiryaev–Roberts mixture.
    Restarted,
}

impl Method {
    /// As reports print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jumper => "simple-jumper",
            Self::Restarted => "shiryaev-roberts",
        }
    }
}

/// An alarm: the stream is no longer what it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alarm {
    /// Index of the frame that completed the evidence, from 0.
    pub frame: u64,
    /// Blocks watched until then.
    pub blocks: u64,
    /// The series whose evidence was greatest.
    pub series: usize,
    /// Which way it moved.
    pub direction: Direction,
    /// Which bets contributed most.
    pub method: Method,
    /// The evidence, at least 1/share: see [`Drift::evidence`](super::Drift::evidence).
    pub evidence: f64,
}
