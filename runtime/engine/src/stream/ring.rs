//! A ring of three slots between a source and the engine: the latest frame wins, the source never waits.
//!
//! One slot is being filled, one waits, one is in work. Handing over swaps slots under a lock that is held
//! for a few instructions, so that neither side ever waits for the other's work, and nothing is copied or
//! allocated.

#[cfg(test)]
mod tests;

use super::event::SourceFault;
use super::ledger::{Disposition, Ledger};
use super::slot::Slot;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Slots altogether, the source's and the engine's own among them.
pub const SLOTS: usize = 3;
/// Faults that wait to be recorded; more are counted and recorded as one.
pub const FAULT_LIMIT: usize = 64;

/// A frame that was rejected on arrival, or trouble of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Number of the rejected frame; `None` for trouble that cost no frame.
    pub sequence: Option<u64>,
    /// What was wrong.
    pub fault: SourceFault,
}

/// What the engine found in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A frame, now in the engine's slot.
    Frame,
    /// Nothing within the time allowed.
    Nothing,
    /// The source has ended and every frame is settled.
    Ended,
}

#[derive(Debug, Default)]
struct State {
    /// The waiting frame when `ledger.waiting`, else the spare slot.
    slot: Slot,
    ledger: Ledger,
    notices: VecDeque<Notice>,
    /// Notices that found no room.
    overflow: u64,
    ended: bool,
}

/// The ring; a source thread and an engine thread share it by reference.
#[derive(Debug)]
pub struct Ring {
    state: Mutex<State>,
    arrived: Condvar,
    taken: Condvar,
}

impl Default for Ring {
    fn default() -> Self {
        Self::continuing(Ledger::default())
    }
}

impl Ring {
    /// An empty ring whose numbers go on where `ledger` ends.
    pub fn continuing(ledger: Ledger) -> Self {
        let state = State { ledger, notices: VecDeque::with_capacity(FAULT_LIMIT), ..State::default() };
        Self { state: Mutex::new(state), arrived: Condvar::new(), taken: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every call leaves the state whole before it can panic, so that a poisoned lock holds sound counts.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source hands over a whole frame and gets an empty slot back. Never waits for the engine.
    pub fn publish(&self, slot: &mut Slot, arrival_ns: u64) {
        let mut state = self.state();
        slot.sequence = state.ledger.arrived;
        slot.arrival_ns = arrival_ns;
        state.ledger.arrive();
        std::mem::swap(&mut state.slot, slot);
        drop(state);
        self.arrived.notify_one();
    }

    /// The source tells of a frame that it could not read.
    pub fn reject(&self, fault: SourceFault) {
        let mut state = self.state();
        let sequence = state.ledger.arrived;
        state.ledger.reject();
        note(&mut state, Notice { sequence: Some(sequence), fault });
        drop(state);
        self.arrived.notify_one();
    }

    /// The source tells of trouble that cost no frame.
    pub fn notice(&self, fault: SourceFault) {
        note(&mut self.state(), Notice { sequence: None, fault });
        self.arrived.notify_one();
    }

    /// No more frames will come.
    pub fn end(&self) {
        self.state().ended = true;
        self.arrived.notify_all();
        self.taken.notify_all();
    }

    /// Whether the stream was ended from either side.
    pub fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Waits until no frame waits, for sources that can be read at any speed; false once the stream ended
    /// or `timeout` passed.
    pub fn wait_until_taken(&self, timeout: Duration) -> bool {
        let busy = |state: &mut State| state.ledger.waiting && !state.ended;
        let (state, _) = match self.taken.wait_timeout_while(self.state(), timeout, busy) {
            Ok(outcome) => outcome,
            Err(poisoned) => poisoned.into_inner(),
        };
        !state.ended && !state.ledger.waiting
    }

    /// The engine takes the waiting frame into `slot`, or waits for one at most `timeout`.
    pub fn take(&self, slot: &mut Slot, timeout: Duration) -> Taken {
        let quiet = |state: &mut State| !state.ledger.waiting && !state.ended && state.notices.is_empty();
        let (mut state, _) = match self.arrived.wait_timeout_while(self.state(), timeout, quiet) {
            Ok(outcome) => outcome,
            Err(poisoned) => poisoned.into_inner(),
        };
        if state.ledger.begin() {
            std::mem::swap(&mut state.slot, slot);
            drop(state);
            self.taken.notify_one();
            return Taken::Frame;
        }
        if state.ended && state.notices.is_empty() { Taken::Ended } else { Taken::Nothing }
    }

    /// The engine settles the frame it took. Returns the counts, which callers check.
    pub fn settle(&self, disposition: Disposition) -> Ledger {
        let mut state = self.state();
        state.ledger.settle(disposition);
        state.ledger
    }

    /// The next notice; after more came than there was room for, one that counts them.
    pub fn next_notice(&self) -> Option<Notice> {
        let mut state = self.state();
        if let Some(notice) = state.notices.pop_front() {
            return Some(notice);
        }
        let count = std::mem::take(&mut state.overflow);
        (count > 0).then_some(Notice { sequence: None, fault: SourceFault::Unlisted { count } })
    }

    /// Ends the stream at once: the waiting frame is superseded by nothing.
    pub fn stop(&self) -> Ledger {
        let mut state = self.state();
        state.ended = true;
        state.ledger.give_up_waiting();
        let ledger = state.ledger;
        drop(state);
        self.taken.notify_all();
        ledger
    }

    /// The counts now.
    pub fn ledger(&self) -> Ledger {
        self.state().ledger
    }

    /// Bytes of the waiting or spare slot.
    pub fn bytes(&self) -> usize {
        self.state().slot.bytes()
    }
}

fn note(state: &mut State, notice: Notice) {
    if state.notices.len() < FAULT_LIMIT {
        state.notices.push_back(notice);
    } else {
        state.overflow += 1;
    }
}
