//! Alerts: typed, numbered events, and the machine that raises, holds, latches and clears them.
//!
//! The states of an alert are those of alarm management in process plants (ANSI/ISA-18.2, IEC 62682):
//! normal, active, and returned but not yet acknowledged. Time is a monotonic count of milliseconds that
//! the caller gives; nothing here reads a clock, allocates, or loses an event without counting it.

mod event;
mod machine;
mod queue;
mod rule;
mod trust;

pub use event::{Change, EVENT_BYTES, Event, Reason, Severity};
pub use machine::{AlertMachine, Standing, Tally};
pub use queue::EventQueue;
pub use rule::{Level, Rule, RuleFault, Rules, WINDOW_LIMIT};
pub use trust::{EVEN_ODDS, RECOVERY_BLOCKS, TRUST_BYTES, Trust, TrustRule, Validity};

#[cfg(test)]
mod tests;
