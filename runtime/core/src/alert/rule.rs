//! When an alert is raised, when it clears, and when its silence is itself news.

use super::event::{Reason, Severity};

/// Longest window of observations.
pub const WINDOW_LIMIT: u8 = 64;

/// One observation, against two thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// At or beyond the threshold that raises.
    High,
    /// Between the two: no reason to raise, and none to clear.
    Between,
    /// At or within the threshold that clears.
    Low,
}

impl Level {
    /// High at `raise` and above, low at `clear` and below, for `clear <= raise`.
    pub const fn of(value: i64, raise: i64, clear: i64) -> Self {
        if value >= raise {
            Self::High
        } else if value <= clear {
            Self::Low
        } else {
            Self::Between
        }
    }

    /// High or low.
    pub const fn when(abnormal: bool) -> Self {
        if abnormal { Self::High } else { Self::Low }
    }
}

/// The rule of one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// How much its alert matters.
    pub severity: Severity,
    /// Raised when so many ...
    pub needed: u8,
    /// ... of the last so many observations are high.
    pub window: u8,
    /// Over when so many observations in a row are low.
    pub clear_after: u8,
    /// Whether an alert whose condition is over stays until somebody acknowledges it.
    pub latch: bool,
    /// Milliseconds without an observation after which the state says nothing; 0 for never.
    pub stale_ms: u32,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleFault {
    /// The rule's reason.
    pub reason: Reason,
    /// The field out of range.
    pub field: &'static str,
}

impl core::fmt::Display for RuleFault {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { reason, field } = self;
        write!(
            out,
            "alert rule '{}': `{field}` is out of range; 1 <= needed <= window <= {WINDOW_LIMIT} and \
             clear_after >= 1",
            reason.name()
        )
    }
}

impl core::error::Error for RuleFault {}

impl Rule {
    /// Raised and cleared by single observations, not latched, never stale.
    pub const fn plain(severity: Severity) -> Self {
        Self { severity, needed: 1, window: 1, clear_after: 1, latch: false, stale_ms: 0 }
    }

    /// Raised by `needed` of `window` observations, over after `clear_after` low ones in a row.
    pub const fn voted(severity: Severity, needed: u8, window: u8, clear_after: u8) -> Self {
        Self { needed, window, clear_after, ..Self::plain(severity) }
    }

    /// The same, kept until acknowledged.
    pub const fn latched(self) -> Self {
        Self { latch: true, ..self }
    }

    /// The same, stale after `stale_ms` milliseconds without an observation.
    pub const fn stale_after(self, stale_ms: u32) -> Self {
        Self { stale_ms, ..self }
    }
}

/// A rule for every reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules([Rule; Reason::COUNT]);

impl Default for Rules {
    /// Three of five frames for what single frames can show by chance; at once for what cannot be chance;
    /// latched where somebody must look at the device.
    fn default() -> Self {
        use Severity::{Critical, Notice, Warning};
        let mut rules = [Rule::plain(Notice); Reason::COUNT];
        let mut set = |reason: Reason, rule: Rule| rules[reason as usize] = rule;
        set(Reason::OutOfDistribution, Rule::voted(Warning, 3, 5, 10));
        set(Reason::Drift, Rule::plain(Warning).latched());
        set(Reason::LowConfidence, Rule::voted(Notice, 5, 10, 10));
        set(Reason::CalibrationVoid, Rule::plain(Warning));
        set(Reason::DeadlineMissed, Rule::voted(Warning, 3, 10, 20));
        set(Reason::SourceStalled, Rule::plain(Critical));
        set(Reason::FrameRejected, Rule::voted(Warning, 2, 10, 20));
        set(Reason::WeightsCorrupted, Rule::plain(Critical).latched());
        set(Reason::StorageLost, Rule::plain(Warning));
        set(Reason::ClockSetBack, Rule::plain(Warning));
        set(Reason::EventsLost, Rule::plain(Warning));
        set(Reason::MemoryExceeded, Rule::plain(Warning));
        set(Reason::LabelsRejected, Rule::plain(Notice));
        set(Reason::LinkLost, Rule::plain(Critical));
        Self(rules)
    }
}

impl Rules {
    /// The rule of `reason`.
    pub const fn of(&self, reason: Reason) -> &Rule {
        &self.0[reason as usize]
    }

    /// Replaces the rule of `reason`.
    ///
    /// # Errors
    /// [`RuleFault`] names the field out of range.
    pub fn set(&mut self, reason: Reason, rule: Rule) -> Result<(), RuleFault> {
        let fault = |field| Err(RuleFault { reason, field });
        if rule.window == 0 || rule.window > WINDOW_LIMIT {
            return fault("window");
        }
        if rule.needed == 0 || rule.needed > rule.window {
            return fault("needed");
        }
        if rule.clear_after == 0 {
            return fault("clear_after");
        }
        self.0[reason as usize] = rule;
        Ok(())
    }
}
