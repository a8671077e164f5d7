//! A stream: frames as they come, each judged, timed, counted once and recorded.
//!
//! A source thread hands frames to a [`Ring`], which never makes it wait; a [`Stream`] takes the latest one
//! again and again. Time comes from a [`Clock`], events go to a [`Sink`]. Once frames of the greatest extent
//! have come, nothing is allocated.
//!
//! ```no_run
//! use candor::stream::{Ring, Step, Stream, StreamOptions, clock::SystemClock};
//! use candor::{Package, Session, SessionOptions};
//! # fn main() -> Result<(), candor::Error> {
//! let package = Package::open("nuclei.candor".as_ref())?;
//! let session = Session::new(&package, &SessionOptions::default())?;
//! let (ring, clock) = (Ring::default(), SystemClock::default());
//! let mut stream = Stream::new(session, StreamOptions::default(), (), &clock)?;
//! // Another thread calls `ring.publish(&mut slot, clock.monotonic_ns())` for each frame, then `ring.end()`.
//! loop {
//!     match stream.step(&ring, &clock, std::time::Duration::from_millis(100))? {
//!         Step::Report(report) => println!("frame {}: {:?}", report.sequence, report.disposition),
//!         Step::Idle => {}
//!         Step::Ended => break,
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod clock;
pub mod event;
pub mod guard;
mod history;
pub mod ledger;
pub mod meters;
pub mod options;
pub mod ring;
mod settle;
pub mod sink;
pub mod slot;
pub mod state;
mod watch;

pub use clock::Clock;
pub use options::{LatePolicy, StreamOptions};
pub use ring::Ring;
pub use sink::Sink;
pub use slot::Slot;
pub use state::state_bytes;

use crate::checkpoint::Keeper;
use crate::drift::DriftSettings;
use crate::error::{Error, ErrorKind};
use crate::session::{CalibrationState, Finding, Session};
use candor_core::alert::Validity;
use event::{Event, StopCause};
use guard::Guard;
use history::History;
use ledger::{Disposition, Ledger};
use meters::Meters;
use ring::Taken;
use settle::Settled;
use std::time::Duration;
use watch::Watch;

/// What a step of a stream led to.
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for every frame")]
#[derive(Debug)]
pub enum Step<'s> {
    /// A frame was settled.
    Report(Report<'s>),
    /// No frame came in the time allowed.
    Idle,
    /// The source has ended and everything is settled.
    Ended,
}

/// One settled frame.
#[derive(Debug)]
pub struct Report<'s> {
    /// Its number.
    pub sequence: u64,
    /// What became of it.
    pub disposition: Disposition,
    /// Microseconds from its arrival to now.
    pub age_us: u64,
    /// Microseconds of work on it.
    pub engine_us: u64,
    /// Greatest confidence that may be stated now, in 1/65535; the finding's confidence is capped by it.
    pub cap: u16,
    /// The result; none for a rejected frame, and for a late one unless [`LatePolicy::Deliver`].
    pub finding: Option<Finding<'s>>,
    /// The frame itself.
    pub frame: &'s Slot,
}

/// A stream over one package; `S` takes its events.
pub struct Stream<'p, S> {
    session: Session<'p>,
    options: StreamOptions,
    sink: S,
    keeper: Option<Keeper>,
    guard: Guard,
    meters: Meters,
    watch: Watch,
    history: History,
    slot: Slot,
}

impl<'p, S: Sink> Stream<'p, S> {
    /// A stream at its beginning, with the default settings of drift detection.
    ///
    /// # Errors
    /// None at present; [`ErrorKind::Input`] is kept for settings out of range.
    pub fn new(
        session: Session<'p>,
        options: StreamOptions,
        sink: S,
        clock: &dyn Clock,
    ) -> Result<Self, Error> {
        let settings = DriftSettings::new(guard::SERIES.len());
        let guard = Guard::new(&settings, session.head().classes(), clock.monotonic_ns() / 1_000_000)?;
        Ok(Self::with_guard(session, options, sink, guard, clock))
    }

    /// A stream that goes on from a state.
    pub fn with_guard(
        session: Session<'p>,
        options: StreamOptions,
        sink: S,
        guard: Guard,
        clock: &dyn Clock,
    ) -> Self {
        let watch = Watch::new(clock.wall_ms(), clock.monotonic_ns());
        let (meters, history, slot) = (Meters::default(), History::default(), Slot::default());
        Self { session, options, sink, keeper: None, guard, meters, watch, history, slot }
    }

