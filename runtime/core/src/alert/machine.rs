//! The alert state machine: observations in, states and numbered events out.

use super::event::{Change, Event, Reason, Severity};
use super::queue::EventQueue;
use super::rule::{Level, Rules};
use crate::state::{DIGEST_BYTES, HEADER_BYTES, Reader, StateError, Writer};

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// Its condition does not hold.
    #[default]
    Normal,
    /// Its condition holds and nobody has acknowledged it.
    Active,
    /// Its condition holds and somebody knows.
    Acknowledged,
    /// Its condition is over and nobody has acknowledged it; latched rules only.
    Latched,
}

impl Standing {
    const ALL: [Self; 4] = [Self::Normal, Self::Active, Self::Acknowledged, Self::Latched];

    /// As logs print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Active => "active",
            Self::Acknowledged => "acknowledged",
            Self::Latched => "latched",
        }
    }

    /// Whether the condition holds.
    pub const fn holds(self) -> bool {
        matches!(self, Self::Active | Self::Acknowledged)
    }
}

/// What has been seen of one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Where its alert stands.
    pub standing: Standing,
    /// Whether it was not observed for longer than its rule allows.
    pub stale: bool,
    /// How often its alert was raised.
    pub raised: u64,
    /// Single occurrences and high observations.
    pub occurrences: u64,
    /// When it was last observed, in monotonic milliseconds.
    pub observed_ms: u64,
    /// The last observations, newest in bit 0: whether they were high.
    history: u64,
    /// Low observations in a row.
    lows: u8,
}

/// Bytes of a tally in a state.
const TALLY_BYTES: usize = 35;
const KIND: [u8; 4] = *b"CALM";
const VERSION: u16 = 1;

/// The alerts of one device; `QUEUE` events can wait to be recorded.
///
/// ```
/// use candor_core::alert::{AlertMachine, Change, Level, Reason, Rules};
/// let mut alerts = AlertMachine::<64>::new(Rules::default(), 0);
/// for frame in 0..3 {
///     alerts.observe(frame * 33, Reason::OutOfDistribution, Level::High, frame, 4200);
/// }
/// let event = alerts.pop().expect("three of five frames raise it");
/// assert_eq!((event.number, event.change, event.frame), (0, Change::Raised, 2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertMachine<const QUEUE: usize> {
    rules: Rules,
    tallies: [Tally; Reason::COUNT],
    queue: EventQueue<QUEUE>,
    now_ms: u64,
    /// Whether the last time given was before an earlier one.
    behind: bool,
    frame: u64,
}

impl<const QUEUE: usize> AlertMachine<QUEUE> {
    /// Bytes of the state.
    pub const BYTES: usize =
        HEADER_BYTES + 17 + Reason::COUNT * TALLY_BYTES + EventQueue::<QUEUE>::BYTES + DIGEST_BYTES;

    /// Every alert normal at `now_ms`, from which staleness counts.
    pub fn new(rules: Rules, now_ms: u64) -> Self {
        let tally = Tally { observed_ms: now_ms, ..Tally::default() };
        let tallies = [tally; Reason::COUNT];
        Self { rules, tallies, queue: EventQueue::new(), now_ms, behind: false, frame: 0 }
    }

    /// The rules.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What has been seen of `reason`.
    pub const fn tally(&self, reason: Reason) -> &Tally {
        &self.tallies[reason as usize]
    }

    /// Where the alert of `reason` stands.
    pub const fn standing(&self, reason: Reason) -> Standing {
        self.tallies[reason as usize].standing
    }

    /// The greatest severity of all alerts that are not normal; a stale one is at least a warning, for
    /// nothing is known.
    pub fn worst(&self) -> Option<Severity> {
        let severity = |&reason: &Reason| {
            let tally = self.tally(reason);
            let own = (tally.standing != Standing::Normal).then_some(self.rules.of(reason).severity);
            own.max(tally.stale.then_some(Severity::Warning))
        };
        Reason::ALL.iter().filter_map(severity).max()
    }

    /// Whether the condition of an alert holds under which calibration is void.
    pub fn voids_calibration(&self) -> bool {
        Reason::ALL.iter().any(|&reason| reason.voids_calibration() && self.standing(reason).holds())
    }

    /// Takes one observation of `reason`; `frame` and `value` go into the events it leads to. Returns
    /// where the alert stands now.
    pub fn observe(&mut self, now_ms: u64, reason: Reason, level: Level, frame: u64, value: i64) -> Standing {
        self.advance(now_ms, frame);
        let rule = *self.rules.of(reason);
        let was_stale = core::mem::replace(&mut self.tallies[reason as usize].stale, false);
        if was_stale {
            self.emit(reason, Change::Fresh, value);
        }
        let tally = &mut self.tallies[reason as usize];
        if was_stale {
            (tally.history, tally.lows) = (0, 0);
        }
        tally.observed_ms = self.now_ms;
        let high = level == Level::High;
        tally.occurrences += u64::from(high);
        tally.history = tally.history << 1 | u64::from(high);
        tally.lows = if level == Level::Low { tally.lows.saturating_add(1) } else { 0 };
        let window = u64::MAX >> (64 - u32::from(rule.window.clamp(1, 64)));
        let votes = (tally.history & window).count_ones();
        if tally.standing.holds() {
            if tally.lows >= rule.clear_after {
                self.end(reason, value);
            }
        } else if votes >= u32::from(rule.needed) && high {
            tally.standing = Standing::Active;
            tally.raised += 1;
            self.emit(reason, Change::Raised, value);
        }
        self.standing(reason)
    }

