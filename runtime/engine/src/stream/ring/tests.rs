//! The ring with a source that never waits and an engine that is slower, on two threads.

use super::{FAULT_LIMIT, Ring, Taken};
use crate::stream::event::SourceFault;
use crate::stream::ledger::Disposition;
use crate::stream::slot::Slot;
use std::time::Duration;

#[test]
fn the_latest_frame_wins_and_every_frame_is_accounted_for() {
    let ring = Ring::default();
    let frames = 20_000;
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut slot = Slot::default();
            for index in 0..frames {
                if index % 100 == 99 {
                    ring.reject(SourceFault::Unreadable);
                } else {
                    slot.narrow.clear();
                    slot.narrow.extend_from_slice(&(index as u64).to_le_bytes());
                    ring.publish(&mut slot, index as u64);
                }
            }
            ring.end();
        });
        let mut slot = Slot::default();
        loop {
            while ring.next_notice().is_some() {}
            match ring.take(&mut slot, Duration::from_secs(60)) {
                Taken::Ended => break,
                Taken::Nothing => {}
                Taken::Frame => {
                    assert_eq!(slot.narrow, slot.sequence.to_le_bytes(), "a slot holds the frame it says");
                    assert_eq!(slot.sequence, slot.arrival_ns);
                    seen.push(slot.sequence);
                    assert!(ring.settle(Disposition::Processed).reconciles());
                }
            }
        }
    });
    let ledger = ring.ledger();
    assert_eq!((ledger.arrived, ledger.rejected), (frames as u64, frames as u64 / 100));
    assert_eq!(ledger.processed, seen.len() as u64);
    assert_eq!(ledger.arrived, ledger.processed + ledger.superseded + ledger.rejected);
    assert!(seen.is_sorted_by(|a, b| a < b), "frames come in order, each once");
    assert_eq!(seen.last(), Some(&(frames as u64 - 2)), "the last frame is never superseded");
}

#[test]
fn faults_beyond_the_room_for_them_are_counted() {
    let ring = Ring::default();
    for _ in 0..FAULT_LIMIT + 9 {
        ring.reject(SourceFault::Garbled { skipped: 1 });
    }
    let notices: Vec<_> = std::iter::from_fn(|| ring.next_notice()).collect();
    assert_eq!(notices.len(), FAULT_LIMIT + 1);
    assert_eq!(notices[FAULT_LIMIT].fault, SourceFault::Unlisted { count: 9 });
    assert_eq!(ring.ledger().rejected, FAULT_LIMIT as u64 + 9);
}
