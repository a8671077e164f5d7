//! Keeps an imaging box honest from outside: opens the interlock when the box falls silent, repeats itself,
//! answers wrongly or raises an alarm, and keeps it open until a person says otherwise and the box has
//! proved itself.
//!
//! The supervisor is a state machine: [`Supervisor::poll`] is given the time, does a bounded amount of
//! work, and returns. It starts stopped.

mod cause;
mod challenge;
mod watch;

pub use cause::Cause;
pub use challenge::Tile;

use crate::black_box::{BlackBox, Stop};
use crate::plausibility::{Plausibility, Plausible};
use crate::ports::{Interlock, Link, Ports, Sensor, Watchdog};
use candor_core::link::{Frame, Message, Receiver, VERSION, WIRE_BYTES_MAX};
use challenge::Challenge;
use heapless::Deque;
use watch::Watch;

/// Bytes taken from the line in one poll.
const BYTES_PER_POLL: usize = 256;
/// Rows taken from the sensor in one poll.
const ROWS_PER_POLL: usize = 8;
/// Bytes that can wait to be sent.
const OUTGOING: usize = 2 * WIRE_BYTES_MAX;

/// What a supervisor holds a box to. Times are in µs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Package that must be in use, as [`Frame::package`] names it.
    pub package: u64,
    /// Longest time between two frames from the box.
    pub silence_us: u64,
    /// Longest time between two findings.
    pub finding_us: u64,
    /// Most frames that may be lost in a row.
    pub gap_max: u32,
    /// How much later than the quickest a frame may arrive.
    pub stale_us: u64,
    /// Same camera frames that may follow the first.
    pub repeats_max: u32,
    /// Time from one question to the next.
    pub question_us: u64,
    /// Time to answer.
    pub answer_us: u64,
    /// Sound frames that must arrive before the interlock closes.
    pub proof_frames: u32,
    /// Time from one status to the next.
    pub status_us: u64,
    /// Least time between two feedings of the watchdog.
    pub feed_us: u64,
    /// Inputs whose output digests the package must give.
    pub tiles: &'static [Tile],
    /// What the sensor may show.
    pub plausible: Plausible,
}

impl Settings {
    /// Heartbeats every 50 ms, findings every second, a question every three seconds.
    pub const fn usual(package: u64, tiles: &'static [Tile]) -> Self {
        Self {
            package,
            silence_us: 200_000,
            finding_us: 1_000_000,
            gap_max: 1,
            stale_us: 150_000,
            repeats_max: 2,
            question_us: 3_000_000,
            answer_us: 1_000_000,
            proof_frames: 3,
            status_us: 250_000,
            feed_us: 20_000,
            tiles,
            plausible: Plausible::usual(),
        }
    }
}

/// How the supervisor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The interlock is open and stays so until somebody acknowledges.
    Stopped,
    /// Somebody acknowledged; the box has to show that it is sound. The interlock is still open.
    Proving,
    /// The interlock is closed.
    Closed,
}

/// Parts of a poll, each of which has to be done before the watchdog is fed.
#[derive(Debug, Clone, Copy)]
enum Task {
    Receive = 1,
    Judge = 2,
    Question = 4,
    Sense = 8,
    Report = 16,
}

/// All of them.
const TASKS: u8 = 31;

/// The supervisor of one box.
#[derive(Clone)]
pub struct Supervisor {
    settings: Settings,
    state: State,
    cause: Cause,
    latch: u32,
    receiver: Receiver,
    watch: Watch,
    challenge: Challenge,
    plausibility: Plausibility,
    outgoing: Deque<u8, OUTGOING>,
    sequence: u32,
    status_at_us: u64,
    done: u8,
    fed_at_us: Option<u64>,
}

impl Supervisor {
    /// Stopped for `cause`, which is [`Cause::PowerOn`] or what made the processor start again. `latch` is
    /// the number of stops before.
    pub const fn new(settings: Settings, cause: Cause, latch: u32) -> Self {
        Self {
            plausibility: Plausibility::new(settings.plausible),
            settings,
            state: State::Stopped,
            cause,
            latch: latch.wrapping_add(1),
            receiver: Receiver::new(),
            watch: Watch::new(),
            challenge: Challenge::new(),
            outgoing: Deque::new(),
            sequence: 0,
            status_at_us: 0,
            done: 0,
            fed_at_us: None,
        }
    }

    /// How it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Why it stopped last.
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// Number of the last stop.
    pub const fn latch(&self) -> u32 {
        self.latch
    }

    /// Does what there is to do at `now_us`. It is called at least every two milliseconds.
    pub fn poll<L: Link, S: Sensor, W: Watchdog, I: Interlock>(
        &mut self,
        now_us: u64,
        ports: &mut Ports<L, S, W, I>,
        black_box: &mut BlackBox,
    ) {
        let before = self.latch;
        self.receive(now_us, &mut ports.link);
        self.judge(now_us);
        self.question(now_us);
        self.sense(now_us, &mut ports.sensor);
        if ports.interlock.acknowledged() {
            self.acknowledge(now_us);
        }
        ports.interlock.set(self.state == State::Closed);
        if self.latch != before {
            let time_ms = (now_us / 1000) as u32;
            black_box.record(Stop { time_ms, cause: self.cause as u8 });
            #[cfg(feature = "defmt")]
            defmt::warn!("stop {=u32} cause {=u8} at {=u64} us", self.latch, self.cause as u8, now_us);
        }
        self.report(now_us, &mut ports.link);
        self.feed(now_us, &mut ports.watchdog);
    }

