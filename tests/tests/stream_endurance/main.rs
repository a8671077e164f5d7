//! A long stream at full speed: nothing is allocated per frame, memory stays, every frame is accounted for,
//! and the log holds.
//!
//! One test alone: the counts belong to the whole process. `CANDOR_STREAM_FRAMES=1000000` makes it long.

mod package;

use std::time::{Duration, Instant};

use candor::drift::DriftSettings;
use candor::record::{Record, RecordOptions, verify};
use candor::stream::clock::{Clock, SystemClock};
use candor::stream::event::{SourceFault, StopCause};
use candor::stream::guard::{GUARD_BYTES, Guard, SERIES};
use candor::stream::{Ring, Slot, Step, Stream, StreamOptions};
use candor::{FrameView, Samples, Session, SessionOptions};
use candor_tests::allocation::CountingAllocator;
use package::SIDE;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Frames when nothing else is asked for.
const FRAMES: u64 = 20_000;
/// Frames before counting: every buffer has its size by then.
const FIRST: u64 = 1000;
/// Every so many frames one is rejected.
const REJECTED_EVERY: u64 = 1000;
/// Most allocations when a segment of the log is closed: file names, and the list of segments.
const PER_SEGMENT_MAX: usize = 400;
/// Most growth of resident memory in KiB: what the test harness and reading `/proc` may take.
const GROWTH_KIB_MAX: u64 = 256;

fn frames() -> u64 {
    let asked = std::env::var("CANDOR_STREAM_FRAMES").ok();
    asked.map_or(FRAMES, |text| text.parse().expect("CANDOR_STREAM_FRAMES is a number"))
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("there is such a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Publishes as fast as frames are taken.
fn feed(ring: &Ring, clock: &SystemClock, frames: u64) {
    let pool: Vec<Vec<u8>> = (0..32).map(package::samples).collect();
    let mut slot = Slot::default();
    for index in 0..frames {
        while !ring.wait_until_taken(Duration::from_secs(1)) {
            assert!(!ring.has_ended(), "the engine gave up");
        }
        if index % REJECTED_EVERY == REJECTED_EVERY - 1 {
            ring.reject(SourceFault::Garbled { skipped: 7 });
            continue;
        }
        let samples = Samples::U8(&pool[index as usize % pool.len()]);
        slot.fill(&FrameView { width: SIDE, height: SIDE, channels: 1, full_scale: 255, samples });
        ring.publish(&mut slot, clock.monotonic_ns());
    }
    ring.end();
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn a_long_stream_allocates_nothing_per_frame_and_loses_nothing() {
    let frames = frames();
    let package = package::package();
    let session = Session::new(&package, &SessionOptions::default()).expect("the package runs here");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("events.jsonl");
    let clock = SystemClock::default();
    let options = RecordOptions { keep: 3, ..RecordOptions::default() };
    let (record, _) = Record::open(&log, options, None, clock.wall_ms(), 0).expect("the log can be written");
    let guard = Guard::new(&DriftSettings::new(SERIES.len()), 2, 0).expect("the settings are sound");
    let mut stream = Stream::with_guard(session, StreamOptions::default(), record, guard, &clock);
    let ring = Ring::default();
    let (mut calls, mut kib, mut settled) = (0, 0, 0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| feed(&ring, &clock, frames));
        loop {
            match stream.step(&ring, &clock, Duration::from_secs(1)).expect("the frames are sound") {
                Step::Report(_) => settled += 1,
                Step::Idle => {}
                Step::Ended => break,
            }
            if settled == FIRST {
                kib = resident_kib();
                calls = ALLOCATOR.calls();
            }
        }
        // Before the source's thread ends, whose end is not a frame's.
        calls = ALLOCATOR.calls() - calls;
    });
    let seconds = begun.elapsed().as_secs_f64();
    let kib_after = resident_kib();
    let ledger = stream.finish(&ring, &clock, StopCause::EndOfSource);
    let head = stream.sink().head();
    drop(stream);
    assert!(ledger.reconciles());
    let rejected = frames / REJECTED_EVERY;
    assert_eq!((ledger.arrived, ledger.processed, ledger.rejected), (frames, frames - rejected, rejected));
    let found = verify(&log).expect("the log can be read");
    assert_eq!(found.fault, None);
    assert_eq!(found.first_line + found.lines, head.lines);
    if found.first_line == 0 {
        assert_eq!(found.events["frame"], ledger.processed);
        assert_eq!(found.events["rejected"], rejected);
    }
    let segments = (head.lines * 500 / options.segment_bytes) as usize + 1;
    println!(
        "{frames} frames in {seconds:.0} s: {} lines, {calls} allocations, {kib} to {kib_after} KiB, state \
         {GUARD_BYTES} bytes",
        head.lines
    );
    let most = if frames <= FRAMES { 0 } else { segments * PER_SEGMENT_MAX };
    assert!(calls <= most, "{calls} allocations in {frames} frames, {segments} segments");
    assert!(kib_after <= kib + GROWTH_KIB_MAX, "{kib} to {kib_after} KiB");
}
