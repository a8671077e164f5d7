//! A gap in the log: lines that the storage refused, counted or held until it takes lines again.

use crate::stream::event::Event;
use std::io;

/// Bytes of lines that can be held.
pub(super) const HELD_BYTES_MAX: usize = 64 << 10;

/// What could not be written.
#[derive(Debug)]
pub(super) struct Gap {
    is_open: bool,
    since_ms: i64,
    errno: i32,
    lost: u64,
    events_lost: u64,
    /// Held lines, each after its length in two bytes.
    held: Vec<u8>,
    held_lines: u64,
}

impl Gap {
    pub fn new() -> Self {
        let held = Vec::with_capacity(HELD_BYTES_MAX);
        Self { is_open: false, since_ms: 0, errno: 0, lost: 0, events_lost: 0, held, held_lines: 0 }
    }

    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    pub const fn outstanding(&self) -> u64 {
        self.lost + self.events_lost + self.held_lines
    }

    pub const fn bytes(&self) -> usize {
        self.held.capacity()
    }

    pub fn open(&mut self, since_ms: i64, error: &io::Error) {
        self.errno = error.raw_os_error().unwrap_or(0);
        if !self.is_open {
            (self.is_open, self.since_ms) = (true, since_ms);
        }
    }

    pub const fn lose_frame_line(&mut self) {
        self.lost += 1;
    }

    /// Keeps a line's body; false when there is no room.
    pub fn hold(&mut self, body: &[u8]) -> bool {
        let room = HELD_BYTES_MAX - self.held.len();
        match u16::try_from(body.len()) {
            Ok(length) if body.len() + 2 <= room => {
                self.held.extend_from_slice(&length.to_le_bytes());
                self.held.extend_from_slice(body);
                self.held_lines += 1;
                true
            }
            _ => {
                self.events_lost += 1;
                false
            }
        }
    }

    /// What the log has to be told, unless it was told already.
    pub fn event(&self) -> Option<Event<'static>> {
        let Self { lost, events_lost, held_lines: held, since_ms, errno, .. } = *self;
        (lost + events_lost + held > 0).then_some(Event::Gap { lost, events_lost, held, since_ms, errno })
    }

    pub const fn told(&mut self) {
        (self.lost, self.events_lost) = (0, 0);
    }

    /// Copies the first held body; false when there is none.
    pub fn copy_first(&self, body: &mut Vec<u8>) -> bool {
        let Some(held) = self.first() else { return false };
        body.clear();
        body.extend_from_slice(held);
        true
    }

    fn first(&self) -> Option<&[u8]> {
        let (length, rest) = self.held.split_first_chunk::<2>()?;
        rest.get(..usize::from(u16::from_le_bytes(*length)))
    }

    pub fn drop_first(&mut self) {
        if let Some(length) = self.first().map(<[u8]>::len) {
            self.held.drain(..length + 2);
            self.held_lines = self.held_lines.saturating_sub(1);
        }
    }

    pub const fn close(&mut self) {
        self.is_open = false;
    }
}