    /// Stops, unless it stands stopped already: the first cause is kept.
    fn stop(&mut self, cause: Cause) {
        if self.state != State::Stopped {
            self.state = State::Stopped;
            self.cause = cause;
            self.latch = self.latch.wrapping_add(1);
            self.challenge.forget();
            self.status_at_us = 0;
        }
    }

    /// A person wants work to go on.
    fn acknowledge(&mut self, now_us: u64) {
        if self.state == State::Stopped {
            self.state = State::Proving;
            self.receiver.restart();
            self.watch.restart(now_us);
            self.challenge.ask_at(now_us);
        }
    }

    fn receive(&mut self, now_us: u64, link: &mut impl Link) {
        for _ in 0..BYTES_PER_POLL {
            let Some(byte) = link.take() else { break };
            if self.state == State::Stopped {
                // A box that was started again counts from one. An acknowledgement names its stop, so that
                // an old one lifts nothing.
                self.receiver.restart();
            }
            match self.receiver.push(byte) {
                Some(Ok(received)) => {
                    let verdict = self.watch.take(&self.settings, now_us, &received);
                    self.heard(now_us, &received.frame);
                    if let Err(cause) = verdict {
                        self.stop(cause);
                    }
                }
                Some(Err(refusal)) => {
                    if let Some(cause) = Cause::of_refusal(refusal) {
                        self.stop(cause);
                    }
                }
                None => {}
            }
        }
        self.done |= Task::Receive as u8;
    }

    /// Messages that ask for something or answer.
    fn heard(&mut self, now_us: u64, frame: &Frame) {
        match frame.message {
            Message::Answer { nonce, digest } => {
                if let Err(cause) = self.challenge.answer(&self.settings, now_us, nonce, digest) {
                    self.stop(cause);
                }
            }
            Message::Acknowledge { latch } if latch == self.latch => self.acknowledge(now_us),
            _ => {}
        }
    }

    fn judge(&mut self, now_us: u64) {
        if self.state != State::Stopped
            && let Err(cause) = self.watch.check(&self.settings, now_us)
        {
            self.stop(cause);
        }
        if self.state == State::Proving
            && self.watch.sound_frames() >= self.settings.proof_frames
            && self.watch.has_finding()
            && self.challenge.is_met(&self.settings)
        {
            self.state = State::Closed;
            self.status_at_us = 0;
            #[cfg(feature = "defmt")]
            defmt::info!("closed at {=u64} us", now_us);
        }
        self.done |= Task::Judge as u8;
    }

    fn question(&mut self, now_us: u64) {
        if self.state != State::Stopped {
            match self.challenge.poll(&self.settings, now_us) {
                Ok(None) => {}
                Ok(Some(message)) => self.send(now_us, message),
                Err(cause) => self.stop(cause),
            }
        }
        self.done |= Task::Question as u8;
    }

    fn sense(&mut self, _now_us: u64, sensor: &mut impl Sensor) {
        for _ in 0..ROWS_PER_POLL {
            let Some((samples, last)) = sensor.row() else { break };
            self.plausibility.row(samples);
            if last && let Err(fault) = self.plausibility.finish() {
                self.stop(Cause::of_sensor(fault));
            }
        }
        self.done |= Task::Sense as u8;
    }

    fn report(&mut self, now_us: u64, link: &mut impl Link) {
        if now_us >= self.status_at_us {
            self.status_at_us = now_us + self.settings.status_us;
            let closed = self.state == State::Closed;
            self.send(now_us, Message::Status { closed, latch: self.latch, cause: self.cause as u8 });
        }
        while let Some(&byte) = self.outgoing.front() {
            if !link.put(byte) {
                break;
            }
            self.outgoing.pop_front();
        }
        self.done |= Task::Report as u8;
    }

    /// Queues a frame; one that does not fit is lost, and the other side sees the gap.
    fn send(&mut self, now_us: u64, message: Message) {
        self.sequence = self.sequence.wrapping_add(1);
        let frame = Frame {
            version: VERSION,
            sequence: self.sequence,
            epoch: self.watch.epoch(),
            package: self.settings.package,
            frame_id: self.watch.frame_id(),
            time_us: now_us,
            message,
        };
        let mut wire = [0; WIRE_BYTES_MAX];
        if let Ok(bytes) = frame.encode(&mut wire)
            && OUTGOING - self.outgoing.len() >= bytes.len()
        {
            for &byte in bytes {
                // There is room.
                let _ = self.outgoing.push_back(byte);
            }
        }
    }

    /// Feeds the watchdog once every task was done since the last time, and not too soon.
    fn feed(&mut self, now_us: u64, watchdog: &mut impl Watchdog) {
        let soon = self.fed_at_us.is_some_and(|fed| now_us.saturating_sub(fed) < self.settings.feed_us);
        if self.done == TASKS && !soon {
            watchdog.feed();
            self.fed_at_us = Some(now_us);
            self.done = 0;
        }
    }
}

#[cfg(test)]
mod tests;
