//! The ledger: every frame that arrived has exactly one disposition, and the counts always add up.

#[cfg(test)]
mod tests;

use serde::Serialize;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Its finding was there before the deadline.
    Processed,
    /// A later frame took its place before it was begun.
    Superseded,
    /// It could not be read, or the package cannot take it.
    Rejected,
    /// Its finding was not there before the deadline.
    Late,
}

/// The counts of a stream since it first began, over restarts.
///
/// At most one frame waits and at most one is in work; every other frame that arrived is settled, so that
/// `arrived = processed + superseded + rejected + late + waiting + running` holds after every call. A
/// *miss* is any settled frame that was not processed; runs of misses are counted in the order in which
/// the frames arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Frames that arrived; also the sequence number of the next one.
    pub arrived: u64,
    /// See [`Disposition::Processed`].
    pub processed: u64,
    /// See [`Disposition::Superseded`].
    pub superseded: u64,
    /// See [`Disposition::Rejected`].
    pub rejected: u64,
    /// See [`Disposition::Late`].
    pub late: u64,
    /// Whether a frame waits to be processed.
    pub waiting: bool,
    /// Whether a frame is in work.
    pub running: bool,
    /// Most misses in a row.
    pub longest_miss: u64,
    /// Runs of misses that a processed frame ended.
    pub miss_runs: u64,
    /// Misses in a row up to the oldest frame that is not settled.
    #[serde(skip)]
    run: u64,
    /// Misses between the frame in work and the waiting one.
    #[serde(skip)]
    after_running: u64,
    /// Misses after the waiting frame.
    #[serde(skip)]
    after_waiting: u64,
}

/// Bytes of a ledger in a checkpoint.
pub const LEDGER_BYTES: usize = 8 * 8;

impl Ledger {
    /// A frame arrived that waits to be processed; the one that waited before is superseded.
    pub const fn arrive(&mut self) {
        if self.waiting {
            self.superseded += 1;
            self.waiting = false;
            let misses = 1 + self.after_waiting;
            self.after_waiting = 0;
            self.miss(misses);
        }
        self.arrived += 1;
        self.waiting = true;
    }

    /// A frame arrived that cannot be processed.
    pub const fn reject(&mut self) {
        self.arrived += 1;
        self.rejected += 1;
        self.miss(1);
    }

    /// The waiting frame goes into work; false when none waits or one is in work already.
    pub const fn begin(&mut self) -> bool {
        if !self.waiting || self.running {
            return false;
        }
        (self.waiting, self.running) = (false, true);
        self.after_running = self.after_waiting;
        self.after_waiting = 0;
        true
    }

    /// The frame in work is settled; false when none is. [`Disposition::Superseded`] stands for a frame
    /// that was begun but given up because the stream ended.
    pub const fn settle(&mut self, disposition: Disposition) -> bool {
        if !self.running {
            return false;
        }
        self.running = false;
        let later = self.after_running;
        self.after_running = 0;
        match disposition {
            Disposition::Processed => {
                self.processed += 1;
                self.miss_runs += (self.run > 0) as u64;
                self.run = 0;
                self.miss_settled(later);
            }
            Disposition::Superseded | Disposition::Rejected | Disposition::Late => {
                match disposition {
                    Disposition::Superseded => self.superseded += 1,
                    Disposition::Rejected => self.rejected += 1,
                    _ => self.late += 1,
                }
                self.miss_settled(1 + later);
            }
        }
        true
    }

    /// The waiting frame will not be processed any more, because the stream ends.
    pub const fn give_up_waiting(&mut self) {
        if self.waiting {
            self.waiting = false;
            self.superseded += 1;
            let misses = 1 + self.after_waiting;
            self.after_waiting = 0;
            self.miss(misses);
        }
    }

    /// Adds misses where they belong: behind the waiting frame, else behind the one in work.
    const fn miss(&mut self, misses: u64) {
        if self.waiting {
            self.after_waiting += misses;
        } else if self.running {
            self.after_running += misses;
        } else {
            self.miss_settled(misses);
        }
    }

    const fn miss_settled(&mut self, misses: u64) {
        self.run += misses;
        if self.run > self.longest_miss {
            self.longest_miss = self.run;
        }
    }

    /// Frames that were settled without a finding in time.
    pub const fn misses(&self) -> u64 {
        self.superseded + self.rejected + self.late
    }

    /// Whether the counts add up.
    pub const fn reconciles(&self) -> bool {
        let open = self.waiting as u64 + self.running as u64;
        self.arrived == self.processed + self.misses() + open && self.longest_miss <= self.misses()
    }

    /// Share of misses that follow a miss, P(miss after miss); `None` without misses.
    pub fn miss_after_miss(&self) -> Option<f64> {
        let misses = self.misses();
        let runs = self.miss_runs + u64::from(self.run > 0);
        (misses > 0).then(|| misses.saturating_sub(runs.max(1)) as f64 / misses as f64)
    }

    /// The settled counts, little-endian, for a checkpoint; frames that are not settled are counted as
    /// superseded, because a restart finds neither of them.
    pub fn to_bytes(self) -> [u8; LEDGER_BYTES] {
        let mut ended = self;
        ended.give_up_waiting();
        ended.settle(Disposition::Superseded);
        let words = [
            ended.arrived,
            ended.processed,
            ended.superseded,
            ended.rejected,
            ended.late,
            ended.longest_miss,
            ended.miss_runs,
            ended.run,
        ];
        let mut bytes = [0; LEDGER_BYTES];
        for (target, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *target = word.to_le_bytes();
        }
        bytes
    }

    /// The counts of [`Self::to_bytes`]; `None` when they do not add up.
    pub fn from_bytes(bytes: &[u8; LEDGER_BYTES]) -> Option<Self> {
        let mut words = [0; 8];
        for (word, source) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*source);
        }
        let [arrived, processed, superseded, rejected, late, longest_miss, miss_runs, run] = words;
        let counts = Self {
            arrived,
            processed,
            superseded,
            rejected,
            late,
            longest_miss,
            miss_runs,
            run,
            ..Self::default()
        };
        let total = [processed, superseded, rejected, late].into_iter().try_fold(0u64, u64::checked_add);
        (total == Some(arrived) && counts.reconciles() && run <= longest_miss).then_some(counts)
    }

    /// Counts as superseded `frames` that arrived after the last checkpoint and left no other trace.
    pub const fn lose(&mut self, frames: u64) {
        self.arrived += frames;
        self.superseded += frames;
        self.miss(frames);
    }
}