    /// The condition of an active alert is over.
    fn end(&mut self, reason: Reason, value: i64) {
        let latch = self.rules.of(reason).latch;
        let tally = &mut self.tallies[reason as usize];
        tally.history = 0;
        if latch && tally.standing == Standing::Active {
            tally.standing = Standing::Latched;
            self.emit(reason, Change::Returned, value);
        } else {
            tally.standing = Standing::Normal;
            self.emit(reason, Change::Cleared, value);
        }
    }

    /// Records something that happened once, without touching the state of its alert. Returns the number
    /// of the event.
    pub fn record(&mut self, now_ms: u64, reason: Reason, frame: u64, value: i64) -> u64 {
        self.advance(now_ms, frame);
        self.tallies[reason as usize].occurrences += 1;
        self.emit(reason, Change::Occurred, value)
    }

    /// Somebody has seen the alert of `reason`. Returns whether there was one to acknowledge.
    pub fn acknowledge(&mut self, now_ms: u64, reason: Reason) -> bool {
        self.advance(now_ms, self.frame);
        let before = self.standing(reason);
        let after = match before {
            Standing::Active => Standing::Acknowledged,
            Standing::Latched => Standing::Normal,
            Standing::Normal | Standing::Acknowledged => return false,
        };
        self.tallies[reason as usize].standing = after;
        self.emit(reason, Change::Acknowledged, 0);
        if before == Standing::Latched {
            self.emit(reason, Change::Cleared, 0);
        }
        true
    }

    /// Lets time pass: finds what has gone stale.
    pub fn tick(&mut self, now_ms: u64) {
        self.advance(now_ms, self.frame);
        for reason in Reason::ALL {
            let stale_ms = u64::from(self.rules.of(reason).stale_ms);
            let tally = &mut self.tallies[reason as usize];
            let silent_ms = self.now_ms - tally.observed_ms;
            if stale_ms > 0 && silent_ms >= stale_ms && !tally.stale {
                tally.stale = true;
                self.emit(reason, Change::Stale, i64::try_from(silent_ms).unwrap_or(i64::MAX));
            }
        }
    }

    /// The oldest event that waits; it stays until [`AlertMachine::pop`].
    pub fn front(&self) -> Option<&Event> {
        self.queue.front()
    }

    /// Takes the oldest event that waits.
    pub fn pop(&mut self) -> Option<Event> {
        self.queue.pop()
    }

    /// The queue of events.
    pub const fn queue(&self) -> &EventQueue<QUEUE> {
        &self.queue
    }

    /// Time never runs backwards here: an earlier time counts as the latest one, and the first of a run of
    /// them is an event.
    fn advance(&mut self, now_ms: u64, frame: u64) {
        self.frame = frame;
        let back_ms = self.now_ms.saturating_sub(now_ms);
        self.now_ms = self.now_ms.max(now_ms);
        let was_behind = core::mem::replace(&mut self.behind, back_ms > 0);
        if back_ms > 0 && !was_behind {
            self.tallies[Reason::ClockSetBack as usize].occurrences += 1;
            let value = i64::try_from(back_ms).unwrap_or(i64::MAX);
            self.emit(Reason::ClockSetBack, Change::Occurred, value);
        }
    }

    fn emit(&mut self, reason: Reason, change: Change, value: i64) -> u64 {
        let severity = self.rules.of(reason).severity;
        let (time_ms, frame) = (self.now_ms, self.frame);
        self.queue.push(Event { number: 0, time_ms, frame, value, reason, severity, change })
    }

    /// Writes the state, waiting events included, into `bytes`, which are [`AlertMachine::BYTES`] long.
    ///
    /// # Errors
    /// [`StateError::Length`].
    pub fn write(&self, bytes: &mut [u8]) -> Result<(), StateError> {
        let mut writer = Writer::new(bytes, KIND, VERSION);
        writer.u64(self.now_ms);
        writer.u64(self.frame);
        writer.u8(u8::from(self.behind));
        for tally in &self.tallies {
            writer.raw(&[tally.standing as u8, u8::from(tally.stale), tally.lows]);
            for field in [tally.raised, tally.occurrences, tally.observed_ms, tally.history] {
                writer.u64(field);
            }
        }
        self.queue.write(&mut writer);
        writer.finish()
    }

    /// Goes on from a state under `rules`, at `now_ms` of a clock that may have begun anew.
    ///
    /// # Errors
    /// [`StateError`] when the bytes are not a state of this machine.
    pub fn read(bytes: &[u8], rules: Rules, now_ms: u64) -> Result<Self, StateError> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let mut machine = Self::new(rules, now_ms);
        reader.u64()?;
        machine.frame = reader.u64()?;
        reader.flag()?;
        for tally in &mut machine.tallies {
            let standing = reader.u8()?;
            tally.standing = *Standing::ALL.get(usize::from(standing)).ok_or(reader.fault(1))?;
            tally.stale = reader.flag()?;
            tally.lows = reader.u8()?;
            tally.raised = reader.u64()?;
            tally.occurrences = reader.u64()?;
            reader.u64()?;
            tally.history = reader.u64()?;
        }
        machine.queue = EventQueue::read(&mut reader)?;
        reader.finish()?;
        Ok(machine)
    }
}
