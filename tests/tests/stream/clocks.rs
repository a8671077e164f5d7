//! Clocks that are set back or leap, and a source that stalls, in virtual time.

use std::time::Duration;

use candor::record::Head;
use candor::stream::clock::{Clock, VirtualClock};
use candor::stream::event::{Event, SourceFault};
use candor::stream::{Ring, Sink, Slot, Step, Stream, StreamOptions};
use candor::{FrameView, Samples, Session, SessionOptions};

use crate::package::{self, SIDE};

/// Keeps what is not about single frames, as JSON.
#[derive(Default)]
struct Heard(Vec<String>);

impl Sink for Heard {
    fn event(&mut self, event: &Event<'_>, _: i64, _: u64) {
        if !matches!(event, Event::Frame(_) | Event::Ledger { .. }) {
            self.0.push(serde_json::to_string(event).expect("an event is JSON"));
        }
    }

    fn tick(&mut self, _: i64, _: u64) {}

    fn outstanding(&self) -> u64 {
        0
    }

    fn head(&self) -> Head {
        Head::default()
    }
}

#[test]
fn a_set_calendar_and_a_stall_are_events_and_ages_stay_true() {
    let package = package::package();
    let session = Session::new(&package, &SessionOptions::default()).expect("the package runs here");
    let (ring, clock) = (Ring::default(), VirtualClock::default());
    clock.set_wall_ms(1_000_000_000_000);
    let mut stream =
        Stream::new(session, StreamOptions::default(), Heard::default(), &clock).expect("sound settings");
    let samples = package::samples(5);
    let mut slot = Slot::default();
    let mut age_max = 0;
    for index in 0..400_i64 {
        clock.advance_ns(100_000_000);
        match index {
            50 => clock.set_wall_ms(clock.wall_ms() - 3_600_000),
            100 => clock.set_wall_ms(clock.wall_ms() + 86_400_000),
            // A slow correction, as a time server makes, is none.
            150..160 => clock.set_wall_ms(clock.wall_ms() + 50),
            _ => {}
        }
        if (200..260).contains(&index) {
            assert!(matches!(stream.step(&ring, &clock, Duration::ZERO), Ok(Step::Idle)));
            continue;
        }
        let samples = Samples::U8(&samples);
        slot.fill(&FrameView { width: SIDE, height: SIDE, channels: 1, full_scale: 255, samples });
        ring.publish(&mut slot, clock.monotonic_ns());
        clock.advance_ns(1_000_000);
        let Ok(Step::Report(report)) = stream.step(&ring, &clock, Duration::ZERO) else {
            panic!("a frame waits");
        };
        age_max = age_max.max(report.age_us);
    }
    assert_eq!(age_max, 1000, "ages come from the monotonic clock alone");
    let heard = &stream.sink().0;
    let of = |what: &str| heard.iter().filter(|text| text.contains(what)).cloned().collect::<Vec<_>>();
    assert_eq!(of("clock_set").len(), 2, "{heard:?}");
    assert!(of("clock_set")[0].contains("-3600") && of("clock_set")[1].contains("86400"), "{heard:?}");
    assert_eq!(of("clock-set-back").len(), 1, "{heard:?}");
    assert_eq!(of(r#""fault":"stalled""#).len(), 1, "{heard:?}");
    assert_eq!(of(r#""fault":"resumed""#).len(), 1, "{heard:?}");
    let stalls = of("source-stalled");
    assert!(stalls.len() == 2 && stalls[0].contains("raised") && stalls[1].contains("cleared"), "{stalls:?}");
}

#[test]
fn rejected_frames_are_numbered_events_and_the_stream_goes_on() {
    let package = package::package();
    let session = Session::new(&package, &SessionOptions::default()).expect("the package runs here");
    let (ring, clock) = (Ring::default(), VirtualClock::default());
    let mut stream =
        Stream::new(session, StreamOptions::default(), Heard::default(), &clock).expect("sound settings");
    let mut slot = Slot::default();
    let samples = package::samples(1);
    for index in 0..10 {
        if index % 2 == 0 {
            ring.reject(SourceFault::NonFinite { index });
        } else {
            // Of another extent than its samples.
            let height = if index == 5 { SIDE + 1 } else { SIDE };
            let samples = Samples::U8(&samples);
            slot.fill(&FrameView { width: SIDE, height, channels: 1, full_scale: 255, samples });
            ring.publish(&mut slot, clock.monotonic_ns());
        }
        while let Ok(Step::Report(_)) = stream.step(&ring, &clock, Duration::ZERO) {}
    }
    let ledger = ring.ledger();
    assert_eq!((ledger.arrived, ledger.processed, ledger.rejected), (10, 4, 6));
    let heard = &stream.sink().0;
    let rejected = heard.iter().filter(|text| text.contains(r#""event":"rejected""#));
    let numbers: Vec<String> =
        rejected.map(|text| text.chars().filter(char::is_ascii_digit).collect()).collect();
    assert_eq!(numbers.len(), 6, "{heard:?}");
    assert!(heard.iter().any(|text| text.contains(r#""seq":5,"fault":"refused""#)), "{heard:?}");
}
