//! The ledger against a list of frames that is counted anew after every call.

use super::{Disposition, Ledger};

/// The dispositions in the order of arrival; `None` while a frame waits or is in work.
#[derive(Default)]
struct Model {
    frames: Vec<Option<Disposition>>,
    waiting: Option<usize>,
    running: Option<usize>,
}

impl Model {
    /// Most misses in a row among frames before the first that is not settled; runs that are still cut by
    /// an open frame count up to it and after it apart.
    fn longest(&self) -> u64 {
        let (mut longest, mut run) = (0, 0);
        for frame in &self.frames {
            match frame {
                Some(Disposition::Processed) => run = 0,
                None => break,
                Some(_) => run += 1,
            }
            longest = longest.max(run);
        }
        longest
    }
}

/// A plain congruential generator (Knuth's MMIX constants).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn counts_and_runs_of_misses_are_those_of_a_list_of_frames() {
    for seed in 0..200 {
        let (mut ledger, mut model, mut state) = (Ledger::default(), Model::default(), seed);
        let mut longest = 0;
        for _ in 0..400 {
            match next(&mut state) % 5 {
                0 | 1 => {
                    if let Some(old) = model.waiting {
                        model.frames[old] = Some(Disposition::Superseded);
                    }
                    model.waiting = Some(model.frames.len());
                    model.frames.push(None);
                    ledger.arrive();
                }
                2 => {
                    model.frames.push(Some(Disposition::Rejected));
                    ledger.reject();
                }
                3 => {
                    let can = model.running.is_none() && model.waiting.is_some();
                    assert_eq!(ledger.begin(), can);
                    if can {
                        model.running = model.waiting.take();
                    }
                }
                _ => {
                    let late = next(&mut state).is_multiple_of(3);
                    let disposition = if late { Disposition::Late } else { Disposition::Processed };
                    assert_eq!(ledger.settle(disposition), model.running.is_some());
                    if let Some(own) = model.running.take() {
                        model.frames[own] = Some(disposition);
                    }
                }
            }
            assert!(ledger.reconciles(), "seed {seed}: {ledger:?}");
            let count = |wanted| model.frames.iter().filter(|&&f| f == Some(wanted)).count() as u64;
            assert_eq!(ledger.arrived, model.frames.len() as u64);
            assert_eq!(ledger.processed, count(Disposition::Processed));
            assert_eq!(ledger.superseded, count(Disposition::Superseded));
            assert_eq!(ledger.rejected, count(Disposition::Rejected));
            assert_eq!(ledger.late, count(Disposition::Late));
            longest = longest.max(model.longest());
            assert_eq!(ledger.longest_miss, longest, "seed {seed}: {ledger:?}");
        }
        let back = Ledger::from_bytes(&ledger.to_bytes()).expect("the counts add up");
        assert_eq!(back.arrived, ledger.arrived);
        assert!(back.reconciles() && !back.waiting && !back.running);
    }
}

#[test]
fn a_checkpoint_whose_counts_do_not_add_up_is_refused() {
    let mut ledger = Ledger::default();
    ledger.arrive();
    assert!(ledger.begin() && ledger.settle(Disposition::Processed));
    let bytes = ledger.to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let counts = Ledger::from_bytes(&flipped);
        // The number of runs alone is not tied to the other counts.
        assert!(counts.is_none() || (6 * 64..7 * 64).contains(&bit), "bit {bit}: {counts:?}");
    }
}

#[test]
fn misses_that_follow_a_miss_are_told() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.miss_after_miss(), None);
    // Two runs, of three misses and of one.
    for miss in [true, true, true, false, true, false] {
        if miss {
            ledger.reject();
        } else {
            ledger.arrive();
            assert!(ledger.begin() && ledger.settle(Disposition::Processed));
        }
    }
    assert_eq!(ledger.miss_after_miss(), Some(0.5));
    assert_eq!((ledger.longest_miss, ledger.miss_runs), (3, 2));
}
