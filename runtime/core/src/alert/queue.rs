//! Events waiting to be recorded: a ring of fixed size whose last place is kept for counting losses.

use super::event::{Change, Event, Reason, Severity};
use crate::state::{Reader, StateError, Writer};

/// At most `N` events (at least two), oldest first.
///
/// When one place is left, it takes an [`Reason::EventsLost`] event that counts every further event until
/// the reader has made room: numbers plus losses always add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventQueue<const N: usize> {
    events: [Event; N],
    first: usize,
    length: usize,
    next: u64,
    lost: u64,
}

const NOTHING: Event = Event {
    number: 0,
    time_ms: 0,
    frame: 0,
    value: 0,
    reason: Reason::EventsLost,
    severity: Severity::Notice,
    change: Change::Occurred,
};

impl<const N: usize> Default for EventQueue<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> EventQueue<N> {
    /// Bytes in a state.
    pub const BYTES: usize = 20 + N * super::EVENT_BYTES;

    /// An empty queue; the first event will have number 0.
    pub const fn new() -> Self {
        const { assert!(N >= 2, "one place is kept for counting losses") }
        Self { events: [NOTHING; N], first: 0, length: 0, next: 0, lost: 0 }
    }

    /// Numbers an event and appends it; its own `number` is not looked at. Returns the number.
    pub fn push(&mut self, event: Event) -> u64 {
        let number = self.next;
        self.next += 1;
        if self.length + 1 < N {
            self.append(Event { number, ..event });
            return number;
        }
        self.lost += 1;
        let last = (self.first + self.length + N - 1) % N;
        match &mut self.events[last] {
            // The newest entry counts losses already, perhaps with room before it again.
            tail if self.length > 0 && tail.reason == Reason::EventsLost => {
                tail.value += 1;
                tail.time_ms = event.time_ms;
                tail.severity = tail.severity.max(event.severity);
            }
            _ => self.append(Event {
                number,
                value: 1,
                reason: Reason::EventsLost,
                change: Change::Occurred,
                ..event
            }),
        }
        number
    }

    fn append(&mut self, event: Event) {
        self.events[(self.first + self.length) % N] = event;
        self.length += 1;
    }

    /// The oldest event, which stays: take it with [`EventQueue::pop`] once it is recorded.
    pub fn front(&self) -> Option<&Event> {
        if self.length == 0 { None } else { self.events.get(self.first) }
    }

    /// Takes the oldest event.
    pub fn pop(&mut self) -> Option<Event> {
        let event = *self.front()?;
        self.first = (self.first + 1) % N;
        self.length -= 1;
        Some(event)
    }

    /// Events waiting.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether none waits.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The number that the next event will have: as many were there so far.
    pub const fn next_number(&self) -> u64 {
        self.next
    }

    /// Events that had to be counted instead of kept.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.next);
        writer.u64(self.lost);
        writer.u32(self.length as u32);
        for offset in 0..N {
            let event = if offset < self.length { self.events[(self.first + offset) % N] } else { NOTHING };
            event.write(writer);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut queue = Self { next: reader.u64()?, lost: reader.u64()?, ..Self::new() };
        queue.length = reader.u32()? as usize;
        if queue.length > N {
            return Err(reader.fault(4));
        }
        for slot in &mut queue.events {
            *slot = Event::read(reader)?;
        }
        Ok(queue)
    }
}
