//! A source twice as fast as the engine for an hour of frames, in virtual time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use candor::stream::clock::{Clock, VirtualClock};
use candor::stream::event::StopCause;
use candor::stream::ledger::{Disposition, Ledger};
use candor::stream::{LatePolicy, Ring, Slot, Step, Stream, StreamOptions};
use candor::{FrameView, Samples, Session, SessionOptions};

use crate::package::{self, SIDE};

/// Time between two frames: thirty a second.
const FRAME_NS: u64 = 33_333_333;
/// Frames of an hour.
const FRAMES: u64 = 108_000;

/// Virtual time in which running a frame takes `engine_ns`, and frames arrive meanwhile.
struct Source<'r> {
    clock: VirtualClock,
    ring: &'r Ring,
    engine_ns: AtomicU64,
    next: AtomicU64,
    samples: Vec<u8>,
    slot: std::sync::Mutex<Slot>,
}

impl Source<'_> {
    /// When frame `index` arrives: every other one half a period early, as a source with jitter does.
    fn arrival_ns(index: u64, jitter_ns: u64) -> u64 {
        (index + 1) * FRAME_NS - if index % 2 == 1 { jitter_ns } else { 0 }
    }

    /// Lets time pass up to `until_ns`; every frame of the hour that arrives before is published.
    fn pass(&self, until_ns: u64) {
        let mut slot = self.slot.lock().expect("nobody panicked");
        loop {
            let index = self.next.load(Ordering::SeqCst);
            let arrival_ns = Self::arrival_ns(index, FRAME_NS / 2);
            if index == FRAMES || arrival_ns > until_ns {
                break;
            }
            self.to(arrival_ns);
            let samples = Samples::U8(&self.samples);
            slot.fill(&FrameView { width: SIDE, height: SIDE, channels: 1, full_scale: 255, samples });
            self.ring.publish(&mut slot, arrival_ns);
            if self.next.fetch_add(1, Ordering::SeqCst) + 1 == FRAMES {
                self.ring.end();
            }
        }
        self.to(until_ns);
    }

    fn to(&self, ns: u64) {
        self.clock.advance_ns(ns.saturating_sub(self.clock.monotonic_ns()));
    }
}

impl Clock for Source<'_> {
    fn monotonic_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    fn wall_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    fn frame_was_run(&self) {
        self.pass(self.clock.monotonic_ns() + self.engine_ns.load(Ordering::SeqCst));
    }
}

/// Runs the hour; the ages of findings in nanoseconds are given to `seen` with their disposition.
fn hour(options: StreamOptions, engine_ns: u64, mut seen: impl FnMut(u64, Disposition, bool)) -> Ledger {
    let package = package::package();
    let session = Session::new(&package, &SessionOptions::default()).expect("the package runs here");
    let ring = Ring::default();
    let source = Source {
        clock: VirtualClock::default(),
        ring: &ring,
        engine_ns: AtomicU64::new(engine_ns),
        next: AtomicU64::new(0),
        samples: package::samples(3),
        slot: std::sync::Mutex::default(),
    };
    let mut stream = Stream::new(session, options, (), &source).expect("the settings are sound");
    let (mut settled, mut last) = (0, None);
    loop {
        match stream.step(&ring, &source, Duration::ZERO).expect("the frames are sound") {
            Step::Report(report) => {
                assert!(last.is_none_or(|last| report.sequence > last), "frames come in order");
                last = Some(report.sequence);
                settled += 1;
                seen(report.age_us, report.disposition, report.finding.is_some());
            }
            // Nothing waits: the next thing to happen is an arrival.
            Step::Idle => source.pass(Source::arrival_ns(source.next.load(Ordering::SeqCst), FRAME_NS / 2)),
            Step::Ended => break,
        }
    }
    let ledger = stream.finish(&ring, &source, StopCause::EndOfSource);
    assert!(ledger.reconciles() && !ledger.waiting && !ledger.running);
    assert_eq!(ledger.arrived, FRAMES);
    assert_eq!(ledger.processed + ledger.late, settled);
    assert_eq!(ledger.superseded, FRAMES - settled);
    println!("{ledger:?}");
    ledger
}

#[test]
fn at_twice_the_engines_speed_findings_are_never_older_than_two_frames_and_one_inference() {
    let engine_ns = 2 * FRAME_NS;
    let (mut oldest_us, mut findings) = (0, 0);
    let ledger = hour(StreamOptions::default(), engine_ns, |age_us, disposition, has_finding| {
        assert!(disposition == Disposition::Processed && has_finding);
        oldest_us = oldest_us.max(age_us);
        findings += 1;
    });
    println!("{findings} findings, the oldest {oldest_us} us");
    assert!(ledger.longest_miss <= 2, "about every other frame is run");
    assert!(findings >= FRAMES / 2 - 2, "{findings} findings");
    assert!(oldest_us <= (2 * FRAME_NS + engine_ns) / 1000, "{oldest_us} us");
}

#[test]
fn findings_after_the_deadline_are_late_and_withheld_or_delivered() {
    // Not a multiple of the period, so that frames wait for all kinds of times before their inference.
    let engine_ns = FRAME_NS * 17 / 10;
    let deadline_us = (engine_ns + FRAME_NS * 9 / 20) / 1000;
    for late in [LatePolicy::Withhold, LatePolicy::Deliver] {
        let options = StreamOptions { deadline_us: Some(deadline_us), late, ..StreamOptions::default() };
        let mut counts = [0, 0];
        hour(options, engine_ns, |age_us, disposition, has_finding| {
            let is_late = age_us > deadline_us;
            assert_eq!(disposition == Disposition::Late, is_late, "{age_us} us");
            assert_eq!(has_finding, !is_late || late == LatePolicy::Deliver);
            counts[usize::from(is_late)] += 1;
        });
        assert!(counts[0] > 1000 && counts[1] > 1000, "some are in time, some late: {counts:?}");
    }
}
