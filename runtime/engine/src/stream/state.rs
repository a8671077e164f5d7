//! The state of a stream as a checkpoint holds it: counts, how far the log had come, and all conclusions.
//!
//! Payload: settled counts, lines and chain value of the log, the guard's state, the calibrator's.

use super::event::Event;
use super::guard::{GUARD_BYTES, Guard};
use super::ledger::{LEDGER_BYTES, Ledger};
use super::ring::Ring;
use super::sink::Sink;
use super::{Clock, Stream};
use crate::checkpoint::Keeper;
use crate::drift::DriftSettings;
use crate::error::{Error, ErrorKind};
use crate::recalibrate::Recalibrator;
use crate::record::Head;

/// Time between two checkpoints.
const CHECKPOINT_MS: u64 = 2000;
const HEAD_BYTES: usize = 8 + 32;

/// Bytes of a checkpoint's payload for a package of `classes` classes.
pub const fn state_bytes(classes: usize) -> usize {
    LEDGER_BYTES + HEAD_BYTES + GUARD_BYTES + Recalibrator::bytes(classes)
}

/// A state that was read back.
#[derive(Debug, Clone)]
pub struct StreamState {
    /// The counts; frames that were not settled then are counted as superseded.
    pub ledger: Ledger,
    /// How far the log had come.
    pub head: Head,
    /// All conclusions.
    pub guard: Guard,
}

impl StreamState {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] when it is not a state of this version, or drift was watched under other
    /// settings.
    pub fn read(
        payload: &[u8],
        settings: &DriftSettings,
        classes: usize,
        now_ms: u64,
    ) -> Result<Self, Error> {
        let damaged = || Error::new(ErrorKind::Package, "the checkpoint's counts do not add up");
        let (ledger, rest) = payload.split_first_chunk::<LEDGER_BYTES>().ok_or_else(damaged)?;
        let (lines, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (link, guard) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
        Ok(Self {
            ledger: Ledger::from_bytes(ledger).ok_or_else(damaged)?,
            head: Head { lines: u64::from_le_bytes(*lines), link: *link },
            guard: Guard::read(guard, settings, classes, now_ms)?,
        })
    }
}

impl<S: Sink> Stream<'_, S> {
    /// Writes checkpoints from now on.
    pub fn keep_with(&mut self, keeper: Keeper) {
        self.keeper = Some(keeper);
    }

    /// Writes a checkpoint when one is due, and tells of one that failed.
    pub(super) fn checkpoint(&mut self, ring: &Ring, clock: &dyn Clock) {
        self.tell_checkpoint_failure(clock);
        let now_ms = self.watch.now_ms(clock);
        if now_ms.saturating_sub(self.watch.checkpoint_ms) >= CHECKPOINT_MS && self.save(ring) {
            self.watch.checkpoint_ms = now_ms;
        }
    }

    /// Waits for the checkpoint that is being written, and tells when it failed.
    pub(super) fn await_checkpoint(&mut self, clock: &dyn Clock) {
        if let Some(keeper) = &self.keeper {
            keeper.wait();
        }
        self.tell_checkpoint_failure(clock);
    }

    fn tell_checkpoint_failure(&mut self, clock: &dyn Clock) {
        if let Some(errno) = self.keeper.as_ref().and_then(Keeper::failure) {
            self.record(&Event::CheckpointFailed { errno }, clock);
        }
    }

    /// Hands over a checkpoint; false when the last one is still being written.
    pub(super) fn save(&mut self, ring: &Ring) -> bool {
        let Some(keeper) = self.keeper.as_mut() else { return false };
        let (ledger, head, guard) = (ring.ledger(), self.sink.head(), &self.guard);
        keeper.save(|bytes| {
            bytes.extend_from_slice(&ledger.to_bytes());
            bytes.extend_from_slice(&head.lines.to_le_bytes());
            bytes.extend_from_slice(&head.link);
            let start = bytes.len();
            bytes.resize(start + GUARD_BYTES, 0);
            // The length is right by construction.
            let _ = guard.write(&mut bytes[start..]);
            bytes.extend_from_slice(&guard.recalibrator.to_bytes());
        })
    }
}