    /// Takes the waiting frame and settles it, or waits for one at most `timeout`. Call it again and again,
    /// at least once a second: it also watches clock, source and storage.
    ///
    /// # Errors
    /// What the session refuses for another reason than the frame; the stream should end then.
    pub fn step(&mut self, ring: &Ring, clock: &dyn Clock, timeout: Duration) -> Result<Step<'_>, Error> {
        let taken = ring.take(&mut self.slot, timeout);
        self.hear(ring, clock);
        self.look_around(ring, clock, taken == Taken::Frame);
        match taken {
            Taken::Frame => {
                let settled = self.process(ring, clock)?;
                Ok(Step::Report(self.report(settled)))
            }
            Taken::Nothing => Ok(Step::Idle),
            Taken::Ended => Ok(Step::Ended),
        }
    }

    /// Runs the frame in the slot.
    fn process(&mut self, ring: &Ring, clock: &dyn Clock) -> Result<Settled, Error> {
        let begun_ns = self.watch.now_ns(clock);
        let deadline_ns = self.options.deadline_us.map_or(u64::MAX, |us| us.saturating_mul(1000));
        let seq = self.slot.sequence;
        if begun_ns.saturating_sub(self.slot.arrival_ns) >= deadline_ns {
            return Ok(self.settle(ring, clock, Settled::of(seq, Disposition::Late), begun_ns));
        }
        let mut settled = Settled::of(seq, Disposition::Rejected);
        let outcome = self.run(clock);
        clock.frame_was_run();
        match outcome {
            Ok(()) => {
                let finding = self.session.last_finding();
                let now_ms = self.watch.now_ms(clock);
                let pixels = (finding.mask, finding.confidence);
                let (counts, conclusion) = self.guard.frame(now_ms, seq, pixels, finding.ood.as_ref());
                settled.take(&counts, finding.ood.as_ref(), &finding.digest);
                settled.conclusion = conclusion;
                self.history.keep(seq, finding.mask, finding.confidence);
                settled.cap = self.guard.trust.cap();
                if self.guard.recalibrator.lessons() > 0 {
                    self.session.remap(self.guard.recalibrator.maps());
                }
                self.session.cap_confidence(settled.cap);
                settled.has_finding = true;
                settled.disposition = Disposition::Processed;
            }
            // It stays rejected.
            Err(error) if matches!(error.kind(), ErrorKind::Input | ErrorKind::Memory) => {}
            Err(error) => {
                ring.settle(Disposition::Rejected);
                return Err(error);
            }
        }
        let ended_ns = self.watch.now_ns(clock);
        let late = ended_ns.saturating_sub(self.slot.arrival_ns) > deadline_ns;
        if late && settled.disposition == Disposition::Processed {
            settled.disposition = Disposition::Late;
        }
        Ok(self.settle(ring, clock, settled, begun_ns))
    }

    /// Runs the model on the frame in the slot; where a device is lost and may be left, on this processor.
    fn run(&mut self, clock: &dyn Clock) -> Result<(), Error> {
        match self.session.run(&self.slot.view()) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Device && self.options.fall_back => {
                let device = match self.session.leave_device() {
                    Ok(Some(device)) => device,
                    Ok(None) => return Err(error),
                    Err(why) => {
                        let what = format!("{error}; the CPU cannot go on: {why}");
                        return Err(Error::new(ErrorKind::Device, what));
                    }
                };
                self.record(&Event::DeviceLost { device: &device, reason: &error.to_string() }, clock);
                self.session.run(&self.slot.view()).map(|_| ())
            }
            Err(error) => Err(error),
        }
    }

    /// The report of a settled frame.
    fn report(&self, settled: Settled) -> Report<'_> {
        let withheld = settled.disposition == Disposition::Late && self.options.late == LatePolicy::Withhold;
        let finding = (settled.has_finding && !withheld).then(|| {
            let finding = self.session.last_finding();
            Finding { calibration: self.calibration(finding.calibration), ..finding }
        });
        let Settled { sequence, disposition, age_us, engine_us, cap, .. } = settled;
        Report { sequence, disposition, age_us, engine_us, cap, finding, frame: &self.slot }
    }

    /// What a frame's calibration is worth, by its own verdict and by the alerts.
    fn calibration(&self, own: CalibrationState) -> CalibrationState {
        match own {
            CalibrationState::Applied if self.guard.trust.validity() != Validity::Valid => {
                CalibrationState::Void
            }
            own => own,
        }
    }

    /// Tells the sink of an event.
    pub fn record(&mut self, event: &Event<'_>, clock: &dyn Clock) {
        self.sink.event(event, clock.wall_ms(), self.watch.now_ms(clock));
    }

    /// Ends the stream: settles what is open, records the end and writes a last checkpoint.
    pub fn finish(&mut self, ring: &Ring, clock: &dyn Clock, cause: StopCause) -> Ledger {
        let ledger = ring.stop();
        self.hear(ring, clock);
        self.await_checkpoint(clock);
        self.record_alerts(clock);
        self.record(&Event::Stopped { cause, ledger }, clock);
        self.save(ring);
        self.await_checkpoint(clock);
        ledger
    }

    /// The meters.
    pub const fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Statistics, drift, alerts and trust.
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The session.
    pub const fn session(&self) -> &Session<'p> {
        &self.session
    }

    /// Where events go.
    pub const fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Bytes held for frames of their present extent, beyond the package.
    pub fn bytes(&self, ring: &Ring) -> usize {
        // The source's own slot is as large as the two others.
        let slots = 2 * self.slot.bytes() + ring.bytes() + self.history.bytes();
        self.session.bytes([self.slot.height.max(1), self.slot.width.max(1)]) + slots
    }
}
