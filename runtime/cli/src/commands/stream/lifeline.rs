//! The link to a supervisor: heartbeats and findings out, golden tiles in, over a socket or a serial line.
//!
//! Everything happens between frames, on the thread that works on them: when that stands still, so does the
//! link, and the supervisor stops the box. A supervisor's question is answered by inference with the
//! package in use.

mod place;

pub use place::Place;

use crate::device;
use crate::exit::Failure;
use candor::stream::Report;
use candor::stream::clock::{Clock, SystemClock};
use candor::{CalibrationState, Package, Session, SessionOptions, StepDigests};
use candor_core::alert::Severity;
use candor_core::digest::short;
use candor_core::golden;
use candor_core::link::{Calibration, Finding, Frame, Message, Receiver, Refusal, VERSION, WIRE_BYTES_MAX};
use place::Line;
use sha2::{Digest, Sha256};
use std::io::ErrorKind;
use std::time::Duration;

/// Time from one heartbeat to the next, and the longest that the stream may wait for a frame meanwhile.
pub const BEAT: Duration = Duration::from_millis(25);
/// Time from one attempt to open a lost line to the next.
const RETRY_US: u64 = 1_000_000;

/// The line, if one was asked for.
pub struct Lifeline<'p> {
    end: Option<End<'p>>,
}

/// This side of the line.
struct End<'p> {
    place: Place,
    line: Option<Line>,
    receiver: Receiver,
    session: Session<'p>,
    codes: Vec<u8>,
    package: u64,
    epoch: u32,
    sequence: u32,
    frame_id: u64,
    beat_at_us: u64,
    open_at_us: u64,
    /// Number of the stop that a person wants lifted.
    acknowledge: Option<u32>,
    /// What the supervisor said last, so that only news are told.
    told: Option<(bool, u32)>,
}

impl<'p> Lifeline<'p> {
    /// Opens the line to `place`; without one there is nothing to do. The exam's number is that of the
    /// start in seconds, so that it rises with every start.
    ///
    /// # Errors
    /// Exit code 3 when the line cannot be opened or the package cannot be run for the questions.
    pub fn open(
        package: &'p Package,
        place: Option<&str>,
        acknowledge: Option<u32>,
        (options, device): (&SessionOptions, &str),
        clock: &SystemClock,
    ) -> Result<Self, Failure> {
        let Some(place) = place else { return Ok(Self { end: None }) };
        let place = Place::parse(place)?;
        let line = place.open().map_err(|error| place.failure(&error))?;
        let session = device::open(package, &SessionOptions { memory: None, ..*options }, device)?;
        let input = session.plan().tensor(0).map_err(candor::Error::from)?.layout;
        let codes = vec![0; input.height * input.width * input.channels];
        let end = End {
            place,
            line: Some(line),
            receiver: Receiver::new(),
            session,
            codes,
            package: short(package.digest()?),
            epoch: (clock.wall_ms() / 1000) as u32,
            sequence: 0,
            frame_id: 0,
            beat_at_us: 0,
            open_at_us: 0,
            acknowledge,
            told: None,
        };
        Ok(Self { end: Some(end) })
    }

    /// The longest that the stream may wait for a frame.
    pub fn patience(&self, usual: Duration) -> Duration {
        if self.end.is_some() { usual.min(BEAT) } else { usual }
    }

    /// Tells of a frame; `worst` is the greatest severity of what stands.
    pub fn tell(&mut self, report: &Report<'_>, worst: Option<Severity>, clock: &SystemClock) {
        let (Some(end), Some(finding)) = (&mut self.end, &report.finding) else { return };
        let mut hash = Sha256::new();
        hash.update(&report.frame.narrow);
        report.frame.wide.iter().for_each(|sample| hash.update(sample.to_le_bytes()));
        let calibration = match finding.calibration {
            CalibrationState::Applied => Calibration::Applied,
            CalibrationState::Void => Calibration::Void,
            CalibrationState::None => Calibration::Absent,
        };
        let (input, output) = (short(hash.finalize().into()), short(finding.digest));
        end.frame_id = report.sequence + 1;
        end.send(now_us(clock), Message::Finding(Finding { input, output, calibration, worst }));
    }

