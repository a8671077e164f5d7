//! A restart goes on with the same statistics, drift and counts as a stream that was never stopped.

use std::time::Duration;

use candor::checkpoint::{self, Keeper};
use candor::drift::DriftSettings;
use candor::stream::clock::{Clock, VirtualClock};
use candor::stream::event::{StateOrigin, StopCause};
use candor::stream::guard::{Guard, SERIES};
use candor::stream::ledger::Ledger;
use candor::stream::state::StreamState;
use candor::stream::{Ring, Slot, Step, Stream, StreamOptions, state_bytes};
use candor::{FrameView, Package, Samples, Session, SessionOptions};

use crate::package::{self, SIDE};

const DIGEST: [u8; 32] = [3; 32];
const CLASSES: usize = 2;

fn settings() -> DriftSettings {
    DriftSettings { warmup: 64, ..DriftSettings::new(SERIES.len()) }
}

/// Runs frames `range` from where `state` ends, with checkpoints in `folder`; the state at the end.
fn run(
    package: &Package,
    folder: &std::path::Path,
    range: std::ops::Range<usize>,
    clock: &VirtualClock,
) -> (Vec<u8>, Vec<u8>, Ledger) {
    let found = checkpoint::restore(folder, &DIGEST).expect("the folder can be read");
    let now_ms = clock.monotonic_ns() / 1_000_000;
    let (ledger, guard) = if found.origin == StateOrigin::Fresh {
        (Ledger::default(), Guard::new(&settings(), CLASSES, now_ms).expect("sound settings"))
    } else {
        let state =
            StreamState::read(&found.payload, &settings(), CLASSES, now_ms).expect("the state is whole");
        (state.ledger, state.guard)
    };
    let session = Session::new(package, &SessionOptions::default()).expect("the package runs here");
    let mut stream = Stream::with_guard(session, StreamOptions::default(), (), guard, clock);
    stream.keep_with(Keeper::new(folder, DIGEST, found.generation, state_bytes(CLASSES)).expect("a thread"));
    let ring = Ring::continuing(ledger);
    let mut slot = Slot::default();
    for index in range {
        let own = package::samples(index as u32 * 7 % 97);
        let samples = Samples::U8(&own);
        slot.fill(&FrameView { width: SIDE, height: SIDE, channels: 1, full_scale: 255, samples });
        clock.advance_ns(33_000_000);
        ring.publish(&mut slot, clock.monotonic_ns());
        assert!(matches!(stream.step(&ring, clock, Duration::ZERO), Ok(Step::Report(_))));
    }
    let ledger = stream.finish(&ring, clock, StopCause::EndOfSource);
    (stream.guard().statistics.to_bytes(), stream.guard().drift.to_bytes(), ledger)
}

#[test]
fn stopping_and_starting_changes_no_statistic() {
    let package = package::package();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    let expected = run(&package, &whole, 0..400, &VirtualClock::default());
    for range in [0..1, 1..37, 37..150, 150..300] {
        run(&package, &parts, range, &VirtualClock::default());
    }
    let found = run(&package, &parts, 300..400, &VirtualClock::default());
    assert_eq!(found.0, expected.0, "statistics");
    assert_eq!(found.1, expected.1, "drift");
    assert_eq!(found.2, expected.2, "counts");
    assert_eq!(found.2.processed, 400);
}
