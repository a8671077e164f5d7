//! Time as a stream sees it: a monotonic clock for every duration, a wall clock for the record alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where a stream takes its time from; tests give it time of their own.
pub trait Clock: Send + Sync {
    /// Nanoseconds since some fixed moment. Never goes back; a stream takes the later of two readings.
    fn monotonic_ns(&self) -> u64;
    /// Milliseconds since 1970 by the device's calendar, which may be set at any time.
    fn wall_ms(&self) -> i64;
    /// Called when the engine has run a frame; virtual time lets the frame's cost pass here.
    fn frame_was_run(&self) {}
}

/// The operating system's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn wall_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// Time that stands still until it is told to move; clones share it.
#[derive(Debug, Clone, Default)]
pub struct VirtualClock {
    monotonic_ns: Arc<AtomicU64>,
    wall_ms: Arc<AtomicI64>,
}

impl VirtualClock {
    /// Lets `ns` nanoseconds pass on both clocks.
    pub fn advance_ns(&self, ns: u64) {
        let after = self.monotonic_ns.fetch_add(ns, Ordering::SeqCst) + ns;
        let before_ms = (after - ns) / 1_000_000;
        let passed_ms = i64::try_from(after / 1_000_000 - before_ms).unwrap_or(i64::MAX);
        self.wall_ms.fetch_add(passed_ms, Ordering::SeqCst);
    }

    /// Sets the calendar, as a user or a time server does.
    pub fn set_wall_ms(&self, wall_ms: i64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.load(Ordering::SeqCst)
    }

    fn wall_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::SeqCst)
    }
}