    /// Beats when it is time, and hears the supervisor.
    pub fn beat(&mut self, clock: &SystemClock) {
        let Some(end) = &mut self.end else { return };
        let now = now_us(clock);
        if end.line.is_none() && now >= end.open_at_us {
            end.open_at_us = now + RETRY_US;
            end.line = end.place.open().ok();
        }
        if now >= end.beat_at_us {
            end.beat_at_us = now + BEAT.as_micros() as u64;
            end.send(now, Message::Heartbeat);
        }
        end.hear(clock);
    }
}

fn now_us(clock: &SystemClock) -> u64 {
    clock.monotonic_ns() / 1000
}

impl End<'_> {
    /// Sends a frame; a line that fails is closed and opened again later.
    fn send(&mut self, time_us: u64, message: Message) {
        let Some(line) = &mut self.line else { return };
        self.sequence = self.sequence.wrapping_add(1);
        let frame = Frame {
            version: VERSION,
            sequence: self.sequence,
            epoch: self.epoch,
            package: self.package,
            frame_id: self.frame_id,
            time_us,
            message,
        };
        let mut wire = [0; WIRE_BYTES_MAX];
        // Every message of this version fits.
        let Ok(bytes) = frame.encode(&mut wire) else { return };
        if let Err(error) = line.write_all(bytes) {
            self.lose(&error);
        }
    }

    fn lose(&mut self, error: &std::io::Error) {
        eprintln!("candor: the link to the supervisor is lost: {error}");
        self.line = None;
        self.told = None;
    }

    fn hear(&mut self, clock: &SystemClock) {
        let mut bytes = [0; 512];
        let count = match self.line.as_mut().map(|line| line.read(&mut bytes)) {
            None => return,
            Some(Ok(0)) => return self.lose(&ErrorKind::UnexpectedEof.into()),
            Some(Ok(count)) => count,
            Some(Err(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return;
            }
            Some(Err(error)) => return self.lose(&error),
        };
        for &byte in &bytes[..count] {
            let received = match self.receiver.push(byte) {
                Some(Ok(received)) => received,
                Some(Err(Refusal::Replay)) => {
                    // The supervisor was started again and counts from one.
                    self.receiver.restart();
                    continue;
                }
                _ => continue,
            };
            match received.frame.message {
                Message::Challenge { nonce, seed } => {
                    if let Some(digest) = self.infer(seed) {
                        self.send(now_us(clock), Message::Answer { nonce, digest });
                    }
                }
                Message::Status { closed, latch, cause } => self.status(now_us(clock), closed, latch, cause),
                _ => {}
            }
        }
    }

    /// The digest of this box's own output for the golden input of `seed`.
    fn infer(&mut self, seed: u32) -> Option<u64> {
        let width = self.session.plan().tensor(0).ok()?.layout.width;
        self.codes.iter_mut().enumerate().for_each(|(at, code)| *code = golden::input_code(seed, at, width));
        let mut digests = StepDigests::new(self.session.plan()).ok()?;
        self.session.run_codes(&[&self.codes], &mut digests).ok()?;
        digests.finish().1.map(short)
    }

    /// Tells the user how the supervisor stands when that is news, and acknowledges the stop that was named.
    fn status(&mut self, time_us: u64, closed: bool, latch: u32, cause: u8) {
        if self.told.replace((closed, latch)) != Some((closed, latch)) {
            if closed {
                eprintln!("candor: the supervisor lets results through");
            } else {
                eprintln!(
                    "candor: the supervisor stands stopped, stop {latch}, cause {cause}; \
                     --acknowledge {latch} lets it go on"
                );
            }
        }
        if !closed && self.acknowledge == Some(latch) {
            // Said with every status until it is heard.
            self.send(time_us, Message::Acknowledge { latch });
        }
    }
}
