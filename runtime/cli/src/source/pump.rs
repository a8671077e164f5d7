//! Drives a source on a thread of its own: at a pace, as fast as it gives, or as fast as frames are taken.

use super::{Arrival, Source};
use candor::stream::clock::{Clock, SystemClock};
use candor::stream::ring::Ring;
use candor::stream::slot::Slot;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When the next frame is fetched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// At once: a live source, whose frames come when they come.
    Live,
    /// Once the engine has taken the last: no frame is superseded.
    Follow,
    /// So many frames a second.
    Rate(f64),
}

/// How often a waiting thread looks whether the stream has ended.
const LOOK: Duration = Duration::from_millis(50);

/// A source and its pace.
pub struct Pump {
    /// Where frames come from.
    pub source: Box<dyn Source>,
    /// When they are fetched.
    pub pace: Pace,
    /// Frames after which the source is ended, rejected ones counted.
    pub frames: Option<u64>,
}

impl Pump {
    /// Fetches frames into `ring` until either side ends the stream; sets `complete` when the number of
    /// frames was reached.
    pub fn run(mut self, ring: &Ring, clock: &SystemClock, complete: &AtomicBool) {
        let mut slot = Slot::default();
        let (start, mut ticks, mut arrived) = (Instant::now(), 0u32, 0);
        loop {
            if self.frames.is_some_and(|most| arrived >= most) {
                complete.store(true, Ordering::SeqCst);
                break;
            }
            if !self.wait(ring, start, &mut ticks) {
                break;
            }
            match self.source.next(&mut slot) {
                Arrival::Frame => {
                    ring.publish(&mut slot, clock.monotonic_ns());
                    arrived += 1;
                }
                Arrival::Rejected(fault) => {
                    ring.reject(fault);
                    arrived += 1;
                }
                Arrival::Trouble(fault) => ring.notice(fault),
                Arrival::Pause(pause) => {
                    if !sleep(ring, Instant::now() + pause) {
                        break;
                    }
                }
                Arrival::End => break,
            }
        }
        ring.end();
    }

    /// Waits until the next frame is due; false once the stream has ended.
    fn wait(&self, ring: &Ring, start: Instant, ticks: &mut u32) -> bool {
        match self.pace {
            Pace::Live => !ring.has_ended(),
            Pace::Follow => loop {
                if ring.wait_until_taken(LOOK) {
                    return true;
                }
                if ring.has_ended() {
                    return false;
                }
            },
            Pace::Rate(rate) => {
                let due = start + Duration::from_secs_f64(f64::from(*ticks) / rate);
                *ticks = ticks.saturating_add(1);
                sleep(ring, due)
            }
        }
    }
}

/// Sleeps until `due`; false once the stream has ended.
fn sleep(ring: &Ring, due: Instant) -> bool {
    loop {
        if ring.has_ended() {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(LOOK));
    }
}
